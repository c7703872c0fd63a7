/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Action `resume`: undoes our own `freeze` and `stop`, nobody else's, and never on the source.
 * Safety rules 1 and 3. */
#include "actions/resume/pcd-action-resume.h"

#include "actions/pcd-action-util.h"
#include "debug/pcd-debug-file.h"

#define CONT_USEC (5 * G_USEC_PER_SEC)

/* `cont` when QEMU is paused, and that by us. */
static PostcopydOutcome
go_on (const PostcopydMigration *migration,
       const PostcopydJob *job,
       guint n_thawed,
       const PcdReason *reason)
{
  g_autofree char *why_not = NULL, *status = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) value = NULL;
  g_autoptr (PcdThreadReport) threads = NULL;
  PcdMonitorKeeper *monitor = pcd_action_monitor (migration, &why_not);
  PcdQmpBlocked blocked;

  if (!monitor)
    return pcd_action_fail (
        reason,
        "stopped by postcopyd, and cannot be told to go on: %s; try again when QEMU answers",
        why_not);
  status = pcd_monitor_keeper_get_status (monitor, "query-status",
                                          pcd_action_limit (job, CONT_USEC), &error);
  if (!status)
    return pcd_action_fail (reason, "%s", error->message);
  if (g_str_equal (status, "running"))
    return pcd_action_done (reason, "%u vCPUs thawed; QEMU runs already", n_thawed);
  if (!g_str_equal (status, "paused"))
    return pcd_action_refuse (
        reason,
        "QEMU is not paused by postcopyd: it says %s; 'virsh domstate --reason' may tell by whom",
        status);
  threads = pcd_action_look (migration->pid, PCD_THREADS_THOROUGH, &blocked, NULL, &error);
  if (!threads)
    return pcd_action_fail (reason, "%s", error->message);
  value = pcd_monitor_keeper_call (monitor, "cont", NULL, PCD_QMP_IN_BAND, &blocked,
                                   pcd_action_limit (job, CONT_USEC), &error);
  if (!value)
    return pcd_action_fail (reason, "%s", error->message);
  return pcd_action_done (reason, "%u vCPUs thawed, QEMU told to go on", n_thawed);
}

/* One whose postcopyd was killed meanwhile; one that is there lets it go on itself. */
static gboolean
was_left_by_debugger (const PostcopydMigration *migration)
{
  const PcdActionHost *host = pcd_action_host (migration);

  return pcd_debug_file_is_marked (host->state_dir, migration->incident) &&
         !pcd_debug_socket_is_open (host->state_dir, migration->incident);
}

static PostcopydOutcome
go_on_after_debugger (const PostcopydMigration *migration,
                      const PostcopydJob *job,
                      guint n_thawed,
                      const PcdReason *reason)
{
  const PcdActionHost *host = pcd_action_host (migration);
  PostcopydOutcome outcome = go_on (migration, job, n_thawed, reason);

  if (outcome == POSTCOPYD_DONE)
    pcd_debug_file_mark (host->state_dir, migration->incident, FALSE, NULL);
  return outcome;
}

static PostcopydOutcome
run (const PostcopydMigration *migration, const PostcopydJob *job, char *text, size_t size)
{
  const PcdReason reason = { text, size };
  g_autoptr (GError) error = NULL;
  guint n_thawed = 0;

  if (pcd_action_is_source (migration))
    return pcd_action_refuse (
        &reason, "never on the source: its guest has run on the destination; run it there");
  if (migration->pid <= 0)
    return pcd_action_refuse (&reason, PCD_ACTION_NO_PROCESS);
  if (!pcd_action_host (migration)->for_snapshot &&
      !pcd_freezer_thaw (migration->pid, &n_thawed, &error))
    return pcd_action_fail (&reason, "not everything was thawed: %s; try again", error->message);
  if (pcd_action_host (migration)->we_stopped)
    return go_on (migration, job, n_thawed, &reason);
  if (was_left_by_debugger (migration))
    return go_on_after_debugger (migration, job, n_thawed, &reason);
  if (n_thawed == 0)
    return pcd_action_done (&reason, "postcopyd holds nothing of it");
  return pcd_action_done (&reason, "%u vCPUs thawed", n_thawed);
}

static const PostcopydAction action = { .struct_size = sizeof action, .run = run };

const PostcopydPlugin pcd_action_resume_plugin = {
  .abi_major = POSTCOPYD_ABI_MAJOR,
  .abi_minor = POSTCOPYD_ABI_MINOR,
  .struct_size = sizeof (PostcopydPlugin),
  .name = "resume",
  .kind = "action",
  .description = "Undo our own stop or freeze.",
  .action = &action,
};
