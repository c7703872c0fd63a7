/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A lost connection as a line of JSON, and back.
 * Pure. */
#include "core/pcd-lost.h"

#include "core/pcd-json.h"

PcdLost *
pcd_lost_copy (const PcdLost *lost)
{
  PcdLost *copy = g_memdup2 (lost, sizeof *lost);

  copy->why = g_strdup (lost->why);
  copy->local = g_strdup (lost->local);
  copy->remote = g_strdup (lost->remote);
  copy->interface = g_strdup (lost->interface);
  return copy;
}

void
pcd_lost_free (PcdLost *lost)
{
  if (!lost)
    return;
  g_free (lost->why);
  g_free (lost->local);
  g_free (lost->remote);
  g_free (lost->interface);
  g_free (lost);
}

char *
pcd_lost_to_text (const PcdLost *lost)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  pcd_json_add_string (builder, "cause", pcd_cause_to_string (lost->cause));
  pcd_json_add_string (builder, "why", lost->why);
  pcd_json_add_string (builder, "local", lost->local);
  pcd_json_add_string (builder, "remote", lost->remote);
  pcd_json_add_string (builder, "interface", lost->interface ?: "");
  pcd_json_add_int (builder, "heard", lost->heard);
  pcd_json_add_int (builder, "acked", lost->acked);
  pcd_json_add_int (builder, "unacked", lost->unacked);
  pcd_json_add_int (builder, "retransmits", lost->retransmits);
  json_builder_end_object (builder);
  g_autoptr (JsonNode) root = json_builder_get_root (builder);
  return json_to_string (root, FALSE);
}

static const char *
get_string (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node && json_node_get_value_type (node) == G_TYPE_STRING ? json_node_get_string (node)
                                                                  : NULL;
}

static gboolean
get_number (JsonObject *object, const char *name, gint64 most, gint64 *ret_number)
{
  JsonNode *node = json_object_get_member (object, name);

  if (!node || json_node_get_value_type (node) != G_TYPE_INT64)
    return FALSE;
  *ret_number = json_node_get_int (node);
  return *ret_number >= 0 && *ret_number <= most;
}

static gboolean
get_cause (JsonObject *object, PcdCause *ret_cause)
{
  const char *word = get_string (object, "cause");

  for (guint i = 0; word && i < PCD_N_CAUSES; i++)
    if (g_str_equal (word, pcd_cause_to_string (i))) {
      *ret_cause = i;
      return TRUE;
    }
  return FALSE;
}

PcdLost *
pcd_lost_from_text (const char *text)
{
  g_autoptr (JsonNode) root = json_from_string (text, NULL);
  JsonObject *object = root && JSON_NODE_HOLDS_OBJECT (root) ? json_node_get_object (root) : NULL;
  gint64 unacked, retransmits;
  PcdLost lost;

  if (!object || !get_cause (object, &lost.cause) ||
      !get_number (object, "heard", G_MAXINT64, &lost.heard) ||
      !get_number (object, "acked", G_MAXINT64, &lost.acked) ||
      !get_number (object, "unacked", G_MAXUINT, &unacked) ||
      !get_number (object, "retransmits", G_MAXUINT, &retransmits))
    return NULL;
  lost.why = (char *)get_string (object, "why");
  lost.local = (char *)get_string (object, "local");
  lost.remote = (char *)get_string (object, "remote");
  lost.interface = (char *)get_string (object, "interface");
  lost.unacked = (guint)unacked;
  lost.retransmits = (guint)retransmits;
  if (!lost.why || !lost.local || !lost.remote || !lost.interface)
    return NULL;
  if (!*lost.interface)
    lost.interface = NULL;
  return pcd_lost_copy (&lost);
}
