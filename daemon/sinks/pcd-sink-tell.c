/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sinks' messages: a receiver that is down for days is worth one line, not one per attempt. */
#include "sinks/pcd-sink-tell.h"

#include "core/pcd-json.h"
#include "engine/pcd-log.h"

#include <json-glib/json-glib.h>

static void say (const PcdSinkTeller *self,
                 GLogLevelFlags level,
                 const char *message_id,
                 const char *format,
                 ...) G_GNUC_PRINTF (4, 5);

static void
say (const PcdSinkTeller *self,
     GLogLevelFlags level,
     const char *message_id,
     const char *format,
     ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_log_structured (G_LOG_DOMAIN, level, "MESSAGE_ID", message_id, "PCD_SINK", self->sink,
                    "MESSAGE", "sink %s: %s", self->sink, text);
}

void
pcd_sink_teller_look (PcdSinkTeller *self, const PcdNoteRow *row)
{
  if (row->dropped > self->dropped && row->untold > 0 && !self->dropping) {
    say (self, G_LOG_LEVEL_WARNING, PCD_MESSAGE_SINK_DROPPING,
         "its queue is full: the oldest events are dropped");
    self->dropping = TRUE;
  }
  self->dropped = row->dropped;
}

void
pcd_sink_teller_failed (PcdSinkTeller *self, const char *reason)
{
  if (!self->failing)
    say (self, G_LOG_LEVEL_WARNING, PCD_MESSAGE_SINK_FAILING,
         "%s; what comes is kept, and it is tried again", reason);
  else
    g_debug ("sink %s: %s", self->sink, reason);
  self->failing = TRUE;
}

void
pcd_sink_teller_worked (PcdSinkTeller *self)
{
  if (self->failing)
    say (self, G_LOG_LEVEL_MESSAGE, PCD_MESSAGE_SINK_BACK, "takes events again");
  self->failing = FALSE;
}

void
pcd_sink_teller_stuck (PcdSinkTeller *self, gint n_abandoned)
{
  say (self, G_LOG_LEVEL_WARNING, PCD_MESSAGE_SINK_STUCK,
       "did not come back in time; its thread is left behind, the %d. of them", n_abandoned);
}

void
pcd_sink_teller_refused (PcdSinkTeller *self, const PcdNote *note, const char *reason)
{
  say (self, G_LOG_LEVEL_WARNING, PCD_MESSAGE_SINK_REFUSED,
       "event %s (%s) was refused and is not brought again: %s", note->id, note->kind, reason);
}

void
pcd_sink_teller_told (PcdSinkTeller *self, gint64 n_dropped)
{
  say (self, G_LOG_LEVEL_WARNING, PCD_MESSAGE_SINK_DROPPED,
       "was told that %" G_GINT64_FORMAT " events were dropped", n_dropped);
  self->dropping = FALSE;
}

PcdNote *
pcd_sink_dropped_note (const char *queue, const char *sink, gint64 first, gint64 last, gint64 time)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autofree char *first_id = g_strdup_printf ("%s-%" G_GINT64_FORMAT, queue, first);
  g_autofree char *last_id = g_strdup_printf ("%s-%" G_GINT64_FORMAT, queue, last);
  g_autofree char *text = pcd_time_to_rfc3339 (time);
  g_autofree char *detail = g_strdup_printf (
      "%" G_GINT64_FORMAT " events were dropped before they could be delivered", last - first + 1);
  PcdNote *note = g_new0 (PcdNote, 1);

  json_builder_begin_object (builder);
  pcd_json_add_string (builder, "time", text);
  pcd_json_add_string (builder, "kind", "dropped");
  pcd_json_add_int (builder, "count", last - first + 1);
  pcd_json_add_string (builder, "first-id", first_id);
  pcd_json_add_string (builder, "last-id", last_id);
  pcd_json_add_string (builder, "detail", detail);
  json_builder_end_object (builder);
  g_autoptr (JsonNode) root = json_builder_get_root (builder);

  note->number = last;
  note->id = g_strdup_printf ("%s-dropped-%s-%" G_GINT64_FORMAT "-%" G_GINT64_FORMAT, queue, sink,
                              first, last);
  note->stream = g_strdup ("");
  note->kind = g_strdup ("dropped");
  note->time = time;
  note->json = json_to_string (root, FALSE);
  return note;
}
