/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `[plugin NAME]` of postcopyd.conf: what may be loaded, from where, and its own lines.
 * Must not know what they mean. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdPluginConfig: one group. Not changed any more once the configuration was read.
 * @name: "vendor.name"
 * @path: (nullable): absolute; %NULL for the default
 * @line: of the group
 */
typedef struct {
  char *name;
  char *path;
  guint line;
  GPtrArray *keys;   /* (element-type utf8) */
  GPtrArray *values; /* (element-type utf8): parallel */
} PcdPluginConfig;

/* (transfer full) (element-type PcdPluginConfig): empty */
GPtrArray *pcd_plugin_configs_new (void);

/**
 * pcd_plugin_configs_add:
 * @text: behind "plugin " in the brackets
 * @ret_problem: (out) (transfer full): what is wrong with it, and what was expected
 *
 * Returns: (transfer none) (nullable)
 */
PcdPluginConfig *
pcd_plugin_configs_add (GPtrArray *configs, const char *text, guint line, char **ret_problem);

/* A line of the group; %FALSE and what is wrong with it. */
gboolean pcd_plugin_config_set (PcdPluginConfig *config,
                                const char *key,
                                const char *value,
                                char **ret_problem);

/* (transfer full): a{ss} of all lines but `path`, in their order. */
GVariant *pcd_plugin_config_get_settings (const PcdPluginConfig *config);

G_END_DECLS
