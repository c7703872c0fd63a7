/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Policies from directories. A FIFO or a device put there cannot hang us: see pcd_file_read (). */
#include "engine/pcd-policy-load.h"

#include "engine/pcd-file.h"

#include <glib/gi18n.h>

PcdPolicy *
pcd_policy_load_file (const char *path, GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);

  if (!pcd_file_read (path, PCD_POLICY_MAX_BYTES, _ ("a policy"), text, error))
    return NULL;
  return pcd_policy_parse (text->str, text->len, path, error);
}

static gint
compare_strings (gconstpointer a, gconstpointer b)
{
  return g_strcmp0 (*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, so that the first error is always the same one. */
static GPtrArray *
list_files (const char *directory, GError **error)
{
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) dir = g_dir_open (directory, 0, error);
  const char *name;

  if (!dir)
    return NULL;
  while ((name = g_dir_read_name (dir)))
    if (name[0] != '.' && g_str_has_suffix (name, ".json") &&
        !g_str_has_suffix (name, ".schema.json"))
      g_ptr_array_add (files, g_build_filename (directory, name, NULL));
  g_ptr_array_sort (files, compare_strings);
  return g_steal_pointer (&files);
}

static gboolean
load_directory (const char *directory, GPtrArray *policies, GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autoptr (GPtrArray) files = list_files (directory, &local);

  if (g_error_matches (local, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    return TRUE;
  if (local) {
    g_propagate_error (error, g_steal_pointer (&local));
    return FALSE;
  }
  for (guint i = 0; i < files->len; i++) {
    PcdPolicy *policy = pcd_policy_load_file (g_ptr_array_index (files, i), error);
    if (!policy)
      return FALSE;
    g_ptr_array_add (policies, policy);
  }
  return TRUE;
}

PcdPolicySet *
pcd_policy_load_directories (const char *const *directories, GError **error)
{
  g_autoptr (GPtrArray) policies =
      g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_policy_unref);

  for (guint i = 0; directories[i]; i++)
    if (!load_directory (directories[i], policies, error))
      return NULL;
  PcdPolicySet *set = pcd_policy_set_new (policies, error);
  if (!set) {
    g_autofree char *searched = g_strjoinv (", ", (char **)directories);
    g_prefix_error (error, _ ("in %s: "), searched);
  }
  return set;
}

char **
pcd_policy_default_directories (const char *extra)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  if (extra) {
    g_strv_builder_add (builder, extra);
  } else {
    g_strv_builder_add (builder, PCD_DATADIR "/postcopyd/policies");
    g_strv_builder_add (builder, PCD_SYSCONFDIR "/postcopyd/policies");
  }
  return g_strv_builder_end (builder);
}
