/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A record becomes one journal entry; elsewhere, one line of stderr. */
#include "engine/pcd-log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_FIELDS 16

static const char *const message_ids[PCD_N_RECORDS] = {
  [PCD_RECORD_PHASE] = PCD_MESSAGE_PHASE,       [PCD_RECORD_FLOW] = PCD_MESSAGE_FLOW,
  [PCD_RECORD_CAUSE] = PCD_MESSAGE_CAUSE,       [PCD_RECORD_UNATTENDED] = PCD_MESSAGE_UNATTENDED,
  [PCD_RECORD_ARMED] = PCD_MESSAGE_ARMED,       [PCD_RECORD_BLOCKED] = PCD_MESSAGE_BLOCKED,
  [PCD_RECORD_SHUTDOWN] = PCD_MESSAGE_SHUTDOWN, [PCD_RECORD_LIBVIRT] = PCD_MESSAGE_LIBVIRT,
  [PCD_RECORD_ACTION] = PCD_MESSAGE_ACTION,     [PCD_RECORD_POLICY] = PCD_MESSAGE_POLICY,
  [PCD_RECORD_HOLD] = PCD_MESSAGE_HOLD,         [PCD_RECORD_UNKNOWN] = PCD_MESSAGE_UNKNOWN,
};

static const char *
level_word (GLogLevelFlags level)
{
  if (level & G_LOG_LEVEL_ERROR)
    return "fatal";
  if (level & G_LOG_LEVEL_CRITICAL)
    return "bug";
  if (level & G_LOG_LEVEL_WARNING)
    return "warning";
  if (level & G_LOG_LEVEL_MESSAGE)
    return "notice";
  return level & G_LOG_LEVEL_INFO ? "info" : "debug";
}

/* As in sd-daemon(3) and syslog(3). GLib's default gives g_critical() the same 4 as g_warning(). */
static const char *
priority_of (GLogLevelFlags level)
{
  if (level & G_LOG_LEVEL_WARNING)
    return "4";
  return level & G_LOG_LEVEL_MESSAGE ? "5" : "6";
}

static GLogWriterOutput
write_line (GLogLevelFlags level, const GLogField *fields, gsize n_fields)
{
  g_autofree char *time = pcd_time_to_text (g_get_real_time ());

  for (gsize i = 0; i < n_fields; i++) {
    if (!g_str_equal (fields[i].key, "MESSAGE"))
      continue;
    const char *text = fields[i].value;
    g_autofree char *whole =
        g_strndup (text, fields[i].length < 0 ? strlen (text) : (gsize)fields[i].length);
    g_autofree char *printable = pcd_text_printable (whole);
    fprintf (stderr, "%s: %s: %s\n", time, level_word (level), printable);
  }
  return G_LOG_WRITER_HANDLED;
}

static GLogWriterOutput
write_log (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer data)
{
  gboolean to_journal = GPOINTER_TO_INT (data);

  if ((level & G_LOG_LEVEL_DEBUG) && g_log_writer_default_would_drop (level, G_LOG_DOMAIN))
    return G_LOG_WRITER_HANDLED;
  if (to_journal && g_log_writer_journald (level, fields, n_fields, NULL) == G_LOG_WRITER_HANDLED)
    return G_LOG_WRITER_HANDLED;
  return write_line (level, fields, n_fields);
}

void
pcd_log_init (void)
{
  gboolean to_journal = g_log_writer_is_journald (STDERR_FILENO);

  g_log_set_writer_func (write_log, GINT_TO_POINTER (to_journal), NULL);
}

GLogLevelFlags
pcd_log_level_of_record (const PcdRecord *record)
{
  static const char *const bad[] = { "paused", "failed", "gone", "disconnected", "stalled", NULL };

  switch (record->kind) {
  case PCD_RECORD_PHASE:
  case PCD_RECORD_LIBVIRT:
    return record->to && g_strv_contains (bad, record->to) ? G_LOG_LEVEL_WARNING
                                                           : G_LOG_LEVEL_MESSAGE;
  case PCD_RECORD_UNKNOWN:
    return G_LOG_LEVEL_WARNING;
  case PCD_RECORD_ACTION:
  case PCD_RECORD_POLICY:
  case PCD_RECORD_HOLD:
  case PCD_RECORD_CAUSE:
  case PCD_RECORD_UNATTENDED:
  case PCD_RECORD_SHUTDOWN:
    return G_LOG_LEVEL_MESSAGE;
  case PCD_RECORD_FLOW:
    return g_strcmp0 (record->to, "stalled") == 0 ? G_LOG_LEVEL_WARNING : G_LOG_LEVEL_INFO;
  case PCD_RECORD_ARMED:
  case PCD_RECORD_BLOCKED:
  case PCD_RECORD_MEASURED: /* never told, so it has no MESSAGE_ID */
  case PCD_N_RECORDS:
    return G_LOG_LEVEL_INFO;
  }
  return G_LOG_LEVEL_WARNING;
}

/* The state that a record is about, as a field that a journal can be filtered by. */
static const char *
state_field (PcdRecordKind kind)
{
  switch (kind) {
  case PCD_RECORD_PHASE:
    return "PCD_PHASE";
  case PCD_RECORD_FLOW:
    return "PCD_FLOW";
  case PCD_RECORD_CAUSE:
    return "PCD_CAUSE";
  default:
    return NULL;
  }
}

static void
add_field (GLogField *fields, gsize *n_fields, const char *key, const char *value)
{
  if (key && value && *n_fields < MAX_FIELDS)
    fields[(*n_fields)++] = (GLogField){ key, value, -1 };
}

void
pcd_log_record (const PcdRecord *record)
{
  GLogLevelFlags level = pcd_log_level_of_record (record);
  GLogField fields[MAX_FIELDS];
  gsize n = 0;
  g_autofree char *message = pcd_record_to_message (record);
  g_autofree char *seq = g_strdup_printf ("%" G_GUINT64_FORMAT, record->seq);

  add_field (fields, &n, "MESSAGE", message);
  add_field (fields, &n, "PRIORITY", priority_of (level));
  add_field (fields, &n, "GLIB_DOMAIN", G_LOG_DOMAIN);
  if (record->kind < PCD_N_RECORDS)
    add_field (fields, &n, "MESSAGE_ID", message_ids[record->kind]);
  add_field (fields, &n, "PCD_SEQ", seq);
  add_field (fields, &n, "PCD_KIND", pcd_record_kind_to_string (record->kind));
  add_field (fields, &n, "PCD_DOMAIN_UUID", record->uuid);
  add_field (fields, &n, "PCD_DOMAIN", record->domain);
  if (record->uuid)
    add_field (fields, &n, "PCD_ROLE", pcd_role_to_string (record->role));
  add_field (fields, &n, "PCD_FROM", record->from);
  add_field (fields, &n, "PCD_TO", record->to);
  add_field (fields, &n, "PCD_DETAIL", record->detail);
  add_field (fields, &n, state_field (record->kind), record->to);
  g_log_structured_array (level, fields, n);
}

static void
on_record (const PcdRecord *record, gpointer data)
{
  pcd_log_record (record);
}

const PcdListener pcd_log_listener = { .record = on_record };
