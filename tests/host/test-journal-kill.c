/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The journal where the machine is against it: killed at any moment, a full disk, a read-only one.
 * Small file systems are mounted in a namespace of this process, and end with it. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal/pcd-journal-file.h"

#define UUID    "a1a1a1a1-0000-4000-8000-000000000001"
#define T0      G_GINT64_CONSTANT (1795359601123456)
#define N_KILLS 50

static const char *self_path;

/* ---- the child: journals until it is killed ---- */

typedef struct {
  PcdJournal *journal;
  PcdLadder ladder;
  gint64 incident;
  guint64 ticket;
} Child;

static void
say (const char *what, guint64 incident, guint64 ticket)
{
  g_autofree char *line =
      g_strdup_printf ("%s %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", what, incident, ticket);

  /* One write of less than PIPE_BUF: all of it or nothing, and with the parent at once. */
  if (write (STDOUT_FILENO, line, strlen (line)) < 0)
    _exit (3);
}

static void next_intent (Child *child);

static void
on_journaled (const GError *error, gpointer data)
{
  Child *child = data;

  if (error)
    g_error ("%s", error->message);
  say ("intent", (guint64)child->incident, child->ticket);
  /* Every third has no result yet when the next is begun; every tenth incident ends. */
  if (child->ticket % 3 != 0)
    pcd_journal_result (child->journal, child->incident, child->ticket, "done", NULL,
                        &child->ladder, T0);
  if (child->ticket % 10 == 0) {
    pcd_journal_end_incident (child->journal, child->incident, "completed", T0);
    child->incident = 0;
  }
  next_intent (child);
}

static void
next_intent (Child *child)
{
  PcdRecord record = { .kind = PCD_RECORD_PHASE, .uuid = (char *)UUID, .time = T0 };

  if (child->incident == 0) {
    child->incident =
        pcd_journal_begin_incident (child->journal, UUID, "kill", PCD_ROLE_SOURCE, T0);
    child->ticket = 0;
  }
  for (guint i = 0; i < 5; i++)
    pcd_journal_add_record (child->journal, child->incident, &record);
  child->ladder.last_ticket = ++child->ticket;
  pcd_journal_intent (child->journal, child->incident, child->ticket, "recover", "policy recover",
                      &child->ladder, T0, on_journaled, child);
}

static int
child_main (const char *dir)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GError) error = NULL;
  g_autofree char *notice = NULL;
  Child child = { .ladder = pcd_ladder_init (PCD_ROLE_SOURCE) };

  child.journal = pcd_journal_open (dir, &notice, &error);
  if (!child.journal || notice)
    g_error ("%s", notice ?: error->message);
  say ("open", 0, 0);
  next_intent (&child);
  g_main_loop_run (loop);
  return 0;
}

/* ---- rule 5 ---- */

static void
die_with_parent (gpointer data)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

/* What the child printed until it was killed, @usec after it had opened the journal. */
static char *
run_and_kill (const char *dir, gulong usec)
{
  const char *argv[] = { self_path, "--child", dir, NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) text = g_string_new (NULL);
  char buffer[4096];
  GPid pid;
  int out, status;
  gssize n;

  g_spawn_async_with_pipes (NULL, (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, die_with_parent,
                            NULL, &pid, NULL, &out, NULL, &error);
  g_assert_no_error (error);
  n = read (out, buffer, 8);
  g_assert_cmpmem (buffer, (gsize)n, "open 0 0", 8);
  g_usleep (usec);
  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
  while ((n = read (out, buffer, sizeof buffer)) > 0)
    g_string_append_len (text, buffer, n);
  close (out);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
  g_spawn_close_pid (pid);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static gint64
query (sqlite3 *db, const char *sql, gint64 a, gint64 b)
{
  g_autoptr (sqlite3_stmt) statement = NULL;

  g_assert_cmpint (sqlite3_prepare_v2 (db, sql, -1, &statement, NULL), ==, SQLITE_OK);
  if (sqlite3_bind_parameter_count (statement) > 0)
    sqlite3_bind_int64 (statement, 1, a);
  if (sqlite3_bind_parameter_count (statement) > 1)
    sqlite3_bind_int64 (statement, 2, b);
  g_assert_cmpint (sqlite3_step (statement), ==, SQLITE_ROW);
  return sqlite3_column_int64 (statement, 0);
}

/* Every intent that was told is on disk. Returns how many were told. */
static guint
check_told (sqlite3 *db, const char *told)
{
  g_auto (GStrv) lines = g_strsplit (told, "\n", -1);
  guint n = 0;

  for (guint i = 0; lines[i]; i++) {
    gint64 incident, ticket;
    if (sscanf (lines[i], "intent %" G_GINT64_FORMAT " %" G_GINT64_FORMAT, &incident, &ticket) != 2)
      continue;
    n++;
    g_assert_cmpint (query (db,
                            "SELECT count(*) FROM timeline WHERE kind = 'intent' "
                            "AND incident = ?1 AND ticket = ?2",
                            incident, ticket),
                     ==, 1);
  }
  return n;
}

/* By the tables: with no word of the code under test. */
static void
check_database (sqlite3 *db)
{
  g_autoptr (sqlite3_stmt) check = NULL;

  sqlite3_prepare_v2 (db, "PRAGMA integrity_check", -1, &check, NULL);
  g_assert_cmpint (sqlite3_step (check), ==, SQLITE_ROW);
  g_assert_cmpstr ((const char *)sqlite3_column_text (check, 0), ==, "ok");
  g_assert_cmpint (query (db, "SELECT count(*) FROM pragma_foreign_key_check", 0, 0), ==, 0);
  g_assert_cmpint (query (db,
                          "SELECT count(*) FROM (SELECT 1 FROM timeline WHERE ticket IS NOT NULL "
                          "GROUP BY incident, ticket, kind HAVING count(*) > 1)",
                          0, 0),
                   ==, 0);
  g_assert_cmpint (query (db,
                          "SELECT count(*) FROM timeline AS r WHERE kind = 'result' AND NOT EXISTS "
                          "(SELECT 1 FROM timeline AS i WHERE i.incident = r.incident AND "
                          "i.ticket = r.ticket AND i.kind = 'intent')",
                          0, 0),
                   ==, 0);
  /* The ladder is that of the last intent, or of its result. */
  g_assert_cmpint (query (db,
                          "SELECT count(*) FROM incidents WHERE ended IS NULL AND ladder IS NOT "
                          "NULL AND json_extract(ladder, '$.last-ticket') <> (SELECT max(ticket) "
                          "FROM timeline WHERE incident = incidents.id AND kind = 'intent')",
                          0, 0),
                   ==, 0);
}

/* What the journal says is unfinished, against the tables. */
static guint
check_open (PcdJournal *journal, sqlite3 *db)
{
  g_autoptr (GPtrArray) open = pcd_journal_get_open (journal, NULL);
  guint n = 0;

  g_assert_cmpint (query (db, "SELECT count(*) FROM incidents WHERE ended IS NULL", 0, 0), ==,
                   open->len);
  for (guint i = 0; i < open->len; i++) {
    PcdOpenIncident *incident = g_ptr_array_index (open, i);
    g_assert_null (incident->ladder_error);
    for (guint k = 0; k < incident->unfinished->len; k++)
      g_assert_cmpint (query (db,
                              "SELECT group_concat(kind) = 'intent' FROM timeline "
                              "WHERE incident = ?1 AND ticket = ?2",
                              incident->id,
                              (gint64)g_array_index (incident->unfinished, guint64, k)),
                       ==, 1);
    g_assert_cmpint (query (db,
                            "SELECT sum(CASE kind WHEN 'intent' THEN 1 WHEN 'result' THEN -1 "
                            "ELSE 0 END) FROM timeline WHERE incident = ?1",
                            incident->id, 0),
                     ==, incident->unfinished->len);
    n += incident->unfinished->len;
    /* As an engine would, so that the next round begins without it. */
    for (guint k = 0; k < incident->unfinished->len; k++)
      pcd_journal_result (journal, incident->id, g_array_index (incident->unfinished, guint64, k),
                          "unknown", "postcopyd was restarted in between", NULL, T0);
    pcd_journal_end_incident (journal, incident->id, "gone", T0);
  }
  return n;
}

static void
remove_folder (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *file = g_build_filename (path, name, NULL);
    g_unlink (file);
  }
  g_rmdir (path);
}

static void
test_kill (void)
{
  /* Not in /tmp, which may be memory: the disk is what this is about. */
  g_autofree char *dir = g_strdup ("/var/tmp/pcd-journal-kill-XXXXXX");
  guint n_told = 0, n_unfinished = 0;

  g_assert_nonnull (g_mkdtemp (dir));
  for (guint i = 0; i < N_KILLS; i++) {
    g_autofree char *told = run_and_kill (dir, (gulong)g_test_rand_int_range (0, 150000));
    g_autofree char *file = g_build_filename (dir, PCD_JOURNAL_FILE, NULL), *notice = NULL;
    g_autoptr (GError) error = NULL;
    g_autoptr (PcdJournal) journal = pcd_journal_open (dir, &notice, &error);
    g_autoptr (sqlite3) db = NULL;

    g_assert_no_error (error);
    g_assert_null (notice);
    g_assert_cmpint (sqlite3_open_v2 (file, &db, SQLITE_OPEN_READONLY, NULL), ==, SQLITE_OK);
    n_told += check_told (db, told);
    check_database (db);
    n_unfinished += check_open (journal, db);
  }
  g_test_message ("%u kills, %u intents told, %u unfinished", N_KILLS, n_told, n_unfinished);
  /* Otherwise it was never killed in the middle of anything. */
  g_assert_cmpuint (n_told, >, 2 * N_KILLS);
  g_assert_cmpuint (n_unfinished, >, N_KILLS / 2);
  remove_folder (dir);
}

/* ---- disks that will not ---- */

typedef struct {
  gboolean called;
  char *message;
} Answer;

static void
on_answer (const GError *error, gpointer data)
{
  Answer *answer = data;

  answer->called = TRUE;
  answer->message = error ? g_strdup (error->message) : NULL;
}

static gboolean
on_late (gpointer data)
{
  g_error ("no answer within 20 s");
  return G_SOURCE_REMOVE;
}

/* Returns: (nullable): why not */
static char *
intend (PcdJournal *journal, gint64 incident, guint64 ticket)
{
  Answer answer = { 0 };
  guint late = g_timeout_add_seconds (20, on_late, NULL);

  pcd_journal_intent (journal, incident, ticket, "recover", "policy recover", NULL, T0, on_answer,
                      &answer);
  while (!answer.called)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (late);
  return answer.message;
}

static GMutex log_lock;
static guint n_warnings;
static GString *log_text;

static GLogWriterOutput
count_warnings (GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
  g_mutex_lock (&log_lock);
  n_warnings += level == G_LOG_LEVEL_WARNING;
  for (gsize i = 0; i < n; i++)
    if (g_str_equal (fields[i].key, "MESSAGE"))
      g_string_append_printf (log_text, "%s\n", (const char *)fields[i].value);
  g_mutex_unlock (&log_lock);
  return G_LOG_WRITER_HANDLED;
}

static void
test_full_disk (void)
{
  const char *dir = "/mnt/journal";
  g_autofree char *filler = g_build_filename (dir, "filler", NULL);
  g_autoptr (GError) error = NULL;
  PcdRecord record = { .kind = PCD_RECORD_PHASE, .uuid = (char *)UUID, .time = T0 };
  char block[4096] = { 1 };

  g_assert_cmpint (g_mkdir_with_parents (dir, 0700), ==, 0);
  g_assert_cmpint (mount ("tmpfs", dir, "tmpfs", 0, "size=1m"), ==, 0);
  PcdJournal *journal = pcd_journal_open (dir, NULL, &error);
  g_assert_no_error (error);
  gint64 id = pcd_journal_begin_incident (journal, UUID, "a", PCD_ROLE_SOURCE, T0);
  g_assert_null (intend (journal, id, 1));

  int fd = open (filler, O_WRONLY | O_CREAT, 0600);
  while (write (fd, block, sizeof block) > 0)
    ;
  close (fd);
  n_warnings = 0;
  g_string_truncate (log_text, 0);
  gint64 second = pcd_journal_begin_incident (journal, UUID, "b", PCD_ROLE_SOURCE, T0);
  pcd_journal_result (journal, id, 1, "done", NULL, NULL, T0);
  for (guint64 ticket = 1; ticket <= 3; ticket++) {
    pcd_journal_add_record (journal, second, &record);
    g_autofree char *why = intend (journal, second, ticket);
    g_assert_nonnull (why);
    g_assert_nonnull (strstr (why, "full"));
    g_assert_nonnull (strstr (why, "/mnt/journal/journal.sqlite"));
  }
  g_assert_cmpuint (n_warnings, ==, 1);

  /* Room again: nothing but the records was lost, and nothing that failed is there. */
  g_assert_cmpint (unlink (filler), ==, 0);
  g_assert_null (intend (journal, second, 4));
  g_assert_nonnull (strstr (log_text->str, "can be written again; 3 records were lost"));
  g_assert_cmpuint (n_warnings, ==, 1);
  pcd_journal_close (journal);
  journal = pcd_journal_open (dir, NULL, &error);
  g_autoptr (GPtrArray) open = pcd_journal_get_open (journal, NULL);
  g_assert_cmpuint (open->len, ==, 2);
  PcdOpenIncident *first = g_ptr_array_index (open, 0), *last = g_ptr_array_index (open, 1);
  g_assert_cmpuint (first->unfinished->len, ==, 0);
  g_assert_cmpuint (last->unfinished->len, ==, 1);
  g_assert_cmpuint (g_array_index (last->unfinished, guint64, 0), ==, 4);
  pcd_journal_close (journal);
  g_assert_cmpint (umount (dir), ==, 0);
}

static void
test_read_only (void)
{
  const char *dir = "/mnt/journal";
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (g_mkdir_with_parents (dir, 0700), ==, 0);
  g_assert_cmpint (mount ("tmpfs", dir, "tmpfs", 0, "size=1m"), ==, 0);
  PcdJournal *journal = pcd_journal_open (dir, NULL, &error);
  gint64 id = pcd_journal_begin_incident (journal, UUID, "a", PCD_ROLE_SOURCE, T0);
  g_assert_null (intend (journal, id, 1));
  pcd_journal_close (journal);

  g_assert_cmpint (mount (NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), ==, 0);
  g_assert_null (pcd_journal_open (dir, NULL, &error));
  g_assert_error (error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_DISK);
  g_assert_nonnull (strstr (error->message, "Read-only file system"));
  /* It can still be read. */
  g_clear_error (&error);
  struct _JsonNode *show = pcd_journal_show (dir, id, &error);
  g_assert_no_error (error);
  g_assert_nonnull (show);
  g_assert_cmpint (umount (dir), ==, 0);
}

/* ---- what it costs ---- */

static gint
compare (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;

  return x < y ? -1 : x > y;
}

/* Voluntary switches of the writer's thread: its wakeups. */
static guint64
count_wakeups (void)
{
  g_autoptr (GDir) tasks = g_dir_open ("/proc/self/task", 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (tasks))) {
    g_autofree char *path = g_build_filename ("/proc/self/task", name, "status", NULL);
    g_autofree char *text = NULL;
    if (!g_file_get_contents (path, &text, NULL, NULL) || !strstr (text, "Name:\tjournal\n"))
      continue;
    return g_ascii_strtoull (strstr (text, "\nvoluntary_ctxt_switches:") + 25, NULL, 10);
  }
  g_error ("no thread of the name 'journal'");
  return 0;
}

static gint64
private_dirty_kib (void)
{
  g_autofree char *text = NULL;

  g_file_get_contents ("/proc/self/smaps_rollup", &text, NULL, NULL);
  return g_ascii_strtoll (strstr (text, "Private_Dirty:") + 14, NULL, 10);
}

static void
test_cost (void)
{
  g_autofree char *dir = g_strdup ("/var/tmp/pcd-journal-cost-XXXXXX");
  g_autoptr (GArray) took = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_assert_nonnull (g_mkdtemp (dir));
  gint64 before = private_dirty_kib ();
  PcdJournal *journal = pcd_journal_open (dir, NULL, NULL);
  gint64 id = pcd_journal_begin_incident (journal, UUID, "a", PCD_ROLE_SOURCE, T0);
  g_assert_null (intend (journal, id, 1));
  gint64 idle = private_dirty_kib ();

  for (guint64 ticket = 2; ticket < 302; ticket++) {
    gint64 start = g_get_monotonic_time ();
    g_assert_null (intend (journal, id, ticket));
    gint64 usec = g_get_monotonic_time () - start;
    g_array_append_val (took, usec);
  }
  g_array_sort (took, compare);
  g_usleep (200000);
  guint64 wakeups = count_wakeups ();
  g_usleep (3 * G_USEC_PER_SEC);
  g_assert_cmpuint (count_wakeups (), ==, wakeups);
  g_test_message ("an intent takes %.1f / %.1f ms (p50 / p95); private dirty: %" G_GINT64_FORMAT
                  " KiB more once open, %" G_GINT64_FORMAT " KiB after 300 intents",
                  (double)g_array_index (took, gint64, 150) / 1e3,
                  (double)g_array_index (took, gint64, 285) / 1e3, idle - before,
                  private_dirty_kib () - before);
  g_assert_cmpint (private_dirty_kib () - before, <, 1024);
  pcd_journal_close (journal);
  remove_folder (dir);
}

int
main (int argc, char **argv)
{
  if (argc == 3 && strcmp (argv[1], "--child") == 0)
    return child_main (argv[2]);
  g_test_init (&argc, &argv, NULL);
  g_log_set_always_fatal (G_LOG_FATAL_MASK);
  self_path = "/proc/self/exe";
  log_text = g_string_new (NULL);
  g_log_set_writer_func (count_warnings, NULL, NULL);
  /* In a namespace of our own: /mnt is covered, so that nothing is made in the real one. */
  if (unshare (CLONE_NEWNS) < 0 || mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
      mount ("tmpfs", "/mnt", "tmpfs", 0, "size=1m") < 0) {
    g_printerr ("test-journal-kill: cannot make a mount namespace: %s\n", g_strerror (errno));
    return 77;
  }
  /* First: its memory is that of the first journal of a process. */
  g_test_add_func ("/journal/cost", test_cost);
  g_test_add_func ("/journal/rule-5-killed-at-any-moment", test_kill);
  g_test_add_func ("/journal/rule-5-full-disk", test_full_disk);
  g_test_add_func ("/journal/rule-5-read-only-disk", test_read_only);
  return g_test_run ();
}
