/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values may be secrets: no message has one, but that of a path. */
#include "engine/pcd-config-plugin.h"

#include <glib/gi18n.h>
#include <string.h>

#include "core/pcd-action.h"
#include "core/pcd-node.h"

static void
config_free (gpointer data)
{
  PcdPluginConfig *config = data;

  g_free (config->name);
  g_free (config->path);
  g_ptr_array_unref (config->keys);
  g_ptr_array_unref (config->values);
  g_free (config);
}

GPtrArray *
pcd_plugin_configs_new (void)
{
  return g_ptr_array_new_with_free_func (config_free);
}

PcdPluginConfig *
pcd_plugin_configs_add (GPtrArray *configs, const char *text, guint line, char **ret_problem)
{
  g_autofree char *name = g_strstrip (g_strdup (text));
  PcdPluginConfig *config;

  if (!pcd_action_name_is_loaded (name)) {
    g_autofree char *quoted = pcd_node_quote (name);
    *ret_problem = g_strdup_printf (_ ("plugin name %s, expected lower case letters, digits and "
                                       "dashes with a dot, such as [plugin example.beacon]"),
                                    quoted);
    return NULL;
  }
  for (guint i = 0; i < configs->len; i++) {
    config = g_ptr_array_index (configs, i);
    if (strcmp (config->name, name) != 0)
      continue;
    *ret_problem = g_strdup_printf (
        _ ("group [plugin %s] again, first seen in line %u, expected each group once"), name,
        config->line);
    return NULL;
  }
  if (configs->len == PCD_ACTION_MAX_LOADED) {
    *ret_problem =
        g_strdup_printf (_ ("one [plugin] more, expected at most %d"), PCD_ACTION_MAX_LOADED);
    return NULL;
  }
  config = g_new0 (PcdPluginConfig, 1);
  config->name = g_steal_pointer (&name);
  config->line = line;
  config->keys = g_ptr_array_new_with_free_func (g_free);
  config->values = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (configs, config);
  return config;
}

gboolean
pcd_plugin_config_set (PcdPluginConfig *config,
                       const char *key,
                       const char *value,
                       char **ret_problem)
{
  const gboolean is_path = strcmp (key, "path") == 0;

  if ((is_path && config->path) ||
      g_ptr_array_find_with_equal_func (config->keys, key, g_str_equal, NULL)) {
    g_autofree char *quoted = pcd_node_quote (key);
    *ret_problem = g_strdup_printf (_ ("%s again, expected each key once"), quoted);
    return FALSE;
  }
  if (!is_path) {
    g_ptr_array_add (config->keys, g_strdup (key));
    g_ptr_array_add (config->values, g_strdup (value));
    return TRUE;
  }
  if (!g_path_is_absolute (value)) {
    g_autofree char *quoted = pcd_node_quote (value);
    *ret_problem = g_strdup_printf (_ ("path: got %s, expected an absolute path"), quoted);
    return FALSE;
  }
  config->path = g_strdup (value);
  return TRUE;
}

GVariant *
pcd_plugin_config_get_settings (const PcdPluginConfig *config)
{
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a{ss}"));

  for (guint i = 0; i < config->keys->len; i++)
    g_variant_builder_add (&builder, "{ss}", config->keys->pdata[i], config->values->pdata[i]);
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}
