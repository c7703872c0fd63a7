/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records as JSON, which programs read, and as text, which people do. */
#include "core/pcd-record.h"

#include "core/pcd-json.h"

#include <glib/gi18n.h>
#include <json-glib/json-glib.h>

static const char *const kind_words[PCD_N_RECORDS] = {
  [PCD_RECORD_PHASE] = "phase",       [PCD_RECORD_FLOW] = "flow",
  [PCD_RECORD_CAUSE] = "cause",       [PCD_RECORD_UNATTENDED] = "unattended",
  [PCD_RECORD_ARMED] = "armed",       [PCD_RECORD_BLOCKED] = "blocked",
  [PCD_RECORD_SHUTDOWN] = "shutdown", [PCD_RECORD_LIBVIRT] = "libvirt",
  [PCD_RECORD_ACTION] = "action",     [PCD_RECORD_POLICY] = "policy",
  [PCD_RECORD_HOLD] = "hold",         [PCD_RECORD_UNKNOWN] = "unknown",
  [PCD_RECORD_MEASURED] = "measured",
};

void
pcd_record_free (PcdRecord *record)
{
  if (!record)
    return;
  g_free (record->uuid);
  g_free (record->domain);
  g_free (record->from);
  g_free (record->to);
  g_free (record->detail);
  g_free (record);
}

const char *
pcd_record_kind_to_string (PcdRecordKind kind)
{
  return kind < PCD_N_RECORDS ? kind_words[kind] : "?";
}

char *
pcd_time_to_rfc3339 (gint64 usec)
{
  g_autoptr (GDateTime) seconds = g_date_time_new_from_unix_utc (usec / G_USEC_PER_SEC);
  g_autofree char *text = seconds ? g_date_time_format (seconds, "%Y-%m-%dT%H:%M:%S") : NULL;

  return g_strdup_printf ("%s.%06dZ", text ?: "?", (int)(usec % G_USEC_PER_SEC));
}

char *
pcd_time_to_text (gint64 usec)
{
  g_autoptr (GDateTime) seconds = g_date_time_new_from_unix_utc (usec / G_USEC_PER_SEC);
  g_autofree char *text = seconds ? g_date_time_format (seconds, "%Y-%m-%d %H:%M:%S") : NULL;

  return g_strdup_printf ("%s.%03d+0000", text ?: "?", (int)(usec % G_USEC_PER_SEC / 1000));
}

static void
add_string (JsonBuilder *builder, const char *name, const char *value)
{
  if (value)
    pcd_json_add_string (builder, name, value);
}

char *
pcd_record_to_json (const PcdRecord *record)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonGenerator) generator = json_generator_new ();
  g_autofree char *time = pcd_time_to_rfc3339 (record->time);

  json_builder_begin_object (builder);
  pcd_json_add_int (builder, "seq", (gint64)record->seq);
  add_string (builder, "time", time);
  pcd_json_add_int (builder, "monotonic-usec", record->monotonic);
  add_string (builder, "kind", pcd_record_kind_to_string (record->kind));
  add_string (builder, "uuid", record->uuid);
  add_string (builder, "domain", record->domain);
  if (record->uuid)
    add_string (builder, "role", pcd_role_to_string (record->role));
  add_string (builder, "from", record->from);
  add_string (builder, "to", record->to);
  add_string (builder, "detail", record->detail);
  json_builder_end_object (builder);

  g_autoptr (JsonNode) root = json_builder_get_root (builder);
  json_generator_set_root (generator, root);
  return json_generator_to_data (generator, NULL);
}

char *
pcd_text_printable (const char *value)
{
  g_autofree char *valid = g_utf8_make_valid (value, -1);
  g_autoptr (GString) text = g_string_new (NULL);

  for (const char *p = valid; *p; p = g_utf8_next_char (p)) {
    gunichar c = g_utf8_get_char (p);
    g_string_append_unichar (text, g_unichar_iscntrl (c) ? '?' : c);
  }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
append_printable (GString *text, const char *value)
{
  g_autofree char *printable = pcd_text_printable (value);

  g_string_append (text, printable);
}

char *
pcd_record_to_message (const PcdRecord *record)
{
  g_autoptr (GString) text = g_string_new (NULL);

  g_string_append_printf (text, "event '%s'", pcd_record_kind_to_string (record->kind));
  if (record->domain || record->uuid) {
    g_string_append (text, " for domain '");
    append_printable (text, record->domain ?: record->uuid);
    g_string_append (text, "'");
  }
  if (record->uuid)
    g_string_append_printf (text, " (%s)", pcd_role_to_string (record->role));
  if (record->from || record->to) {
    g_string_append (text, ": ");
    append_printable (text, record->from ?: record->to);
  }
  if (record->from && record->to) {
    g_string_append (text, " -> ");
    append_printable (text, record->to);
  }
  if (record->detail) {
    g_string_append (text, ": ");
    append_printable (text, record->detail);
  }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

char *
pcd_record_to_text (const PcdRecord *record)
{
  g_autofree char *time = pcd_time_to_text (record->time);
  g_autofree char *message = pcd_record_to_message (record);

  return g_strconcat (time, ": ", message, NULL);
}

/* A newer daemon's kind is %PCD_N_RECORDS here: shown as "?", never taken for another one. */
static PcdRecordKind
kind_from_string (const char *word)
{
  guint kind = 0;

  while (kind < PCD_N_RECORDS && g_strcmp0 (word, kind_words[kind]) != 0)
    kind++;
  return kind;
}

gint64
pcd_time_from_rfc3339 (const char *text)
{
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr (GDateTime) time = text ? g_date_time_new_from_iso8601 (text, utc) : NULL;

  return time ? g_date_time_to_unix (time) * G_USEC_PER_SEC + g_date_time_get_microsecond (time)
              : -1;
}

PcdRecord *
pcd_record_from_json (const char *line, GError **error)
{
  /* The parser's own words name memory and its places, which nobody has. */
  g_autoptr (JsonNode) root = json_from_string (line, NULL);

  if (!root || !JSON_NODE_HOLDS_OBJECT (root)) {
    g_set_error (error, JSON_PARSER_ERROR, JSON_PARSER_ERROR_PARSE,
                 root ? _ ("a record must be a JSON object") : _ ("this is no JSON"));
    return NULL;
  }
  JsonObject *object = json_node_get_object (root);
  const gint64 time = pcd_time_from_rfc3339 (pcd_json_get_string (object, "time"));
  if (time < 0 || !pcd_json_get_string (object, "kind")) {
    g_set_error (error, JSON_PARSER_ERROR, JSON_PARSER_ERROR_INVALID_DATA,
                 _ ("a record must have a time and a kind"));
    return NULL;
  }
  PcdRecord *record = g_new0 (PcdRecord, 1);
  record->seq = (guint64)pcd_json_get_int (object, "seq");
  record->time = time;
  record->monotonic = pcd_json_get_int (object, "monotonic-usec");
  record->kind = kind_from_string (pcd_json_get_string (object, "kind"));
  record->uuid = g_strdup (pcd_json_get_string (object, "uuid"));
  record->domain = g_strdup (pcd_json_get_string (object, "domain"));
  record->role = g_strcmp0 (pcd_json_get_string (object, "role"), "destination") == 0
                     ? PCD_ROLE_DESTINATION
                     : PCD_ROLE_SOURCE;
  record->from = g_strdup (pcd_json_get_string (object, "from"));
  record->to = g_strdup (pcd_json_get_string (object, "to"));
  record->detail = g_strdup (pcd_json_get_string (object, "detail"));
  return record;
}
