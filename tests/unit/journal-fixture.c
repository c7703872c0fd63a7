/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Folders, answers that are waited for, a second connection. */
#include "journal-fixture.h"

#include <glib/gstdio.h>
#include <string.h>

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

void
set_up (Fixture *f, gconstpointer data)
{
  f->dir = g_dir_make_tmp ("pcd-journal-XXXXXX", NULL);
  g_assert_nonnull (f->dir);
  f->file = g_build_filename (f->dir, "journal.sqlite", NULL);
}

void
close_journal (Fixture *f)
{
  g_clear_pointer (&f->journal, pcd_journal_close);
}

void
open_journal (Fixture *f)
{
  g_autoptr (GError) error = NULL;

  close_journal (f);
  g_clear_pointer (&f->notice, g_free);
  f->journal = pcd_journal_open (f->dir, &f->notice, &error);
  g_assert_no_error (error);
  g_assert_nonnull (f->journal);
}

void
tear_down (Fixture *f, gconstpointer data)
{
  close_journal (f);
  remove_folder (f->dir);
  g_free (f->dir);
  g_free (f->file);
  g_free (f->notice);
}

void
on_answer (const GError *error, gpointer data)
{
  Answer *answer = data;

  g_assert_false (answer->called);
  answer->called = TRUE;
  answer->error = error ? g_error_copy (error) : NULL;
}

gboolean
on_late (gpointer data)
{
  g_error ("no answer within 10 s");
  return G_SOURCE_REMOVE;
}

GError *
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

void
intend_well (PcdJournal *journal, gint64 incident, guint64 ticket, const PcdLadder *ladder)
{
  g_autoptr (GError) error = intend (journal, incident, ticket, ladder);

  g_assert_no_error (error);
}

PcdLadder
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

void
run_sql (Fixture *f, const char *sql)
{
  sqlite3 *db = NULL;

  g_assert_cmpint (sqlite3_open (f->file, &db), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
  sqlite3_close (db);
}

void
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

void
damage_random (Fixture *f)
{
  scribble (f, 0);
}

void
damage_newer (Fixture *f)
{
  run_sql (f, "PRAGMA user_version = 7");
}
