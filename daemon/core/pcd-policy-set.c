/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The set of policies and the choice among them. Pure. */
#include "core/pcd-policy-set.h"

#include "core/pcd-node.h"

#include <glib/gi18n.h>

struct _PcdPolicySet {
  GPtrArray *policies; /* PcdPolicy, sorted by name */
};

G_DEFINE_QUARK (pcd - policy - set - error - quark, pcd_policy_set_error)

static void
set_clear (gpointer data)
{
  PcdPolicySet *set = data;

  g_ptr_array_unref (set->policies);
}

PcdPolicySet *
pcd_policy_set_ref (PcdPolicySet *set)
{
  return g_atomic_rc_box_acquire (set);
}

void
pcd_policy_set_unref (PcdPolicySet *set)
{
  if (set)
    g_atomic_rc_box_release_full (set, set_clear);
}

static gboolean
same_directory (const PcdPolicy *a, const PcdPolicy *b)
{
  g_autofree char *of_a = g_path_get_dirname (a->origin), *of_b = g_path_get_dirname (b->origin);

  return g_str_equal (of_a, of_b);
}

static gboolean
add (PcdPolicySet *set, PcdPolicy *policy, GError **error)
{
  PcdPolicy *first = pcd_policy_set_lookup (set, policy->name);
  guint index = 0;

  if (!first) {
    g_ptr_array_add (set->policies, pcd_policy_ref (policy));
    return TRUE;
  }
  if (same_directory (first, policy)) {
    g_set_error (
        error, PCD_POLICY_SET_ERROR, PCD_POLICY_SET_ERROR_DUPLICATE,
        _ ("%s: $.name: \"%s\" again, first seen in %s, expected each name once in a directory"),
        policy->origin, policy->name, first->origin);
    return FALSE;
  }
  g_ptr_array_find (set->policies, first, &index);
  pcd_policy_unref (g_ptr_array_index (set->policies, index));
  g_ptr_array_index (set->policies, index) = pcd_policy_ref (policy);
  return TRUE;
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  const PcdPolicy *const *of_a = a, *const *of_b = b;

  return g_strcmp0 ((*of_a)->name, (*of_b)->name);
}

PcdPolicySet *
pcd_policy_set_new (GPtrArray *policies, GError **error)
{
  g_autoptr (PcdPolicySet) set = g_atomic_rc_box_new0 (PcdPolicySet);

  set->policies = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_policy_unref);
  for (guint i = 0; i < policies->len; i++)
    if (!add (set, g_ptr_array_index (policies, i), error))
      return NULL;
  const PcdPolicy *fallback = pcd_policy_set_lookup (set, PCD_POLICY_DEFAULT);
  if (!fallback) {
    g_set_error (error, PCD_POLICY_SET_ERROR, PCD_POLICY_SET_ERROR_NO_DEFAULT,
                 _ ("no policy \"%s\", expected it, as it holds when nobody chose another"),
                 PCD_POLICY_DEFAULT);
    return NULL;
  }
  if (fallback->destructive) {
    g_set_error (
        error, PCD_POLICY_SET_ERROR, PCD_POLICY_SET_ERROR_DESTRUCTIVE_DEFAULT,
        _ ("%s: policy \"%s\" destroys, expected it not to, as it holds when nobody chose another"),
        fallback->origin, fallback->name);
    return NULL;
  }
  g_ptr_array_sort (set->policies, compare_names);
  return g_steal_pointer (&set);
}

PcdPolicy *
pcd_policy_set_lookup (PcdPolicySet *set, const char *name)
{
  for (guint i = 0; i < set->policies->len; i++) {
    PcdPolicy *policy = g_ptr_array_index (set->policies, i);
    if (g_str_equal (policy->name, name))
      return policy;
  }
  return NULL;
}

guint
pcd_policy_set_get_length (PcdPolicySet *set)
{
  return set->policies->len;
}

PcdPolicy *
pcd_policy_set_get_nth (PcdPolicySet *set, guint n)
{
  return g_ptr_array_index (set->policies, n);
}

/* The policy if it exists and may be used here, else %NULL and a word about it in @notes. */
static PcdPolicy *
try_name (
    PcdPolicySet *set, const char *name, const char *by, gboolean allow_destroy, GString *notes)
{
  PcdPolicy *policy = pcd_policy_set_lookup (set, name);

  if (policy && (allow_destroy || !policy->destructive))
    return policy;
  g_autofree char *quoted = pcd_node_quote (name);
  g_string_append_printf (notes, "%spolicy %s, chosen by %s, %s", notes->len ? "; " : "", quoted,
                          by,
                          policy ? "destroys, and this host's configuration has no allow-destroy"
                                 : "does not exist on this host");
  return NULL;
}

static PcdPolicy *
choose (PcdPolicySet *set,
        const char *wish,
        const char *domain,
        const PcdPolicyMatch *matches,
        guint n_matches,
        gboolean allow_destroy,
        GString *notes)
{
  PcdPolicy *policy =
      wish ? try_name (set, wish, "the domain's metadata", allow_destroy, notes) : NULL;

  for (guint i = 0; !policy && i < n_matches; i++)
    if (g_pattern_match_simple (matches[i].pattern, domain)) {
      policy = try_name (set, matches[i].policy, "match in postcopyd.conf", allow_destroy, notes);
      break;
    }
  return policy ?: pcd_policy_set_lookup (set, PCD_POLICY_DEFAULT);
}

PcdPolicy *
pcd_policy_set_select (PcdPolicySet *set,
                       const char *wish,
                       const char *domain,
                       const PcdPolicyMatch *matches,
                       guint n_matches,
                       gboolean allow_destroy,
                       char **ret_note)
{
  g_autoptr (GString) notes = g_string_new (NULL);
  PcdPolicy *policy = choose (set, wish, domain, matches, n_matches, allow_destroy, notes);

  if (ret_note)
    *ret_note = notes->len ? g_string_free (g_steal_pointer (&notes), FALSE) : NULL;
  return policy;
}

PcdPolicy *
pcd_policy_set_choose (PcdPolicySet *set,
                       const char *chosen,
                       const char *wish,
                       const char *domain,
                       const PcdPolicyMatch *matches,
                       guint n_matches,
                       gboolean allow_destroy,
                       const char **ret_source,
                       char **ret_note)
{
  PcdPolicy *policy = chosen ? pcd_policy_set_lookup (set, chosen) : NULL;

  if (policy && (allow_destroy || !policy->destructive)) {
    *ret_source = "operator";
    *ret_note = NULL;
    return policy;
  }
  policy = pcd_policy_set_select (set, wish, domain, matches, n_matches, allow_destroy, ret_note);
  if (wish && g_str_equal (policy->name, wish))
    *ret_source = "metadata";
  else
    *ret_source = g_str_equal (policy->name, PCD_POLICY_DEFAULT) ? "default" : "configuration";
  return policy;
}
