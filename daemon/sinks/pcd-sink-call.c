/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thread per call: only a thread can be left behind when a receiver hangs. */
#include "sinks/pcd-sink-call.h"

#include "core/pcd-record.h"
#include "plugins/pcd-plugin-job.h"

#include <string.h>

/* After a failure, no longer than this is left to a receiver to say. */
#define MAX_RETRY_AFTER (G_TIME_SPAN_HOUR)

struct _PcdSinkInstance {
  gatomicrefcount refs;
  const PcdSinkType *type;
  gpointer sink;
  GVariant *settings; /* a{ss} */
};

struct _PcdSinkCall {
  PcdPluginJob *job;
  gatomicrefcount refs;
  PcdSinkInstance *instance;
  GPtrArray *notes;
  PcdSinkCallFunc func;
  gpointer data;
  gint over; /* atomic: what is below may be read */
  PcdSinkResult result;
};

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

PcdSinkInstance *
pcd_sink_instance_new (const PcdSinkType *type, GHashTable *keys, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  gpointer sink = type->create (keys, &local_error);

  if (!sink) {
    if (!local_error)
      g_set_error (&local_error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
                   "type %s cannot be set up, and does not say why", type->name);
    g_propagate_error (error, g_steal_pointer (&local_error));
    return NULL;
  }
  PcdSinkInstance *self = g_new0 (PcdSinkInstance, 1);
  g_atomic_ref_count_init (&self->refs);
  self->type = type;
  self->sink = sink;
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
  self->type->free (self->sink);
  g_variant_unref (self->settings);
  g_free (self);
}

gint64
pcd_sink_instance_get_budget (PcdSinkInstance *self, gint64 timeout_usec)
{
  return self->type->budget_usec ? self->type->budget_usec (self->sink, timeout_usec)
                                 : timeout_usec;
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
  PostcopydOutcome outcome = self->instance->type->deliver (self->instance->sink, pointers, n,
                                                            pcd_plugin_job_get_view (self->job),
                                                            &delivery, reason, sizeof reason);
  reason[sizeof reason - 1] = '\0';
  self->result = pcd_sink_result_check (n, outcome, &delivery, reason);
}

static gpointer
call_thread (gpointer data)
{
  PcdSinkCall *self = data;

  deliver (self);
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
  self->job = pcd_plugin_job_new (instance->type->name, deadline_usec, instance->settings, NULL,
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
