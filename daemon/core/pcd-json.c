/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Members of a JSON object.
 * Pure. */
#include "core/pcd-json.h"

void
pcd_json_add_string (JsonBuilder *builder, const char *name, const char *value)
{
  g_autofree char *valid = value ? g_utf8_make_valid (value, -1) : NULL;

  json_builder_set_member_name (builder, name);
  if (valid)
    json_builder_add_string_value (builder, valid);
  else
    json_builder_add_null_value (builder);
}

void
pcd_json_add_int (JsonBuilder *builder, const char *name, gint64 value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, value);
}

void
pcd_json_add_boolean (JsonBuilder *builder, const char *name, gboolean value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_boolean_value (builder, value);
}

static JsonNode *
get (JsonObject *object, const char *name, GType type)
{
  JsonNode *node = object ? json_object_get_member (object, name) : NULL;

  return node && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == type ? node
                                                                                         : NULL;
}

JsonObject *
pcd_json_get_object (JsonObject *object, const char *name)
{
  JsonNode *node = object ? json_object_get_member (object, name) : NULL;

  return node && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

JsonArray *
pcd_json_get_array (JsonObject *object, const char *name)
{
  JsonNode *node = object ? json_object_get_member (object, name) : NULL;

  return node && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
}

const char *
pcd_json_get_string (JsonObject *object, const char *name)
{
  JsonNode *node = get (object, name, G_TYPE_STRING);

  return node ? json_node_get_string (node) : NULL;
}

gint64
pcd_json_get_int (JsonObject *object, const char *name)
{
  JsonNode *node = get (object, name, G_TYPE_INT64);

  return node ? json_node_get_int (node) : 0;
}

gboolean
pcd_json_get_boolean (JsonObject *object, const char *name)
{
  JsonNode *node = get (object, name, G_TYPE_BOOLEAN);

  return node && json_node_get_boolean (node);
}
