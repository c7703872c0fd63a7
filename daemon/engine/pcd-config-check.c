/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether the configuration and the policies fit each other, before any domain finds out.
 * Reads no file. */
#include "core/pcd-node.h"
#include "engine/pcd-config.h"

#include <gio/gio.h>

static char *
list_names (PcdPolicySet *policies)
{
  g_autoptr (GString) names = g_string_new (NULL);

  for (guint i = 0; i < pcd_policy_set_get_length (policies); i++)
    g_string_append_printf (names, "%s%s", i ? ", " : "",
                            pcd_policy_set_get_nth (policies, i)->name);
  return g_string_free (g_steal_pointer (&names), FALSE);
}

static gboolean
check (const PcdPolicyMatch *match,
       const char *place,
       const PcdConfig *config,
       PcdPolicySet *policies,
       GError **error)
{
  const PcdPolicy *policy = pcd_policy_set_lookup (policies, match->policy);
  g_autofree char *quoted = pcd_node_quote (match->policy);
  g_autofree char *names = list_names (policies);

  if (!policy)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 "%s: there is no policy %s, expected one of: %s", place, quoted, names);
  else if (policy->destructive && !config->allow_destroy)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                 "%s: policy %s can destroy a domain, expected [host] allow-destroy = yes with it",
                 place, quoted);
  else
    return TRUE;
  return FALSE;
}

gboolean
pcd_config_check_policies (const PcdConfig *config,
                           PcdPolicySet *policies,
                           const char *path,
                           GError **error)
{
  guint n;
  const PcdPolicyMatch *matches = pcd_config_matches (config, &n);

  for (guint i = 0; i < n; i++) {
    const gboolean is_default = config->has_default_policy && i == n - 1;
    g_autofree char *pattern = pcd_node_quote (matches[i].pattern);
    g_autofree char *place = is_default ? g_strdup_printf ("%s: [policy] default", path)
                                        : g_strdup_printf ("%s: [policy] match %s", path, pattern);

    if (!check (&matches[i], place, config, policies, error))
      return FALSE;
  }
  return TRUE;
}
