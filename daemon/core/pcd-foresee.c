/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a ladder will do next if nothing changes.
 * Pure; reads a ladder and never steps it. */
#include "core/pcd-foresee.h"

static guint
ordinal_of (const PcdPolicy *policy, guint step)
{
  guint n = 0;

  for (guint i = 0; i < step; i++)
    n += policy->steps[i].when == policy->steps[step].when &&
         policy->steps[i].action == policy->steps[step].action;
  return n;
}

static const PcdLadderRecord *
record_of (const PcdLadder *ladder, const PcdPolicy *policy, guint step)
{
  const guint ordinal = ordinal_of (policy, step);

  for (guint i = 0; i < ladder->n_records; i++) {
    const PcdLadderRecord *record = &ladder->records[i];

    if (record->when == policy->steps[step].when && record->action == policy->steps[step].action &&
        record->ordinal == ordinal)
      return record;
  }
  return NULL;
}

gboolean
pcd_ladder_foresee (const PcdLadder *ladder,
                    const PcdPolicy *policy,
                    gboolean untouched,
                    PcdActionKind *ret_action,
                    gint64 *ret_when)
{
  gint64 first = G_MAXINT64;
  gboolean waits = FALSE;

  if (ladder->held)
    return FALSE;
  for (guint i = 0; i < policy->n_steps; i++) {
    const PcdStep *step = &policy->steps[i];
    const PcdLadderClock *clock = &ladder->clocks[step->when];
    const PcdLadderRecord *record = record_of (ladder, policy, i);
    gint64 due = pcd_ladder_held_until (ladder, step, step->action);

    const PcdActionSpec *spec = pcd_action_get_spec (step->action);
    if (!clock->in || !(spec->roles & ~spec->hung_roles & 1u << ladder->role) ||
        (untouched && spec->undoes))
      continue;
    /* What still runs may be of an earlier spell; the rest was begun anew with this one. */
    if (record && (record->status == PCD_STEP_RUNNING || record->status == PCD_STEP_DONE ||
                   record->status == PCD_STEP_GAVE_UP))
      continue;
    if (record && pcd_ladder_waits_for_peer (ladder, record, step->action)) {
      waits = TRUE;
      continue;
    }
    if (record)
      due = MAX (due, MAX (record->not_before, record->vetoed_until));
    if (due < first) {
      first = due;
      *ret_action = step->action;
      *ret_when = due;
    }
  }
  if (first != G_MAXINT64 || !waits)
    return first != G_MAXINT64;
  *ret_action = PCD_ACTION_RECOVER;
  *ret_when = PCD_FORESEE_PEER_ANSWERS;
  return TRUE;
}
