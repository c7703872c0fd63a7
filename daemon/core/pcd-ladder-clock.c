/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long each condition has held, and whether an operator wanted the pause. Pure. */
#include "core/pcd-ladder-private.h"

static gboolean
condition_holds (const PcdLadderClock *clock, PcdWhen when, const PcdState *state)
{
  /* Recoveries that fail every few seconds must not keep a later step from its time. */
  if (when == PCD_WHEN_PAUSED && clock->in && state->phase == PCD_PHASE_RECOVERING)
    return TRUE;
  return pcd_when_holds (when, state->phase, state->flow);
}

static void
leave_condition (PcdLadderRun *run, PcdWhen when)
{
  PcdLadderClock *clock = &run->ladder->clocks[when];

  clock->in = FALSE;
  clock->left = run->now;
  clock->banked += run->now - clock->since;
  if (when == PCD_WHEN_PAUSED)
    run->ladder->operator_pause = run->ladder->our_pause = run->ladder->waived = FALSE;
}

static void
enter_condition (PcdLadderRun *run, PcdWhen when, gint64 since)
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

void
pcd_ladder_run_update_clocks (PcdLadderRun *run)
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
void
pcd_ladder_run_remember_operator (PcdLadderRun *run)
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
