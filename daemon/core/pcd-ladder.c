/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ladder: which step is due, what may start beside what, how often what is tried again.
 * Pure. It may always be called again with the same input: what is started is remembered. */
#include "core/pcd-ladder-private.h"

const char *
pcd_ladder_effect_to_string (PcdLadderEffectKind kind)
{
  static const char *const words[PCD_N_LADDER_EFFECTS] = {
    [PCD_LADDER_START] = "start",   [PCD_LADDER_WOULD] = "would",
    [PCD_LADDER_CANCEL] = "cancel", [PCD_LADDER_GIVE_UP] = "give-up",
    [PCD_LADDER_REFUSE] = "refuse",
  };

  return kind < PCD_N_LADDER_EFFECTS ? words[kind] : "?";
}

const char *
pcd_step_status_to_string (PcdStepStatus status)
{
  static const char *const words[] = { "idle", "running", "retry", "done", "gave-up" };

  return status < G_N_ELEMENTS (words) ? words[status] : "?";
}

const char *
pcd_outcome_to_string (PcdOutcome outcome)
{
  static const char *const words[] = { "done", "refused", "failed" };

  return outcome < G_N_ELEMENTS (words) ? words[outcome] : "?";
}

PcdLadder
pcd_ladder_init (PcdRole role)
{
  return (PcdLadder){ .role = role };
}

void
pcd_ladder_restart (PcdLadder *ladder)
{
  ladder->operator_running = 0;
  ladder->peer_answers = PCD_FACT_UNKNOWN;
}

guint
pcd_ladder_run_n_steps (const PcdLadderRun *run)
{
  return run->input->policy ? run->input->policy->n_steps : 0;
}

gint
pcd_ladder_run_step_of (const PcdLadderRun *run, const PcdLadderRecord *record)
{
  for (guint i = 0; i < pcd_ladder_run_n_steps (run); i++)
    if (run->records[i] >= 0 && &run->ladder->records[run->records[i]] == record)
      return (gint)i;
  return -1;
}

void
pcd_ladder_run_tell (PcdLadderRun *run,
                     PcdLadderEffectKind kind,
                     const PcdLadderRecord *record,
                     const PcdParams *params)
{
  g_assert (run->effects->n < G_N_ELEMENTS (run->effects->effects));
  run->effects->effects[run->effects->n++] = (PcdLadderEffect){
    .kind = kind,
    .when = record->when,
    .action = record->chosen,
    .ticket = record->ticket,
    .attempt = record->attempts,
    .step = pcd_ladder_run_step_of (run, record),
    .params = params,
  };
}

void
pcd_ladder_run_cancel (PcdLadderRun *run, PcdLadderRecord *record)
{
  if (record->status != PCD_STEP_RUNNING || record->cancelled)
    return;
  record->cancelled = TRUE;
  pcd_ladder_run_tell (run, PCD_LADDER_CANCEL, record, NULL);
}

/* To notify harms nothing and is never in the way. */
static void
cancel_all (PcdLadderRun *run)
{
  for (guint i = 0; i < run->ladder->n_records; i++)
    if (run->ladder->records[i].chosen != PCD_ACTION_NOTIFY)
      pcd_ladder_run_cancel (run, &run->ladder->records[i]);
}

/* ---- delays ---- */

gint64
pcd_ladder_delay_at (const PcdRetry *retry, guint level)
{
  double delay = (double)retry->first_usec;

  for (guint i = 0; i < level && delay < (double)retry->ceiling_usec; i++)
    delay *= retry->factor;
  return delay < (double)retry->ceiling_usec ? (gint64)delay : retry->ceiling_usec;
}

const PcdParams *
pcd_ladder_params_of (const PcdStep *step, PcdActionKind action)
{
  return action == step->action ? &step->params : &step->else_params;
}

/* The peer answers again: do not sit the rest of a long delay out, nor, after an attempt that began
 * too early, a grown one. News is no flood: a network cannot come back faster than it is found out.
 */
static void
nudge (PcdLadderRun *run)
{
  PcdFact peer = run->input->facts[PCD_PREDICATE_PEER_ANSWERS];
  gboolean news = peer == PCD_FACT_YES && run->ladder->peer_answers != PCD_FACT_YES;

  run->ladder->peer_answers = peer;
  for (guint i = 0; news && i < pcd_ladder_run_n_steps (run); i++) {
    PcdLadderRecord *record = run->records[i] >= 0 ? &run->ladder->records[run->records[i]] : NULL;
    if (!record || record->action != PCD_ACTION_RECOVER || record->started == 0)
      continue;
    const PcdRetry *retry = &run->input->policy->steps[i].params.retry;
    gint64 soon = record->started + retry->first_usec;
    record->not_before = MIN (record->not_before, MAX (soon, run->now));
    if (record->status == PCD_STEP_RUNNING)
      record->level = MIN (record->level, 1);
  }
}

/* ---- events ---- */

static void
finish (PcdLadderRun *run, PcdLadderRecord *record, PcdOutcome outcome)
{
  const PcdActionSpec *spec = pcd_action_get_spec (record->chosen);
  gint index = pcd_ladder_run_step_of (run, record);
  const PcdStep *step = index >= 0 ? &run->input->policy->steps[index] : NULL;
  gboolean cancelled = record->cancelled, was_else = record->chosen != record->action;

  record->cancelled = FALSE;
  if (record->chosen == PCD_ACTION_FORCE_PAUSE && outcome != PCD_OUTCOME_DONE &&
      !run->ladder->clocks[PCD_WHEN_PAUSED].in)
    run->ladder->our_pause = FALSE;
  if (outcome == PCD_OUTCOME_DONE && !spec->ends_condition) {
    record->status = PCD_STEP_DONE;
    record->fell_back = FALSE;
    return;
  }
  record->status = PCD_STEP_RETRY;
  record->fell_back = !was_else && !cancelled && step && step->has_else;
  const PcdRetry *retry = step ? &pcd_ladder_params_of (step, record->chosen)->retry : &spec->retry;
  gint64 delay = pcd_ladder_delay_at (retry, record->level > 0 ? record->level - 1 : 0);
  record->not_before = MAX (record->not_before, run->now + delay);
  if (!cancelled && !record->fell_back && retry->attempts > 0 &&
      record->attempts >= retry->attempts) {
    record->status = PCD_STEP_GAVE_UP;
    pcd_ladder_run_tell (run, PCD_LADDER_GIVE_UP, record, NULL);
  }
}

/* As it was before its start, delay and all. */
static void
withdraw (PcdLadderRun *run, PcdLadderRecord *record, gint64 until)
{
  gint index = pcd_ladder_run_step_of (run, record);

  if (index >= 0 &&
      run->ladder->settle_until == record->started + run->input->policy->steps[index].settle_usec)
    run->ladder->settle_until = record->started;
  if (record->chosen == PCD_ACTION_FORCE_PAUSE && !run->ladder->clocks[PCD_WHEN_PAUSED].in)
    run->ladder->our_pause = FALSE;
  record->cancelled = FALSE;
  record->status = record->attempts > 1 ? PCD_STEP_RETRY : PCD_STEP_IDLE;
  record->attempts -= MIN (record->attempts, 1);
  if (!record->fell_back)
    record->level -= MIN (record->level, 1);
  record->not_before = record->started;
  record->vetoed_until = until;
}

/* A source's memory stands still whatever is done: nothing has to wait while it is read. */
static gboolean
is_in_the_way (const PcdLadder *ladder, PcdActionKind action)
{
  return action != PCD_ACTION_SNAPSHOT || ladder->role != PCD_ROLE_SOURCE;
}

static void
take_event (PcdLadderRun *run, const PcdLadderEvent *event)
{
  PcdLadder *ladder = run->ladder;

  switch (event->kind) {
  case PCD_LADDER_FINISHED:
    for (guint i = 0; i < ladder->n_records; i++)
      if (ladder->records[i].status == PCD_STEP_RUNNING &&
          ladder->records[i].ticket == event->ticket)
        finish (run, &ladder->records[i], event->outcome);
    break;
  case PCD_LADDER_WITHDRAWN:
    for (guint i = 0; i < ladder->n_records; i++)
      if (ladder->records[i].status == PCD_STEP_RUNNING &&
          ladder->records[i].ticket == event->ticket)
        withdraw (run, &ladder->records[i], event->until);
    break;
  case PCD_LADDER_OPERATOR_BEGAN:
    if (!is_in_the_way (ladder, event->action))
      break;
    ladder->operator_running++;
    if (event->action == PCD_ACTION_FORCE_PAUSE) {
      ladder->operator_pause = TRUE;
      ladder->our_pause = ladder->waived = FALSE;
    } else if (event->action == PCD_ACTION_RECOVER) {
      ladder->waived = TRUE;
    }
    cancel_all (run);
    break;
  case PCD_LADDER_OPERATOR_ENDED:
    if (ladder->operator_running > 0 && is_in_the_way (ladder, event->action))
      ladder->operator_running--;
    if (event->action == PCD_ACTION_FORCE_PAUSE && event->outcome != PCD_OUTCOME_DONE)
      ladder->operator_pause = FALSE;
    break;
  case PCD_LADDER_TICK:
  default:
    break;
  }
}

/* The beginning of a hold ends what runs; its end gives a pause by an operator back to policy. */
static void
take_hold (PcdLadderRun *run)
{
  PcdLadder *ladder = run->ladder;

  if (run->input->held && !ladder->held)
    cancel_all (run);
  if (!run->input->held && ladder->held && ladder->clocks[PCD_WHEN_PAUSED].in)
    ladder->waived = TRUE;
  ladder->held = run->input->held;
}

/* ---- all of it ---- */

PcdLadder
pcd_ladder_step (const PcdLadder *ladder,
                 const PcdLadderInput *input,
                 const PcdLadderEvent *event,
                 gint64 now,
                 PcdLadderEffects *ret_effects)
{
  PcdLadder next = *ladder;
  PcdLadderRun run = { .ladder = &next, .input = input, .now = now, .effects = ret_effects };

  ret_effects->n = 0;
  ret_effects->wakeup = G_MAXINT64;
  pcd_ladder_run_update_clocks (&run);
  pcd_ladder_run_remember_operator (&run);
  pcd_ladder_run_match_records (&run);
  take_event (&run, event);
  take_hold (&run);
  pcd_ladder_run_cancel_needless (&run);
  nudge (&run);
  /* An action that ended just now may belong to an earlier spell. */
  pcd_ladder_run_match_records (&run);
  for (guint i = 0; !input->held && i < pcd_ladder_run_n_steps (&run); i++)
    if (run.records[i] >= 0)
      pcd_ladder_run_try_step (&run, &input->policy->steps[i], &next.records[run.records[i]]);
  return next;
}
