/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The journal on a real SQLite: what is kept, what damage does to it, and what postcopyctl shows.
 * Being killed and a full disk are host/test-journal-kill.c. */
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/pcd-journal-file.h"
#include "journal/pcd-ladder-json.h"

#define UUID "a1a1a1a1-0000-4000-8000-000000000001"
#define T0   G_GINT64_CONSTANT (1795359601123456)

/* ---- helpers ---- */

static void
remove_folder (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *file = g_build_filename (path, name, NULL);
    g_assert_cmpint (g_unlink (file), ==, 0);
  }
  g_assert_cmpint (g_rmdir (path), ==, 0);
}

typedef struct {
  char *dir;
  char *file;
  PcdJournal *journal;
  char *notice;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->dir = g_dir_make_tmp ("pcd-journal-XXXXXX", NULL);
  g_assert_nonnull (f->dir);
  f->file = g_build_filename (f->dir, "journal.sqlite", NULL);
}

static void
close_journal (Fixture *f)
{
  g_clear_pointer (&f->journal, pcd_journal_close);
}

static void
open_journal (Fixture *f)
{
  g_autoptr (GError) error = NULL;

  close_journal (f);
  g_clear_pointer (&f->notice, g_free);
  f->journal = pcd_journal_open (f->dir, &f->notice, &error);
  g_assert_no_error (error);
  g_assert_nonnull (f->journal);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  close_journal (f);
  remove_folder (f->dir);
  g_free (f->dir);
  g_free (f->file);
  g_free (f->notice);
}

typedef struct {
  gboolean called;
  GError *error;
} Answer;

static void
on_answer (const GError *error, gpointer data)
{
  Answer *answer = data;

  g_assert_false (answer->called);
  answer->called = TRUE;
  answer->error = error ? g_error_copy (error) : NULL;
}

static gboolean
on_late (gpointer data)
{
  g_error ("no answer within 10 s");
  return G_SOURCE_REMOVE;
}

/* Journals an intent and waits for the answer. */
static GError *
intend (PcdJournal *journal, gint64 incident, guint64 ticket, const PcdLadder *ladder)
{
  Answer answer = { 0 };
  guint late = g_timeout_add_seconds (10, on_late, NULL);

  pcd_journal_intent (journal, incident, ticket, "recover", "policy recover", ladder, T0, on_answer,
                      &answer);
  g_assert_false (answer.called);
  while (!answer.called)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (late);
  return answer.error;
}

static void
intend_well (PcdJournal *journal, gint64 incident, guint64 ticket, const PcdLadder *ladder)
{
  g_autoptr (GError) error = intend (journal, incident, ticket, ladder);

  g_assert_no_error (error);
}

/* A ladder in which no two members have the same value. */
static PcdLadder
full_ladder (void)
{
  PcdLadder ladder = pcd_ladder_init (PCD_ROLE_DESTINATION);

  for (guint i = 0; i < PCD_N_WHENS; i++)
    ladder.clocks[i] = (PcdLadderClock){
      .in = i % 2, .since = 100 + i, .left = 200 + i, .banked = 300 + i, .spell = 400 + i
    };
  ladder.n_records = PCD_LADDER_MAX_RECORDS;
  for (guint i = 0; i < ladder.n_records; i++)
    ladder.records[i] = (PcdLadderRecord){
      .when = i % PCD_N_WHENS,
      .action = i % PCD_N_ACTIONS,
      .ordinal = 500 + i,
      .status = i % 5,
      .chosen = (i + 1) % PCD_N_ACTIONS,
      .fell_back = i % 2,
      .cancelled = i / 2 % 2,
      .told = i / 4 % 2,
      .spell = 600 + i,
      .attempts = 700 + i,
      .level = 800 + i,
      .ticket = ((guint64)1 << 52) + i,
      .started = -900 - (gint64)i,
      .not_before = ((gint64)1 << 50) + i,
    };
  ladder.last_ticket = 11;
  ladder.settle_until = 12;
  ladder.operator_running = 13;
  ladder.operator_pause = ladder.waived = TRUE;
  ladder.our_pause = ladder.held = FALSE;
  ladder.peer_answers = PCD_FACT_YES;
  return ladder;
}

/* ---- ladders as JSON ---- */

static void
test_ladder_round_trip (void)
{
  PcdLadder ladders[] = { full_ladder (), pcd_ladder_init (PCD_ROLE_SOURCE), full_ladder () };

  ladders[2].operator_pause = ladders[2].waived = FALSE;
  ladders[2].our_pause = ladders[2].held = TRUE;
  ladders[2].n_records = 1;
  memset (&ladders[2].records[1], 0, sizeof ladders[2].records - sizeof ladders[2].records[0]);
  for (guint i = 0; i < G_N_ELEMENTS (ladders); i++) {
    g_autofree char *text = pcd_ladder_to_json (&ladders[i]);
    g_autofree char *again = NULL;
    g_autoptr (GError) error = NULL;
    PcdLadder back;

    pcd_ladder_from_json (text, "test", &back, &error);
    g_assert_no_error (error);
    again = pcd_ladder_to_json (&back);
    g_assert_cmpstr (again, ==, text);
    for (guint k = 0; k < PCD_N_WHENS; k++)
      g_assert_cmpmem (&back.clocks[k], sizeof back.clocks[k], &ladders[i].clocks[k],
                       sizeof back.clocks[k]);
    g_assert_cmpuint (back.n_records, ==, ladders[i].n_records);
    for (guint k = 0; k < back.n_records; k++)
      g_assert_cmpmem (&back.records[k], sizeof back.records[k], &ladders[i].records[k],
                       sizeof back.records[k]);
    g_assert_cmpuint (back.role, ==, ladders[i].role);
    g_assert_cmpuint (back.last_ticket, ==, ladders[i].last_ticket);
    g_assert_cmpint (back.settle_until, ==, ladders[i].settle_until);
    g_assert_cmpuint (back.operator_running, ==, ladders[i].operator_running);
    g_assert_cmpint (back.operator_pause, ==, ladders[i].operator_pause);
    g_assert_cmpint (back.our_pause, ==, ladders[i].our_pause);
    g_assert_cmpint (back.waived, ==, ladders[i].waived);
    g_assert_cmpint (back.held, ==, ladders[i].held);
    g_assert_cmpint (back.peer_answers, ==, ladders[i].peer_answers);
  }
}

static void
test_ladder_is_never_guessed (void)
{
  static const struct {
    const char *from, *to, *message;
  } cases[] = {
    { "\"version\":2", "\"version\":1", "$.version" },
    { "\"version\":2,", "", "has no \"version\"" },
    { "\"role\":\"destination\"", "\"role\":\"target\"", "$.role: got \"target\"" },
    { "\"role\":\"destination\"", "\"role\":1", "$.role: got a number" },
    { "\"waived\":true", "\"waived\":1", "$.waived" },
    { "\"waived\":true,", "", "has no \"waived\"" },
    { "\"waived\":true,", "\"waived\":true,\"waived\":true,", "waived" },
    { "\"waived\":true,", "\"waived\":true,\"new\":1,", "has 13 members" },
    { "\"last-ticket\":11", "\"last-ticket\":-1", "$.last-ticket" },
    { "\"last-ticket\":11", "\"last-ticket\":1.5", "$.last-ticket" },
    { "\"operator-running\":13", "\"operator-running\":4294967296", "$.operator-running" },
    { "\"stalled\":{", "\"stuck\":{", "has no \"stalled\"" },
    { "\"status\":\"running\"", "\"status\":\"walking\"", "$.records[1].status" },
    { "\"ordinal\":501", "\"ordinal\":null", "$.records[1].ordinal" },
    { "\"peer-answers\":\"yes\"", "\"peer-answers\":\"?\"", "$.peer-answers" },
    { "{\"version\"", "[{\"version\"", "" },
    { "}]}", "}]", "" },
  };
  PcdLadder ladder = full_ladder ();
  g_autofree char *text = pcd_ladder_to_json (&ladder);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GString) broken = g_string_new (text);
    g_autoptr (GError) error = NULL;
    PcdLadder back = { .last_ticket = 4711 };

    g_assert_cmpuint (g_string_replace (broken, cases[i].from, cases[i].to, 1), ==, 1);
    g_assert_false (pcd_ladder_from_json (broken->str, "FILE", &back, &error));
    g_assert_nonnull (error);
    g_assert_true (g_str_has_prefix (error->message, "FILE:1:"));
    if (!strstr (error->message, cases[i].message))
      g_error ("case %u: \"%s\" does not say \"%s\"", i, error->message, cases[i].message);
    g_assert_cmpuint (back.last_ticket, ==, 4711);
  }
}

/* ---- what is kept ---- */

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
run_sql (Fixture *f, const char *sql)
{
  sqlite3 *db = NULL;

  g_assert_cmpint (sqlite3_open (f->file, &db), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
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

/* ---- damage ---- */

static void
fill (Fixture *f, guint n_records)
{
  PcdRecord record = { .kind = PCD_RECORD_PHASE,
                       .uuid = (char *)UUID,
                       .time = T0,
                       .detail = (char *)"something to fill a page with" };

  open_journal (f);
  gint64 id = pcd_journal_begin_incident (f->journal, UUID, "a", PCD_ROLE_SOURCE, T0);
  for (guint i = 0; i < n_records; i++)
    pcd_journal_add_record (f->journal, id, &record);
  intend_well (f->journal, id, 1, NULL);
  close_journal (f);
}

static void
scribble (Fixture *f, gsize from)
{
  g_autofree char *content = NULL;
  gsize length;

  g_assert_true (g_file_get_contents (f->file, &content, &length, NULL));
  for (gsize i = from; i < length; i++)
    content[i] = (char)g_test_rand_int ();
  FILE *file = fopen (f->file, "r+"); /* in place: the same inode */
  g_assert_cmpuint (fwrite (content, 1, length, file), ==, length);
  fclose (file);
}

static void
damage_random (Fixture *f)
{
  scribble (f, 0);
}
static void
damage_pages (Fixture *f)
{
  scribble (f, 4096);
}

static void
damage_magic (Fixture *f)
{
  FILE *file = fopen (f->file, "r+");

  fputs ("SQLight", file);
  fclose (file);
}

static void
damage_truncate (Fixture *f)
{
  struct stat st;

  g_assert_cmpint (stat (f->file, &st), ==, 0);
  g_assert_cmpint (truncate (f->file, st.st_size / 2 + 100), ==, 0);
}

static void
damage_empty (Fixture *f)
{
  g_assert_cmpint (truncate (f->file, 0), ==, 0);
}
static void
damage_foreign (Fixture *f)
{
  run_sql (f, "PRAGMA application_id = 1");
}
static void
damage_table (Fixture *f)
{
  run_sql (f, "DROP TABLE flags");
}
static void
damage_newer (Fixture *f)
{
  run_sql (f, "PRAGMA user_version = 7");
}

typedef struct {
  const char *name;
  void (*damage) (Fixture *f);
  const char *suffix;
  const char *notice;
} Damage;

static const Damage damages[] = {
  { "random", damage_random, "damaged", "not a database" },
  { "magic", damage_magic, "damaged", "not a database" },
  { "pages", damage_pages, "damaged", "" },
  { "truncated", damage_truncate, "damaged", "" },
  { "empty", damage_empty, "damaged", "is empty" },
  { "foreign", damage_foreign, "damaged", "not a journal" },
  { "table", damage_table, "damaged", "flags" },
  { "newer", damage_newer, "version-7", "newer postcopyd" },
};

static char *
find_set_aside (Fixture *f, const char *suffix)
{
  g_autofree char *prefix = g_strconcat ("journal.sqlite.", suffix, "-2", NULL);
  g_autoptr (GDir) dir = g_dir_open (f->dir, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)))
    if (g_str_has_prefix (name, prefix) && !g_str_has_suffix (name, "-wal") &&
        !g_str_has_suffix (name, "-shm"))
      return g_build_filename (f->dir, name, NULL);
  return NULL;
}

static void
test_damage (Fixture *f, gconstpointer data)
{
  const Damage *damage = data;
  g_autofree char *before = NULL, *after = NULL, *wal = g_strconcat (f->file, "-wal", NULL);
  gsize n_before, n_after;

  fill (f, 500);
  damage->damage (f);
  g_assert_true (g_file_get_contents (f->file, &before, &n_before, NULL));
  g_assert_true (g_file_set_contents (wal, "a stray log", -1, NULL));

  open_journal (f);
  g_autofree char *aside = find_set_aside (f, damage->suffix);
  g_assert_nonnull (aside);
  g_assert_nonnull (f->notice);
  g_assert_nonnull (strstr (f->notice, damage->notice));
  g_assert_nonnull (strstr (f->notice, aside));
  g_assert_true (g_file_get_contents (aside, &after, &n_after, NULL));
  g_assert_cmpmem (before, n_before, after, n_after);
  g_autoptr (GPtrArray) open = pcd_journal_get_open (f->journal, NULL);
  g_assert_cmpuint (open->len, ==, 0);
  gint64 id = pcd_journal_begin_incident (f->journal, UUID, "b", PCD_ROLE_SOURCE, T0);
  g_assert_cmpint (id, ==, 1000001);
  intend_well (f->journal, id, 1, NULL);
  open_journal (f);
  g_assert_null (f->notice);
}

/* Warnings of the writer's thread, which are expected here. */
static GMutex warnings_lock;
static GString *warnings;

static GLogWriterOutput
take_warning (GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
  g_mutex_lock (&warnings_lock);
  for (gsize i = 0; i < n; i++)
    if (g_str_equal (fields[i].key, "MESSAGE") && level <= G_LOG_LEVEL_MESSAGE)
      g_string_append_printf (warnings, "%s\n", (const char *)fields[i].value);
  g_mutex_unlock (&warnings_lock);
  return G_LOG_WRITER_HANDLED;
}

static void
check_goes_on (Fixture *f, gint64 id)
{
  g_autoptr (GError) error = NULL;

  open_journal (f);
  g_assert_null (f->notice);
  g_autoptr (GPtrArray) open = pcd_journal_get_open (f->journal, &error);
  g_assert_cmpuint (open->len, ==, 1);
  PcdOpenIncident *incident = g_ptr_array_index (open, 0);
  g_assert_cmpint (incident->id, ==, id);
  g_assert_cmpuint (incident->unfinished->len, ==, 2);
  g_assert_cmpuint (g_array_index (incident->unfinished, guint64, 0), ==, 2);
  g_assert_cmpuint (g_array_index (incident->unfinished, guint64, 1), ==, 3);
  g_assert_true (incident->has_ladder);
  g_assert_cmpuint (incident->ladder.last_ticket, ==, 3);
  g_assert_cmpstr (g_hash_table_lookup (incident->flags, "frozen"), ==, "0");
}

/* An incident with a finished and an unfinished intent, then @harm, then another intent. */
static void
goes_on_after (Fixture *f, void (*harm) (Fixture *f), const char *warning)
{
  PcdLadder ladder = full_ladder ();

  fill (f, 500);
  open_journal (f);
  gint64 old = 1, id = pcd_journal_begin_incident (f->journal, UUID, "b", PCD_ROLE_SOURCE, T0);
  pcd_journal_end_incident (f->journal, old, "completed", T0);
  intend_well (f->journal, id, 1, &ladder);
  pcd_journal_result (f->journal, id, 1, "done", NULL, NULL, T0);
  pcd_journal_set_flag (f->journal, UUID, "frozen", "0");
  intend_well (f->journal, id, 2, &ladder);
  harm (f);
  ladder.last_ticket = 3;
  intend_well (f->journal, id, 3, &ladder);
  g_mutex_lock (&warnings_lock);
  g_assert_nonnull (strstr (warnings->str, warning));
  g_string_truncate (warnings, 0);
  g_mutex_unlock (&warnings_lock);
  check_goes_on (f, id);
}

/* Another connection that writes makes the journal's own read the file again. */
static void
harm_pages (Fixture *f)
{
  run_sql (f, "PRAGMA wal_checkpoint(TRUNCATE)");
  scribble (f, 4096);
  run_sql (f, "PRAGMA user_version = 1");
}

static void
harm_unlink (Fixture *f)
{
  static const char *const ends[] = { "", "-wal", "-shm" };

  for (guint i = 0; i < G_N_ELEMENTS (ends); i++) {
    g_autofree char *name = g_strconcat (f->file, ends[i], NULL);
    g_unlink (name);
  }
}

static void
test_damage_while_writing (Fixture *f, gconstpointer data)
{
  goes_on_after (f, harm_pages, "it was set aside as");
  g_autofree char *aside = find_set_aside (f, "damaged");
  g_assert_nonnull (aside);
}

static void
test_rule_5_taken_away (Fixture *f, gconstpointer data)
{
  goes_on_after (f, harm_unlink, "was taken away");
}

/* ---- postcopyctl ---- */

static int
ctl (Fixture *f, const char *words, GSpawnChildSetupFunc setup, char **ret_out, char **ret_err)
{
  g_autofree char *line =
      g_strdup_printf ("%s incident %s --state-dir %s", g_getenv ("PCD_CTL"), words, f->dir);
  g_auto (GStrv) argv = g_strsplit (line, " ", -1);
  g_autoptr (GError) error = NULL;
  int status;

  g_spawn_sync (NULL, argv, NULL, 0, setup, NULL, ret_out, ret_err, &status, &error);
  g_assert_no_error (error);
  return WEXITSTATUS (status);
}

static void
assert_ctl (Fixture *f, const char *words, int code, const char *out, const char *err)
{
  g_autofree char *got_out = NULL, *got_err = NULL;

  g_assert_cmpint (ctl (f, words, NULL, &got_out, &got_err), ==, code);
  g_assert_cmpstr (got_out, ==, out);
  if (*err)
    g_assert_nonnull (strstr (got_err, err));
  else
    g_assert_cmpstr (got_err, ==, "");
}

static void
become_nobody (gpointer data)
{
  if (setgid (65534) != 0 || setuid (65534) != 0)
    _exit (99);
}

static void
test_ctl (Fixture *f, gconstpointer data)
{
  PcdRecord record = { .seq = 5,
                       .time = T0 + 1,
                       .kind = PCD_RECORD_PHASE,
                       .uuid = (char *)UUID,
                       .domain = (char *)"web\n1",
                       .role = PCD_ROLE_SOURCE,
                       .from = (char *)"postcopy",
                       .to = (char *)"paused" };

  assert_ctl (f, "list", 0, "no incidents recorded yet\n", "");
  assert_ctl (f, "list --json", 0, "[]\n", "");
  assert_ctl (f, "show 1", 4, "", "no incidents recorded yet");
  assert_ctl (f, "show one", 2, "", "expected the number");
  assert_ctl (f, "list all", 2, "", "expected list | show ID");
  open_journal (f);
  assert_ctl (f, "list", 0, "no incidents recorded yet\n", "");
  gint64 id = pcd_journal_begin_incident (f->journal, UUID, "web\n1", PCD_ROLE_SOURCE, T0);
  pcd_journal_add_record (f->journal, id, &record);
  intend_well (f->journal, id, 1, NULL);
  pcd_journal_result (f->journal, id, 1, "refused", "the peer\ndoes not answer", NULL, T0 + 3000);
  pcd_journal_result (f->journal, id, 1, "done", "twice", NULL, T0 + 4000);
  pcd_journal_result (f->journal, id, 9, "done", "without an intent", NULL, T0 + 4000);
  intend_well (f->journal, id, 2, NULL);
  /* The events of the two that are there already, and one that says more. */
  PcdRecord told = record;
  told.kind = PCD_RECORD_ACTION;
  told.from = (char *)"recover";
  told.detail = (char *)"the peer does not answer";
  for (guint i = 0; i < 4; i++) {
    static const char *const words[] = { "started", "started", "refused", "gave-up" };
    told.to = (char *)words[i];
    told.seq++;
    pcd_journal_add_record (f->journal, id, &told);
  }
  /* While the daemon has it, and after. */
  for (guint round = 0; round < 2; round++) {
    assert_ctl (f, "list", 0,
                " Id       Began                        Ended                        Role         "
                "How          Actions  Domain\n"
                " 1        2026-11-22 15:00:01.123+0000 -                            source       "
                "-                  2  web?1\n",
                "");
    assert_ctl (f, "show 1", 0,
                "Incident: 1\nDomain:   web?1\nUUID:     " UUID "\nRole:     source\n"
                "Began:    2026-11-22 15:00:01.123+0000\nEnded:    -\nHow:      -\n\n"
                "2026-11-22 15:00:01.123+0000: phase: postcopy -> paused\n"
                "2026-11-22 15:00:01.123+0000: recover: begun by policy recover\n"
                "2026-11-22 15:00:01.126+0000: recover: refused: the peer?does not answer\n"
                "2026-11-22 15:00:01.123+0000: recover: begun by policy recover\n"
                "2026-11-22 15:00:01.123+0000: recover: gave-up: the peer does not answer\n",
                "");
    close_journal (f);
  }
  assert_ctl (f, "show 2", 4, "", "no incident 2");
  g_autofree char *json = NULL;
  g_assert_cmpint (ctl (f, "show 1 --json", NULL, &json, NULL), ==, 0);
  g_autoptr (JsonNode) root = json_from_string (json, NULL);
  JsonArray *timeline = json_object_get_array_member (json_node_get_object (root), "timeline");
  g_assert_cmpuint (json_array_get_length (timeline), ==, 8);
  JsonObject *entry = json_array_get_object_element (timeline, 0);
  g_assert_cmpstr (json_object_get_string_member (entry, "type"), ==, "event");
  g_assert_cmpstr (
      json_object_get_string_member (json_object_get_object_member (entry, "event"), "to"), ==,
      "paused");
  if (geteuid () == 0) {
    g_autofree char *err = NULL;
    g_assert_cmpint (ctl (f, "list", become_nobody, NULL, &err), ==, 1);
    g_assert_nonnull (strstr (err, "only root may read it"));
  }
  damage_newer (f);
  assert_ctl (f, "list", 1, "", "newer postcopyd");
  damage_random (f);
  assert_ctl (f, "list", 1, "", "sets a damaged journal aside");
}

#define ADD(name, func) g_test_add ("/journal/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* What the journal warns of is looked at, not died of. */
  g_log_set_always_fatal (G_LOG_FATAL_MASK);
  warnings = g_string_new (NULL);
  g_log_set_writer_func (take_warning, NULL, NULL);
  g_test_add_func ("/journal/ladder-round-trip", test_ladder_round_trip);
  g_test_add_func ("/journal/ladder-is-never-guessed", test_ladder_is_never_guessed);
  ADD ("what-is-open-is-kept", test_what_is_open_is_kept);
  ADD ("rule-5-no-ticket-twice", test_rule_5_no_ticket_twice);
  g_test_add_func ("/journal/rule-5-no-journal-no-intent", test_rule_5_no_journal_no_intent);
  ADD ("rule-5-flag-is-on-disk", test_rule_5_flag_is_on_disk);
  ADD ("ladder-that-cannot-be-read", test_ladder_that_cannot_be_read);
  ADD ("boot-by-environment", test_boot_by_environment);
  ADD ("one-daemon", test_one_daemon);
  ADD ("prune", test_prune);
  for (guint i = 0; i < G_N_ELEMENTS (damages); i++) {
    g_autofree char *path = g_strconcat ("/journal/damage/", damages[i].name, NULL);
    g_test_add (path, Fixture, &damages[i], set_up, test_damage, tear_down);
  }
  ADD ("damage/while-writing", test_damage_while_writing);
  ADD ("rule-5-taken-away", test_rule_5_taken_away);
  ADD ("ctl", test_ctl);
  return g_test_run ();
}
