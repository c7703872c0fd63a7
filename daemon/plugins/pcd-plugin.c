/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One plugin: its table, and the count of those who are in its code.
 * Knows neither the others nor the configuration. */
#include "plugins/pcd-plugin-private.h"

#include <gio/gio.h>

#include "plugins/pcd-plugin-marks.h"

/* Calls that did not come back in time: threads that are lost, as one cannot be ended. */
#define MAX_OVERDUE 3

PcdPlugin *
pcd_plugin_new (const char *name)
{
  PcdPlugin *plugin = g_new0 (PcdPlugin, 1);

  g_atomic_ref_count_init (&plugin->refs);
  g_mutex_init (&plugin->lock);
  plugin->name = g_strdup (name);
  return plugin;
}

PcdPlugin *
pcd_plugin_ref (PcdPlugin *plugin)
{
  g_atomic_ref_count_inc (&plugin->refs);
  return plugin;
}

void
pcd_plugin_unref (PcdPlugin *plugin)
{
  if (!g_atomic_ref_count_dec (&plugin->refs))
    return;
  g_clear_pointer (&plugin->settings, g_variant_unref);
  g_mutex_clear (&plugin->lock);
  g_free (plugin->name);
  g_free (plugin->path);
  g_free (plugin->problem);
  g_free (plugin->directory);
  g_free (plugin->marks);
  g_free (plugin);
}

/* What its version has of @size bytes; the rest stays 0. */
static void
take_struct (gpointer mine, gsize size, gconstpointer theirs, guint32 their_size)
{
  memcpy (mine, theirs, MIN (size, their_size));
}

void
pcd_plugin_take_table (PcdPlugin *plugin, const PostcopydPlugin *table)
{
  take_struct (&plugin->table, sizeof plugin->table, table, table->struct_size);
  if (plugin->table.action) {
    take_struct (&plugin->action, sizeof plugin->action, plugin->table.action,
                 plugin->table.action->struct_size);
    plugin->table.action = &plugin->action;
  }
  if (plugin->table.sink) {
    take_struct (&plugin->sink, sizeof plugin->sink, plugin->table.sink,
                 plugin->table.sink->struct_size);
    plugin->table.sink = &plugin->sink;
  }
  plugin->is_used = TRUE;
}

const char *
pcd_plugin_get_name (const PcdPlugin *plugin)
{
  return plugin->name;
}

const char *
pcd_plugin_get_path (const PcdPlugin *plugin)
{
  return plugin->path;
}

const char *
pcd_plugin_get_problem (const PcdPlugin *plugin)
{
  return plugin->problem;
}

const PostcopydPlugin *
pcd_plugin_get_table (const PcdPlugin *plugin)
{
  return plugin->is_used ? &plugin->table : NULL;
}

const PostcopydAction *
pcd_plugin_get_action (const PcdPlugin *plugin)
{
  return plugin->is_used ? plugin->table.action : NULL;
}

const PostcopydSink *
pcd_plugin_get_sink (const PcdPlugin *plugin)
{
  return plugin->is_used ? plugin->table.sink : NULL;
}

GVariant *
pcd_plugin_get_settings (const PcdPlugin *plugin)
{
  return plugin->settings;
}

const char *
pcd_plugin_get_directory (const PcdPlugin *plugin)
{
  return plugin->directory;
}

gboolean
pcd_plugin_enter (PcdPlugin *plugin, GError **error)
{
  gboolean ok = TRUE;

  if (!plugin->path)
    return TRUE;
  g_mutex_lock (&plugin->lock);
  if (plugin->overdue >= MAX_OVERDUE) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY,
                 "plugin %s: %u earlier calls have not come back", plugin->name, plugin->overdue);
    ok = FALSE;
  } else if (plugin->inside == 0 && plugin->marks) {
    ok = pcd_plugin_marks_begin (plugin->marks, plugin->name, error);
  }
  plugin->inside += ok;
  g_mutex_unlock (&plugin->lock);
  return ok;
}

void
pcd_plugin_leave (PcdPlugin *plugin)
{
  if (!plugin->path)
    return;
  g_mutex_lock (&plugin->lock);
  if (--plugin->inside == 0 && plugin->marks)
    pcd_plugin_marks_end (plugin->marks, plugin->name);
  g_mutex_unlock (&plugin->lock);
}

void
pcd_plugin_set_overdue (PcdPlugin *plugin, gboolean overdue)
{
  g_mutex_lock (&plugin->lock);
  plugin->overdue += overdue ? 1 : -1;
  g_mutex_unlock (&plugin->lock);
}

void
pcd_plugin_excuse (PcdPlugin *plugin)
{
  g_mutex_lock (&plugin->lock);
  if (plugin->inside > 0 && plugin->marks)
    pcd_plugin_marks_end (plugin->marks, plugin->name);
  g_clear_pointer (&plugin->marks, g_free);
  g_mutex_unlock (&plugin->lock);
}
