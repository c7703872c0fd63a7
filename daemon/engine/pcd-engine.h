/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The loop: owns the table of migrations, feeds the reducer, carries out its effects, tells
 * listeners. Must not decide anything itself, and must not know D-Bus. */
#pragma once

#include <gio/gio.h>

#include "core/pcd-action.h"
#include "core/pcd-ladder.h"
#include "core/pcd-lost.h"
#include "core/pcd-machine.h"
#include "core/pcd-record.h"
#include "engine/pcd-config.h"
#include "engine/pcd-gauge.h"

G_BEGIN_DECLS

typedef struct _PcdEngine PcdEngine;

/**
 * PcdSocketView: one migration connection, as last sampled.
 * @local: "address:port", IPv6 in brackets
 * @remote: likewise
 * @armed: our time-outs are set on it
 * @heard_usec: how long ago the peer was last heard
 * @unacked: segments sent and not acknowledged
 * @retransmits: unanswered retransmissions of the oldest one
 */
typedef struct {
  char *local;
  char *remote;
  gboolean armed;
  gint64 heard_usec;
  guint unacked;
  guint retransmits;
} PcdSocketView;

/**
 * PcdVetoView: what the veto hooks forbid now.
 * @action: name of the action
 * @author: path of the hook, or "[veto] default"
 * @reason: (nullable): why
 * @since: microseconds since the epoch, as @until
 * @until: when the hooks are asked again
 */
typedef struct {
  const char *action;
  const char *author;
  const char *reason;
  gint64 since;
  gint64 until;
} PcdVetoView;

/**
 * PcdMigrationView: what listeners see of a migration. Borrowed: valid during the call.
 * @uuid: domain UUID
 * @name: domain name
 * @state: see #PcdState
 * @pid: QEMU, 0 if not found
 * @phase_time: when the phase began, microseconds since the epoch
 * @cause_detail: (nullable): the evidence for the cause of a pause
 * @lost: (nullable): while paused, the connection that was lost
 * @measured: whether the fields below have been measured
 * @n_vcpus: vCPU threads of QEMU
 * @n_blocked_vcpus: those that wait for a missing page
 * @n_blocked_others: other threads that do
 * @sockets: (element-type PcdSocketView): migration connections
 * @note: (nullable): why something could not be measured or armed
 * @policy: name of the policy that applies
 * @policy_source: where it was chosen: "metadata", "configuration", "default", "operator"
 * @held: an operator asked for no automatic action
 * @vetoes: (element-type PcdVetoView) (nullable): what policy wants to do and may not
 * @we_stopped: a QMP `stop` of ours was tried, and not undone
 * @incident: id in the journal, 0 without one
 * @doing: (nullable): name of the action under way
 * @doing_text: (nullable): what it is busy with, in its own words
 * @doing_done: how much of it is done
 * @doing_total: of how much; 0 if not known
 * @last_action: (nullable): name of the last action that ended
 * @last_outcome: (nullable): "done", "refused", "failed"
 * @last_reason: (nullable): why
 * @next_action: (nullable): what the policy will do next if nothing changes
 * @next_time: when, microseconds since the epoch
 */
typedef struct {
  const char *uuid;
  const char *name;
  PcdState state;
  gint pid;
  gint64 phase_time;
  const char *cause_detail;
  const PcdLost *lost;
  gboolean measured;
  guint n_vcpus;
  guint n_blocked_vcpus;
  guint n_blocked_others;
  const GPtrArray *sockets;
  const char *note;
  const char *policy;
  const char *policy_source;
  gboolean held;
  const GArray *vetoes;
  gboolean we_stopped;
  gint64 incident;
  const char *doing;
  const char *doing_text;
  guint64 doing_done;
  guint64 doing_total;
  const char *last_action;
  const char *last_outcome;
  const char *last_reason;
  const char *next_action;
  gint64 next_time;
} PcdMigrationView;

/**
 * PcdListener: how others follow the engine. Any member may be %NULL.
 * @changed: a migration is new or changed, its measurements included
 * @removed: a migration that had ended was dropped from the list
 * @record: something was told
 * @connection: libvirt came or went
 */
typedef struct {
  void (*changed) (const PcdMigrationView *migration, gpointer data);
  void (*removed) (const char *uuid, PcdRole role, gpointer data);
  void (*record) (const PcdRecord *record, gpointer data);
  void (*connection) (gboolean connected, gpointer data);
} PcdListener;

/**
 * pcd_engine_new:
 * @config: (transfer none): copied
 * @uri: (nullable): libvirt URI
 *
 * Main thread only, as all calls of this API.
 */
PcdEngine *pcd_engine_new (const PcdConfig *config, const char *uri);
void pcd_engine_free (PcdEngine *engine);

/**
 * pcd_engine_add_listener:
 * @listener: (transfer none): must outlive the engine
 */
void pcd_engine_add_listener (PcdEngine *engine, const PcdListener *listener, gpointer data);

/**
 * pcd_engine_enable_actions:
 * @state_dir: where the journal is kept
 * @policy_dir: (nullable): instead of the shipped policies and those of /etc
 * @dry_run: tell what would be done, and do nothing
 *
 * Without this call the engine only watches. Before the main loop runs.
 */
gboolean pcd_engine_enable_actions (PcdEngine *engine,
                                    const char *state_dir,
                                    const char *policy_dir,
                                    gboolean dry_run,
                                    GError **error);

/* Returns: (transfer none) (nullable): lives as long as the engine */
struct _PcdJournal *pcd_engine_get_journal (PcdEngine *engine);

/* Returns: (transfer none): once actions are enabled; lives as long as the engine */
struct _PcdPlugins *pcd_engine_get_plugins (PcdEngine *engine);

/**
 * pcd_engine_reload_policies:
 * @config: the new one, whose plugins are loaded first, as policies may name their actions
 *
 * All or nothing: the old policies stay if one file is bad.
 */
gboolean pcd_engine_reload_policies (PcdEngine *engine, const PcdConfig *config, GError **error);

/**
 * pcd_engine_set_config:
 *
 * A reload: takes effect for what runs, too.
 */
void pcd_engine_set_config (PcdEngine *engine, const PcdConfig *config);

/* The connection to libvirt: @ret_since in microseconds since the epoch, @ret_reason borrowed. */
gboolean pcd_engine_is_connected (PcdEngine *engine, gint64 *ret_since, const char **ret_reason);

/**
 * pcd_engine_foreach:
 *
 * Calls @func for every migration, in the order in which they began.
 */
void pcd_engine_foreach (PcdEngine *engine,
                         void (*func) (const PcdMigrationView *migration, gpointer data),
                         gpointer data);

/**
 * pcd_engine_get_records:
 * @after: only records with a higher seq
 *
 * Returns: (transfer container) (element-type PcdRecord): oldest first; the last 1000 are kept
 */
GPtrArray *pcd_engine_get_records (PcdEngine *engine, guint64 after);

/**
 * pcd_engine_ask_progress:
 *
 * How much memory is missing, and how fast that is mended. Costs nothing while nobody asks.
 */
void pcd_engine_ask_progress (
    PcdEngine *engine, const char *uuid, PcdRole role, PcdProgressCallback callback, gpointer data);

/* @text: (nullable): what it is busy with; @total: 0 if not known. On the main thread. */
typedef void (*PcdOrderProgress) (guint64 done, guint64 total, const char *text, gpointer data);

/**
 * PcdOrder: an operator's request.
 * @uuid: domain
 * @role: which side of it
 * @action: what to do
 * @params: (nullable): %NULL for the defaults
 * @address: (nullable): for recover: only over this address of the peer
 * @force: do it where it would be refused as unwise; never where a safety rule forbids it
 * @dry_run: only say what would be done
 * @who: for the journal, such as "uid 1000"
 * @cancellable: (nullable): asks what was begun to end; its answer still comes. Main thread
 * @progress: (nullable): called with the data of the answer, before that
 */
typedef struct {
  const char *uuid;
  PcdRole role;
  PcdActionKind action;
  const PcdParams *params;
  const char *address;
  gboolean force;
  gboolean dry_run;
  const char *who;
  GCancellable *cancellable;
  PcdOrderProgress progress;
} PcdOrder;

/**
 * PcdOrderCallback: on the main thread, exactly once, maybe before pcd_engine_order () returns.
 * @reason: (nullable): one clause
 */
typedef void (*PcdOrderCallback) (PcdOutcome outcome, const char *reason, gpointer data);

/**
 * pcd_engine_order:
 *
 * Operators win over policy: a running action of the policy is asked to end, and what they did is
 * not undone by the ladder. Safety rules hold for them, too.
 *
 * Returns: %FALSE with %G_IO_ERROR_NOT_FOUND if there is no such migration; @callback is not called
 */
gboolean pcd_engine_order (PcdEngine *engine,
                           const PcdOrder *order,
                           PcdOrderCallback callback,
                           gpointer data,
                           GError **error);

/* (nullable): where journal and snapshots are kept. */
const char *pcd_engine_get_state_dir (const PcdEngine *engine);

/**
 * pcd_engine_get_incident:
 * @ret_state_dir: (out) (nullable): where its evidence is, borrowed
 *
 * Returns: the incident that the migration is in or was in last, 0 if there was none; -1 with
 *   %G_IO_ERROR_NOT_FOUND if there is no such migration
 */
gint64 pcd_engine_get_incident (
    PcdEngine *engine, const char *uuid, PcdRole role, const char **ret_state_dir, GError **error);

/**
 * pcd_engine_hold:
 * @role: which of the domain's migrations
 *
 * No automatic action on @uuid while held; what runs is finished. Survives a restart.
 */
gboolean pcd_engine_hold (PcdEngine *engine,
                          const char *uuid,
                          PcdRole role,
                          gboolean held,
                          const char *who,
                          GError **error);

/**
 * pcd_engine_set_policy:
 * @role: which of the domain's migrations
 * @name: (nullable): a policy's name, %NULL goes back to what metadata and configuration say
 *
 * For a migration under way; takes effect at once. (For a domain at rest: its metadata.)
 */
gboolean pcd_engine_set_policy (PcdEngine *engine,
                                const char *uuid,
                                PcdRole role,
                                const char *name,
                                const char *who,
                                GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdEngine, pcd_engine_free)

G_END_DECLS
