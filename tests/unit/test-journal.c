/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The journal on a real SQLite: what is kept, and what may be relied on.
 * Being killed and a full disk are host/test-journal-kill.c. */
#include "journal-fixture.h"

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
test_what_is_open_is_kept (Fixture *f, gconstpointer data)
{
  PcdLadder first = pcd_ladder_init (PCD_ROLE_SOURCE), last = full_ladder ();

  open_journal (f);
  g_assert_null (f->notice);
  gint64 ended = pcd_journal_begin_incident (f->journal, UUID, "old", PCD_ROLE_SOURCE, T0);
  gint64 open =
      pcd_journal_begin_incident (f->journal, UUID, "d\xff'o", PCD_ROLE_DESTINATION, T0 + 1);
  g_assert_cmpint (open, ==, ended + 1);
  intend_well (f->journal, ended, 1, &first);
  pcd_journal_end_incident (f->journal, ended, "completed", T0 + 9);
  for (guint64 ticket = 1; ticket <= 4; ticket++)
    intend_well (f->journal, open, ticket, &first);
  pcd_journal_result (f->journal, open, 1, "done", NULL, NULL, T0 + 5);
  pcd_journal_result (f->journal, open, 3, "failed", "because", &last, T0 + 6);
  pcd_journal_set_flag (f->journal, UUID, "frozen", "0,1");
  pcd_journal_set_flag (f->journal, UUID, "frozen", "2");
  pcd_journal_set_flag (f->journal, UUID, "held", "uid 1000");
  pcd_journal_set_flag (f->journal, UUID, "held", NULL);
  pcd_journal_set_flag (f->journal, "other", "stopped", "yes");

  for (guint round = 0; round < 2; round++) {
    open_journal (f);
    g_autoptr (GError) error = NULL;
    g_autoptr (GPtrArray) incidents = pcd_journal_get_open (f->journal, &error);
    g_autoptr (GHashTable) flags = pcd_journal_get_flags (f->journal);
    g_autofree char *kept = NULL, *expected = pcd_ladder_to_json (&last);

    g_assert_no_error (error);
    g_assert_cmpuint (incidents->len, ==, 1);
    PcdOpenIncident *incident = g_ptr_array_index (incidents, 0);
    g_assert_cmpint (incident->id, ==, open);
    g_assert_cmpstr (incident->uuid, ==, UUID);
    g_assert_cmpstr (incident->name, ==, "d\357\277\275'o");
    g_assert_cmpint (incident->role, ==, PCD_ROLE_DESTINATION);
    g_assert_cmpint (incident->began, ==, T0 + 1);
    g_assert_true (incident->same_boot);
    g_assert_true (incident->has_ladder);
    kept = pcd_ladder_to_json (&incident->ladder);
    g_assert_cmpstr (kept, ==, expected);
    g_assert_cmpuint (incident->unfinished->len, ==, 2);
    g_assert_cmpuint (g_array_index (incident->unfinished, guint64, 0), ==, 2);
    g_assert_cmpuint (g_array_index (incident->unfinished, guint64, 1), ==, 4);
    g_assert_cmpuint (g_hash_table_size (incident->flags), ==, 1);
    g_assert_cmpstr (g_hash_table_lookup (incident->flags, "frozen"), ==, "2");
    g_assert_cmpuint (g_hash_table_size (flags), ==, 2);
    g_assert_cmpstr (g_hash_table_lookup (g_hash_table_lookup (flags, "other"), "stopped"), ==,
                     "yes");
  }
  g_assert_cmpint (pcd_journal_begin_incident (f->journal, UUID, "x", PCD_ROLE_SOURCE, T0), ==,
                   open + 1);
  struct stat st;
  g_assert_cmpint (stat (f->file, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 0777, ==, 0600);
}

static void
test_rule_5_no_ticket_twice (Fixture *f, gconstpointer data)
{
  open_journal (f);
  gint64 id = pcd_journal_begin_incident (f->journal, UUID, "a", PCD_ROLE_SOURCE, T0);
  intend_well (f->journal, id, 1, NULL);
  g_autoptr (GError) doubled = intend (f->journal, id, 1, NULL);
  g_assert_error (doubled, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_DOUBLED);
  open_journal (f);
  g_autoptr (GError) later = intend (f->journal, id, 1, NULL);
  g_assert_error (later, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_DOUBLED);
  g_autoptr (GError) nowhere = intend (f->journal, id + 1, 1, NULL);
  g_assert_error (nowhere, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NOT_FOUND);
  g_autoptr (GError) none = intend (f->journal, 0, 1, NULL);
  g_assert_error (none, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NOT_FOUND);
  /* The refused ones spoilt nothing. */
  intend_well (f->journal, id, 2, NULL);
}

static void
test_rule_5_no_journal_no_intent (void)
{
  g_autoptr (GError) error = intend (NULL, 1, 1, NULL);
  PcdRecord record = { .kind = PCD_RECORD_PHASE };

  g_assert_error (error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_DISK);
  g_assert_cmpint (pcd_journal_begin_incident (NULL, UUID, "a", PCD_ROLE_SOURCE, T0), ==, 0);
  pcd_journal_add_record (NULL, 1, &record);
  pcd_journal_end_incident (NULL, 1, "gone", T0);
  pcd_journal_close (NULL);
}

/* Sets the flag and waits for the answer. */
static GError *
secure (PcdJournal *journal, const char *value)
{
  Answer answer = { 0 };
  guint late = g_timeout_add_seconds (10, on_late, NULL);

  pcd_journal_secure_flag (journal, UUID, "stopped", value, on_answer, &answer);
  g_assert_false (answer.called);
  while (!answer.called)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (late);
  return answer.error;
}

/* What is answered another reader finds, also if this process goes no further. */
static void
test_rule_5_flag_is_on_disk (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) none = secure (NULL, "snapshot"), error = NULL;
  sqlite3 *db = NULL;
  sqlite3_stmt *statement = NULL;

  g_assert_error (none, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_DISK);
  open_journal (f);
  error = secure (f->journal, "snapshot");
  g_assert_no_error (error);
  g_assert_cmpint (sqlite3_open_v2 (f->file, &db, SQLITE_OPEN_READONLY, NULL), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_prepare_v2 (db, "SELECT value FROM flags WHERE flag = 'stopped'", -1,
                                       &statement, NULL),
                   ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_step (statement), ==, SQLITE_ROW);
  g_assert_cmpstr ((const char *)sqlite3_column_text (statement, 0), ==, "snapshot");
  sqlite3_finalize (statement);
  sqlite3_close (db);
}

static void
test_ladder_that_cannot_be_read (Fixture *f, gconstpointer data)
{
  open_journal (f);
  gint64 id = pcd_journal_begin_incident (f->journal, UUID, "a", PCD_ROLE_SOURCE, T0);
  PcdLadder ladder = full_ladder ();
  intend_well (f->journal, id, 7, &ladder);
  close_journal (f);
  run_sql (f, "UPDATE incidents SET boot = 'earlier', "
              "ladder = replace(ladder, '\"running\"', '\"walking\"')");

  open_journal (f);
  g_autoptr (GPtrArray) incidents = pcd_journal_get_open (f->journal, NULL);
  PcdOpenIncident *incident = g_ptr_array_index (incidents, 0);
  g_assert_null (f->notice);
  g_assert_false (incident->has_ladder);
  g_assert_false (incident->same_boot);
  g_assert_nonnull (strstr (incident->ladder_error, "walking"));
  g_assert_nonnull (strstr (incident->ladder_error, f->file));
  g_assert_cmpuint (incident->unfinished->len, ==, 1);
}

/* Whatever is wrong with it, the reason says of which incident, where, and what was expected. */
static void
test_ladder_errors (Fixture *f, gconstpointer data)
{
  static const struct {
    const char *expression, *reason;
  } rows[] = {
    { "replace('%s', '\"last-ticket\":11', '\"last-ticket\":\"x\"')", "expected a number" },
    { "replace('%s', '\"last-ticket\":11', '\"last-ticket\":1.5')", "expected an integer from 0" },
    { "replace('%s', '\"role\":\"destination\"', '\"role\":1')", "expected a word" },
    { "replace('%s', '\"waived\":true', '\"waived\":1')", "expected true or false" },
    { "replace('%s', '\"waived\":true,', '')", "has no \"waived\"" },
    { "replace('%s', '\"waived\":true,', '\"waived\":true,\"new\":1,')", "members, expected " },
    { "substr('[]%s', 1, 2)", "got an array, expected an object" },
    { "json_set('%s', '$.records', 7)", "expected an array of no more than" },
    { "CAST(X'7bff' || substr('%s', 1, 0) AS TEXT)", "not UTF-8 text" },
  };
  PcdLadder ladder = full_ladder ();
  g_autofree char *text = pcd_ladder_to_json (&ladder);

  open_journal (f);
  pcd_journal_begin_incident (f->journal, UUID, "a", PCD_ROLE_SOURCE, T0);
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GString) sql = g_string_new ("UPDATE incidents SET ladder = ");
    g_autoptr (GPtrArray) incidents = NULL;

    g_string_append (sql, rows[i].expression);
    g_assert_cmpuint (g_string_replace (sql, "%s", text, 1), ==, 1);
    close_journal (f);
    run_sql (f, sql->str);
    open_journal (f);
    incidents = pcd_journal_get_open (f->journal, NULL);
    const PcdOpenIncident *incident = g_ptr_array_index (incidents, 0);
    g_assert_false (incident->has_ladder);
    g_assert_true (g_str_has_prefix (incident->ladder_error, f->file));
    g_assert_nonnull (strstr (incident->ladder_error, ", ladder of incident 1:1:"));
    g_assert_nonnull (strstr (incident->ladder_error, rows[i].reason));
  }
}

/* Under the unit and by hand, in turn. */
static void
test_boot_by_environment (Fixture *f, gconstpointer data)
{
  g_autofree char *text = NULL;

  g_assert_true (g_file_get_contents ("/proc/sys/kernel/random/boot_id", &text, NULL, NULL));
  g_auto (GStrv) parts = g_strsplit (g_strstrip (text), "-", -1);
  g_autofree char *plain = g_strjoinv ("", parts);
  g_setenv ("PCD_BOOT_ID", plain, TRUE);
  open_journal (f);
  pcd_journal_begin_incident (f->journal, UUID, "a", PCD_ROLE_SOURCE, T0);
  close_journal (f);

  const char *const boots[] = { NULL, plain, "0123456789abcdef0123456789abcdef" };
  for (guint i = 0; i < G_N_ELEMENTS (boots); i++) {
    g_unsetenv ("PCD_BOOT_ID");
    if (boots[i])
      g_setenv ("PCD_BOOT_ID", boots[i], TRUE);
    open_journal (f);
    g_autoptr (GPtrArray) incidents = pcd_journal_get_open (f->journal, NULL);
    g_assert_cmpuint (incidents->len, ==, 1);
    PcdOpenIncident *incident = g_ptr_array_index (incidents, 0);
    g_assert_cmpint (incident->same_boot, ==, i < 2);
    close_journal (f);
  }
  g_unsetenv ("PCD_BOOT_ID");
}

static void
test_one_daemon (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  open_journal (f);
  g_assert_null (pcd_journal_open (f->dir, NULL, &error));
  g_assert_error (error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_IN_USE);
  g_assert_nonnull (strstr (error->message, f->dir));
}

static void
test_prune (Fixture *f, gconstpointer data)
{
  PcdRecord record = { .kind = PCD_RECORD_PHASE, .uuid = (char *)UUID, .time = T0 };
  g_autoptr (GError) error = NULL;

  open_journal (f);
  for (guint i = 1; i <= 10; i++) {
    gint64 id = pcd_journal_begin_incident (f->journal, UUID, "a", PCD_ROLE_SOURCE, T0);
    intend_well (f->journal, id, 1, NULL);
    for (guint k = 0; k < 10; k++)
      pcd_journal_add_record (f->journal, k < 9 ? id : 0, &record);
    if (i != 2)
      pcd_journal_end_incident (f->journal, id, "completed", T0);
  }
  close_journal (f);
  sqlite3 *db = NULL;
  g_assert_cmpint (sqlite3_open (f->file, &db), ==, SQLITE_OK);
  sqlite3_exec (db, "PRAGMA foreign_keys = ON", NULL, NULL, NULL);
  g_assert_cmpint (pcd_journal_file_prune (db, 3, 25), ==, SQLITE_OK);
  sqlite3_close (db);
  g_autoptr (JsonNode) list = pcd_journal_list (f->dir, 0, &error);
  g_assert_no_error (error);
  g_autofree char *ids = NULL;
  g_autoptr (GString) text = g_string_new (NULL);
  JsonArray *array = json_node_get_array (list);
  for (guint i = 0; i < json_array_get_length (array); i++)
    g_string_append_printf (
        text, "%d ",
        (int)json_object_get_int_member (json_array_get_object_element (array, i), "id"));
  g_assert_cmpstr (text->str, ==, "10 9 8 2 ");
  /* The open one keeps its intent, if not its old records. */
  g_autoptr (JsonNode) show = pcd_journal_show (f->dir, 2, &error);
  g_assert_cmpuint (json_array_get_length (
                        json_object_get_array_member (json_node_get_object (show), "timeline")),
                    ==, 1);
  open_journal (f);
  g_assert_null (f->notice);
  g_assert_cmpint (pcd_journal_begin_incident (f->journal, UUID, "a", PCD_ROLE_SOURCE, T0), ==, 11);
}

#define ADD(name, func) g_test_add ("/journal/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* What the journal warns of is looked at, not died of. */
  g_log_set_always_fatal (G_LOG_FATAL_MASK);
  ADD ("what-is-open-is-kept", test_what_is_open_is_kept);
  ADD ("rule-5-no-ticket-twice", test_rule_5_no_ticket_twice);
  g_test_add_func ("/journal/rule-5-no-journal-no-intent", test_rule_5_no_journal_no_intent);
  ADD ("rule-5-flag-is-on-disk", test_rule_5_flag_is_on_disk);
  ADD ("ladder-that-cannot-be-read", test_ladder_that_cannot_be_read);
  ADD ("ladder-errors", test_ladder_errors);
  ADD ("boot-by-environment", test_boot_by_environment);
  ADD ("one-daemon", test_one_daemon);
  ADD ("prune", test_prune);
  return g_test_run ();
}
