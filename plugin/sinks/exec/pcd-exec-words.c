/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One table, and a rule for what is not in it, so that a hook has words for the events of later
 * versions, too. */
#include "sinks/exec/pcd-exec-words.h"

#include <json-glib/json-glib.h>
#include <string.h>

/* Members of the event, and what is no member: */
#define BEGIN  "=begin"  /* the word itself */
#define PAUSED "=paused" /* likewise */
#define YES_NO "?to"     /* begin for yes, end for no */

static const struct {
  const char *kind;
  const char *words[3];
} table[] = {
  { "phase", { "to", BEGIN, "from" } },       { "cause", { PAUSED, "kind", "to" } },
  { "unattended", { "kind", YES_NO, NULL } }, { "hold", { "kind", YES_NO, NULL } },
  { "dropped", { "kind", "count", NULL } },   { NULL, { "kind", "to", "from" } },
};

static char *
member (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);
  char *text = NULL;

  if (node && json_node_get_value_type (node) == G_TYPE_STRING)
    text = g_strdup (json_node_get_string (node));
  else if (node && json_node_get_value_type (node) == G_TYPE_INT64)
    text = g_strdup_printf ("%" G_GINT64_FORMAT, json_node_get_int (node));
  if (text && text[0])
    return text;
  g_free (text);
  return g_strdup ("-");
}

static char *
word (JsonObject *object, const char *source)
{
  if (!source)
    return g_strdup ("-");
  if (source[0] == '=')
    return g_strdup (source + 1);
  if (source[0] != '?')
    return member (object, source);
  g_autofree char *value = member (object, source + 1);
  return g_strdup (strcmp (value, "yes") == 0 ? "begin" : "end");
}

GStrv
pcd_exec_words (const PostcopydNote *note)
{
  g_autoptr (JsonNode) root = json_from_string (note->json, NULL);
  guint row = 0;

  if (!root || !JSON_NODE_HOLDS_OBJECT (root))
    return NULL;
  JsonObject *object = json_node_get_object (root);
  while (table[row].kind && strcmp (table[row].kind, note->kind) != 0)
    row++;
  GStrv words = g_new0 (char *, 5);
  words[0] = member (object, "domain");
  for (guint i = 0; i < 3; i++)
    words[i + 1] = word (object, table[row].words[i]);
  return words;
}

GStrv
pcd_exec_environment (const PostcopydNote *note)
{
  g_auto (GStrv) stream = g_strsplit (note->stream, "/", 2);
  const gboolean of_domain = g_strv_length (stream) == 2;
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  const char *const pairs[] = {
    "PATH=",           "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL=",         "C.UTF-8",
    "HOME=",           "/",
    "POSTCOPYD_ID=",   note->id,
    "POSTCOPYD_KIND=", note->kind,
    "POSTCOPYD_UUID=", of_domain ? stream[0] : "",
    "POSTCOPYD_ROLE=", of_domain ? stream[1] : "",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i += 2) {
    g_autofree char *pair = g_strconcat (pairs[i], pairs[i + 1], NULL);
    g_strv_builder_add (builder, pair);
  }
  return g_strv_builder_end (builder);
}
