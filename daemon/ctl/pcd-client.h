/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl's side of D-Bus: asks a running postcopyd, with a deadline.
 * Prints the reason when there is no answer; prints no result. */
#pragma once

#include "core/pcd-record.h"
#include "ctl/pcd-client-ask.h"
#include "ctl/pcd-client-state.h"
#include "ctl/pcd-verb.h"

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _PcdClient PcdClient;

/**
 * PcdClientFollower: what pcd_client_follow () tells. Both return %FALSE to end the following.
 * @record: a new record, as JSON
 * @changed: something about the daemon or a migration changed; ask pcd_client_get_state ()
 */
typedef struct {
  gboolean (*record) (const char *json, gpointer data);
  gboolean (*changed) (gpointer data);
} PcdClientFollower;

/**
 * pcd_client_open:
 * @ret_exit: (out): on failure, the exit code: %PCD_EXIT_NO_DAEMON, or %PCD_EXIT_USAGE for a --bus
 *   that is none
 *
 * Connects to the bus and finds postcopyd there, within 5 s; on another host, where somebody may
 * have to type a password, within 65 s.
 *
 * Returns: (transfer full): the client, or %NULL with the reason printed
 */
PcdClient *pcd_client_open (const PcdCtl *ctl, int *ret_exit);

/* The same, but prints nothing: %NULL if there is no daemon, for whatever reason. */
PcdClient *pcd_client_try (const PcdCtl *ctl);
void pcd_client_free (PcdClient *client);

/**
 * pcd_client_get_state:
 *
 * Returns: (transfer full): the state, or %NULL with the reason printed, for
 *   %PCD_EXIT_NO_DAEMON
 */
PcdClientState *pcd_client_get_state (PcdClient *client);

/**
 * pcd_client_get_records:
 *
 * Returns: (transfer full): records as JSON, or %NULL with the reason printed, for
 *   %PCD_EXIT_NO_DAEMON
 */
GStrv pcd_client_get_records (PcdClient *client);

/**
 * pcd_client_call:
 * @ret_reply: (out) (optional): the answer, if there is one
 *
 * Calls a method that changes something. An error that the daemon answers is printed.
 *
 * Returns: the exit code, %PCD_EXIT_DONE if there is an answer
 */
int pcd_client_call (PcdClient *client, const PcdClientQuestion *question, GVariant **ret_reply);

/**
 * pcd_client_ask:
 * @answer: called from the thread's default context, once; never after pcd_client_free ()
 *
 * As pcd_client_call (), but does not wait, and prints nothing.
 */
void pcd_client_ask (PcdClient *client,
                     const PcdClientQuestion *question,
                     PcdClientAnswer answer,
                     gpointer data);

/**
 * pcd_client_tell_error:
 * @question: its @arguments may be gone
 *
 * Prints what pcd_client_ask () could not do.
 *
 * Returns: the exit code
 */
int
pcd_client_tell_error (PcdClient *client, const PcdClientQuestion *question, const GError *error);

/**
 * pcd_client_open_debug_output:
 * @path: of a migration
 * @ret_fd: (out): what action debug kept last, to be closed
 *
 * Returns: the exit code; what went wrong is printed
 */
int pcd_client_open_debug_output (PcdClient *client, const char *path, int *ret_fd);

/**
 * pcd_client_listen:
 *
 * Signals are kept from now on for pcd_client_follow (): call it before asking for the state that
 * they change.
 */
void pcd_client_listen (PcdClient *client, const PcdClientFollower *follower, gpointer data);

/**
 * pcd_client_follow:
 *
 * Tells what happens until a callback ends it or the daemon goes away.
 *
 * Returns: %PCD_EXIT_DONE, or %PCD_EXIT_NO_DAEMON with the reason printed
 */
int pcd_client_follow (PcdClient *client);

/* Ends pcd_client_follow () from a source of the main context. */
void pcd_client_end (PcdClient *client, int exit_code);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdClient, pcd_client_free)

G_END_DECLS
