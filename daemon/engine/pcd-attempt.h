/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One attempt at an action, from the intent in the journal to the answer, and the turns in which
 * recoveries are made. Must not know ladders' rules or policies. All on the main thread. */
#pragma once

#include "engine/pcd-engine.h"
#include "engine/pcd-executor.h"
#include "journal/pcd-journal.h"

G_BEGIN_DECLS

typedef struct _PcdAttempt PcdAttempt;

/**
 * PcdTurns: what attempts of all migrations share. At most @parallel recoveries at a time, of all
 * migrations together.
 * @recoveries: how many run
 * @waiting: (element-type PcdAttempt): those that wait for their turn
 * @plugins: all actions
 */
typedef struct {
  guint parallel;
  guint recoveries;
  GQueue waiting;
  PcdPlugins *plugins;
} PcdTurns;

/**
 * PcdAttemptCallbacks: of the one who asked, not called after pcd_attempt_abandon ().
 * @starts: it is carried out now: to fill what @request says about the migration. @way is an
 *   operator's wish which way to go to the peer, or %NULL. The callee's @peers is ours
 * @progressed: what pcd_attempt_get_progress () says has changed
 * @deed: see #PcdExecutionDeed
 * @ended: once, whatever came of it; to be answered by pcd_attempt_free ()
 */
typedef struct {
  void (*starts) (PcdAttempt *attempt, PcdRequest *request, const char *way, gpointer data);
  void (*progressed) (PcdAttempt *attempt, gpointer data);
  void (*deed) (PcdDeed deed, PcdJournalCallback callback, gpointer callback_data, gpointer data);
  void (*ended) (PcdAttempt *attempt, PcdOutcome outcome, const char *reason, gpointer data);
} PcdAttemptCallbacks;

/**
 * PcdAttemptSpec: what is to be done. Everything is copied.
 * @ticket: unique
 * @params: (nullable): %NULL for none
 * @way: (nullable): see #PcdAttemptCallbacks
 * @force: an operator asked for it
 * @cancellable: (nullable): of an operator, a reference is kept
 * @progress: (nullable): likewise, with @callback_data
 * @callback: (nullable): an operator waits for the answer
 */
typedef struct {
  guint64 ticket;
  PcdActionKind action;
  const PcdParams *params;
  const char *way;
  gboolean force;
  GCancellable *cancellable;
  PcdOrderProgress progress;
  PcdOrderCallback callback;
  gpointer callback_data;
} PcdAttemptSpec;

/* @turns: (transfer none): must outlive it */
PcdAttempt *pcd_attempt_new (const PcdAttemptSpec *spec,
                             PcdTurns *turns,
                             const PcdAttemptCallbacks *callbacks,
                             gpointer data);

/* Gives its turn back: the next recovery may begin before this returns. */
void pcd_attempt_free (PcdAttempt *attempt);

/**
 * pcd_attempt_begin:
 * @who: for the journal
 * @ladder: to be kept with the intent
 *
 * Nothing is done before the intent is on disk, and nothing if it cannot be written.
 */
void pcd_attempt_begin (PcdAttempt *attempt,
                        PcdJournal *journal,
                        gint64 incident,
                        const char *who,
                        const PcdLadder *ladder);

/* Asks it to end; its answer still comes, maybe before this returns. */
void pcd_attempt_cancel (PcdAttempt *attempt);

/* (transfer full): asks it to end, and frees it when it did; only an operator hears the answer. */
void pcd_attempt_abandon (PcdAttempt *attempt);

guint64 pcd_attempt_get_ticket (const PcdAttempt *attempt);
PcdActionKind pcd_attempt_get_action (const PcdAttempt *attempt);

/**
 * PcdAttemptProgress:
 * @text: (nullable): what it is busy with
 * @done: how much is done
 * @total: of how much; 0 if not known
 */
typedef struct {
  char *text;
  guint64 done;
  guint64 total;
} PcdAttemptProgress;

const PcdAttemptProgress *pcd_attempt_get_progress (const PcdAttempt *attempt);

G_END_DECLS
