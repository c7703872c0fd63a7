/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The values of [veto], and the programs that `command` leads to. */
#include "engine/pcd-veto-config.h"

#include "core/pcd-duration.h"
#include "host/pcd-trusted-file.h"

#include <glib/gi18n.h>
#include <string.h>

#define T_MS ((gint64)G_TIME_SPAN_MILLISECOND)
#define T_S  ((gint64)G_TIME_SPAN_SECOND)

/* To notify changes nothing; nobody can forbid it. */
#define ALL_ACTIONS (((1u << PCD_ACTION_MAX) - 1) & ~(1u << PCD_ACTION_NOTIFY))

static void
clear (gpointer data)
{
  PcdVetoConfig *config = data;

  g_free (config->command);
}

PcdVetoConfig *
pcd_veto_config_new (void)
{
  PcdVetoConfig *config = g_atomic_rc_box_new0 (PcdVetoConfig);

  config->actions = ALL_ACTIONS;
  config->timeout_usec = 5 * T_S;
  config->retry_usec = 5 * T_S;
  return config;
}

PcdVetoConfig *
pcd_veto_config_ref (PcdVetoConfig *config)
{
  return g_atomic_rc_box_acquire (config);
}

void
pcd_veto_config_unref (PcdVetoConfig *config)
{
  g_atomic_rc_box_release_full (config, clear);
}

static gboolean
parse_actions (const char *text, guint *ret_actions)
{
  g_auto (GStrv) words = g_strsplit_set (text, " \t", -1);
  guint actions = 0;

  for (guint i = 0; words[i]; i++) {
    PcdActionKind action;

    if (!*words[i])
      continue;
    if (!pcd_action_from_string (words[i], &action) || !(ALL_ACTIONS & 1u << action) ||
        actions & 1u << action)
      return FALSE;
    actions |= 1u << action;
  }
  *ret_actions = actions;
  return actions != 0;
}

static gboolean
parse_duration (const char *text, gint64 minimum, gint64 maximum, gint64 *ret_usec)
{
  gint64 usec = 0;

  if (!pcd_duration_parse (text, &usec, NULL) || usec < minimum || usec > maximum)
    return FALSE;
  *ret_usec = usec;
  return TRUE;
}

gboolean
pcd_veto_config_parse (PcdVetoConfig *config, const char *key, const char *text)
{
  if (g_str_equal (key, "actions"))
    return parse_actions (text, &config->actions);
  if (g_str_equal (key, "timeout"))
    return parse_duration (text, 100 * T_MS, 60 * T_S, &config->timeout_usec);
  if (g_str_equal (key, "retry"))
    return parse_duration (text, 1 * T_S, 3600 * T_S, &config->retry_usec);
  if (g_str_equal (key, "default")) {
    config->deny_unanswered = g_str_equal (text, "deny");
    return config->deny_unanswered || g_str_equal (text, "allow");
  }
  g_free (config->command);
  config->command = g_strdup (text);
  return g_path_is_absolute (text);
}

gboolean
pcd_veto_config_covers (const PcdVetoConfig *config, PcdActionKind action)
{
  return config && config->command && config->actions & 1u << action;
}

/* What editors and package managers leave beside the real ones. */
static gboolean
is_left_out (const char *name)
{
  return name[0] == '.' || g_str_has_suffix (name, "~") || g_str_has_suffix (name, ".bak") ||
         strstr (name, ".dpkg-") || strstr (name, ".rpm");
}

static gint
compare (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *)a, *(char *const *)b);
}

GPtrArray *
pcd_veto_config_list_hooks (const PcdVetoConfig *config, GError **error)
{
  g_autoptr (GPtrArray) hooks = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  if (!g_file_test (config->command, G_FILE_TEST_IS_DIR)) {
    g_ptr_array_add (hooks, g_strdup (config->command));
    return g_steal_pointer (&hooks);
  }
  g_autoptr (GDir) folder = g_dir_open (config->command, 0, error);
  if (!folder)
    return NULL;
  while ((name = g_dir_read_name (folder)))
    if (!is_left_out (name))
      g_ptr_array_add (hooks, g_build_filename (config->command, name, NULL));
  g_ptr_array_sort (hooks, compare);
  return g_steal_pointer (&hooks);
}

gboolean
pcd_veto_config_check (const PcdVetoConfig *config, GError **error)
{
  g_autoptr (GPtrArray) hooks = NULL;

  if (!config || !config->command)
    return TRUE;
  if (g_file_test (config->command, G_FILE_TEST_IS_DIR) &&
      !pcd_trusted_file_check (config->command, FALSE, error)) {
    g_prefix_error (error, _ ("[veto] command: "));
    return FALSE;
  }
  hooks = pcd_veto_config_list_hooks (config, error);
  for (guint i = 0; hooks && i < hooks->len; i++)
    if (!pcd_trusted_file_check (g_ptr_array_index (hooks, i), TRUE, error)) {
      g_prefix_error (error, _ ("[veto] command: "));
      return FALSE;
    }
  return hooks != NULL;
}
