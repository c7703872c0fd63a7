/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Action `stop`: QMP `stop`, and only when it cannot hang. Safety rule 1.
 * Must not know why the guest is to stand still. */
#include "actions/stop/pcd-action-stop.h"

#include "actions/pcd-action-util.h"

/* Never more than this for an answer that is due in 20 ms: everybody else's commands wait too. */
#define STOP_USEC (2 * G_USEC_PER_SEC)

static gboolean
refuses (const PostcopydMigration *migration,
         PcdThreadsMode mode,
         const PcdReason *reason,
         PcdQmpBlocked *ret_blocked,
         PostcopydOutcome *ret_outcome)
{
  g_autoptr (GError) error = NULL;
  PcdFreezeReport freeze;
  g_autoptr (PcdThreadReport) threads =
      pcd_action_look (migration->pid, mode, ret_blocked, &freeze, &error);
  g_autofree char *why = threads ? pcd_action_why_not (threads, mode, PCD_NEED_KICKABLE) : NULL;

  if (!threads)
    *ret_outcome = pcd_action_refuse (reason, "%s", error->message);
  else if (freeze.n_frozen + freeze.n_pending > 0)
    *ret_outcome = pcd_action_refuse (
        reason, "%u of %u vCPUs are frozen: QMP stop would hang; try 'postcopyctl resume' first",
        freeze.n_frozen + freeze.n_pending, freeze.n_vcpus);
  else if (why)
    *ret_outcome = pcd_action_refuse (reason, "QMP stop could hang: %s", why);
  else
    return FALSE;
  return TRUE;
}

static PostcopydOutcome
send (const PostcopydMigration *migration,
      PcdMonitorKeeper *monitor,
      const PostcopydJob *job,
      const PcdQmpBlocked *blocked,
      const PcdReason *reason)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) value = pcd_monitor_keeper_call (
      monitor, "stop", NULL, PCD_QMP_IN_BAND, blocked, pcd_action_limit (job, STOP_USEC), &error);

  if (value)
    return pcd_action_done (reason, "stopped");
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED) ||
      g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED)) {
    pcd_action_not_stopped (migration); /* it was never sent */
    return pcd_action_refuse (reason, "%s", error->message);
  }
  if (g_error_matches (error, PCD_QMP_ERROR, PCD_QMP_ERROR_TIMEOUT))
    return pcd_action_fail (reason,
                            "stop is pending: a vCPU began to wait for a page just then; it "
                            "completes when the page comes, and until then QEMU answers "
                            "out-of-band commands only, and libvirt cannot recover: 'postcopyctl "
                            "recover' can, by inviting the source");
  return pcd_action_fail (reason, "%s", error->message);
}

/* Not through libvirt when there is no monitor of ours: virDomainSuspend() on a destination holds
 * the domain's job for 30 s and fails. */
static PostcopydOutcome
run (const PostcopydMigration *migration, const PostcopydJob *job, char *text, size_t size)
{
  const PcdReason reason = { text, size };
  g_autoptr (GError) error = NULL;
  g_autofree char *why_not = NULL, *status = NULL;
  PcdMonitorKeeper *monitor = NULL;
  PcdQmpBlocked blocked;
  PostcopydOutcome outcome;

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
  if (refuses (migration, PCD_THREADS_CHEAP, &reason, &blocked, &outcome))
    return outcome;
  monitor = pcd_action_monitor (migration, &why_not);
  if (!monitor)
    return pcd_action_refuse (&reason, "%s", why_not);
  status = pcd_monitor_keeper_get_status (monitor, "query-status",
                                          pcd_action_limit (job, STOP_USEC), NULL);
  if (g_strcmp0 (status, "paused") == 0)
    return pcd_action_done (&reason, "it is stopped already");
  if (g_strcmp0 (status, "running") != 0)
    return pcd_action_refuse (&reason, "the guest is not running: QEMU says %s",
                              status ? status : "nothing");
  if (!pcd_action_may_stop (migration, job, &error))
    return pcd_action_refuse (
        &reason, "not done, as it could not be kept first: %s; postcopyd's log says more",
        error->message);
  if (refuses (migration, PCD_THREADS_THOROUGH, &reason, &blocked, &outcome)) {
    pcd_action_not_stopped (migration);
    return outcome;
  }
  return send (migration, monitor, job, &blocked, &reason);
}

static const PostcopydAction action = { .struct_size = sizeof action, .run = run };

const PostcopydPlugin pcd_action_stop_plugin = {
  .abi_major = POSTCOPYD_ABI_MAJOR,
  .abi_minor = POSTCOPYD_ABI_MINOR,
  .struct_size = sizeof (PostcopydPlugin),
  .name = "stop",
  .kind = "action",
  .description = "Stop the guest's vCPUs by QMP, where that cannot hang.",
  .action = &action,
};
