/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thread per call: only a thread can be left behind when a receiver hangs. */
#include "sinks/pcd-sink-call.h"

#include "core/pcd-record.h"
#include "plugins/pcd-plugin-job.h"

#include <gio/gio.h>
#include <string.h>

/* After a failure, no longer than this is left to a receiver to say. */
#define MAX_RETRY_AFTER (G_TIME_SPAN_HOUR)

/* Whatever a plugin says that it takes: so many events are in memory at once. */
#define MAX_BATCH 1000

struct _PcdSinkInstance {
  gatomicrefcount refs;
  const PcdSinkType *type; /* NULL: a loaded one */
  gpointer sink;           /* of @type */
  PcdPlugin *plugin;
  GVariant *settings; /* a{ss} */
};

struct _PcdSinkCall {
  PcdPluginJob *job;
  gatomicrefcount refs;
  PcdSinkInstance *instance;
  GPtrArray *notes;
  PcdSinkCallFunc func;
  gpointer data;
  gint abandoned; /* atomic: 1 left behind, 2 over */
  gint over;      /* atomic: what is below may be read */
  PcdSinkResult result;
};

enum { ABANDONED = 1, OVER = 2 };

/* ---- instances ---- */

static GVariant *
settings_of (GHashTable *keys)
{
  GVariantBuilder builder;
  GHashTableIter iter;
  gpointer key, value;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{ss}"));
  g_hash_table_iter_init (&iter, keys);
  while (g_hash_table_iter_next (&iter, &key, &value))
    g_variant_builder_add (&builder, "{ss}", key, value);
  return g_variant_builder_end (&builder);
}

static gpointer
create (const PcdSinkType *type, GHashTable *keys, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  gpointer sink = type->create (keys, &local_error);

  if (!sink && !local_error)
    g_set_error (&local_error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
                 "type %s cannot be set up, and does not say why", type->name);
  if (!sink)
    g_propagate_error (error, g_steal_pointer (&local_error));
  return sink;
}

static gboolean
check_plugin (const PcdPlugin *plugin, GHashTable *keys, GError **error)
{
  const PostcopydSink *table = pcd_plugin_get_sink (plugin);

  if (pcd_plugin_get_problem (plugin)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "plugin %s is not used: %s",
                 pcd_plugin_get_name (plugin), pcd_plugin_get_problem (plugin));
    return FALSE;
  }
  if (!table) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "plugin %s is not a sink",
                 pcd_plugin_get_name (plugin));
    return FALSE;
  }
  return !table->settings || pcd_sink_check_keys (keys, table->settings, error);
}

PcdSinkInstance *
pcd_sink_instance_new (const PcdSinkType *type, PcdPlugin *plugin, GHashTable *keys, GError **error)
{
  gpointer sink = type ? create (type, keys, error) : NULL;

  if (type ? !sink : !check_plugin (plugin, keys, error))
    return NULL;
  PcdSinkInstance *self = g_new0 (PcdSinkInstance, 1);
  g_atomic_ref_count_init (&self->refs);
  self->type = type;
  self->sink = sink;
  self->plugin = type ? NULL : pcd_plugin_ref (plugin);
  self->settings = g_variant_ref_sink (settings_of (keys));
  return self;
}

PcdSinkInstance *
pcd_sink_instance_ref (PcdSinkInstance *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
pcd_sink_instance_unref (PcdSinkInstance *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  if (self->type)
    self->type->free (self->sink);
  g_clear_pointer (&self->plugin, pcd_plugin_unref);
  g_variant_unref (self->settings);
  g_free (self);
}

gint64
pcd_sink_instance_get_budget (PcdSinkInstance *self, gint64 timeout_usec)
{
  return self->type && self->type->budget_usec ? self->type->budget_usec (self->sink, timeout_usec)
                                               : timeout_usec;
}

guint
pcd_sink_instance_get_max_batch (PcdSinkInstance *self)
{
  const guint most =
      self->type ? self->type->max_batch : pcd_plugin_get_sink (self->plugin)->max_batch;

  return CLAMP (most, 1, MAX_BATCH);
}

/* ---- results ---- */

static PcdSinkResult
nonsense (const char *what)
{
  PcdSinkResult result = { .outcome = POSTCOPYD_FAILED };

  g_snprintf (result.reason, sizeof result.reason, "the sink is broken: %s", what);
  return result;
}

PcdSinkResult
pcd_sink_result_check (guint n_notes,
                       PostcopydOutcome outcome,
                       const PostcopydDelivery *delivery,
                       const char *reason)
{
  PcdSinkResult result = { .outcome = outcome, .n_delivered = delivery->n_delivered };
  g_autofree char *text = pcd_text_printable (reason);

  if (outcome == POSTCOPYD_DONE) {
    result.n_delivered = n_notes;
    return result;
  }
  if (outcome != POSTCOPYD_FAILED && outcome != POSTCOPYD_REFUSED)
    return nonsense ("an outcome that there is not");
  if (delivery->n_delivered > n_notes)
    return nonsense ("more delivered than it was given");
  if (outcome == POSTCOPYD_REFUSED && delivery->n_delivered == n_notes)
    return nonsense ("it refuses a note that it was not given");
  if (outcome == POSTCOPYD_FAILED)
    result.retry_after_usec = CLAMP (delivery->retry_after_usec, 0, MAX_RETRY_AFTER);
  g_strlcpy (result.reason, text[0] ? text : "it gave no reason", sizeof result.reason);
  return result;
}

/* ---- calls ---- */

static void
call_unref (PcdSinkCall *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  pcd_plugin_job_unref (self->job);
  pcd_sink_instance_unref (self->instance);
  g_ptr_array_unref (self->notes);
  g_free (self);
}

/* In the thread that delivers: to write down that it is in the plugin's code takes a disk. */
static PostcopydOutcome
bring (PcdSinkCall *self,
       const PostcopydNote **notes,
       PostcopydDelivery *delivery,
       char *reason,
       gsize reason_size)
{
  const PcdSinkInstance *to = self->instance;
  const PostcopydJob *job = pcd_plugin_job_get_view (self->job);
  const guint n = self->notes->len;
  g_autoptr (GError) error = NULL;

  if (to->type)
    return to->type->deliver (to->sink, notes, n, job, delivery, reason, reason_size);
  if (!pcd_plugin_enter (to->plugin, &error)) {
    g_strlcpy (reason, error->message, reason_size);
    return POSTCOPYD_FAILED;
  }
  PostcopydOutcome outcome =
      pcd_plugin_get_sink (to->plugin)->deliver (notes, n, job, delivery, reason, reason_size);
  pcd_plugin_leave (to->plugin);
  return outcome;
}

static void
deliver (PcdSinkCall *self)
{
  guint n = self->notes->len;
  g_autofree PostcopydNote *notes = g_new0 (PostcopydNote, n);
  g_autofree const PostcopydNote **pointers = g_new0 (const PostcopydNote *, n);
  PostcopydDelivery delivery = { .struct_size = sizeof delivery };
  char reason[256] = "";

  for (guint i = 0; i < n; i++) {
    const PcdNote *note = g_ptr_array_index (self->notes, i);
    notes[i] = (PostcopydNote){
      .struct_size = sizeof notes[i],
      .id = note->id,
      .stream = note->stream,
      .kind = note->kind,
      .time_usec = note->time,
      .json = note->json,
    };
    pointers[i] = &notes[i];
  }
  PostcopydOutcome outcome = bring (self, pointers, &delivery, reason, sizeof reason);
  reason[sizeof reason - 1] = '\0';
  self->result = pcd_sink_result_check (n, outcome, &delivery, reason);
}

static void
set_overdue (PcdSinkCall *self, gboolean overdue)
{
  if (self->instance->plugin)
    pcd_plugin_set_overdue (self->instance->plugin, overdue);
}

static gpointer
call_thread (gpointer data)
{
  PcdSinkCall *self = data;

  deliver (self);
  if (g_atomic_int_add (&self->abandoned, OVER) & ABANDONED)
    set_overdue (self, FALSE);
  g_atomic_int_set (&self->over, TRUE);
  self->func (self->data);
  call_unref (self);
  return NULL;
}

PcdSinkCall *
pcd_sink_call_start (PcdSinkInstance *instance,
                     GPtrArray *notes,
                     gint64 deadline_usec,
                     PcdSinkCallFunc func,
                     gpointer data,
                     GError **error)
{
  PcdSinkCall *self = g_new0 (PcdSinkCall, 1);

  g_atomic_ref_count_init (&self->refs);
  g_atomic_ref_count_inc (&self->refs);
  self->job = pcd_plugin_job_new (
      instance->type ? instance->type->name : pcd_plugin_get_name (instance->plugin), deadline_usec,
      instance->settings, instance->plugin ? pcd_plugin_get_directory (instance->plugin) : NULL,
      NULL, NULL);
  self->instance = pcd_sink_instance_ref (instance);
  self->notes = g_ptr_array_ref (notes);
  self->func = func;
  self->data = data;
  GThread *thread = g_thread_try_new ("sink-call", call_thread, self, error);
  if (thread) {
    g_thread_unref (thread);
    return self;
  }
  call_unref (self);
  call_unref (self);
  return NULL;
}

void
pcd_sink_call_cancel (PcdSinkCall *self)
{
  pcd_plugin_job_cancel (self->job);
}

void
pcd_sink_call_abandon (PcdSinkCall *self)
{
  set_overdue (self, TRUE);
  if (g_atomic_int_add (&self->abandoned, ABANDONED) & OVER)
    set_overdue (self, FALSE);
}

void
pcd_sink_call_free (PcdSinkCall *self)
{
  pcd_sink_call_cancel (self);
  call_unref (self);
}

gboolean
pcd_sink_call_is_over (PcdSinkCall *self)
{
  return g_atomic_int_get (&self->over);
}

PcdSinkResult
pcd_sink_call_get_result (PcdSinkCall *self)
{
  return self->result;
}
