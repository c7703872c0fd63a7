/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs actions in threads of their own, each with a deadline, and brings the answer back.
 * Must not know what an action does, nor when it is due. */
#pragma once

#include "core/pcd-ladder.h"
#include "engine/pcd-tcp-log.h"
#include "journal/pcd-journal.h"
#include "plugins/pcd-plugins.h"

G_BEGIN_DECLS

typedef struct _PcdExecution PcdExecution;

/**
 * PcdDeed: what an action does to the guest that someone has to undo, should this process die.
 * @PCD_DEED_UNDONE: nothing of the kind (any more)
 * @PCD_DEED_STOP: QMP `stop`, for good: until policy or an operator says `resume`
 * @PCD_DEED_STOP_FOR_SNAPSHOT: the same for a moment: whoever finds it undoes it
 */
typedef enum {
  PCD_DEED_UNDONE,
  PCD_DEED_STOP,
  PCD_DEED_STOP_FOR_SNAPSHOT,
} PcdDeed;

/**
 * PcdActionHost: what built-in actions may use beside the public view, being its @internal. Valid
 * until the action returns, also when it was abandoned.
 * @monitor: (nullable): the kept control monitor of this QEMU, see qmp/pcd-monitor-keeper.h
 * @peers: (nullable): the ways to the peer, in the order in which to try them, from
 *   pcd_peers_routes () (element-type PcdRoute); not changed while the action runs
 * @no_peers: (nullable): why there is none; an action must not guess one then
 * @we_stopped: a QMP `stop` of ours was begun in this incident, whatever came of it
 * @for_snapshot: of stop and resume: for a snapshot's sake; resume leaves what is frozen alone
 * @execution: (nullable): see pcd_execution_deed (); %NULL where nobody keeps deeds
 * @state_dir: (nullable): the daemon's own folder, for what is to be kept with the incident
 * @directory: (nullable): of snapshots, as an operator wishes
 * @tcp_log: (nullable): what the migration connections did of late
 */
typedef struct {
  struct _PcdMonitorKeeper *monitor;
  GPtrArray *peers;
  const char *no_peers;
  gboolean we_stopped;
  gboolean for_snapshot;
  PcdExecution *execution;
  const char *state_dir;
  const char *directory;
  PcdTcpLog *tcp_log;
} PcdActionHost;

/**
 * PcdRequest: one thing to be done: what becomes the public view, see #PostcopydMigration, and
 * @host. Strings are copied, references of @host are taken.
 * @force: the operator asked with --force
 * @allow_destroy: the host's own configuration says so (rule 4)
 */
typedef struct {
  PcdActionKind action;
  const PcdParams *params;
  const char *uuid;
  const char *name;
  PcdState state;
  gint pid;
  const char *libvirt_uri;
  const char *peer_address;
  const char *peer_uri;
  const char *connection;
  gint64 incident;
  gboolean force;
  gboolean allow_destroy;
  PcdActionHost host;
} PcdRequest;

/* Frees @peers and @no_peers of its host, which were made for it. */
void pcd_request_clear (PcdRequest *request);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PcdRequest, pcd_request_clear)

/**
 * PcdExecutionCallback: on the main thread, exactly once.
 * @reason: (nullable): one clause
 */
typedef void (*PcdExecutionCallback) (PcdOutcome outcome, const char *reason, gpointer data);

/**
 * pcd_executor_start:
 * @plugin: an action that is used
 * @deadline_usec: from now
 * @callback: gets the answer, or "failed" when the deadline passes; the thread is abandoned then
 *
 * Returns: (transfer none): valid until @callback was called
 */
PcdExecution *pcd_executor_start (PcdPlugin *plugin,
                                  const PcdRequest *request,
                                  gint64 deadline_usec,
                                  PcdExecutionCallback callback,
                                  gpointer data);

/**
 * PcdExecutionProgress: on the main thread, while the answer is awaited; what is told faster than
 * the main loop turns is told once, the last.
 * @done: how much is done
 * @total: of how much; 0 if not known
 * @text: (nullable): what the action is busy with; borrowed
 */
typedef void (*PcdExecutionProgress) (guint64 done, guint64 total, const char *text, gpointer data);

/* @progress gets the @data of the execution's callback. */
void pcd_execution_on_progress (PcdExecution *execution, PcdExecutionProgress progress);

/**
 * PcdExecutionDeed: on the main thread, while the answer is awaited: @deed is to be kept.
 * @callback: (nullable): to be called once it is on disk, or cannot be
 */
typedef void (*PcdExecutionDeed) (PcdDeed deed,
                                  PcdJournalCallback callback,
                                  gpointer callback_data,
                                  gpointer data);

/* @deed gets the @data of the execution's callback. */
void pcd_execution_on_deed (PcdExecution *execution, PcdExecutionDeed deed);

/**
 * pcd_execution_deed:
 * @until: g_get_monotonic_time ()
 *
 * Of the action's thread, before it does @deed, and after it undid one. Rule 5: returns once a
 * deed is on disk; what is undone is not waited for.
 *
 * Returns: %FALSE if it cannot be kept: not to be done then
 */
gboolean pcd_execution_deed (PcdExecution *execution, PcdDeed deed, gint64 until, GError **error);

/* Asks it to end; its answer still comes. */
void pcd_execution_cancel (PcdExecution *execution);

G_END_DECLS
