/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The action `recover`: from the plugin's view of a migration to one attempt of pcd-recover.
 * Must not wait for the migration's end. */
#include "pcd-action-recover.h"

#include "actions/pcd-action-util.h"
#include "libvirt/pcd-recover.h"
#include "actions/recover/pcd-action-invite.h"

static gboolean
is_cancelled (gpointer data)
{
  const PostcopydJob *job = data;

  return job->cancelled && job->cancelled (job);
}

static void
tell_progress (const char *text, gpointer data)
{
  const PostcopydJob *job = data;

  g_autofree char *by = g_strdup_printf ("by %s", text);

  if (job->progress)
    job->progress (job, 0, 0, by);
}

static PostcopydOutcome
outcome_of (PcdOutcome outcome)
{
  return outcome == PCD_OUTCOME_DONE      ? POSTCOPYD_DONE
         : outcome == PCD_OUTCOME_REFUSED ? POSTCOPYD_REFUSED
                                          : POSTCOPYD_FAILED;
}

static PostcopydOutcome
run (const PostcopydMigration *migration, const PostcopydJob *job, char *reason, size_t reason_size)
{
  const PcdActionHost *host = pcd_action_host (migration);
  g_autofree char *text = NULL;

  if (!g_str_equal (migration->role, "source"))
    return pcd_action_invite (migration, job, &(PcdReason){ reason, reason_size });
  if (!host->peers)
    return pcd_action_refuse (&(PcdReason){ reason, reason_size }, "%s",
                              host->no_peers
                                  ?: "no way to the other host was given; give one by --uri");
  const PcdRecoverRequest request = {
    .uri = migration->libvirt_uri,
    .uuid = migration->uuid,
    .pid = migration->pid,
    .routes = host->peers,
    .override = migration->flags & POSTCOPYD_FORCED,
    .deadline = job->deadline_usec,
    .cancelled = is_cancelled,
    .progress = tell_progress,
    .data = (gpointer)job,
  };
  PcdOutcome outcome = pcd_recover_run (&request, &text);
  g_strlcpy (reason, text, reason_size);
  return outcome_of (outcome);
}

static const PostcopydAction action = {
  .struct_size = sizeof (PostcopydAction),
  .run = run,
};

const PostcopydPlugin pcd_action_recover_plugin = {
  .abi_major = POSTCOPYD_ABI_MAJOR,
  .abi_minor = POSTCOPYD_ABI_MINOR,
  .struct_size = sizeof (PostcopydPlugin),
  .name = "recover",
  .kind = "action",
  .description = "Recovers a paused migration through libvirt, from the source",
  .action = &action,
};
