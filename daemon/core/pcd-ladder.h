/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ladder of one migration: which step of its policy is due, and what became of those that were
 * tried. step (ladder, input, event, now) -> ladder, effects. Pure: reads no clock, does nothing.
 */
#pragma once

#include "core/pcd-machine.h"
#include "core/pcd-policy.h"

G_BEGIN_DECLS

/* Steps of the policy, and as many that an earlier policy of the same migration left. */
#define PCD_LADDER_MAX_RECORDS (2 * PCD_POLICY_MAX_STEPS)

/* A condition that was away for so long is new trouble, not flapping: delays start anew. */
#define PCD_LADDER_STABLE_USEC (30 * (gint64)G_USEC_PER_SEC)

/**
 * PcdOutcome: how an action ended. Not proof of anything: the migration's phase is.
 * @PCD_OUTCOME_DONE: done, or it was so already
 * @PCD_OUTCOME_REFUSED: not tried, as it would not have been safe or possible
 * @PCD_OUTCOME_FAILED: tried
 */
typedef enum {
  PCD_OUTCOME_DONE,
  PCD_OUTCOME_REFUSED,
  PCD_OUTCOME_FAILED,
} PcdOutcome;

/**
 * PcdStepStatus: what became of a step in this spell of its condition.
 * @PCD_STEP_IDLE: not tried
 * @PCD_STEP_RUNNING: started, and not heard of since
 * @PCD_STEP_RETRY: tried, and to be tried again
 * @PCD_STEP_DONE: done
 * @PCD_STEP_GAVE_UP: out of attempts
 */
typedef enum {
  PCD_STEP_IDLE,
  PCD_STEP_RUNNING,
  PCD_STEP_RETRY,
  PCD_STEP_DONE,
  PCD_STEP_GAVE_UP,
} PcdStepStatus;

/**
 * PcdLadderRecord: the memory of one step. Its key is @when, @action and @ordinal, not its place,
 * so that it outlives a change of policy.
 * @when: the step's condition
 * @action: its `do`
 * @ordinal: counts steps of one policy with the same @when and @action, from 0
 * @status: see #PcdStepStatus
 * @chosen: what was last started: `do` or `else`
 * @fell_back: `do` was refused or failed, so `else` is next
 * @cancelled: a %PCD_LADDER_CANCEL was told while running
 * @told: a %PCD_LADDER_REFUSE was told
 * @spell: which spell of the condition @status is about
 * @attempts: starts in this spell
 * @level: how often the delay has grown; across spells, until things were stable
 * @ticket: of the last start
 * @started: when, 0 before the first
 * @not_before: no start before this
 * @vetoed_until: likewise, as somebody outside said so; whatever news comes, and in this spell only
 */
typedef struct {
  PcdWhen when;
  PcdActionKind action;
  guint ordinal;
  PcdStepStatus status;
  PcdActionKind chosen;
  gboolean fell_back;
  gboolean cancelled;
  gboolean told;
  guint spell;
  guint attempts;
  guint level;
  guint64 ticket;
  gint64 started;
  gint64 not_before;
  gint64 vetoed_until;
} PcdLadderRecord;

/**
 * PcdLadderClock: how long a condition has held.
 * @in: it holds. `paused` goes on holding while a recovery is tried, as the guest waits on
 * @since: since when
 * @left: when it last ended
 * @banked: how long it held in earlier spells without a stable time between
 * @spell: counts them from 1
 */
typedef struct {
  gboolean in;
  gint64 since;
  gint64 left;
  gint64 banked;
  guint spell;
} PcdLadderClock;

/**
 * PcdLadder: everything there is to remember; plain, so that a journal can keep it.
 * @role: this host's side
 * @clocks: by #PcdWhen
 * @n_records: length of @records
 * @records: of the current policy's steps and of earlier ones
 * @last_ticket: tickets count from 1
 * @settle_until: no start but notify before this
 * @operator_running: requests of operators under way
 * @operator_pause: an operator asked us to pause it
 * @our_pause: policy did
 * @waived: the operator who paused it lets policy act again
 * @held: as last seen
 * @peer_answers: likewise
 */
typedef struct {
  PcdRole role;
  PcdLadderClock clocks[PCD_N_WHENS];
  guint n_records;
  PcdLadderRecord records[PCD_LADDER_MAX_RECORDS];
  guint64 last_ticket;
  gint64 settle_until;
  guint operator_running;
  gboolean operator_pause;
  gboolean our_pause;
  gboolean waived;
  gboolean held;
  PcdFact peer_answers;
} PcdLadder;

/**
 * PcdLadderInput: how things are now.
 * @policy: (nullable): what applies to the domain now; may be another one than last time
 * @state: the migration
 * @facts: by #PcdPredicate
 * @held: an operator asked for no automatic action
 * @dry_run: tell what would be done
 * @allow_destroy: the host's own configuration has allow-destroy
 * @hung: QEMU may answer nothing until a page comes: a `stop` is pending
 * @untouched: there was no trouble and nothing was begun for this migration, nor found held still:
 *   there is nothing to undo
 */
typedef struct {
  PcdPolicy *policy;
  const PcdState *state;
  PcdFact facts[PCD_N_PREDICATES];
  gboolean held;
  gboolean dry_run;
  gboolean allow_destroy;
  gboolean hung;
  gboolean untouched;
} PcdLadderInput;

/**
 * PcdLadderEventKind:
 * @PCD_LADDER_TICK: the input changed, or a wakeup came
 * @PCD_LADDER_FINISHED: an action that was started ended
 * @PCD_LADDER_WITHDRAWN: it was not even begun: a veto, or the question about one was dropped. Not
 *   an attempt, and no reason for the step's `else`
 * @PCD_LADDER_OPERATOR_BEGAN: an operator's request is about to be carried out
 * @PCD_LADDER_OPERATOR_ENDED: it was
 */
typedef enum {
  PCD_LADDER_TICK,
  PCD_LADDER_FINISHED,
  PCD_LADDER_WITHDRAWN,
  PCD_LADDER_OPERATOR_BEGAN,
  PCD_LADDER_OPERATOR_ENDED,
} PcdLadderEventKind;

/**
 * PcdLadderEvent:
 * @kind: see #PcdLadderEventKind
 * @ticket: of FINISHED and WITHDRAWN; one that is not running is ignored
 * @outcome: of FINISHED and OPERATOR_ENDED
 * @action: of OPERATOR_*
 * @until: of WITHDRAWN: not to be started before
 */
typedef struct {
  PcdLadderEventKind kind;
  guint64 ticket;
  PcdOutcome outcome;
  PcdActionKind action;
  gint64 until;
} PcdLadderEvent;

/**
 * PcdLadderEffectKind:
 * @PCD_LADDER_START: do it, and report by FINISHED with the same ticket
 * @PCD_LADDER_WOULD: dry run: only tell; no FINISHED
 * @PCD_LADDER_CANCEL: ask the running action to end; FINISHED is still expected
 * @PCD_LADDER_GIVE_UP: the step is out of attempts: tell
 * @PCD_LADDER_REFUSE: destructive, and this host does not allow it: tell
 */
typedef enum {
  PCD_LADDER_START,
  PCD_LADDER_WOULD,
  PCD_LADDER_CANCEL,
  PCD_LADDER_GIVE_UP,
  PCD_LADDER_REFUSE,
  PCD_N_LADDER_EFFECTS,
} PcdLadderEffectKind;

/**
 * PcdLadderEffect:
 * @kind: see #PcdLadderEffectKind
 * @when: the step's condition
 * @action: the action
 * @ticket: of START, WOULD and CANCEL
 * @attempt: counts starts in this spell from 1
 * @step: place in the policy, -1 if the policy has no such step any more
 * @params: (nullable): of START and WOULD; lives as long as the policy
 */
typedef struct {
  PcdLadderEffectKind kind;
  PcdWhen when;
  PcdActionKind action;
  guint64 ticket;
  guint attempt;
  gint step;
  const PcdParams *params;
} PcdLadderEffect;

/**
 * PcdLadderEffects:
 * @n: length of @effects
 * @effects: in the order in which they are to be carried out
 * @wakeup: TICK is wanted at this time, unless something happens before; %G_MAXINT64 for never
 */
typedef struct {
  guint n;
  PcdLadderEffect effects[3 * PCD_LADDER_MAX_RECORDS];
  gint64 wakeup;
} PcdLadderEffects;

PcdLadder pcd_ladder_init (PcdRole role);

/**
 * pcd_ladder_restart:
 *
 * For a ladder that a journal kept over a restart of the daemon: forgets what cannot be true any
 * more. Steps that were running stay so: find out what became of each, then report FINISHED with
 * its ticket; it is never started a second time before that.
 */
void pcd_ladder_restart (PcdLadder *ladder);

/**
 * pcd_ladder_step:
 * @ladder: the ladder before
 * @input: how things are
 * @event: what happened
 * @now: microseconds of CLOCK_MONOTONIC, not before any time in @ladder or @input
 * @ret_effects: (out): what the shell shall do
 *
 * To be called whenever anything of @input changes, too.
 *
 * Returns: the ladder after; to be journaled before the effects are carried out
 */
PcdLadder pcd_ladder_step (const PcdLadder *ladder,
                           const PcdLadderInput *input,
                           const PcdLadderEvent *event,
                           gint64 now,
                           PcdLadderEffects *ret_effects);

/**
 * pcd_ladder_held_until:
 * @step: of the policy, its condition holds
 * @action: its `do` or its `else`
 *
 * What destroys must see one unbroken spell; the rest may add up flaps of a pause, or it would
 * never be tried. A flow never adds up: slow is not dead.
 *
 * Returns: when the step's hold time is over; microseconds of CLOCK_MONOTONIC
 */
gint64 pcd_ladder_held_until (const PcdLadder *ladder, const PcdStep *step, PcdActionKind action);

/**
 * pcd_ladder_waits_for_peer:
 * @record: of the step
 * @action: what would be started
 *
 * Returns: whether @action, however due, waits until the destination's libvirt answers
 */
gboolean pcd_ladder_waits_for_peer (const PcdLadder *ladder,
                                    const PcdLadderRecord *record,
                                    PcdActionKind action);

/* Static strings; "?" for a value out of range. */
const char *pcd_ladder_effect_to_string (PcdLadderEffectKind kind);
const char *pcd_step_status_to_string (PcdStepStatus status);
const char *pcd_outcome_to_string (PcdOutcome outcome);

G_END_DECLS
