/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* First the daemon is asked whether the domain migrates; without one, it cannot matter. */
#include "ctl/pcd-policy-assign.h"

#include "ctl/pcd-pick.h"
#include "ctl/pcd-show.h"
#include "libvirt/pcd-domain-policy.h"

#include <gio/gio.h>
#include <glib/gi18n.h>

/* libvirt's job lock alone may take 30 s to say no. */
#define LIBVIRT_USEC (35 * (gint64)G_USEC_PER_SEC)
/* The daemon may ask polkit, and polkit a person. */
#define ANSWER_MSEC (150 * 1000)

static int
assign_migration (
    const PcdCtl *ctl, PcdClient *client, const char *domain, const char *role, const char *policy)
{
  g_autoptr (PcdClientState) state = pcd_client_get_state (client);
  int exit_code = PCD_EXIT_NO_DAEMON;
  const PcdClientMigration *migration =
      state ? pcd_pick_find (ctl, state, domain, role, PCD_PICK_ANY_ROLE, &exit_code) : NULL;

  if (!migration && exit_code != PCD_EXIT_NOT_FOUND)
    return exit_code;
  if (!migration || pcd_show_has_ended (migration))
    return -1;
  const PcdClientQuestion question = {
    .path = migration->path,
    .method = "SetPolicy",
    .arguments = g_variant_new ("(s)", policy ?: ""),
    .reply_type = "()",
    .timeout_msec = ANSWER_MSEC,
  };
  exit_code = pcd_client_call (client, &question, NULL);
  if (exit_code == PCD_EXIT_DONE && policy)
    g_print (_ ("%s: policy %s, for the migration under way\n"), domain, policy);
  else if (exit_code == PCD_EXIT_DONE)
    g_print (_ ("%s: the configured policy again, for the migration under way\n"), domain);
  return exit_code;
}

int
pcd_policy_assign_migration (const PcdCtl *ctl,
                             const char *domain,
                             const char *role,
                             const char *policy)
{
  g_autoptr (PcdClient) client = pcd_client_try (ctl);

  return client ? assign_migration (ctl, client, domain, role, policy) : -1;
}

int
pcd_policy_assign_domain (const PcdCtl *ctl, const char *domain, const char *policy)
{
  g_autoptr (GError) error = NULL;

  if (pcd_domain_policy_set (ctl->connect, domain, policy, LIBVIRT_USEC, &error)) {
    if (policy)
      g_print (_ ("%s: policy %s, in its metadata\n"), domain, policy);
    else
      g_print (_ ("%s: the configured policy, none in its metadata\n"), domain);
    return PCD_EXIT_DONE;
  }
  g_printerr ("%s: %s\n", g_get_prgname (), error->message);
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ? PCD_EXIT_NOT_FOUND
                                                                   : PCD_EXIT_FAILED;
}
