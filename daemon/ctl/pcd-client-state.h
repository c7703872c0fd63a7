/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a daemon tells, as plain structs, read from D-Bus's variants.
 * Pure: asks nobody, prints nothing. */
#pragma once

#include "core/pcd-progress.h"

G_BEGIN_DECLS

/**
 * PcdClientSocket: one migration connection, see #PcdSocketView.
 */
typedef struct {
  char *local;
  char *remote;
  gboolean armed;
  gint64 heard_usec;
  guint unacked;
  guint retransmits;
} PcdClientSocket;

/**
 * PcdClientLost: the connection that was lost, see #PcdLost.
 * @interface: may be empty
 */
typedef struct {
  char *local;
  char *remote;
  char *interface;
  gint64 heard; /* microseconds since the epoch, 0 if not known, as @acked */
  gint64 acked;
  guint unacked;
  guint retransmits;
} PcdClientLost;

/* See #PcdVetoView; strings are never %NULL. */
typedef struct {
  char *action;
  char *by;
  char *reason;
  guint64 since;
  guint64 until;
} PcdClientVeto;

/**
 * PcdClientMigration: one org.postcopyd.Migration1; strings are never %NULL.
 */
typedef struct {
  char *path; /* of its object */
  char *uuid;
  char *name;
  char *role;
  char *phase;
  gint64 phase_time;
  char *flow;
  char *cause;
  char *cause_detail;  /* may be empty */
  PcdClientLost *lost; /* (nullable) */
  gboolean unattended;
  char *qemu_status;
  gint pid;
  gboolean measured;
  guint n_vcpus;
  guint n_blocked_vcpus;
  guint n_blocked_others;
  GPtrArray *sockets; /* of PcdClientSocket */
  char *note;
  char *policy; /* empty: an older daemon, which has none */
  char *policy_source;
  gboolean held;
  GPtrArray *vetoes; /* of PcdClientVeto */
  gint64 incident;
  char *doing;
  char *doing_text;
  guint64 doing_done;
  guint64 doing_total; /* 0 if not known */
  char *last_action;
  char *last_outcome;
  char *last_reason;
  char *next_action;
  gint64 next_time;
  gboolean asked; /* for the following, by pcd_client_ask_progress () */
  PcdProgress progress;
  char *problem; /* why @progress is not known */
} PcdClientMigration;

/**
 * PcdClientState: all that a daemon tells.
 * @connected: whether the daemon is connected to libvirt; if not, @migrations is what was known
 *   last
 * @migrations: (element-type PcdClientMigration): sorted by name
 */
typedef struct {
  char *version;
  char *libvirt_uri;
  gboolean connected;
  gint64 connection_since;
  char *connection_reason;
  GPtrArray *migrations;
} PcdClientState;

/**
 * pcd_client_state_parse:
 * @manager: `(a{sv})`: the properties of org.postcopyd.Manager1
 * @objects: `(a{oa{sa{sv}}})`: its managed objects
 *
 * Returns: (transfer full): what an older daemon does not have is empty
 */
PcdClientState *pcd_client_state_parse (GVariant *manager, GVariant *objects);
void pcd_client_state_free (PcdClientState *state);

/**
 * pcd_client_progress_parse:
 * @reply: `(a{sv})`: of GetProgress ()
 * @ret_problem: (out) (transfer full) (nullable): why it is not known
 */
PcdProgress pcd_client_progress_parse (GVariant *reply, char **ret_problem);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdClientState, pcd_client_state_free)

G_END_DECLS
