/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registry. A module is opened once, checked, mapped by that very descriptor, and never let go:
 * code that was left behind may still run in it. */
#include "plugins/pcd-plugins.h"

#include <dlfcn.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>

#include "actions/pcd-actions.h"
#include "engine/pcd-log.h"
#include "plugins/pcd-plugin-file.h"
#include "plugins/pcd-plugin-marks.h"
#include "plugins/pcd-plugin-private.h"

struct _PcdPlugins {
  char *state_dir;
  char *marks;
  GPtrArray *plugins; /* (element-type PcdPlugin) */
  guint n_built_in;   /* of them, at the beginning */
};

/* ---- loading one ---- */

static gboolean
is_same_file (const struct stat *a, const struct stat *b)
{
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
         a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void
set_problem (PcdPlugin *plugin, const char *message_id, const char *problem)
{
  plugin->problem = g_strdup (problem);
  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "MESSAGE_ID", message_id, "PCD_PLUGIN",
                    plugin->name, "MESSAGE", "plugin %s is not used: %s", plugin->name, problem);
}

/* glibc knows objects by their names before their inodes: the descriptor stays open, so that no
 * other file can ever be opened as this one's /proc/self/fd/N and be taken for it. */
static gpointer
map_module (PcdPluginFile *file, const char *path, GError **error)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", file->fd);
  gpointer handle = dlopen (link, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

  if (handle) {
    file->fd = -1;
    return handle;
  }
  g_autoptr (GString) reason = g_string_new (dlerror ());
  g_string_replace (reason, link, path, 0);
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, reason->str);
  return NULL;
}

static gboolean
take_module (PcdPlugin *plugin, PcdPluginFile *file, GError **error)
{
  PostcopydPlugin table = { 0 };
  const struct stat status = file->status;
  gpointer handle = map_module (file, plugin->path, error);
  const PostcopydPlugin *theirs = handle ? dlsym (handle, "postcopyd_plugin") : NULL;

  if (!handle)
    return FALSE;
  if (!theirs || theirs->abi_major != file->abi_major || theirs->struct_size != file->struct_size ||
      theirs->flags != file->flags) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _ ("%s: its postcopyd_plugin is not the one that is in the file"), plugin->path);
    return FALSE;
  }
  memcpy (&table, theirs, MIN (sizeof table, theirs->struct_size));
  if (!pcd_plugin_check_table (plugin->name, &table, error)) {
    g_prefix_error (error, "%s: ", plugin->path);
    return FALSE;
  }
  pcd_plugin_take_table (plugin, theirs);
  plugin->file = status;
  return TRUE;
}

static gboolean
check_settings (const PcdPluginConfig *config, const char *const *known, GError **error)
{
  for (guint i = 0; known && i < config->keys->len; i++) {
    const char *key = config->keys->pdata[i];
    if (g_strv_contains (known, key))
      continue;
    g_autofree char *list = g_strjoinv (", ", (char **)known);
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 _ ("[plugin %s] has an unknown key \"%.64s\", expected one of: path%s%s"),
                 config->name, key, known[0] ? ", " : "", list);
    return FALSE;
  }
  return TRUE;
}

/* A second death is one too many. */
static gboolean
may_run (PcdPlugins *plugins, PcdPlugin *plugin, const struct stat *file, gboolean is_reload)
{
  gboolean news = FALSE;
  guint deaths;

  if (!plugins->marks)
    return TRUE;
  if (is_reload)
    pcd_plugin_marks_forget (plugins->marks, plugin->name);
  deaths = is_reload ? 0 : pcd_plugin_marks_count (plugins->marks, plugin->name, file, &news);
  if (deaths >= PCD_PLUGIN_DEATHS) {
    g_autofree char *problem =
        g_strdup_printf (_ ("set aside: postcopyd died %u times while %s ran; a reload of "
                            "postcopyd or another file gives it another chance"),
                         deaths, plugin->path);
    set_problem (plugin, PCD_MESSAGE_PLUGIN_SET_ASIDE, problem);
    return FALSE;
  }
  if (news)
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "MESSAGE_ID", PCD_MESSAGE_PLUGIN_DIED,
                      "PCD_PLUGIN", plugin->name, "MESSAGE",
                      "postcopyd died while plugin %s ran; once more, and it is set aside",
                      plugin->name);
  return TRUE;
}

/* Its own folder, and nobody else's. */
static void
make_directory (PcdPlugins *plugins, PcdPlugin *plugin)
{
  g_autofree char *path = NULL;

  if (!plugins->state_dir)
    return;
  path = g_build_filename (plugins->state_dir, "plugins", plugin->name, NULL);
  if (g_mkdir_with_parents (path, 0700) == 0)
    plugin->directory = g_steal_pointer (&path);
  else
    g_warning ("plugin %s gets no folder of its own: %s: %s", plugin->name, path,
               g_strerror (errno));
}

static gboolean
load_module (PcdPlugins *plugins,
             PcdPlugin *plugin,
             const PcdPluginConfig *config,
             PcdPluginFile *file,
             GError **error)
{
  const char *const *known;
  gboolean ok;

  make_directory (plugins, plugin);
  plugin->marks = g_strdup (plugins->marks);
  if (!pcd_plugin_enter (plugin, error)) /* its constructors run now */
    return FALSE;
  ok = take_module (plugin, file, error);
  pcd_plugin_leave (plugin);
  if (!ok)
    return FALSE;
  /* Those of a sink are in its own section. */
  known = plugin->table.action ? plugin->table.action->settings : (const char *const[]){ NULL };
  if (check_settings (config, known, error))
    return TRUE;
  plugin->is_used = FALSE;
  return FALSE;
}

static void
declare_action (
    const char *name, guint flags, const char *summary, const char *const *params, gboolean usable)
{
  const PcdActionSpec spec = {
    .name = name,
    .summary = summary,
    .destructive = (flags & POSTCOPYD_DESTROYS) != 0,
    .handles_guest = (flags & POSTCOPYD_HANDLES_GUEST) != 0,
    .repeatable = (flags & POSTCOPYD_REPEATABLE) != 0,
    .own_params = params,
  };
  PcdActionKind action;

  if (pcd_action_declare (&spec, &action))
    pcd_action_set_usable (action, usable);
  else
    g_warning ("plugin %s: too many actions were loaded since postcopyd started", name);
}

/* One that cannot be used may be named all the same: its steps are refused, and a policy that was
 * good does not stop the daemon. */
static void
declare (const PcdPlugin *plugin, guint flags, const char *kind)
{
  const PostcopydAction *action = pcd_plugin_get_action (plugin);

  if (pcd_plugin_get_sink (plugin) || g_strcmp0 (kind, "sink") == 0)
    return;
  declare_action (plugin->name, flags, plugin->is_used ? plugin->table.description : NULL,
                  action ? action->params : NULL, TRUE);
}

/* What is mapped cannot be mapped anew, and who wrote over the file wrote over our code. */
static gboolean
check_not_overwritten (PcdPlugins *plugins,
                       PcdPlugin *plugin,
                       const PcdPluginFile *file,
                       GError **error)
{
  const PcdPlugin *before = pcd_plugins_find (plugins, plugin->name);

  if (!before || before->file.st_ino != file->status.st_ino ||
      before->file.st_dev != file->status.st_dev || is_same_file (&before->file, &file->status))
    return TRUE;
  plugin->file = before->file;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
               _ ("%s: was written over since it was loaded, expected a new file in its place: "
                  "restart postcopyd"),
               plugin->path);
  return FALSE;
}

static PcdPlugin *
load (PcdPlugins *plugins, const PcdPluginConfig *config, gboolean is_reload)
{
  PcdPlugin *plugin = pcd_plugin_new (config->name);
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdPluginFile) file = pcd_plugin_file_open (config->name, config->path, &error);

  plugin->path = pcd_plugin_file_path (config->name, config->path);
  plugin->settings = pcd_plugin_config_get_settings (config);
  if (file && check_not_overwritten (plugins, plugin, file, &error) &&
      may_run (plugins, plugin, &file->status, is_reload) &&
      load_module (plugins, plugin, config, file, &error))
    g_message ("plugin %s is loaded from %s: %s, version %s, interface %u.%u", plugin->name,
               plugin->path, plugin->table.kind,
               plugin->table.version ? plugin->table.version : "unknown", plugin->table.abi_major,
               plugin->table.abi_minor);
  if (error)
    set_problem (plugin, PCD_MESSAGE_PLUGIN_REFUSED, error->message);
  declare (plugin, file ? file->flags : 0, file ? file->kind : NULL);
  return plugin;
}

/* ---- all of them ---- */

static void
add_built_in (const PostcopydPlugin *table, gpointer data)
{
  PcdPlugins *plugins = data;
  PcdPlugin *plugin = pcd_plugin_new (table->name);

  pcd_plugin_take_table (plugin, table);
  g_ptr_array_add (plugins->plugins, plugin);
}

PcdPlugins *
pcd_plugins_new (const char *state_dir)
{
  PcdPlugins *plugins = g_new0 (PcdPlugins, 1);

  plugins->plugins = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_plugin_unref);
  pcd_actions_foreach (add_built_in, plugins);
  plugins->n_built_in = plugins->plugins->len;
  if (!state_dir)
    return plugins;
  plugins->state_dir = g_strdup (state_dir);
  plugins->marks = g_build_filename (state_dir, "plugin-marks", NULL);
  return plugins;
}

void
pcd_plugins_free (PcdPlugins *plugins)
{
  for (guint i = 0; i < plugins->plugins->len; i++)
    pcd_plugin_excuse (plugins->plugins->pdata[i]);
  g_ptr_array_unref (plugins->plugins);
  g_free (plugins->state_dir);
  g_free (plugins->marks);
  g_free (plugins);
}

/* The one that is loaded, if the file is still that. */
static PcdPlugin *
keep (PcdPlugins *plugins, const PcdPluginConfig *config)
{
  PcdPlugin *plugin = pcd_plugins_find (plugins, config->name);
  g_autofree char *path = pcd_plugin_file_path (config->name, config->path);
  g_autoptr (GError) error = NULL;
  struct stat now;

  if (!plugin || !plugin->is_used || strcmp (plugin->path, path) != 0 || stat (path, &now) < 0 ||
      !is_same_file (&now, &plugin->file) ||
      (plugin->table.action && !check_settings (config, plugin->table.action->settings, &error)))
    return NULL;
  g_clear_pointer (&plugin->settings, g_variant_unref);
  plugin->settings = pcd_plugin_config_get_settings (config);
  return pcd_plugin_ref (plugin);
}

void
pcd_plugins_load (PcdPlugins *plugins, const PcdConfig *config, gboolean is_reload)
{
  g_autoptr (GPtrArray) before = plugins->plugins;

  for (guint i = PCD_N_ACTIONS; i < pcd_action_get_end (); i++)
    pcd_action_set_usable (i, FALSE);
  if (plugins->marks && config->plugins->len > 0)
    g_mkdir_with_parents (plugins->marks, 0700);
  g_autoptr (GPtrArray) now = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_plugin_unref);
  for (guint i = 0; i < plugins->n_built_in; i++)
    g_ptr_array_add (now, pcd_plugin_ref (before->pdata[i]));
  for (guint i = 0; i < config->plugins->len; i++) {
    const PcdPluginConfig *entry = config->plugins->pdata[i];
    PcdPlugin *kept = keep (plugins, entry);

    if (kept && is_reload && plugins->marks)
      pcd_plugin_marks_forget (plugins->marks, entry->name);
    if (kept)
      declare (kept, kept->table.flags, kept->table.kind);
    g_ptr_array_add (now, kept ? kept : load (plugins, entry, is_reload));
  }
  plugins->plugins = g_steal_pointer (&now);
}

PcdPlugin *
pcd_plugins_find (PcdPlugins *plugins, const char *name)
{
  for (guint i = 0; i < plugins->plugins->len; i++) {
    PcdPlugin *plugin = plugins->plugins->pdata[i];
    if (strcmp (plugin->name, name) == 0)
      return plugin;
  }
  return NULL;
}

guint
pcd_plugins_get_length (PcdPlugins *plugins)
{
  return plugins->plugins->len;
}

PcdPlugin *
pcd_plugins_get_nth (PcdPlugins *plugins, guint n)
{
  return plugins->plugins->pdata[n];
}

/* ---- from outside ---- */

static void
view_free (gpointer data)
{
  PcdPluginView *view = data;

  g_free (view->name);
  g_free (view->path);
  g_free (view->kind);
  g_free (view->problem);
  g_free (view);
}

static PcdPluginView *
look (const PcdPluginConfig *config, const char *marks)
{
  PcdPluginView *view = g_new0 (PcdPluginView, 1);
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdPluginFile) file = pcd_plugin_file_open (config->name, config->path, &error);

  view->name = g_strdup (config->name);
  view->path = pcd_plugin_file_path (config->name, config->path);
  if (!file) {
    view->problem = g_strdup (error->message);
    return view;
  }
  view->kind = g_strdup (file->kind);
  view->abi_major = file->abi_major;
  view->abi_minor = file->abi_minor;
  view->flags = file->flags;
  view->deaths = marks ? pcd_plugin_marks_deaths (marks, config->name, &file->status) : 0;
  if (view->deaths >= PCD_PLUGIN_DEATHS)
    view->problem =
        g_strdup_printf (_ ("%s: set aside: postcopyd died %u times while it ran; a reload of "
                            "postcopyd or another file gives it another chance"),
                         view->path, view->deaths);
  return view;
}

GPtrArray *
pcd_plugins_look (const PcdConfig *config, const char *state_dir)
{
  g_autofree char *marks = state_dir ? g_build_filename (state_dir, "plugin-marks", NULL) : NULL;
  GPtrArray *views = g_ptr_array_new_with_free_func (view_free);

  for (guint i = 0; i < config->plugins->len; i++) {
    PcdPluginView *view = look (config->plugins->pdata[i], marks);

    if (g_strcmp0 (view->kind, "sink") != 0)
      declare_action (view->name, view->flags, NULL, NULL, TRUE);
    g_ptr_array_add (views, view);
  }
  return views;
}
