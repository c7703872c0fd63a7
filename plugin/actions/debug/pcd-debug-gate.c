/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two looks at QEMU's threads: a cheap one for a no, a thorough one for a yes.
 * Must not hold anything. */
#include "actions/debug/pcd-debug-gate.h"

#include "actions/debug/pcd-debug-guest.h"

#define OFFER "; mode stacks works all the same"

char *
pcd_debug_gate_why_not (pid_t pid)
{
  static const PcdThreadsMode modes[] = { PCD_THREADS_CHEAP, PCD_THREADS_THOROUGH };

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PcdThreadReport) threads = pcd_threads_read (pid, modes[i], &error);
    char *why = threads ? pcd_action_why_not (threads, modes[i], PCD_NEED_TRACEABLE)
                        : g_strdup (error->message);

    if (why)
      return why;
  }
  return NULL;
}

gboolean
pcd_debug_gate_refuses (const PostcopydMigration *migration,
                        PcdActionNeed need,
                        const PcdReason *reason,
                        PostcopydOutcome *ret_outcome)
{
  const gboolean stands =
      g_strcmp0 (migration->phase, "paused") == 0 || g_strcmp0 (migration->flow, "stalled") == 0;

  if (!stands && !(migration->flags & POSTCOPYD_FORCED)) {
    *ret_outcome = pcd_action_refuse (
        reason,
        "the migration is neither paused nor stalled, and this makes QEMU stand still" OFFER);
    return TRUE;
  }
  g_autofree char *why = need == PCD_NEED_TRACEABLE
                             ? pcd_debug_gate_why_not (migration->pid)
                             : pcd_debug_guest_why_not (migration->pid, NULL);
  if (why)
    *ret_outcome = pcd_action_refuse (reason, "it could not be %s: %s" OFFER,
                                      need == PCD_NEED_TRACEABLE ? "held" : "stopped", why);
  return why != NULL;
}
