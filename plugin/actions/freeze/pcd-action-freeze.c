/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Action `freeze`: holds the guest still by freezing its vCPU threads, and nothing else of QEMU.
 * Must not know how that is done: host/pcd-freezer. */
#include "actions/freeze/pcd-action-freeze.h"

#include "actions/pcd-action-util.h"

#define FREEZE_USEC (5 * G_USEC_PER_SEC)

static gboolean
ask (gint64 until, gpointer monitor)
{
  g_autofree char *status = pcd_monitor_keeper_get_status (monitor, "query-status", until, NULL);

  return status != NULL;
}

static PostcopydOutcome
run (const PostcopydMigration *migration, const PostcopydJob *job, char *text, size_t size)
{
  const PcdReason reason = { text, size };
  g_autoptr (GError) error = NULL;
  g_autofree char *why_not = NULL, *what = NULL;
  PcdFreezeReport report = { 0 };
  PcdMonitorKeeper *monitor;

  if (pcd_action_is_source (migration))
    return pcd_action_refuse (&reason, "the guest does not run on the source: "
                                       "run it on the destination");
  if (pcd_action_has_ended (migration))
    return pcd_action_refuse (&reason,
                              "the migration has ended (%s): nothing would let the guest "
                              "go on again; 'virsh suspend' holds it",
                              migration->phase);
  if (migration->pid <= 0)
    return pcd_action_refuse (&reason, PCD_ACTION_NO_PROCESS);
  monitor = pcd_action_monitor (migration, &why_not);
  if (!pcd_freezer_freeze (migration->pid, monitor ? ask : NULL, monitor,
                           pcd_action_limit (job, FREEZE_USEC), &report, &error)) {
    if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
      return pcd_action_fail (&reason, "%s; thawed again, so try once more", error->message);
    return pcd_action_refuse (&reason, "%s", error->message);
  }
  what = pcd_freeze_report_to_string (&report);
  return pcd_action_done (&reason, "%s in %.0f ms%s%s", what, report.took_usec / 1000.0,
                          why_not ? ", QEMU's answer not checked: " : "", why_not ? why_not : "");
}

static const PostcopydAction action = { .struct_size = sizeof action, .run = run };

const PostcopydPlugin pcd_action_freeze_plugin = {
  .abi_major = POSTCOPYD_ABI_MAJOR,
  .abi_minor = POSTCOPYD_ABI_MINOR,
  .struct_size = sizeof (PostcopydPlugin),
  .name = "freeze",
  .kind = "action",
  .description = "Freeze the vCPU threads by cgroup v2.",
  .action = &action,
};
