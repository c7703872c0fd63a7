/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a policy would have done in a recorded course of events, in virtual time.
 * Pure; the ladder is the very one that the daemon runs. */
#pragma once

#include "core/pcd-ladder.h"
#include "core/pcd-record.h"

G_BEGIN_DECLS

/**
 * PcdSimulateOptions:
 * @outcomes: by #PcdActionKind: how each action is assumed to end, at once; only `recover` that is
 *   assumed done ends when the trace says that the pause did
 * @facts: by #PcdPredicate: assumed throughout; `blocked` follows the trace where it tells
 * @allow_destroy: the host's configuration is assumed to have allow-destroy
 * @for_usec: how long to go on after the last record
 */
typedef struct {
  PcdOutcome outcomes[PCD_ACTION_MAX];
  PcdFact facts[PCD_N_PREDICATES];
  gboolean allow_destroy;
  gint64 for_usec;
} PcdSimulateOptions;

/**
 * PcdSimulateFuncs:
 * @record: a record of the trace took its place in time
 * @effect: the ladder of @record's domain and role wanted something at @time (microseconds of the
 *   trace's CLOCK_MONOTONIC); @record is any of that migration, for its names
 */
typedef struct {
  void (*record) (const PcdRecord *record, gpointer data);
  void (*effect) (gint64 time,
                  const PcdRecord *record,
                  const PcdLadderEffect *effect,
                  gpointer data);
} PcdSimulateFuncs;

/**
 * pcd_trace_parse:
 * @text: lines of `postcopyctl events --json`; empty ones are passed over
 * @file: for messages
 *
 * Returns: (transfer full) (element-type PcdRecord): in order of time, or %NULL with @error
 *   "FILE:LINE: what, expected what"
 */
GPtrArray *pcd_trace_parse (const char *text, const char *file, GError **error);

/**
 * pcd_simulate:
 * @policy: (transfer none): for every domain of the trace
 * @records: (element-type PcdRecord): as pcd_trace_parse () returned them
 */
void pcd_simulate (PcdPolicy *policy,
                   GPtrArray *records,
                   const PcdSimulateOptions *options,
                   const PcdSimulateFuncs *funcs,
                   gpointer data);

G_END_DECLS
