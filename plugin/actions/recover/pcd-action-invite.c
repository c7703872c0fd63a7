/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The action `recover` on a destination whose QEMU hangs: it listens by an out-of-band command, and
 * the source is invited. Must not know libvirt. */
#include "actions/recover/pcd-action-invite.h"

#include <string.h>

#include "libvirt/pcd-invite.h"

/* A main loop that lives answers within ms; one that is busy within a second. */
#define ALIVE_USEC (2 * G_USEC_PER_SEC)
#define OOB_USEC   (1 * G_USEC_PER_SEC)
/* libvirt's own, qemu.conf's migration_port_min and _max; it begins at the lower end. */
#define LAST_PORT  49215
#define FIRST_PORT 49152

#define ONLY_THE_SOURCE "only the source can recover a migration, and this is the destination: "

typedef struct {
  const PostcopydJob *job;
  PcdMonitorKeeper *monitor;
} Invite;

/* Nothing but a page ends such a wait, and no page comes but by a recovery. */
static gboolean
waits_for_page (pid_t pid, PcdThreadsMode mode)
{
  g_autoptr (PcdThreadReport) threads = pcd_threads_read (pid, mode, NULL);

  for (guint i = 0; threads && i < threads->threads->len; i++)
    if (((const PcdThread *)threads->threads->pdata[i])->class.blocked == PCD_ANSWER_YES)
      return TRUE;
  return FALSE;
}

static gboolean
open_port (PcdEndpoint *endpoint, gpointer data, GError **error)
{
  Invite *invite = data;

  for (endpoint->port = LAST_PORT; endpoint->port >= FIRST_PORT; endpoint->port--) {
    g_autofree char *uri = pcd_invitation_to_uri (endpoint);
    g_autoptr (JsonObject) arguments = pcd_qmp_arguments ("uri", uri, NULL);
    g_autoptr (GError) refusal = NULL;
    g_autoptr (JsonNode) value =
        pcd_monitor_keeper_call (invite->monitor, "migrate-recover", arguments, PCD_QMP_OOB, NULL,
                                 pcd_action_limit (invite->job, OOB_USEC), &refusal);

    if (value)
      return TRUE;
    if (!g_error_matches (refusal, PCD_QMP_ERROR, PCD_QMP_ERROR_REFUSED) ||
        strstr (refusal->message, "postcopy is paused") || endpoint->port == FIRST_PORT) {
      g_propagate_prefixed_error (error, g_steal_pointer (&refusal), "migrate-recover here: ");
      return FALSE;
    }
  }
  g_assert_not_reached ();
}

static gboolean
is_cancelled (gpointer data)
{
  const PostcopydJob *job = ((Invite *)data)->job;

  return job->cancelled && job->cancelled (job);
}

/* Sets @ret_outcome to why it is not to be done, or returns %TRUE. */
static gboolean
is_called_for (const PostcopydMigration *migration,
               const Invite *invite,
               const PcdReason *reason,
               PostcopydOutcome *ret_outcome)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) oob = NULL;
  g_autofree char *status = pcd_monitor_keeper_get_status (
      invite->monitor, "query-status", pcd_action_limit (invite->job, ALIVE_USEC), &error);

  if (status)
    *ret_outcome = pcd_action_refuse (reason, ONLY_THE_SOURCE "try it there");
  else if (!g_error_matches (error, PCD_QMP_ERROR, PCD_QMP_ERROR_TIMEOUT) &&
           !g_error_matches (error, PCD_QMP_ERROR, PCD_QMP_ERROR_BUSY))
    *ret_outcome = pcd_action_fail (reason, "%s", error->message);
  /* One that spins, as it was signalled, takes a thorough look. */
  else if (!waits_for_page (migration->pid, PCD_THREADS_CHEAP) &&
           !waits_for_page (migration->pid, PCD_THREADS_THOROUGH))
    *ret_outcome = pcd_action_fail (
        reason,
        "QEMU does not answer, and waits for no page: 'postcopyctl inspect' shows where it stands");
  else if (!(oob = pcd_monitor_keeper_call (invite->monitor, "query-yank", NULL, PCD_QMP_OOB, NULL,
                                            pcd_action_limit (invite->job, OOB_USEC), NULL)))
    *ret_outcome = pcd_action_fail (
        reason,
        "QEMU answers nothing, not even out of band: 'postcopyctl inspect' shows where it stands");
  else
    return TRUE;
  return FALSE;
}

PostcopydOutcome
pcd_action_invite (const PostcopydMigration *migration,
                   const PostcopydJob *job,
                   const PcdReason *reason)
{
  g_autofree char *why_not = NULL, *text = NULL;
  const PcdActionHost *host = pcd_action_host (migration);
  Invite invite = { job, pcd_action_monitor (migration, &why_not) };
  PcdInviteRequest request = { .uuid = migration->uuid,
                               .routes = host->peers,
                               .listen = open_port,
                               .deadline = job->deadline_usec,
                               .cancelled = is_cancelled,
                               .data = &invite };
  PostcopydOutcome outcome;
  PcdOutcome end;

  if (g_strcmp0 (migration->phase, "paused") != 0)
    return pcd_action_refuse (reason, ONLY_THE_SOURCE "and it is not paused");
  if (!invite.monitor)
    return pcd_action_refuse (reason, ONLY_THE_SOURCE "try it there (here: %s)", why_not);
  if (!is_called_for (migration, &invite, reason, &outcome))
    return outcome;
  if (!host->peers)
    return pcd_action_fail (reason, "QEMU hangs, and there is no way to the source: %s",
                            host->no_peers ?: "give one by --uri");
  end = pcd_invite_run (&request, &text);
  return end == PCD_OUTCOME_DONE ? pcd_action_done (reason, "%s", text)
                                 : pcd_action_fail (reason, "%s", text);
}
