/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ladder: which step is due, what may start beside what, how often what is tried again.
 * Pure. It may always be called again with the same input: what is started is remembered. */
#include "core/pcd-ladder.h"

#define MAX_LEVEL 64

/* One call of pcd_ladder_step (). */
typedef struct {
  PcdLadder *ladder;
  const PcdLadderInput *input;
  gint64 now;
  PcdLadderEffects *effects;
  /* Parallel to the policy's steps: index of the record, -1 for a step that is not of this role. */
  gint records[PCD_POLICY_MAX_STEPS];
} Run;

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

static guint
n_steps (const Run *run)
{
  return run->input->policy ? run->input->policy->n_steps : 0;
}

static gint
step_of (const Run *run, const PcdLadderRecord *record)
{
  for (guint i = 0; i < n_steps (run); i++)
    if (run->records[i] >= 0 && &run->ladder->records[run->records[i]] == record)
      return (gint)i;
  return -1;
}

static void
tell (Run *run, PcdLadderEffectKind kind, const PcdLadderRecord *record, const PcdParams *params)
{
  g_assert (run->effects->n < G_N_ELEMENTS (run->effects->effects));
  run->effects->effects[run->effects->n++] = (PcdLadderEffect){
    .kind = kind,
    .when = record->when,
    .action = record->chosen,
    .ticket = record->ticket,
    .attempt = record->attempts,
    .step = step_of (run, record),
    .params = params,
  };
}

static void
cancel (Run *run, PcdLadderRecord *record)
{
  if (record->status != PCD_STEP_RUNNING || record->cancelled)
    return;
  record->cancelled = TRUE;
  tell (run, PCD_LADDER_CANCEL, record, NULL);
}

/* To notify harms nothing and is never in the way. */
static void
cancel_all (Run *run)
{
  for (guint i = 0; i < run->ladder->n_records; i++)
    if (run->ladder->records[i].chosen != PCD_ACTION_NOTIFY)
      cancel (run, &run->ladder->records[i]);
}

/* ---- conditions ---- */

static gboolean
condition_holds (const PcdLadderClock *clock, PcdWhen when, const PcdState *state)
{
  /* Recoveries that fail every few seconds must not keep a later step from its time. */
  if (when == PCD_WHEN_PAUSED && clock->in && state->phase == PCD_PHASE_RECOVERING)
    return TRUE;
  return pcd_when_holds (when, state->phase, state->flow);
}

static void
leave_condition (Run *run, PcdWhen when)
{
  PcdLadderClock *clock = &run->ladder->clocks[when];

  clock->in = FALSE;
  clock->left = run->now;
  clock->banked += run->now - clock->since;
  if (when == PCD_WHEN_PAUSED)
    run->ladder->operator_pause = run->ladder->our_pause = run->ladder->waived = FALSE;
}

static void
enter_condition (Run *run, PcdWhen when, gint64 since)
{
  PcdLadderClock *clock = &run->ladder->clocks[when];
  gboolean stable = clock->spell == 0 || run->now - clock->left >= PCD_LADDER_STABLE_USEC;

  clock->in = TRUE;
  clock->since = since;
  clock->spell++;
  if (!stable)
    return;
  clock->banked = 0;
  for (guint i = 0; i < run->ladder->n_records; i++)
    if (run->ladder->records[i].when == when) {
      run->ladder->records[i].level = 0;
      run->ladder->records[i].not_before = 0;
    }
}

static void
update_clocks (Run *run)
{
  const PcdState *state = run->input->state;

  /* After a restart: what went on before may well go on. */
  if (state->phase == PCD_PHASE_NONE)
    return;
  for (guint when = 0; when < PCD_N_WHENS; when++) {
    PcdLadderClock *clock = &run->ladder->clocks[when];
    gboolean holds = condition_holds (clock, when, state);
    gint64 since = when >= PCD_WHEN_FLOWING ? state->flow_since : state->phase_since;

    /* It ended and came back between two calls. */
    gboolean again = clock->in && holds && when != PCD_WHEN_PAUSED && since > clock->since;
    if (clock->in && (!holds || again))
      leave_condition (run, when);
    if (!clock->in && holds)
      enter_condition (run, when, MIN (since, run->now));
  }
}

/* Kept, as the evidence for it does not outlive the daemon. */
static void
remember_operator (Run *run)
{
  if (run->ladder->clocks[PCD_WHEN_PAUSED].in && !run->ladder->our_pause &&
      run->input->state->cause == PCD_CAUSE_OPERATOR)
    run->ladder->operator_pause = TRUE;
}

gint64
pcd_ladder_held_until (const PcdLadder *ladder, const PcdStep *step, PcdActionKind action)
{
  const PcdLadderClock *clock = &ladder->clocks[step->when];
  gboolean adds_up = step->when == PCD_WHEN_PAUSED && !pcd_action_get_spec (action)->destructive;

  return clock->since + step->after_usec - (adds_up ? clock->banked : 0);
}

/* ---- records ---- */

static PcdLadderRecord *
find_record (PcdLadder *ladder, PcdWhen when, PcdActionKind action, guint ordinal)
{
  for (guint i = 0; i < ladder->n_records; i++) {
    PcdLadderRecord *record = &ladder->records[i];
    if (record->when == when && record->action == action && record->ordinal == ordinal)
      return record;
  }
  return NULL;
}

static gboolean
is_claimed (const Run *run, gint index, guint n)
{
  for (guint i = 0; i < n; i++)
    if (run->records[i] == index)
      return TRUE;
  return FALSE;
}

/* The key of a step is not in its policy's first @n steps: that record belongs to an earlier one.
 */
static gboolean
belongs_to_policy (const PcdPolicy *policy, const PcdLadderRecord *record)
{
  guint ordinal = 0;

  for (guint i = 0; i < policy->n_steps; i++)
    if (policy->steps[i].when == record->when && policy->steps[i].action == record->action &&
        ordinal++ == record->ordinal)
      return TRUE;
  return FALSE;
}

/* A new record; if there is no room, in place of the earlier policy's that was used longest ago. */
static PcdLadderRecord *
add_record (Run *run)
{
  PcdLadder *ladder = run->ladder;
  PcdLadderRecord *oldest = NULL;

  if (ladder->n_records < PCD_LADDER_MAX_RECORDS)
    return &ladder->records[ladder->n_records++];
  for (guint i = 0; i < ladder->n_records; i++) {
    PcdLadderRecord *record = &ladder->records[i];
    if (record->status != PCD_STEP_RUNNING && !belongs_to_policy (run->input->policy, record) &&
        (!oldest || record->started < oldest->started))
      oldest = record;
  }
  /* There are at least 16 of earlier policies, and no action runs twice. */
  g_assert (oldest);
  return oldest;
}

static guint
ordinal_of (const PcdPolicy *policy, guint index)
{
  guint ordinal = 0;

  for (guint i = 0; i < index; i++)
    ordinal += policy->steps[i].when == policy->steps[index].when &&
               policy->steps[i].action == policy->steps[index].action;
  return ordinal;
}

static gboolean
is_of_role (const Run *run, const PcdStep *step)
{
  guint role = 1u << run->ladder->role;

  return pcd_action_get_spec (step->action)->roles & role ||
         (step->has_else && pcd_action_get_spec (step->else_action)->roles & role);
}

static gboolean
step_can_choose (const PcdStep *step, PcdActionKind action)
{
  return step->action == action || (step->has_else && step->else_action == action);
}

/* A record that says something about another spell, or about what the step cannot mean any more,
 * begins anew; its delay and its level stay, or flapping would flood. */
static void
refresh_record (Run *run, const PcdStep *step, PcdLadderRecord *record)
{
  guint spell = run->ladder->clocks[record->when].spell;
  gboolean keeps = pcd_action_get_spec (record->chosen)->once &&
                   (record->status == PCD_STEP_DONE || record->status == PCD_STEP_GAVE_UP);

  if (record->status == PCD_STEP_RUNNING)
    return;
  if (record->status != PCD_STEP_IDLE && !step_can_choose (step, record->chosen))
    record->status = PCD_STEP_IDLE;
  if (record->spell == spell)
    return;
  record->spell = spell;
  record->attempts = 0;
  record->fell_back = record->told = FALSE;
  record->vetoed_until = 0;
  if (!keeps)
    record->status = PCD_STEP_IDLE;
}

static void
match_records (Run *run)
{
  for (guint i = 0; i < n_steps (run); i++) {
    const PcdStep *step = &run->input->policy->steps[i];
    guint ordinal = ordinal_of (run->input->policy, i);
    PcdLadderRecord *record = find_record (run->ladder, step->when, step->action, ordinal);

    run->records[i] = -1;
    if (!is_of_role (run, step))
      continue;
    if (!record) {
      record = add_record (run);
      *record = (PcdLadderRecord){
        .when = step->when, .action = step->action, .ordinal = ordinal, .chosen = step->action
      };
    }
    run->records[i] = (gint)(record - run->ladder->records);
    refresh_record (run, step, record);
  }
}

static gboolean
policy_wants (const Run *run, const PcdLadderRecord *record)
{
  for (guint i = 0; i < n_steps (run); i++)
    if (run->input->policy->steps[i].when == record->when &&
        step_can_choose (&run->input->policy->steps[i], record->chosen))
      return TRUE;
  return FALSE;
}

/* What runs and has no more reason to: another policy, or the end of the migration. */
static void
cancel_needless (Run *run)
{
  gboolean ended = pcd_phase_has_ended (run->input->state->phase);

  for (guint i = 0; i < run->ladder->n_records; i++) {
    PcdLadderRecord *record = &run->ladder->records[i];
    gboolean over = ended && !run->ladder->clocks[record->when].in;
    if (record->chosen != PCD_ACTION_NOTIFY && (over || !policy_wants (run, record)))
      cancel (run, record);
  }
}

/* An earlier policy did the same in this spell: take that for done. */
static gboolean
was_done_before (const Run *run, PcdWhen when, PcdActionKind action)
{
  const PcdLadder *ladder = run->ladder;

  for (guint i = 0; i < ladder->n_records; i++) {
    const PcdLadderRecord *record = &ladder->records[i];
    if (!is_claimed (run, (gint)i, n_steps (run)) && record->when == when &&
        record->chosen == action && record->status == PCD_STEP_DONE &&
        (record->spell == ladder->clocks[when].spell || pcd_action_get_spec (action)->once))
      return TRUE;
  }
  return FALSE;
}

/* ---- delays ---- */

static gint64
delay_at (const PcdRetry *retry, guint level)
{
  double delay = (double)retry->first_usec;

  for (guint i = 0; i < level && delay < (double)retry->ceiling_usec; i++)
    delay *= retry->factor;
  return delay < (double)retry->ceiling_usec ? (gint64)delay : retry->ceiling_usec;
}

static const PcdParams *
params_of (const PcdStep *step, PcdActionKind action)
{
  return action == step->action ? &step->params : &step->else_params;
}

/* The peer answers again: do not sit the rest of a long delay out, nor, after an attempt that began
 * too early, a grown one. News is no flood: a network cannot come back faster than it is found out.
 */
static void
nudge (Run *run)
{
  PcdFact peer = run->input->facts[PCD_PREDICATE_PEER_ANSWERS];
  gboolean news = peer == PCD_FACT_YES && run->ladder->peer_answers != PCD_FACT_YES;

  run->ladder->peer_answers = peer;
  for (guint i = 0; news && i < n_steps (run); i++) {
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
finish (Run *run, PcdLadderRecord *record, PcdOutcome outcome)
{
  const PcdActionSpec *spec = pcd_action_get_spec (record->chosen);
  gint index = step_of (run, record);
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
  const PcdRetry *retry = step ? &params_of (step, record->chosen)->retry : &spec->retry;
  gint64 delay = delay_at (retry, record->level > 0 ? record->level - 1 : 0);
  record->not_before = MAX (record->not_before, run->now + delay);
  if (!cancelled && !record->fell_back && retry->attempts > 0 &&
      record->attempts >= retry->attempts) {
    record->status = PCD_STEP_GAVE_UP;
    tell (run, PCD_LADDER_GIVE_UP, record, NULL);
  }
}

/* As it was before its start, delay and all. */
static void
withdraw (Run *run, PcdLadderRecord *record, gint64 until)
{
  gint index = step_of (run, record);

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
take_event (Run *run, const PcdLadderEvent *event)
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
take_hold (Run *run)
{
  PcdLadder *ladder = run->ladder;

  if (run->input->held && !ladder->held)
    cancel_all (run);
  if (!run->input->held && ladder->held && ladder->clocks[PCD_WHEN_PAUSED].in)
    ladder->waived = TRUE;
  ladder->held = run->input->held;
}

/* ---- starting ---- */

static gboolean
paused_by_operator (const Run *run)
{
  const PcdLadder *ladder = run->ladder;

  return ladder->clocks[PCD_WHEN_PAUSED].in && !ladder->waived && ladder->operator_pause;
}

/* What `if` says now, or what is left after `do` did not work. */
static gboolean
choose (const Run *run,
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
has_room (Run *run, PcdActionKind action)
{
  gboolean room = TRUE;

  for (guint i = 0; i < run->ladder->n_records; i++) {
    PcdLadderRecord *record = &run->ladder->records[i];
    if (record->status != PCD_STEP_RUNNING || !excludes (action, record->chosen))
      continue;
    room = FALSE;
    if (pcd_action_get_spec (action)->destructive &&
        !pcd_action_get_spec (record->chosen)->destructive)
      cancel (run, record);
  }
  return room;
}

/* What was destroyed is not mended: its end is only not seen yet. */
static gboolean
was_destroyed (const Run *run)
{
  for (guint i = 0; i < run->ladder->n_records; i++) {
    const PcdLadderRecord *record = &run->ladder->records[i];
    if (record->status == PCD_STEP_DONE && pcd_action_get_spec (record->chosen)->destructive)
      return TRUE;
  }
  return FALSE;
}

static gboolean
is_allowed (Run *run, PcdLadderRecord *record, PcdActionKind action)
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
    tell (run, PCD_LADDER_REFUSE, record, NULL);
  }
  return FALSE;
}

static void
start (Run *run, const PcdStep *step, PcdLadderRecord *record, PcdActionKind action)
{
  const PcdParams *params = params_of (step, action);

  record->chosen = action;
  record->ticket = ++run->ladder->last_ticket;
  record->started = run->now;
  record->attempts++;
  record->cancelled = FALSE;
  record->not_before =
      MAX (record->not_before, run->now + delay_at (&params->retry, record->level));
  if (!record->fell_back && record->level < MAX_LEVEL)
    record->level++;
  record->status = run->input->dry_run ? PCD_STEP_DONE : PCD_STEP_RUNNING;
  run->ladder->settle_until = MAX (run->ladder->settle_until, run->now + step->settle_usec);
  if (action == PCD_ACTION_FORCE_PAUSE && !run->input->dry_run)
    run->ladder->our_pause = TRUE;
  tell (run, run->input->dry_run ? PCD_LADDER_WOULD : PCD_LADDER_START, record, params);
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

static void
try_step (Run *run, const PcdStep *step, PcdLadderRecord *record)
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
  if (was_done_before (run, step->when, action)) {
    record->chosen = action;
    record->status = PCD_STEP_DONE;
    return;
  }
  if (is_allowed (run, record, action) && has_room (run, action))
    start (run, step, record, action);
}

PcdLadder
pcd_ladder_step (const PcdLadder *ladder,
                 const PcdLadderInput *input,
                 const PcdLadderEvent *event,
                 gint64 now,
                 PcdLadderEffects *ret_effects)
{
  PcdLadder next = *ladder;
  Run run = { .ladder = &next, .input = input, .now = now, .effects = ret_effects };

  ret_effects->n = 0;
  ret_effects->wakeup = G_MAXINT64;
  update_clocks (&run);
  remember_operator (&run);
  match_records (&run);
  take_event (&run, event);
  take_hold (&run);
  cancel_needless (&run);
  nudge (&run);
  /* An action that ended just now may belong to an earlier spell. */
  match_records (&run);
  for (guint i = 0; !input->held && i < n_steps (&run); i++)
    if (run.records[i] >= 0)
      try_step (&run, &input->policy->steps[i], &next.records[run.records[i]]);
  return next;
}
