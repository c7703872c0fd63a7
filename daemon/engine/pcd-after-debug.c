/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A counter, a flag in the journal, and SIGCONT.
 * Must not know why there was a debugger. */
#include "engine/pcd-after-debug.h"

#define FLAG "debugger"

void
pcd_after_debug_begin (PcdAfterDebug *self, PcdJournal *journal, const char *uuid)
{
  self->n_running++;
  self->due = TRUE;
  pcd_journal_set_flag (journal, uuid, FLAG, "yes");
}

void
pcd_after_debug_take_over (PcdAfterDebug *self, GHashTable *flags)
{
  self->due = g_hash_table_contains (flags, FLAG);
}

void
pcd_after_debug_end (PcdAfterDebug *self, gboolean by_itself, PcdJournal *journal, const char *uuid)
{
  self->n_running--;
  if (by_itself && self->n_running == 0)
    pcd_after_debug_forget (self, journal, uuid);
}

gboolean
pcd_after_debug_look (const PcdAfterDebug *self, pid_t pid, PcdTraceStop *ret_before)
{
  if (!self->due || self->n_running > 0 || pid <= 0)
    return FALSE;
  *ret_before = (PcdTraceStop){ 0 };
  pcd_trace_stop_release (pid, 0, ret_before);
  return ret_before->n_traced == 0 && ret_before->n_stopped + ret_before->n_pending > 0;
}

void
pcd_after_debug_forget (PcdAfterDebug *self, PcdJournal *journal, const char *uuid)
{
  if (self->due)
    pcd_journal_set_flag (journal, uuid, FLAG, NULL);
  self->due = FALSE;
}
