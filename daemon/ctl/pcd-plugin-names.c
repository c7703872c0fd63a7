/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads the daemon's configuration for its plugins. */
#include "ctl/pcd-plugin-names.h"

#define DEFAULT_CONFIG    PCD_SYSCONFDIR "/postcopyd/postcopyd.conf"
#define DEFAULT_STATE_DIR "/var/lib/postcopyd"

GPtrArray *
pcd_plugin_names (const char *config_path, GError **error)
{
  g_auto (PcdConfig) config = { 0 };
  g_autoptr (GError) problem = NULL;

  if (!pcd_config_load (config_path ? config_path : DEFAULT_CONFIG, &config, &problem)) {
    if (config_path || !g_error_matches (problem, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
      g_propagate_error (error, g_steal_pointer (&problem));
      return NULL;
    }
    config = pcd_config_default ();
  }
  return pcd_plugins_look (&config, DEFAULT_STATE_DIR);
}
