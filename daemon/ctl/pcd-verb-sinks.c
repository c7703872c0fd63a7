/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl sinks: who is told of events, and who lags behind.
 * Formats what the daemon says; knows no queue. */
#include <glib/gi18n.h>
#include <json-glib/json-glib.h>

#include "bus/pcd-address.h"
#include "core/pcd-json.h"
#include "ctl/pcd-client.h"
#include "ctl/pcd-json-text.h"
#include "ctl/pcd-table.h"
#include "ctl/pcd-verbs.h"

#define ANSWER_MSEC 10000

static char *
get_number (JsonObject *object, const char *name)
{
  return g_strdup_printf ("%" G_GINT64_FORMAT, pcd_json_get_int (object, name));
}

static void
add_sink (PcdTable *table, JsonObject *sink)
{
  char *cells[] = { pcd_json_text (sink, "sink"),
                    pcd_json_text (sink, "type"),
                    pcd_json_text (sink, "state"),
                    get_number (sink, "waiting"),
                    get_number (sink, "delivered"),
                    get_number (sink, "refused"),
                    get_number (sink, "dropped"),
                    pcd_json_time_text (sink, "next-try"),
                    NULL };
  g_autofree char *error = pcd_json_text (sink, "last-error");
  g_autofree char *when = pcd_json_time_text (sink, "last-error-time");

  pcd_table_add (table, g_memdup2 (cells, sizeof cells));
  if (json_object_has_member (sink, "last-error"))
    pcd_table_add_line (table, g_strdup_printf ("   %s: %s", when, error));
}

static void
print_all (GStrv sinks)
{
  static const PcdTableColumn columns[] = {
    { N_ ("Sink"), 16, 1 },
    { N_ ("Type"), 10, 1 },
    { N_ ("State"), 10, 1 },
    { N_ ("Waiting"), 9, 1, TRUE },
    { N_ ("Delivered"), 9, 1, TRUE },
    { N_ ("Refused"), 9, 1, TRUE },
    { N_ ("Dropped"), 9, 1, TRUE },
    { N_ ("Next try"), 0, 2 },
    { NULL },
  };

  if (!sinks[0]) {
    g_print (_ ("No sinks: nobody is told of events but the system's journal and D-Bus.\n"));
    return;
  }
  g_autoptr (PcdTable) table = pcd_table_new (columns);
  for (guint i = 0; sinks[i]; i++) {
    g_autoptr (JsonNode) root = json_from_string (sinks[i], NULL);
    if (root && JSON_NODE_HOLDS_OBJECT (root))
      add_sink (table, json_node_get_object (root));
  }
  g_autofree char *text = pcd_table_to_text (table, 0, NULL);
  g_print ("%s", text);
}

static int
run (const PcdCtl *ctl, int argc, char **argv)
{
  gboolean json = FALSE;
  int exit_code = PCD_EXIT_DONE;
  g_autoptr (GVariant) reply = NULL;
  g_auto (GStrv) sinks = NULL;
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_ ("One JSON object per line"), NULL },
    { NULL },
  };

  int parsed = pcd_verb_parse_alone (&pcd_verb_sinks, entries, &argc, &argv);
  if (parsed >= 0)
    return parsed;
  g_autoptr (PcdClient) client = pcd_client_open (ctl, &exit_code);
  if (!client)
    return exit_code;
  const PcdClientQuestion question = {
    .path = PCD_BUS_PATH,
    .interface = "org.postcopyd.Manager1",
    .method = "GetSinks",
    .reply_type = "(as)",
    .timeout_msec = ANSWER_MSEC,
  };
  exit_code = pcd_client_call (client, &question, &reply);
  if (exit_code != PCD_EXIT_DONE)
    return exit_code;
  g_variant_get (reply, "(^as)", &sinks);
  for (guint i = 0; json && sinks[i]; i++)
    g_print ("%s\n", sinks[i]);
  if (!json)
    print_all (sinks);
  return PCD_EXIT_DONE;
}

const PcdVerb pcd_verb_sinks = {
  .name = "sinks",
  .synopsis = "[--json]",
  .summary = N_ ("Who is told of events, and how much waits for whom"),
  .run = run,
};
