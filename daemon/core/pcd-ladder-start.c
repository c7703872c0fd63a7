/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a step is due, may start beside what runs, and its start. Pure. */
#include "core/pcd-ladder-private.h"

#define MAX_LEVEL 64

static gboolean
paused_by_operator (const PcdLadderRun *run)
{
  const PcdLadder *ladder = run->ladder;

  return ladder->clocks[PCD_WHEN_PAUSED].in && !ladder->waived && ladder->operator_pause;
}

/* What `if` says now, or what is left after `do` did not work. */
static gboolean
choose (const PcdLadderRun *run,
        const PcdStep *step,
        const PcdLadderRecord *record,
        PcdActionKind *ret_action)
{
  gboolean yes =
      step->predicate == PCD_PREDICATE_NONE || run->input->facts[step->predicate] == PCD_FACT_YES;

  if (yes && !record->fell_back)
    *ret_action = step->action;
  else if (step->has_else)
    *ret_action = step->else_action;
  else
    return FALSE;
  return (pcd_action_get_spec (*ret_action)->roles & 1u << run->ladder->role) != 0;
}

/* Whether @action may run beside @running. */
static gboolean
excludes (PcdActionKind action, PcdActionKind running)
{
  const PcdActionSpec *a = pcd_action_get_spec (action), *b = pcd_action_get_spec (running);

  if (action == running)
    return TRUE;
  if (action == PCD_ACTION_NOTIFY || running == PCD_ACTION_NOTIFY)
    return FALSE;
  if (a->destructive || b->destructive)
    return TRUE;
  return a->handles_guest && b->handles_guest;
}

/* To destroy, everything else is called off first. */
static gboolean
has_room (PcdLadderRun *run, PcdActionKind action)
{
  gboolean room = TRUE;

  for (guint i = 0; i < run->ladder->n_records; i++) {
    PcdLadderRecord *record = &run->ladder->records[i];
    if (record->status != PCD_STEP_RUNNING || !excludes (action, record->chosen))
      continue;
    room = FALSE;
    if (pcd_action_get_spec (action)->destructive &&
        !pcd_action_get_spec (record->chosen)->destructive)
      pcd_ladder_run_cancel (run, record);
  }
  return room;
}

/* What was destroyed is not mended: its end is only not seen yet. */
static gboolean
was_destroyed (const PcdLadderRun *run)
{
  for (guint i = 0; i < run->ladder->n_records; i++) {
    const PcdLadderRecord *record = &run->ladder->records[i];
    if (record->status == PCD_STEP_DONE && pcd_action_get_spec (record->chosen)->destructive)
      return TRUE;
  }
  return FALSE;
}

static gboolean
is_allowed (PcdLadderRun *run, PcdLadderRecord *record, PcdActionKind action)
{
  const PcdActionSpec *spec = pcd_action_get_spec (action);

  if (spec->hung_roles & 1u << run->ladder->role && !run->input->hung)
    return FALSE;
  if (spec->undoes && run->input->untouched)
    return FALSE;
  if (run->ladder->operator_running > 0 && action != PCD_ACTION_NOTIFY)
    return FALSE;
  if (run->input->state->unattended && action != PCD_ACTION_NOTIFY)
    return FALSE;
  if (was_destroyed (run) && action != PCD_ACTION_NOTIFY)
    return FALSE;
  if (spec->yields && paused_by_operator (run))
    return FALSE;
  if (!spec->destructive || run->input->allow_destroy)
    return TRUE;
  if (!record->told) {
    record->told = TRUE;
    record->chosen = action;
    pcd_ladder_run_tell (run, PCD_LADDER_REFUSE, record, NULL);
  }
  return FALSE;
}

static void
start (PcdLadderRun *run, const PcdStep *step, PcdLadderRecord *record, PcdActionKind action)
{
  const PcdParams *params = pcd_ladder_params_of (step, action);

  record->chosen = action;
  record->ticket = ++run->ladder->last_ticket;
  record->started = run->now;
  record->attempts++;
  record->cancelled = FALSE;
  record->not_before =
      MAX (record->not_before, run->now + pcd_ladder_delay_at (&params->retry, record->level));
  if (!record->fell_back && record->level < MAX_LEVEL)
    record->level++;
  record->status = run->input->dry_run ? PCD_STEP_DONE : PCD_STEP_RUNNING;
  run->ladder->settle_until = MAX (run->ladder->settle_until, run->now + step->settle_usec);
  if (action == PCD_ACTION_FORCE_PAUSE && !run->input->dry_run)
    run->ladder->our_pause = TRUE;
  pcd_ladder_run_tell (run, run->input->dry_run ? PCD_LADDER_WOULD : PCD_LADDER_START, record,
                       params);
}

/* One attempt says why it cannot be; more of them would only be under way, and so in the way, when
 * the peer answers again. */
gboolean
pcd_ladder_waits_for_peer (const PcdLadder *ladder,
                           const PcdLadderRecord *record,
                           PcdActionKind action)
{
  return action == PCD_ACTION_RECOVER && record->attempts > 0 &&
         ladder->peer_answers == PCD_FACT_NO;
}

void
pcd_ladder_run_try_step (PcdLadderRun *run, const PcdStep *step, PcdLadderRecord *record)
{
  const PcdState *state = run->input->state;
  PcdActionKind action;

  if (record->status != PCD_STEP_IDLE && record->status != PCD_STEP_RETRY)
    return;
  if (!pcd_when_holds (step->when, state->phase, state->flow))
    return;
  if (!choose (run, step, record, &action) ||
      pcd_ladder_waits_for_peer (run->ladder, record, action))
    return;
  gint64 due = pcd_ladder_held_until (run->ladder, step, action);
  if (!record->fell_back)
    due = MAX (due, record->not_before);
  due = MAX (due, record->vetoed_until);
  if (action != PCD_ACTION_NOTIFY)
    due = MAX (due, run->ladder->settle_until);
  if (due > run->now) {
    run->effects->wakeup = MIN (run->effects->wakeup, due);
    return;
  }
  if (pcd_ladder_run_was_done_before (run, step->when, action)) {
    record->chosen = action;
    record->status = PCD_STEP_DONE;
    return;
  }
  if (is_allowed (run, record, action) && has_room (run, action))
    start (run, step, record, action);
}
