/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strict about what it understands, silent about the rest.
 * Pure: no I/O, no clock. */
#include "qmp/pcd-qmp-message.h"

#include <string.h>

void
pcd_qmp_message_free (PcdQmpMessage *message)
{
  g_free (message->id);
  g_free (message->name);
  g_free (message->text);
  g_clear_pointer (&message->value, json_node_unref);
  g_free (message);
}

/* Before the parser sees it: a line of a million brackets must not use up the stack. json-glib
 * takes comments and other quotes, in which brackets could hide, so those are refused here too. */
static gboolean
is_flat_json (const char *line, gsize length)
{
  gboolean in_string = FALSE;
  guint depth = 0;

  for (gsize i = 0; i < length; i++) {
    char c = line[i];

    if (in_string && c == '\\')
      i++;
    else if (c == '"')
      in_string = !in_string;
    else if (in_string)
      continue;
    else if (c == '{' || c == '[')
      depth++;
    else if ((c == '}' || c == ']') && depth > 0)
      depth--;
    else if (!g_ascii_isalnum (c) && !g_ascii_isspace (c) && !strchr (":,+-.", c))
      return FALSE;
    if (depth > PCD_QMP_MAX_DEPTH)
      return FALSE;
  }
  return TRUE;
}

/* The member if it is there and of the wanted type. */
static JsonNode *
member (JsonObject *object, const char *name, JsonNodeType type)
{
  JsonNode *node = json_object_get_member (object, name);

  return node && JSON_NODE_TYPE (node) == type ? node : NULL;
}

static const char *
string_member (JsonObject *object, const char *name)
{
  JsonNode *node = member (object, name, JSON_NODE_VALUE);

  return node && json_node_get_value_type (node) == G_TYPE_STRING ? json_node_get_string (node)
                                                                  : NULL;
}

static gint64
int_member (JsonObject *object, const char *name)
{
  JsonNode *node = member (object, name, JSON_NODE_VALUE);

  return node && json_node_get_value_type (node) == G_TYPE_INT64 ? json_node_get_int (node) : -1;
}

static gboolean
offers_oob (JsonNode *greeting)
{
  JsonNode *node = member (json_node_get_object (greeting), "capabilities", JSON_NODE_ARRAY);
  JsonArray *capabilities = node ? json_node_get_array (node) : NULL;

  for (guint i = 0; capabilities && i < json_array_get_length (capabilities); i++) {
    JsonNode *one = json_array_get_element (capabilities, i);

    if (JSON_NODE_HOLDS_VALUE (one) && json_node_get_value_type (one) == G_TYPE_STRING &&
        g_str_equal (json_node_get_string (one), "oob"))
      return TRUE;
  }
  return FALSE;
}

/* QEMU says -1 for both where it has no clock. */
static gint64
event_time (JsonObject *object)
{
  JsonNode *node = member (object, "timestamp", JSON_NODE_OBJECT);
  gint64 seconds = node ? int_member (json_node_get_object (node), "seconds") : -1;
  gint64 micros = node ? int_member (json_node_get_object (node), "microseconds") : -1;

  if (seconds < 0 || seconds > G_MAXINT64 / G_USEC_PER_SEC - 1 || micros < 0 ||
      micros >= G_USEC_PER_SEC)
    return 0;
  return seconds * G_USEC_PER_SEC + micros;
}

static PcdQmpMessage *
from_object (JsonObject *object)
{
  g_autoptr (PcdQmpMessage) message = g_new0 (PcdQmpMessage, 1);
  JsonNode *node;

  message->id = g_strdup (string_member (object, "id"));
  if ((node = member (object, "QMP", JSON_NODE_OBJECT))) {
    message->kind = PCD_QMP_GREETING;
    message->has_oob = offers_oob (node);
  } else if (string_member (object, "event")) {
    message->kind = PCD_QMP_EVENT;
    message->name = g_strdup (string_member (object, "event"));
    message->time = event_time (object);
    node = member (object, "data", JSON_NODE_OBJECT);
    message->value = node ? json_node_ref (node) : NULL;
  } else if ((node = member (object, "error", JSON_NODE_OBJECT))) {
    const char *class = string_member (json_node_get_object (node), "class");

    message->kind = PCD_QMP_FAULT;
    message->name = g_strdup (class ? class : "GenericError");
    message->text = g_strdup (string_member (json_node_get_object (node), "desc"));
  } else if ((node = json_object_get_member (object, "return"))) {
    message->kind = PCD_QMP_RETURN;
    message->value = json_node_ref (node);
  } else
    return NULL;
  return g_steal_pointer (&message);
}

PcdQmpMessage *
pcd_qmp_message_parse (const char *line, gsize length)
{
  g_autoptr (JsonParser) parser = NULL;
  JsonNode *root;

  if (!g_utf8_validate_len (line, length, NULL) || !is_flat_json (line, length))
    return NULL;
  parser = json_parser_new_immutable ();
  if (!json_parser_load_from_data (parser, line, length, NULL))
    return NULL;
  root = json_parser_get_root (parser);
  return root && JSON_NODE_HOLDS_OBJECT (root) ? from_object (json_node_get_object (root)) : NULL;
}

char *
pcd_qmp_command_to_string (const char *command, JsonObject *arguments, const char *id, gboolean oob)
{
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_OBJECT);
  JsonObject *object = json_object_new ();
  g_autofree char *text = NULL;

  json_node_take_object (root, object);
  json_object_set_string_member (object, oob ? "exec-oob" : "execute", command);
  if (arguments)
    json_object_set_object_member (object, "arguments", json_object_ref (arguments));
  json_object_set_string_member (object, "id", id);
  text = json_to_string (root, FALSE);
  return g_strconcat (text, "\n", NULL);
}

JsonObject *
pcd_qmp_arguments (const char *key, ...)
{
  JsonObject *object = json_object_new ();
  va_list values;

  va_start (values, key);
  for (; key; key = va_arg (values, const char *))
    json_object_set_string_member (object, key, va_arg (values, const char *));
  va_end (values);
  return object;
}

JsonObject *
pcd_qmp_yank_migration (void)
{
  JsonObject *object = json_object_new ();
  JsonArray *instances = json_array_new ();

  json_array_add_object_element (instances, pcd_qmp_arguments ("type", "migration", NULL));
  json_object_set_array_member (object, "instances", instances);
  return object;
}
