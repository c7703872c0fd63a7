/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl events: what postcopyd told so far, and goes on to tell.
 * Formats records; knows nothing else of migrations. */
#include "ctl/pcd-client.h"
#include "ctl/pcd-verbs.h"

#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>

#include "core/pcd-duration.h"

typedef struct {
  gboolean json;
  const char *domain;
  gint64 since;
  guint64 last_seq;
  int exit_code;
} Printer;

static gboolean
is_wanted (const Printer *printer, const PcdRecord *record)
{
  const char *domain = printer->domain;

  return record->time >= printer->since &&
         (!domain || g_strcmp0 (record->domain, domain) == 0 ||
          (record->uuid && g_ascii_strcasecmp (record->uuid, domain) == 0));
}

/* (nullable) (transfer full): NULL if it is not to be shown. Records told between listening and
 * asking for the old ones come twice. */
static PcdRecord *
take_record (Printer *printer, const char *json)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdRecord) record = pcd_record_from_json (json, &error);

  if (!record) {
    g_printerr (_ ("%s: skipped a record that cannot be read: %s\n"), g_get_prgname (),
                error->message);
    return NULL;
  }
  if (record->seq <= printer->last_seq)
    return NULL;
  printer->last_seq = record->seq;
  return is_wanted (printer, record) ? g_steal_pointer (&record) : NULL;
}

/* The line to print, NULL for none. */
static char *
take_line (Printer *printer, const char *json)
{
  g_autoptr (PcdRecord) record = take_record (printer, json);

  if (!record)
    return NULL;
  return printer->json ? g_strdup (json) : pcd_record_to_text (record);
}

/* %FALSE when nobody reads us any more (GLib has SIGPIPE ignored). */
static gboolean
print_line (Printer *printer, const char *line)
{
  if (printf ("%s\n", line) < 0 || fflush (stdout) != 0) {
    printer->exit_code = PCD_EXIT_FAILED;
    return FALSE;
  }
  return TRUE;
}

static gboolean
print_record (const char *json, gpointer data)
{
  g_autofree char *line = take_line (data, json);

  return !line || print_line (data, line);
}

/* The last @n of those that are wanted; all if it is less than none. */
static gboolean
print_old (Printer *printer, const GStrv records, int n)
{
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; records[i]; i++) {
    char *line = take_line (printer, records[i]);
    if (line)
      g_ptr_array_add (lines, line);
  }
  for (guint i = n < 0 || (guint)n > lines->len ? 0 : lines->len - (guint)n; i < lines->len; i++)
    if (!print_line (printer, g_ptr_array_index (lines, i)))
      return FALSE;
  return TRUE;
}

/* How long ago, or when: a time as it is shown here or in JSON, or its date or its time of day. */
static gboolean
parse_since (const char *text, gint64 *ret_usec)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  g_autoptr (GTimeZone) zone = g_time_zone_new_local ();
  g_autofree char *today = g_date_time_format (now, "%Y-%m-%d ");
  const char *const forms[][2] = {
    { "", "" }, { "", ":00" }, { "", " 00:00:00" }, { today, "" }, { today, ":00" }
  };

  if (pcd_duration_parse (text + (*text == '-'), ret_usec, NULL)) {
    *ret_usec = g_get_real_time () - *ret_usec;
    return TRUE;
  }
  for (guint i = 0; i < G_N_ELEMENTS (forms); i++) {
    g_autofree char *whole = g_strconcat (forms[i][0], text, forms[i][1], NULL);
    g_autoptr (GDateTime) time = g_date_time_new_from_iso8601 (whole, zone);
    if (!time)
      continue;
    *ret_usec = g_date_time_to_unix (time) * G_USEC_PER_SEC + g_date_time_get_microsecond (time);
    return TRUE;
  }
  return FALSE;
}

static int
show (const PcdCtl *ctl, Printer *printer, int n, gboolean follow)
{
  static const PcdClientFollower follower = { .record = print_record };
  int exit_code = PCD_EXIT_DONE;
  g_autoptr (PcdClient) client = pcd_client_open (ctl, &exit_code);

  if (!client)
    return exit_code;
  if (follow)
    pcd_client_listen (client, &follower, printer);
  g_auto (GStrv) records = pcd_client_get_records (client);
  if (!records)
    return PCD_EXIT_NO_DAEMON;
  if (!print_old (printer, records, n) || !follow)
    return printer->exit_code;
  exit_code = pcd_client_follow (client);
  return exit_code == PCD_EXIT_DONE ? printer->exit_code : exit_code;
}

static int
run (const PcdCtl *ctl, int argc, char **argv)
{
  gboolean follow = FALSE;
  g_autofree char *since = NULL, *lines = NULL;
  guint64 n = 0;
  Printer printer = { .since = G_MININT64, .exit_code = PCD_EXIT_DONE };
  const GOptionEntry entries[] = {
    { "follow", 'f', 0, G_OPTION_ARG_NONE, &follow, N_ ("Go on until interrupted"), NULL },
    { "lines", 'n', 0, G_OPTION_ARG_STRING, &lines,
      N_ ("Only the last N; 0 with --follow: new ones"), "N" },
    { "since", 0, 0, G_OPTION_ARG_STRING, &since, N_ ("From then on: 10min (ago), 14:30, a date"),
      "TIME" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &printer.json, N_ ("One JSON object per line"), NULL },
    { NULL },
  };

  int parsed = pcd_verb_parse (&pcd_verb_events, entries, &argc, &argv);
  if (parsed >= 0)
    return parsed;
  if (argc > 2) {
    g_printerr (_ ("%s: unexpected argument '%s', expected one DOMAIN or none\n"), g_get_prgname (),
                argv[2]);
    return PCD_EXIT_USAGE;
  }
  if (lines && !g_ascii_string_to_unsigned (lines, 10, 0, G_MAXINT, &n, NULL)) {
    g_printerr (_ ("%s: --lines: got '%s', expected a number of lines\n"), g_get_prgname (), lines);
    return PCD_EXIT_USAGE;
  }
  if (since && !parse_since (since, &printer.since)) {
    g_printerr (_ ("%s: --since: got '%s', expected how long ago, such as 10min, or a time, such "
                   "as 14:30 or '2026-11-23 14:30:00'\n"),
                g_get_prgname (), since);
    return PCD_EXIT_USAGE;
  }
  printer.domain = argc > 1 ? argv[1] : NULL;
  return show (ctl, &printer, lines ? (int)n : -1, follow);
}

const PcdVerb pcd_verb_events = {
  .name = "events",
  .synopsis = "[DOMAIN] [--since TIME] [-n N] [--follow]",
  .summary = N_ ("What postcopyd told, oldest first"),
  .example = "events vm1 --follow -n 0",
  .run = run,
};
