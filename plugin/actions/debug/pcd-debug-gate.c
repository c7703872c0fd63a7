/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two looks at QEMU's threads: a cheap one for a no, a thorough one for a yes.
 * Must not hold anything. */
#include "actions/debug/pcd-debug-gate.h"

#define OFFER "; mode stacks works all the same"

static PostcopydOutcome
refuse_thread (const PcdReason *reason, const PcdThread *thread)
{
  const PcdThreadClass *class = &thread->class;

  if (class->path == PCD_FAULT_PATH_NONE)
    return pcd_action_refuse (reason, "it could not be held: thread %d '%s' %s" OFFER,
                              (int)thread->tid, thread->name, class->reason);
  return pcd_action_refuse (reason, "it could not be held: thread %d '%s' on the %s path: %s" OFFER,
                            (int)thread->tid, thread->name, pcd_fault_path_to_string (class->path),
                            class->reason);
}

/* A thread seen asleep in handle_userfault () on a path that signals do not end is what it is. */
static const PcdThread *
find_no (const PcdThreadReport *threads)
{
  for (guint i = 0; i < threads->threads->len; i++) {
    const PcdThread *thread = threads->threads->pdata[i];
    if (thread->class.blocked == PCD_ANSWER_YES && thread->class.traceable == PCD_ANSWER_NO)
      return thread;
  }
  return NULL;
}

static gboolean
refuses_threads (pid_t pid,
                 PcdThreadsMode mode,
                 const PcdReason *reason,
                 PostcopydOutcome *ret_outcome)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdThreadReport) threads = pcd_threads_read (pid, mode, &error);
  const PcdThread *first = threads ? find_no (threads) : NULL;

  if (!threads)
    *ret_outcome = pcd_action_refuse (reason, "%s", error->message);
  else if (first)
    *ret_outcome = refuse_thread (reason, first);
  else if (mode == PCD_THREADS_CHEAP ||
           pcd_thread_report_traceable (threads, &first) == PCD_ANSWER_YES)
    return FALSE;
  else
    *ret_outcome = refuse_thread (reason, first);
  return TRUE;
}

gboolean
pcd_debug_gate_refuses (const PostcopydMigration *migration,
                        const PcdReason *reason,
                        PostcopydOutcome *ret_outcome)
{
  const gboolean stands =
      g_strcmp0 (migration->phase, "paused") == 0 || g_strcmp0 (migration->flow, "stalled") == 0;

  if (!stands && !pcd_action_host (migration)->override) {
    *ret_outcome = pcd_action_refuse (
        reason,
        "the migration is neither paused nor stalled, and this makes QEMU stand still" OFFER);
    return TRUE;
  }
  return refuses_threads (migration->pid, PCD_THREADS_CHEAP, reason, ret_outcome) ||
         refuses_threads (migration->pid, PCD_THREADS_THOROUGH, reason, ret_outcome);
}
