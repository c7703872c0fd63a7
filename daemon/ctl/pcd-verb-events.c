/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl events: what postcopyd told so far, and goes on to tell.
 * Formats records; knows nothing else of migrations. */
#include "ctl/pcd-client.h"
#include "ctl/pcd-verbs.h"

#include <glib/gi18n.h>
#include <stdio.h>

typedef struct {
  gboolean json;
  guint64 last_seq;
  int exit_code;
} Printer;

/* %FALSE when nobody reads us any more (GLib has SIGPIPE ignored). */
static gboolean
print_record (const char *json, gpointer data)
{
  Printer *printer = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdRecord) record = pcd_record_from_json (json, &error);

  if (!record) {
    g_printerr (_ ("%s: skipped a record that cannot be read: %s\n"), g_get_prgname (),
                error->message);
    return TRUE;
  }
  /* Records told between listening and asking for the old ones come twice. */
  if (record->seq <= printer->last_seq)
    return TRUE;
  printer->last_seq = record->seq;
  g_autofree char *text = printer->json ? NULL : pcd_record_to_text (record);
  if (printf ("%s\n", text ?: json) < 0 || fflush (stdout) != 0) {
    printer->exit_code = PCD_EXIT_FAILED;
    return FALSE;
  }
  return TRUE;
}

static int
run (const PcdCtl *ctl, int argc, char **argv)
{
  static const PcdClientFollower follower = { .record = print_record };
  gboolean follow = FALSE;
  int exit_code = PCD_EXIT_DONE;
  Printer printer = { .exit_code = PCD_EXIT_DONE };
  const GOptionEntry entries[] = {
    { "follow", 'f', 0, G_OPTION_ARG_NONE, &follow, N_ ("Go on until interrupted"), NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &printer.json, N_ ("One JSON object per line"), NULL },
    { NULL },
  };

  int parsed = pcd_verb_parse (&pcd_verb_events, entries, &argc, &argv);
  if (parsed >= 0)
    return parsed;
  if (argc > 1) {
    g_printerr (_ ("%s: unexpected argument '%s'; it takes none\n"), g_get_prgname (), argv[1]);
    return PCD_EXIT_USAGE;
  }
  g_autoptr (PcdClient) client = pcd_client_open (ctl, &exit_code);
  if (!client)
    return exit_code;
  if (follow)
    pcd_client_listen (client, &follower, &printer);
  g_auto (GStrv) records = pcd_client_get_records (client);
  if (!records)
    return PCD_EXIT_NO_DAEMON;
  for (guint i = 0; records[i]; i++)
    if (!print_record (records[i], &printer))
      return printer.exit_code;
  if (!follow)
    return PCD_EXIT_DONE;
  exit_code = pcd_client_follow (client);
  return exit_code == PCD_EXIT_DONE ? printer.exit_code : exit_code;
}

const PcdVerb pcd_verb_events = {
  .name = "events",
  .synopsis = "[--follow] [--json]",
  .summary = N_ ("What postcopyd told, oldest first"),
  .example = "events --follow --json",
  .run = run,
};
