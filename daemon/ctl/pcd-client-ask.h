/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions to a postcopyd that is found already: nothing here waits or prints.
 * Must not know who asks, or how the daemon was found. */
#pragma once

#include "ctl/pcd-client-state.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * PcdClientAim: whom to ask. All are kept by what is under way for as long as that takes.
 * @owner: the daemon's unique name: one that was replaced does not answer
 * @cancellable: once it is cancelled, no answer comes any more
 */
typedef struct {
  GDBusConnection *connection;
  const char *owner;
  GCancellable *cancellable;
} PcdClientAim;

/**
 * PcdClientQuestion: a call of one of the daemon's methods. Who asks keeps it and its strings,
 * which need not outlive the call that is given it.
 * @path: object of the daemon
 * @interface: (nullable): %NULL for "org.postcopyd.Migration1"
 * @arguments: (nullable): consumed if floating, so that such a question is asked once
 * @reply_type: such as "(ss)"
 * @timeout_msec: for the answer
 */
typedef struct {
  const char *path;
  const char *interface;
  const char *method;
  GVariant *arguments;
  const char *reply_type;
  int timeout_msec;
} PcdClientQuestion;

/* Of all calls that may change something: polkit may ask a person then. */
#define PCD_CLIENT_ASK_FLAGS                                                                       \
  (G_DBUS_CALL_FLAGS_NO_AUTO_START | G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION)

/* The interface that is asked, also where @question leaves it out. */
const char *pcd_client_question_get_interface (const PcdClientQuestion *question);

/**
 * PcdClientAnswer:
 * @reply: (nullable): the answer, or %NULL and @error
 */
typedef void (*PcdClientAnswer) (GVariant *reply, const GError *error, gpointer data);

/**
 * pcd_client_aim_ask:
 * @answer: called from the thread's default context, once, unless cancelled
 * @data_free: (nullable): frees @data in any case
 */
void pcd_client_aim_ask (const PcdClientAim *aim,
                         const PcdClientQuestion *question,
                         PcdClientAnswer answer,
                         gpointer data,
                         GDestroyNotify data_free);

/**
 * PcdClientStateAnswer:
 * @state: (transfer full) (nullable): everything, or %NULL and @error
 */
typedef void (*PcdClientStateAnswer) (PcdClientState *state, const GError *error, gpointer data);

/* As pcd_client_get_state (), without waiting. @answer as in pcd_client_aim_ask (). */
void pcd_client_aim_ask_state (const PcdClientAim *aim,
                               int timeout_msec,
                               PcdClientStateAnswer answer,
                               gpointer data);

G_END_DECLS
