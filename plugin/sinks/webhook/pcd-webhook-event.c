/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md */
#include "sinks/webhook/pcd-webhook-event.h"

#include "core/pcd-json.h"
#include "core/pcd-record.h"

#include <json-glib/json-glib.h>

static gboolean
add_event (JsonBuilder *builder, const char *host, const PostcopydNote *note)
{
  g_autofree char *escaped = g_uri_escape_string (host, NULL, FALSE);
  g_autofree char *source = g_strdup_printf ("//%s/postcopyd", escaped);
  g_autofree char *type = g_strdup_printf ("org.postcopyd.%s.v1", note->kind);
  g_autofree char *time = pcd_time_to_rfc3339 (note->time_usec);
  g_autoptr (JsonNode) data = json_from_string (note->json, NULL);

  if (!data || !JSON_NODE_HOLDS_OBJECT (data))
    return FALSE;
  json_builder_begin_object (builder);
  pcd_json_add_string (builder, "specversion", "1.0");
  pcd_json_add_string (builder, "id", note->id);
  pcd_json_add_string (builder, "source", source);
  pcd_json_add_string (builder, "type", type);
  if (*note->stream) /* an attribute may be absent, never empty */
    pcd_json_add_string (builder, "subject", note->stream);
  pcd_json_add_string (builder, "time", time);
  pcd_json_add_string (builder, "datacontenttype", "application/json");
  pcd_json_add_string (builder, "dataschema",
                       g_str_equal (note->kind, "dropped") ? PCD_WEBHOOK_DATA_SCHEMA "dropped"
                                                           : PCD_WEBHOOK_DATA_SCHEMA "event");
  json_builder_set_member_name (builder, "data");
  json_builder_add_value (builder, g_steal_pointer (&data));
  json_builder_end_object (builder);
  return TRUE;
}

char *
pcd_webhook_body (const char *host,
                  gboolean batched,
                  const PostcopydNote *const *notes,
                  guint n_notes)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  if (batched)
    json_builder_begin_array (builder);
  for (guint i = 0; i < n_notes; i++)
    if (!add_event (builder, host, notes[i]))
      return NULL;
  if (batched)
    json_builder_end_array (builder);
  g_autoptr (JsonNode) root = json_builder_get_root (builder);
  return json_to_string (root, FALSE);
}

char *
pcd_webhook_message_id (const PostcopydNote *const *notes, guint n_notes)
{
  if (n_notes == 1)
    return g_strdup (notes[0]->id);
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  for (guint i = 0; i < n_notes; i++) {
    g_checksum_update (sum, (const guchar *)notes[i]->id, -1);
    g_checksum_update (sum, (const guchar *)"\n", 1);
  }
  return g_strdup_printf ("batch-%s", g_checksum_get_string (sum));
}
