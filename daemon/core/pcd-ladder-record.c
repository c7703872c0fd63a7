/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The memory of each step: found again after a change of policy, begun anew with a new spell. Pure.
 */
#include "core/pcd-ladder-private.h"

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
is_claimed (const PcdLadderRun *run, gint index, guint n)
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
add_record (PcdLadderRun *run)
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
is_of_role (const PcdLadderRun *run, const PcdStep *step)
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
refresh_record (PcdLadderRun *run, const PcdStep *step, PcdLadderRecord *record)
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

void
pcd_ladder_run_match_records (PcdLadderRun *run)
{
  for (guint i = 0; i < pcd_ladder_run_n_steps (run); i++) {
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
policy_wants (const PcdLadderRun *run, const PcdLadderRecord *record)
{
  for (guint i = 0; i < pcd_ladder_run_n_steps (run); i++)
    if (run->input->policy->steps[i].when == record->when &&
        step_can_choose (&run->input->policy->steps[i], record->chosen))
      return TRUE;
  return FALSE;
}

/* What runs and has no more reason to: another policy, or the end of the migration. */
void
pcd_ladder_run_cancel_needless (PcdLadderRun *run)
{
  gboolean ended = pcd_phase_has_ended (run->input->state->phase);

  for (guint i = 0; i < run->ladder->n_records; i++) {
    PcdLadderRecord *record = &run->ladder->records[i];
    gboolean over = ended && !run->ladder->clocks[record->when].in;
    if (record->chosen != PCD_ACTION_NOTIFY && (over || !policy_wants (run, record)))
      pcd_ladder_run_cancel (run, record);
  }
}

/* An earlier policy did the same in this spell: take that for done. */
gboolean
pcd_ladder_run_was_done_before (const PcdLadderRun *run, PcdWhen when, PcdActionKind action)
{
  const PcdLadder *ladder = run->ladder;

  for (guint i = 0; i < ladder->n_records; i++) {
    const PcdLadderRecord *record = &ladder->records[i];
    if (!is_claimed (run, (gint)i, pcd_ladder_run_n_steps (run)) && record->when == when &&
        record->chosen == action && record->status == PCD_STEP_DONE &&
        (record->spell == ladder->clocks[when].spell || pcd_action_get_spec (action)->once))
      return TRUE;
  }
  return FALSE;
}
