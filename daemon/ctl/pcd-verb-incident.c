/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl incident: lists incidents and shows what happened in one. Reads the journal's
 * database by itself; needs no daemon. */
#include <json-glib/json-glib.h>
#include <string.h>

#include "ctl/pcd-verbs.h"
#include "journal/pcd-journal.h"

static int run (const PcdCtl *ctl, int argc, char **argv);

const PcdVerb pcd_verb_incident = {
  .name = "incident",
  .synopsis = "list | show ID",
  .summary = "What happened to migrations in trouble, and what was done",
  .run = run,
};

#define DEFAULT_STATE_DIR "/var/lib/postcopyd"

static const char *
get_string (JsonObject *object, const char *name)
{
  return json_object_get_string_member_with_default (object, name, NULL);
}

/* The journal's own times, as people read them. */
static char *
get_time (JsonObject *object, const char *name)
{
  const char *text = get_string (object, name);
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr (GDateTime) time = text ? g_date_time_new_from_iso8601 (text, utc) : NULL;

  if (!time)
    return g_strdup ("-");
  return pcd_time_to_text (g_date_time_to_unix (time) * G_USEC_PER_SEC +
                           g_date_time_get_microsecond (time));
}

static char *
get_printable (JsonObject *object, const char *name)
{
  return pcd_text_printable (get_string (object, name) ?: "-");
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
    g_printerr ("%s: postcopyd sets a damaged journal aside when it meets the damage, and begins "
                "a fresh one\n",
                g_get_prgname ());
  return g_error_matches (error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NOT_FOUND)
             ? PCD_EXIT_NOT_FOUND
             : PCD_EXIT_FAILED;
}

static void
list_text (JsonArray *incidents)
{
  g_print (" %-8s %-28s %-28s %-12s %-12s %7s  %s\n", "Id", "Began", "Ended", "Role", "How",
           "Actions", "Domain");
  for (guint i = 0; i < json_array_get_length (incidents); i++) {
    JsonObject *incident = json_array_get_object_element (incidents, i);
    g_autofree char *began = get_time (incident, "began");
    g_autofree char *ended = get_time (incident, "ended");
    g_autofree char *how = get_printable (incident, "how");
    g_autofree char *domain = get_printable (incident, "domain");

    g_print (" %-8" G_GINT64_FORMAT " %-28s %-28s %-12s %-12s %7" G_GINT64_FORMAT "  %s\n",
             json_object_get_int_member (incident, "id"), began, ended,
             get_string (incident, "role"), how, json_object_get_int_member (incident, "actions"),
             domain);
  }
}

static int
list (const char *state_dir, gboolean json)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) root = pcd_journal_list (state_dir, 0, &error);
  gboolean none = g_error_matches (error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NONE_YET);

  if (!root && !none)
    return fail (error);
  if (json && none)
    g_print ("[]\n");
  else if (json)
    print_json (root);
  else if (none || json_array_get_length (json_node_get_array (root)) == 0)
    g_print ("no incidents recorded yet\n");
  else
    list_text (json_node_get_array (root));
  return PCD_EXIT_DONE;
}

static char *
describe_action (JsonObject *entry)
{
  g_autofree char *action = get_printable (entry, "action");
  g_autofree char *who = get_printable (entry, "who");
  g_autofree char *reason = get_printable (entry, "reason");
  const char *outcome = get_string (entry, "outcome");
  gint64 ticket = json_object_get_int_member (entry, "ticket");

  if (!outcome)
    return g_strdup_printf ("action '%s' began: %s (ticket %" G_GINT64_FORMAT ")", action, who,
                            ticket);
  return g_strdup_printf ("action '%s' %s%s%s (ticket %" G_GINT64_FORMAT ")", action, outcome,
                          strcmp (reason, "-") ? ": " : "", strcmp (reason, "-") ? reason : "",
                          ticket);
}

/* As `postcopyctl events` shows it; a record of a newer daemon may not be understood. */
static char *
describe_event (JsonObject *entry)
{
  JsonNode *event = json_object_get_member (entry, "event");
  g_autofree char *text = event ? json_to_string (event, FALSE) : NULL;
  g_autoptr (PcdRecord) record = text ? pcd_record_from_json (text, NULL) : NULL;

  return record ? pcd_record_to_message (record) : g_strdup ("event that cannot be read");
}

static void
show_text (JsonObject *incident)
{
  JsonArray *timeline = json_object_get_array_member (incident, "timeline");
  g_autofree char *began = get_time (incident, "began");
  g_autofree char *ended = get_time (incident, "ended");
  g_autofree char *how = get_printable (incident, "how");
  g_autofree char *domain = get_printable (incident, "domain");

  g_print ("Incident: %" G_GINT64_FORMAT "\nDomain:   %s\nUUID:     %s\nRole:     %s\n"
           "Began:    %s\nEnded:    %s\nHow:      %s\n\n",
           json_object_get_int_member (incident, "id"), domain, get_string (incident, "uuid"),
           get_string (incident, "role"), began, ended, how);
  for (guint i = 0; i < json_array_get_length (timeline); i++) {
    JsonObject *entry = json_array_get_object_element (timeline, i);
    g_autofree char *time = get_time (entry, "time");
    gboolean is_event = g_strcmp0 (get_string (entry, "type"), "event") == 0;
    g_autofree char *text = is_event ? describe_event (entry) : describe_action (entry);
    g_print ("%s: %s\n", time, text);
  }
}

static int
show (const char *state_dir, gboolean json, const char *word)
{
  g_autoptr (GError) error = NULL;
  guint64 id;

  if (!g_ascii_string_to_unsigned (word, 10, 1, G_MAXINT64, &id, NULL)) {
    g_printerr ("%s: got '%s', expected the number of an incident, as 'postcopyctl incident list' "
                "shows it\n",
                g_get_prgname (), word);
    return PCD_EXIT_USAGE;
  }
  g_autoptr (JsonNode) root = pcd_journal_show (state_dir, (gint64)id, &error);
  if (g_error_matches (error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NONE_YET)) {
    g_printerr ("%s: no incident %" G_GUINT64_FORMAT ": no incidents recorded yet\n",
                g_get_prgname (), id);
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
  g_autofree char *state_dir = NULL;
  gboolean json = FALSE;
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, "For programs", NULL },
    { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &state_dir,
      "Where the journal is (default: $STATE_DIRECTORY, else " DEFAULT_STATE_DIR ")", "DIR" },
    { NULL },
  };

  int parsed = pcd_verb_parse (&pcd_verb_incident, entries, &argc, &argv);
  if (parsed >= 0)
    return parsed;
  if (!state_dir)
    state_dir = g_strdup (g_getenv ("STATE_DIRECTORY") ?: DEFAULT_STATE_DIR);
  if (argc == 2 && g_str_equal (argv[1], "list"))
    return list (state_dir, json);
  if (argc == 3 && g_str_equal (argv[1], "show"))
    return show (state_dir, json, argv[2]);
  g_printerr ("%s: expected %s; see 'postcopyctl incident --help'\n", g_get_prgname (),
              pcd_verb_incident.synopsis);
  return PCD_EXIT_USAGE;
}
