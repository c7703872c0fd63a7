/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One call of pcd_ladder_step (), for the files it is made of and for nobody else. */
#pragma once

#include "core/pcd-ladder.h"

G_BEGIN_DECLS

typedef struct {
  PcdLadder *ladder;
  const PcdLadderInput *input;
  gint64 now;
  PcdLadderEffects *effects;
  /* Parallel to the policy's steps: index of the record, -1 for a step that is not of this role. */
  gint records[PCD_POLICY_MAX_STEPS];
} PcdLadderRun;

guint pcd_ladder_run_n_steps (const PcdLadderRun *run);
/* -1 if the policy has no such step any more. */
gint pcd_ladder_run_step_of (const PcdLadderRun *run, const PcdLadderRecord *record);
void pcd_ladder_run_tell (PcdLadderRun *run,
                          PcdLadderEffectKind kind,
                          const PcdLadderRecord *record,
                          const PcdParams *params);
void pcd_ladder_run_cancel (PcdLadderRun *run, PcdLadderRecord *record);

gint64 pcd_ladder_delay_at (const PcdRetry *retry, guint level);
const PcdParams *pcd_ladder_params_of (const PcdStep *step, PcdActionKind action);

/* pcd-ladder-clock.c */
void pcd_ladder_run_update_clocks (PcdLadderRun *run);
void pcd_ladder_run_remember_operator (PcdLadderRun *run);

/* pcd-ladder-record.c */
void pcd_ladder_run_match_records (PcdLadderRun *run);
void pcd_ladder_run_cancel_needless (PcdLadderRun *run);
gboolean
pcd_ladder_run_was_done_before (const PcdLadderRun *run, PcdWhen when, PcdActionKind action);

/* pcd-ladder-start.c */
void pcd_ladder_run_try_step (PcdLadderRun *run, const PcdStep *step, PcdLadderRecord *record);

G_END_DECLS
