/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plugins that this host's configuration names, as a command sees them: no daemon, and none of
 * their code. */
#pragma once

#include "plugins/pcd-plugins.h"

G_BEGIN_DECLS

/**
 * pcd_plugin_names:
 * @config_path: (nullable): %NULL for the daemon's own, which may be missing
 *
 * Makes their actions known to policies, too.
 *
 * Returns: (transfer full) (element-type PcdPluginView) (nullable): %NULL with @error if the
 *   configuration is bad
 */
GPtrArray *pcd_plugin_names (const char *config_path, GError **error);

G_END_DECLS
