/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Action `destroy`: ends this side's QEMU when the pair cannot be completed any more, or the owner
 * says so in so many words. Safety rules 3 and 4. */
#include "actions/destroy/pcd-action-destroy.h"

#include "actions/pcd-action-util.h"
#include "libvirt/pcd-own-call.h"

#define DESTROY_USEC (20 * G_USEC_PER_SEC)
#define PEER_USEC    (5 * G_USEC_PER_SEC)

#define NO_SIGNALS                                                                                 \
  "Do not send SIGINT or SIGTERM to a QEMU that is to be recovered, Ctrl-C included: QEMU keeps "  \
  "the request and exits as soon as recovery begins"

/* The word in the policy that says which side goes first, and whether that needs no proof. The
 * second side always needs it: the first one gone. */
static gboolean
may_without_proof (const PostcopydMigration *migration)
{
  const char *order = pcd_action_param (migration, "order");
  const char *without = pcd_action_param (migration, "without-proof");
  gboolean is_first =
      order &&
      g_str_equal (order, pcd_action_is_source (migration) ? "source-first" : "destination-first");

  if (migration->flags & POSTCOPYD_FORCED)
    return TRUE;
  return is_first && without && (g_str_equal (without, "true") || g_str_equal (without, "1"));
}

/* Only the peer's libvirt proves that its QEMU is gone: a connection that was closed does not, nor
 * does a host that does not answer. */
static gboolean
peer_is_gone (const PostcopydMigration *migration, const PostcopydJob *job, char **ret_why_not)
{
  const char *uri = migration->peer_uri;
  g_autoptr (GError) error = NULL;
  gboolean is_active;

  if (!uri)
    *ret_why_not = g_strdup ("the other host's libvirt is not known");
  else if (!pcd_own_call_is_active (uri, migration->uuid, pcd_action_limit (job, PEER_USEC),
                                    &is_active, &error))
    *ret_why_not = g_strdup_printf ("%s: %s", uri, error->message);
  else if (is_active)
    *ret_why_not = g_strdup_printf ("%s still has it", uri);
  else
    return TRUE;
  return FALSE;
}

static PostcopydOutcome
run (const PostcopydMigration *migration, const PostcopydJob *job, char *text, size_t size)
{
  const PcdReason reason = { text, size };
  g_autoptr (GError) error = NULL;
  g_autofree char *why_not = NULL;

  if (!(migration->flags & POSTCOPYD_DESTROY_ALLOWED))
    return pcd_action_refuse (
        &reason, "this host's configuration has no allow-destroy; see postcopyd.conf(5)");
  if (!g_str_equal (migration->phase, "paused"))
    return pcd_action_refuse (
        &reason, "in phase %s the pair can still be completed: wait, or try 'postcopyctl recover'",
        migration->phase);
  if (!may_without_proof (migration) && !peer_is_gone (migration, job, &why_not))
    return pcd_action_refuse (
        &reason, "no proof that the pair cannot be completed: %s. " NO_SIGNALS, why_not);
  if (!pcd_own_call_destroy (migration->libvirt_uri, migration->uuid,
                             pcd_action_limit (job, DESTROY_USEC), &error))
    return pcd_action_fail (&reason, "%s", error->message);
  return pcd_action_done (&reason, "this side's QEMU is destroyed");
}

static const PostcopydAction action = { .struct_size = sizeof action, .run = run };

const PostcopydPlugin pcd_action_destroy_plugin = {
  .abi_major = POSTCOPYD_ABI_MAJOR,
  .abi_minor = POSTCOPYD_ABI_MINOR,
  .struct_size = sizeof (PostcopydPlugin),
  .name = "destroy",
  .kind = "action",
  .description = "Destroy this side of the pair.",
  .action = &action,
};
