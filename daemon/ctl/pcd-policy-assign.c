/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* First the daemon is asked whether the domain migrates; without one, it cannot matter. */
#include "ctl/pcd-policy-assign.h"

#include "ctl/pcd-show.h"
#include "libvirt/pcd-domain-policy.h"

#include <gio/gio.h>

/* libvirt's job lock alone may take 30 s to say no. */
#define LIBVIRT_USEC (35 * (gint64)G_USEC_PER_SEC)
/* The daemon may ask polkit, and polkit a person. */
#define ANSWER_MSEC (150 * 1000)

/* -1 if the daemon has no such migration under way. */
static int
assign_migration (PcdClient *client, const char *domain, const char *policy)
{
  g_autoptr (PcdClientState) state = pcd_client_get_state (client);
  const PcdClientMigration *migration = state ? pcd_show_find (state, domain, 0) : NULL;

  if (!state)
    return PCD_EXIT_NO_DAEMON;
  if (!migration || pcd_show_has_ended (migration))
    return -1;
  int exit_code = pcd_client_call (client, migration->path, "org.postcopyd.Migration1", "SetPolicy",
                                   g_variant_new ("(s)", policy), "()", ANSWER_MSEC, NULL);
  if (exit_code == PCD_EXIT_DONE)
    g_print ("%s: policy %s, for the migration under way\n", domain, policy);
  return exit_code;
}

int
pcd_policy_assign (const PcdCtl *ctl, const char *domain, const char *policy)
{
  g_autoptr (PcdClient) client = pcd_client_try (ctl);
  g_autoptr (GError) error = NULL;
  int exit_code = client ? assign_migration (client, domain, policy) : -1;

  if (exit_code >= 0)
    return exit_code;
  if (pcd_domain_policy_set (ctl->connect, domain, policy, LIBVIRT_USEC, &error)) {
    g_print ("%s: policy %s, in its metadata\n", domain, policy);
    return PCD_EXIT_DONE;
  }
  g_printerr ("%s: %s\n", g_get_prgname (), error->message);
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ? PCD_EXIT_NOT_FOUND
                                                                   : PCD_EXIT_FAILED;
}
