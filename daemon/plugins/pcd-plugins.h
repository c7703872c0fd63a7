/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All actions and sinks of this process, built-in or loaded, and what is wrong with those that
 * could not be loaded. Must not know what any of them does. */
#pragma once

#include "engine/pcd-config.h"
#include "postcopyd-plugin.h"

G_BEGIN_DECLS

typedef struct _PcdPlugins PcdPlugins;

/**
 * PcdPlugin: one of them, loaded or not. The count of references is atomic; what is loaded stays in
 * the process for ever.
 */
typedef struct _PcdPlugin PcdPlugin;

PcdPlugin *pcd_plugin_ref (PcdPlugin *plugin);
void pcd_plugin_unref (PcdPlugin *plugin);

/* As in the configuration, or the built-in's. */
const char *pcd_plugin_get_name (const PcdPlugin *plugin);

/* (nullable): the file, NULL for a built-in. */
const char *pcd_plugin_get_path (const PcdPlugin *plugin);

/* (nullable): one clause: why it is not used, naming file and what was expected; NULL if it is. */
const char *pcd_plugin_get_problem (const PcdPlugin *plugin);

/**
 * pcd_plugin_get_table:
 *
 * Returns: (nullable): %NULL if it is not used. A copy in which everything that the module's own
 *   version of the ABI lacks is 0
 */
const PostcopydPlugin *pcd_plugin_get_table (const PcdPlugin *plugin);

/* (nullable): NULL if it is not used, or is not of that kind; likewise completed. */
const PostcopydAction *pcd_plugin_get_action (const PcdPlugin *plugin);
const PostcopydSink *pcd_plugin_get_sink (const PcdPlugin *plugin);

/* (nullable) (transfer none): the lines of its section, a{ss}. */
GVariant *pcd_plugin_get_settings (const PcdPlugin *plugin);

/* (nullable): its own folder, see PostcopydJob.directory. */
const char *pcd_plugin_get_directory (const PcdPlugin *plugin);

/**
 * pcd_plugin_enter:
 *
 * Before each call into it, in the thread of the call: writes down, on disk, that the process is in
 * its code. Does nothing for a built-in.
 *
 * Returns: %FALSE if it may not be called: it brought the process down, or its earlier calls have
 *   not come back, or that cannot be written down; @error says so
 */
gboolean pcd_plugin_enter (PcdPlugin *plugin, GError **error);

/* After the call, in the same thread, however late. */
void pcd_plugin_leave (PcdPlugin *plugin);

/* Nobody waits any more for a call that is still inside (%TRUE), or that call came back at last. */
void pcd_plugin_set_overdue (PcdPlugin *plugin, gboolean overdue);

/**
 * pcd_plugins_new:
 * @state_dir: (nullable): where is kept what was running when a daemon died; %NULL: nothing is
 *
 * Has the built-in actions. Main thread.
 */
PcdPlugins *pcd_plugins_new (const char *state_dir);

/* An end that was meant: what runs is not to blame for it. */
void pcd_plugins_free (PcdPlugins *plugins);

/**
 * pcd_plugins_load:
 *
 * Loads what @config names and is not loaded yet, drops what it does not name any more, and gives
 * another chance to what was set aside, if @is_reload. Each problem is logged; none is fatal.
 * Policies are to be read after it: it tells core/pcd-action.h which actions there are. Runs the
 * constructors of modules: start-up, or an administrator's reload. Main thread.
 */
void pcd_plugins_load (PcdPlugins *plugins, const PcdConfig *config, gboolean is_reload);

/**
 * pcd_plugins_find:
 *
 * Returns: (transfer none) (nullable): the one of that name, used or not
 */
PcdPlugin *pcd_plugins_find (PcdPlugins *plugins, const char *name);

/* Built-in ones first, then in the order of the configuration. */
guint pcd_plugins_get_length (PcdPlugins *plugins);
PcdPlugin *pcd_plugins_get_nth (PcdPlugins *plugins, guint n);

/**
 * pcd_plugins_look:
 * @config: read
 * @state_dir: (nullable): of the daemon, for what was set aside
 *
 * Looks at the files that @config names as far as that can be done without running any of their
 * code, and makes their actions known to policies: for those who are not the daemon.
 *
 * Returns: (transfer full) (element-type PcdPluginView)
 */
GPtrArray *pcd_plugins_look (const PcdConfig *config, const char *state_dir);

/**
 * PcdPluginView: what can be seen from outside.
 * @kind: (nullable): "action" or "sink"
 * @abi_major: 0 if it could not be read; likewise the next two
 * @problem: (nullable): why the daemon will not use it
 */
typedef struct {
  char *name;
  char *path;
  char *kind;
  guint abi_major;
  guint abi_minor;
  guint flags;
  guint deaths;
  char *problem;
} PcdPluginView;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdPlugin, pcd_plugin_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdPlugins, pcd_plugins_free)

G_END_DECLS
