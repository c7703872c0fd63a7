/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl sinks: who is told of events, and who lags behind.
 * Formats what the daemon says; knows no queue. */
#include <glib/gi18n.h>
#include <json-glib/json-glib.h>

#include "bus/pcd-address.h"
#include "core/pcd-json.h"
#include "ctl/pcd-client.h"
#include "ctl/pcd-json-text.h"
#include "ctl/pcd-verbs.h"

#define ANSWER_MSEC 10000

static void
print_sink (JsonObject *sink)
{
  g_autofree char *name = pcd_json_text (sink, "sink"), *type = pcd_json_text (sink, "type");
  g_autofree char *state = pcd_json_text (sink, "state"),
                  *next = pcd_json_time_text (sink, "next-try");
  g_autofree char *error = pcd_json_text (sink, "last-error");
  g_autofree char *when = pcd_json_time_text (sink, "last-error-time");

  g_print (" %-16s %-10s %-10s %9" G_GINT64_FORMAT " %9" G_GINT64_FORMAT " %9" G_GINT64_FORMAT
           " %9" G_GINT64_FORMAT "  %s\n",
           name, type, state, pcd_json_get_int (sink, "waiting"),
           pcd_json_get_int (sink, "delivered"), pcd_json_get_int (sink, "refused"),
           pcd_json_get_int (sink, "dropped"), next);
  if (json_object_has_member (sink, "last-error"))
    g_print ("   %s: %s\n", when, error);
}

static void
print_all (GStrv sinks)
{
  if (!sinks[0]) {
    g_print (_ ("No sinks: nobody is told of events but the system's journal and D-Bus.\n"));
    return;
  }
  g_print (" %-16s %-10s %-10s %9s %9s %9s %9s  %s\n", "Sink", "Type", "State", "Waiting",
           "Delivered", "Refused", "Dropped", "Next try");
  for (guint i = 0; sinks[i]; i++) {
    g_autoptr (JsonNode) root = json_from_string (sinks[i], NULL);
    if (root && JSON_NODE_HOLDS_OBJECT (root))
      print_sink (json_node_get_object (root));
  }
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

  int parsed = pcd_verb_parse (&pcd_verb_sinks, entries, &argc, &argv);
  if (parsed >= 0)
    return parsed;
  if (argc > 1) {
    g_printerr (_ ("%s: unexpected argument '%s'; it takes none\n"), g_get_prgname (), argv[1]);
    return PCD_EXIT_USAGE;
  }
  g_autoptr (PcdClient) client = pcd_client_open (ctl, &exit_code);
  if (!client)
    return exit_code;
  exit_code = pcd_client_call (client, PCD_BUS_PATH, "org.postcopyd.Manager1", "GetSinks", NULL,
                               "(as)", ANSWER_MSEC, &reply);
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
