/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl incident: lists incidents, shows what happened in one, and reports it. Reads the
 * journal's database by itself; needs no daemon. */
#include <glib/gi18n.h>
#include <inttypes.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <unistd.h>

#include "core/pcd-json.h"
#include "ctl/pcd-busy.h"
#include "ctl/pcd-incident-report.h"
#include "ctl/pcd-json-text.h"
#include "ctl/pcd-table.h"
#include "ctl/pcd-terminal.h"
#include "ctl/pcd-verbs.h"
#include "journal/pcd-journal.h"

static int run (const PcdCtl *ctl, int argc, char **argv);

static const PcdSubverb subverbs[] = {
  { "list", "", N_ ("A line for each, the newest first"), "json state-dir", NULL },
  { "show", "ID", N_ ("What happened in one, oldest first"), "json state-dir", "incident show 7" },
  { "report", "ID", N_ ("All about one, as a page or as text"), "html text json with state-dir",
    "incident report 7 --html report.html" },
  { NULL },
};

const PcdVerb pcd_verb_incident = {
  .name = "incident",
  .synopsis = "list | show ID | report ID",
  .summary = N_ ("What happened to migrations in trouble, and what was done"),
  .subverbs = subverbs,
  .usage = "COMMAND [ARGUMENT...]",
  .options = "json state-dir",
  .run = run,
  .is_local = TRUE,
};

/* What does not fit a line goes on so far to the right. */
#define HANG 4

#define DEFAULT_STATE_DIR "/var/lib/postcopyd"

static char *
get_number (JsonObject *object, const char *name)
{
  return g_strdup_printf ("%" G_GINT64_FORMAT, pcd_json_get_int (object, name));
}

static void
print_json (JsonNode *root)
{
  g_autofree char *text = json_to_string (root, TRUE);

  g_print ("%s\n", text);
}

static int
fail (const GError *error)
{
  g_printerr ("%s: %s\n", g_get_prgname (), error->message);
  if (g_error_matches (error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_DAMAGED))
    g_printerr (_ ("%s: postcopyd sets a damaged journal aside when it meets the damage, and "
                   "begins a fresh one\n"),
                g_get_prgname ());
  return g_error_matches (error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NOT_FOUND)
             ? PCD_EXIT_NOT_FOUND
             : PCD_EXIT_FAILED;
}

static void
list_text (JsonArray *incidents)
{
  static const PcdTableColumn columns[] = {
    { N_ ("Id"), 8, 1 },     { N_ ("Began"), 28, 1 },
    { N_ ("Ended"), 28, 1 }, { N_ ("Role"), 12, 1 },
    { N_ ("How"), 12, 1 },   { N_ ("Actions"), 7, 1, TRUE },
    { N_ ("Domain"), 0, 2 }, { NULL },
  };
  g_autoptr (PcdTable) table = pcd_table_new (columns);

  for (guint i = 0; i < json_array_get_length (incidents); i++) {
    JsonObject *incident = json_array_get_object_element (incidents, i);
    char *cells[] = { get_number (incident, "id"),
                      pcd_json_time_text (incident, "began"),
                      pcd_json_time_text (incident, "ended"),
                      pcd_json_text (incident, "role"),
                      pcd_json_text (incident, "how"),
                      get_number (incident, "actions"),
                      pcd_json_text (incident, "domain"),
                      NULL };
    pcd_table_add (table, g_memdup2 (cells, sizeof cells));
  }
  g_autofree char *text = pcd_table_to_text (table, 0, NULL);
  g_print ("%s", text);
}

static PcdBusy *
begin_reading (const PcdCtl *ctl)
{
  return pcd_busy_begin (ctl->quiet ? PCD_BUSY_QUIET : 0, _ ("reading the journal"), NULL);
}

static int
list (const PcdCtl *ctl, const char *state_dir, gboolean json)
{
  g_autoptr (GError) error = NULL;
  PcdBusy *busy = begin_reading (ctl);
  g_autoptr (JsonNode) root = pcd_journal_list (state_dir, 0, &error);
  pcd_busy_end (busy);
  gboolean none = g_error_matches (error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NONE_YET);

  if (!root && !none)
    return fail (error);
  if (json && none)
    g_print ("[]\n");
  else if (json)
    print_json (root);
  else if (none || json_array_get_length (json_node_get_array (root)) == 0)
    g_print (_ ("no incidents recorded yet\n"));
  else
    list_text (json_node_get_array (root));
  return PCD_EXIT_DONE;
}

static char *
describe_action (JsonObject *entry)
{
  g_autofree char *action = pcd_json_text (entry, "action");
  g_autofree char *who = pcd_json_text (entry, "who");
  g_autofree char *reason = pcd_json_text (entry, "reason");
  const char *outcome = pcd_json_get_string (entry, "outcome");
  const gboolean has_reason = strcmp (reason, "-") != 0;

  if (!outcome)
    return g_strdup_printf (_ ("%s: begun by %s"), action, who);
  return g_strdup_printf ("%s: %s%s%s", action, outcome, has_reason ? ": " : "",
                          has_reason ? reason : "");
}

/* A record of a newer daemon may not be understood. */
static PcdRecord *
get_record (JsonObject *entry)
{
  JsonNode *event = json_object_get_member (entry, "event");
  g_autofree char *text = event ? json_to_string (event, FALSE) : NULL;

  return text ? pcd_record_from_json (text, NULL) : NULL;
}

static char *
event_key (const char *action, const char *word)
{
  return g_strconcat (action ?: "", " ", word ?: "", NULL);
}

/* What an event is going to say once more. */
static void
expect_event (GHashTable *expected, JsonObject *entry)
{
  char *key = event_key (pcd_json_get_string (entry, "action"),
                         pcd_json_get_string (entry, "outcome") ?: "started");
  guint n = GPOINTER_TO_UINT (g_hash_table_lookup (expected, key));

  g_hash_table_replace (expected, key, GUINT_TO_POINTER (n + 1));
}

/* The journal has an action's intent and result for itself, and the event that told of each: people
 * want to read it once. An event with no such pair, as of a refused step, is news. */
static gboolean
was_said (GHashTable *expected, const PcdRecord *record)
{
  if (record->kind != PCD_RECORD_ACTION)
    return FALSE;
  g_autofree char *key = event_key (record->from, record->to);
  guint n = GPOINTER_TO_UINT (g_hash_table_lookup (expected, key));
  if (n == 0)
    return FALSE;
  g_hash_table_replace (expected, g_strdup (key), GUINT_TO_POINTER (n - 1));
  return TRUE;
}

/* Domain and role stand above all lines. */
static char *
describe_record (const PcdRecord *record)
{
  const gboolean is_action = record->kind == PCD_RECORD_ACTION;
  g_autofree char *from = pcd_text_printable (record->from ?: "");
  g_autofree char *to = pcd_text_printable (record->to ?: "");
  g_autofree char *detail = pcd_text_printable (record->detail ?: "");
  const char *head = is_action ? from : pcd_record_kind_to_string (record->kind);
  const gboolean has_from = !is_action && *from && !g_str_equal (from, "none");
  /* The guest is not there, and has no vCPUs that could wait. */
  const gboolean is_source = record->kind == PCD_RECORD_MEASURED && record->role == PCD_ROLE_SOURCE;
  const gboolean has_to = *to && !is_source && !g_str_equal (to, head); /* not "armed: armed:..." */

  return g_strconcat (head, has_to || has_from ? ": " : "", has_from ? from : "",
                      has_from && has_to ? " -> " : "", has_to ? to : "", *detail ? ": " : "",
                      detail, is_source && !*detail ? _ (": no migration connection") : "", NULL);
}

/* (nullable): %NULL for what was said already. */
static char *
describe_entry (JsonObject *entry, GHashTable *expected)
{
  if (g_strcmp0 (pcd_json_get_string (entry, "type"), "event") != 0) {
    expect_event (expected, entry);
    return describe_action (entry);
  }
  g_autoptr (PcdRecord) record = get_record (entry);
  if (!record || record->kind >= PCD_N_RECORDS)
    return g_strdup (_ ("something that this postcopyctl cannot read; --json shows it"));
  return was_said (expected, record) ? NULL : describe_record (record);
}

static void
show_text (JsonObject *incident)
{
  const PcdTerminal terminal = pcd_terminal_of (STDOUT_FILENO);
  JsonArray *timeline = json_object_get_array_member (incident, "timeline");
  g_autoptr (GHashTable) expected = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *began = pcd_json_time_text (incident, "began");
  g_autofree char *ended = pcd_json_time_text (incident, "ended");
  g_autofree char *how = pcd_json_text (incident, "how");
  g_autofree char *domain = pcd_json_text (incident, "domain");

  g_print (_ ("Incident: %" PRId64 "\nDomain:   %s\nUUID:     %s\nRole:     %s\nBegan:    "
              "%s\nEnded:    %s\nHow:      %s\n\n"),
           pcd_json_get_int (incident, "id"), domain, pcd_json_get_string (incident, "uuid"),
           pcd_json_get_string (incident, "role"), began, ended, how);
  for (guint i = 0; i < json_array_get_length (timeline); i++) {
    JsonObject *entry = json_array_get_object_element (timeline, i);
    g_autofree char *time = pcd_json_time_text (entry, "time");
    g_autofree char *text = describe_entry (entry, expected);
    if (!text)
      continue;
    g_autofree char *line = g_strdup_printf ("%s: %s", time, text);
    g_autoptr (GString) wrapped = g_string_new (NULL);
    pcd_terminal_wrap (&terminal, wrapped, line, HANG);
    g_print ("%s", wrapped->str);
  }
}

static int
show (const PcdCtl *ctl, const char *state_dir, gboolean json, const char *word)
{
  g_autoptr (GError) error = NULL;
  guint64 id;

  if (!g_ascii_string_to_unsigned (word, 10, 1, G_MAXINT64, &id, NULL)) {
    g_printerr (_ ("%s: got '%s', expected the number of an incident, as 'postcopyctl incident "
                   "list' shows it\n"),
                g_get_prgname (), word);
    return PCD_EXIT_USAGE;
  }
  PcdBusy *busy = begin_reading (ctl);
  g_autoptr (JsonNode) root = pcd_journal_show (state_dir, (gint64)id, &error);
  pcd_busy_end (busy);
  if (g_error_matches (error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NONE_YET)) {
    g_printerr (_ ("%s: no incident %" PRIu64 ": no incidents recorded yet\n"), g_get_prgname (),
                id);
    return PCD_EXIT_NOT_FOUND;
  }
  if (!root)
    return fail (error);
  if (json)
    print_json (root);
  else
    show_text (json_node_get_object (root));
  return PCD_EXIT_DONE;
}

static int
run (const PcdCtl *ctl, int argc, char **argv)
{
  g_autofree char *state_dir = NULL, *html = NULL, *with = NULL;
  gboolean json = FALSE, text = FALSE;
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_ ("Print JSON"), NULL },
    { "html", 0, 0, G_OPTION_ARG_FILENAME, &html, N_ ("Write a page; - for the output"), "FILE" },
    { "text", 0, 0, G_OPTION_ARG_NONE, &text, N_ ("For people; the default"), NULL },
    { "with", 0, 0, G_OPTION_ARG_FILENAME, &with,
      N_ ("The other host's, from incident show --json"), "FILE" },
    { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &state_dir,
      N_ ("Where the journal is, not /var/lib/postcopyd"), "DIR" },
    { NULL },
  };

  int parsed = pcd_verb_parse (&pcd_verb_incident, entries, &argc, &argv);
  if (parsed >= 0)
    return parsed;
  if (!state_dir)
    state_dir = g_strdup (g_getenv ("STATE_DIRECTORY") ?: DEFAULT_STATE_DIR);
  const gboolean is_report = argc == 3 && g_str_equal (argv[1], "report");
  if (!is_report && (html || text || with)) {
    g_printerr (_ ("%s: --html, --text and --with are for 'incident report ID'\n"),
                g_get_prgname ());
    return PCD_EXIT_USAGE;
  }
  if (json + text + (html != NULL) > 1) {
    g_printerr (_ ("%s: expected one of --html, --text and --json\n"), g_get_prgname ());
    return PCD_EXIT_USAGE;
  }
  if (argc == 2 && g_str_equal (argv[1], "list"))
    return list (ctl, state_dir, json);
  if (argc == 3 && g_str_equal (argv[1], "show"))
    return show (ctl, state_dir, json, argv[2]);
  if (is_report)
    return pcd_incident_report (
        &(PcdIncidentReport){ state_dir, argv[2], with, html, json, ctl->quiet });
  g_autofree char *hint = pcd_verb_hint (&pcd_verb_incident, argc > 1 ? argv[1] : NULL);
  g_printerr (_ ("%s: expected %s%s; see 'postcopyctl incident --help'\n"), g_get_prgname (),
              pcd_verb_incident.synopsis, hint);
  return PCD_EXIT_USAGE;
}
