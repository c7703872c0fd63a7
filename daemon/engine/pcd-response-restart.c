/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an earlier daemon left of a migration, and what becomes of it.
 * Does no action itself. */
#include "engine/pcd-response-private.h"

/* What was under way when the last daemon ended is told as unknown. What changes nothing when it is
 * done twice, or shows in the migration's state, may be tried again; the rest counts as done. */
void
pcd_response_take_over (PcdResponse *self, const PcdOpenIncident *left)
{
  self->incident = left->id;
  if (left->has_ladder && left->same_boot) {
    self->ladder = left->ladder;
    pcd_ladder_restart (&self->ladder);
    self->was_paused = self->ladder.clocks[PCD_WHEN_PAUSED].in;
  }
  /* What was done cannot be read: a person has to look before anything is done again. */
  self->held = g_hash_table_contains (left->flags, "held") || left->ladder_error;
  const char *deed = g_hash_table_lookup (left->flags, "stopped");
  self->deed = !deed ? PCD_DEED_UNDONE
               : g_str_equal (deed, pcd_response_deed_to_string (PCD_DEED_STOP_FOR_SNAPSHOT))
                   ? PCD_DEED_STOP_FOR_SNAPSHOT
                   : PCD_DEED_STOP;
  self->chosen = g_strdup (g_hash_table_lookup (left->flags, "policy"));
}

static gboolean
was_begun (const PcdOpenIncident *left, guint64 ticket)
{
  for (guint i = 0; i < left->unfinished->len; i++)
    if (g_array_index (left->unfinished, guint64, i) == ticket)
      return TRUE;
  return FALSE;
}

static void
forget_running (PcdResponse *self, const PcdLadderRecord *record, gboolean begun)
{
  const PcdActionKind action = record->chosen;
  const gboolean again = pcd_action_get_spec (action)->repeatable;
  const PcdLadderEvent event = {
    .kind = begun ? PCD_LADDER_FINISHED : PCD_LADDER_WITHDRAWN,
    .ticket = record->ticket,
    .outcome = again ? PCD_OUTCOME_FAILED : PCD_OUTCOME_DONE,
    .action = action,
  };

  if (begun)
    pcd_response_tell (self, action, "unknown", "postcopyd was restarted while it ran");
  pcd_response_climb (self, &event);
}

/* The ladder is told first, as it is written down with each result: killed in between, the next
 * daemon finds the intents still open. What the ladder had decided and no intent tells of was never
 * begun. */
void
pcd_response_report_unfinished (PcdResponse *self, const PcdOpenIncident *left)
{
  for (guint i = 0; i < self->ladder.n_records; i++) {
    const PcdLadderRecord record = self->ladder.records[i];

    if (record.status == PCD_STEP_RUNNING)
      forget_running (self, &record, was_begun (left, record.ticket));
  }
  for (guint i = 0; i < left->unfinished->len; i++)
    pcd_journal_result (self->env->journal, self->incident,
                        g_array_index (left->unfinished, guint64, i), "unknown",
                        "postcopyd was restarted while it ran", &self->ladder, g_get_real_time ());
}
