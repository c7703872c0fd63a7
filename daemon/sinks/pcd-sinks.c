/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runners by their names, and records into notes. */
#include "sinks/pcd-sinks.h"

#include <gio/gio.h>
#include <json-glib/json-glib.h>

#include "core/pcd-json.h"
#include "plugins/pcd-plugin-file.h"
#include "sinks/exec/pcd-exec.h"

#define STOP_USEC (3 * G_TIME_SPAN_SECOND)

struct _PcdSinks {
  PcdEngine *engine;
  PcdJournal *journal; /* nullable; a reference */
  GMutex lock;         /* of @runners, for the journal's thread */
  GPtrArray *runners;  /* PcdSinkRunner, by name */
};

/* ---- configuration ---- */

/* Whether it can be a sink: a file that cannot be used is the plugins' to tell of. */
static gboolean
can_be_sink (const PcdPluginConfig *plugin)
{
  g_autoptr (PcdPluginFile) file = pcd_plugin_file_open (plugin->name, plugin->path, NULL);

  return !file || !file->kind || strcmp (file->kind, "sink") == 0;
}

static char *
list_types (const PcdConfig *config)
{
  g_autofree char *built_in = pcd_sink_type_list ();
  GString *list = g_string_new (built_in);

  for (guint i = 0; i < config->plugins->len; i++) {
    const PcdPluginConfig *plugin = g_ptr_array_index (config->plugins, i);
    if (can_be_sink (plugin))
      g_string_append_printf (list, ", %s", plugin->name);
  }
  return g_string_free (list, FALSE);
}

static gboolean
is_plugin (const PcdConfig *config, const char *type)
{
  for (guint i = 0; i < config->plugins->len; i++) {
    const PcdPluginConfig *plugin = g_ptr_array_index (config->plugins, i);
    if (strcmp (plugin->name, type) == 0)
      return can_be_sink (plugin);
  }
  return FALSE;
}

static gboolean
check_sink (const PcdConfig *all, const PcdSinkConfig *config, GError **error)
{
  const PcdSinkType *type = config->type ? pcd_sink_type_find (config->type) : NULL;
  g_autoptr (PcdSinkInstance) instance = NULL;
  g_autoptr (GError) local_error = NULL;

  if (!config->type) {
    g_set_error (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_KEY_NOT_FOUND,
                 "%s has no type, expected a line such as type = exec", config->place);
    return FALSE;
  }
  if (!type && is_plugin (all, config->type))
    return TRUE;
  if (!type) {
    g_autofree char *types = list_types (all), *got = g_strescape (config->type, NULL);
    g_set_error (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_INVALID_VALUE,
                 "%s type: got \"%.40s\", expected one of: %s", config->place, got, types);
    return FALSE;
  }
  instance = pcd_sink_instance_new (type, NULL, config->keys, &local_error);
  if (!instance)
    g_set_error (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_INVALID_VALUE, "%s %s", config->place,
                 local_error->message);
  return instance != NULL;
}

gboolean
pcd_sinks_check (const PcdConfig *config, GError **error)
{
  for (guint i = 0; i < config->sinks->len; i++)
    if (!check_sink (config, g_ptr_array_index (config->sinks, i), error))
      return FALSE;
  return TRUE;
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  const PcdSinkConfig *const *left = a, *const *right = b;

  return g_strcmp0 ((*left)->name, (*right)->name);
}

/* What is to run. A host that has the folder has hooks, as with libvirt's; without it not even the
 * queue is written. */
static GPtrArray *
wanted (const PcdConfig *config)
{
  GPtrArray *sinks = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_sink_config_unref);
  gboolean has_hooks = FALSE;

  for (guint i = 0; i < config->sinks->len; i++) {
    const PcdSinkConfig *sink = g_ptr_array_index (config->sinks, i);
    has_hooks |= g_str_equal (sink->name, PCD_SINKS_HOOKS_NAME);
    if (sink->enabled)
      g_ptr_array_add (sinks, pcd_sink_config_complete (sink, &config->sink_defaults));
  }
  if (!has_hooks && g_file_test (PCD_EXEC_DIRECTORY, G_FILE_TEST_IS_DIR)) {
    g_autoptr (PcdSinkConfig) hooks =
        pcd_sink_config_new (PCD_SINKS_HOOKS_NAME, "exec", g_strdup (PCD_EXEC_DIRECTORY));
    g_ptr_array_add (sinks, pcd_sink_config_complete (hooks, &config->sink_defaults));
  }
  g_ptr_array_sort (sinks, compare_names);
  return sinks;
}

/* ---- runners ---- */

/* In the journal's thread. */
static void
on_queue_changed (gpointer data)
{
  PcdSinks *self = data;

  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->runners->len; i++)
    pcd_sink_runner_poke (g_ptr_array_index (self->runners, i));
  g_mutex_unlock (&self->lock);
}

static PcdSinkRunner *
find_runner (GPtrArray *runners, const char *name)
{
  for (guint i = 0; i < runners->len; i++) {
    PcdSinkRunner *runner = g_ptr_array_index (runners, i);
    if (g_str_equal (pcd_sink_runner_get_config (runner)->name, name))
      return runner;
  }
  return NULL;
}

/* Only a plugin that is loaded says which keys it has. As with all that is wrong with one, the
 * daemon says so and goes on; what happens is kept for it. */
static void
look_at_plugin (const PcdSinkConfig *config, PcdPlugin *plugin)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdSinkInstance) instance = pcd_sink_instance_new (NULL, plugin, config->keys, &error);

  if (!instance)
    g_warning ("%s %s; nothing is delivered", config->place, error->message);
}

static PcdSinkRunner *
keep_or_start (PcdSinks *self, GPtrArray *old, const PcdSinkConfig *config)
{
  PcdSinkRunner *runner = find_runner (old, config->name);
  const PcdSinkType *type = pcd_sink_type_find (config->type);
  PcdPlugin *plugin =
      type ? NULL : pcd_plugins_find (pcd_engine_get_plugins (self->engine), config->type);

  if (runner)
    g_ptr_array_remove (old, runner);
  if (plugin)
    look_at_plugin (config, plugin);
  if (runner && pcd_sink_config_equal (pcd_sink_runner_get_config (runner), config) &&
      pcd_sink_runner_get_plugin (runner) == plugin)
    return runner;
  if (runner)
    pcd_sink_runner_stop (runner);
  return pcd_sink_runner_new (config, type, plugin, self->journal, &PCD_SINK_TIMING, runner);
}

static void
introduce (PcdSinks *self, GPtrArray *configs)
{
  GPtrArray *limits = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_note_limits_free);

  for (guint i = 0; i < configs->len; i++) {
    const PcdSinkConfig *config = g_ptr_array_index (configs, i);
    g_ptr_array_add (limits, pcd_note_limits_new (config->name, config->common.max_notes,
                                                  config->common.max_bytes));
  }
  pcd_journal_set_sinks (self->journal, limits);
}

void
pcd_sinks_set_config (PcdSinks *self, const PcdConfig *config)
{
  g_autoptr (GPtrArray) configs = wanted (config);
  g_autoptr (GPtrArray) runners = g_ptr_array_new ();

  if (!self->journal) {
    if (configs->len > 0)
      g_warning ("without a journal there is no queue: no sink is told of anything");
    return;
  }
  g_autoptr (GPtrArray) old = self->runners;
  introduce (self, configs);
  g_mutex_lock (&self->lock);
  for (guint i = 0; i < configs->len; i++)
    g_ptr_array_add (runners, keep_or_start (self, old, g_ptr_array_index (configs, i)));
  self->runners = g_steal_pointer (&runners);
  g_mutex_unlock (&self->lock);
  for (guint i = 0; i < old->len; i++) {
    pcd_sink_runner_stop (g_ptr_array_index (old, i));
    pcd_sink_runner_unref (g_ptr_array_index (old, i));
  }
}

/* ---- notes ---- */

static void
on_record (const PcdRecord *record, gpointer data)
{
  PcdSinks *self = data;

  if (self->runners->len == 0)
    return;
  g_autofree char *stream =
      record->uuid ? g_strdup_printf ("%s/%s", record->uuid, pcd_role_to_string (record->role))
                   : g_strdup ("");
  g_autofree char *json = pcd_record_to_json (record);
  pcd_journal_add_note (self->journal, stream, pcd_record_kind_to_string (record->kind),
                        record->time, json);
}

static const PcdListener listener = { .record = on_record };

PcdSinks *
pcd_sinks_new (PcdEngine *engine)
{
  PcdSinks *self = g_new0 (PcdSinks, 1);
  PcdJournal *journal = pcd_engine_get_journal (engine);

  g_mutex_init (&self->lock);
  self->engine = engine;
  self->runners = g_ptr_array_new ();
  self->journal = journal ? pcd_journal_ref (journal) : NULL;
  if (journal)
    pcd_journal_watch_notes (journal, on_queue_changed, self);
  pcd_engine_add_listener (engine, &listener, self);
  return self;
}

void
pcd_sinks_stop (PcdSinks *self)
{
  const gint64 until = g_get_monotonic_time () + STOP_USEC;

  if (self->journal)
    pcd_journal_watch_notes (self->journal, NULL, NULL);
  for (guint i = 0; i < self->runners->len; i++)
    pcd_sink_runner_stop (g_ptr_array_index (self->runners, i));
  for (guint i = 0; i < self->runners->len; i++)
    pcd_sink_runner_wait (g_ptr_array_index (self->runners, i), until);
}

void
pcd_sinks_free (PcdSinks *self)
{
  if (!self)
    return;
  for (guint i = 0; i < self->runners->len; i++)
    pcd_sink_runner_unref (g_ptr_array_index (self->runners, i));
  g_ptr_array_unref (self->runners);
  g_clear_pointer (&self->journal, pcd_journal_unref);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* ---- for people ---- */

static void
add_time (JsonBuilder *builder, const char *name, gint64 time)
{
  g_autofree char *text = time ? pcd_time_to_rfc3339 (time) : NULL;

  if (text)
    pcd_json_add_string (builder, name, text);
}

static char *
status_to_json (const PcdSinkStatus *status)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  pcd_json_add_string (builder, "sink", status->name);
  pcd_json_add_string (builder, "type", status->type);
  pcd_json_add_string (builder, "state", status->state);
  pcd_json_add_int (builder, "waiting", status->waiting);
  pcd_json_add_int (builder, "waiting-bytes", status->waiting_bytes);
  pcd_json_add_int (builder, "delivered", status->delivered);
  pcd_json_add_int (builder, "refused", status->refused);
  pcd_json_add_int (builder, "dropped", status->dropped);
  if (status->error)
    pcd_json_add_string (builder, "last-error", status->error);
  add_time (builder, "last-error-time", status->error_time);
  add_time (builder, "next-try", status->next_try);
  json_builder_end_object (builder);
  g_autoptr (JsonNode) root = json_builder_get_root (builder);
  return json_to_string (root, FALSE);
}

GStrv
pcd_sinks_to_json (PcdSinks *self)
{
  g_autoptr (GStrvBuilder) lines = g_strv_builder_new ();

  for (guint i = 0; i < self->runners->len; i++) {
    g_autoptr (PcdSinkStatus) status =
        pcd_sink_runner_get_status (g_ptr_array_index (self->runners, i));
    g_autofree char *line = status_to_json (status);
    g_strv_builder_add (lines, line);
  }
  return g_strv_builder_end (lines);
}
