/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The delivery queue in a real SQLite: who is where in it, what is dropped and what is kept. */
#include "journal/pcd-journal-notes.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <sqlite3.h>
#include <string.h>

/* ---- a row, alone ---- */

static void
assert_row (const PcdNoteRow *row, gint64 position, gint64 delivered, gint64 dropped, gint64 untold)
{
  g_assert_cmpint (row->position, ==, position);
  g_assert_cmpint (row->delivered, ==, delivered);
  g_assert_cmpint (row->dropped, ==, dropped);
  g_assert_cmpint (row->untold, ==, untold);
  if (untold > 0)
    g_assert_cmpint (row->untold_last - row->untold_first + 1, ==, untold);
}

static void
test_row_plain (void)
{
  PcdNoteRow row = { .position = 10 };

  pcd_note_row_ack (&row, &(PcdNoteAck){ .first = 11, .delivered = 5 });
  assert_row (&row, 15, 5, 0, 0);
  pcd_note_row_ack (&row, &(PcdNoteAck){ .first = 16, .delivered = 2, .refused = 1 });
  assert_row (&row, 18, 7, 0, 0);
  g_assert_cmpint (row.refused, ==, 1);
  g_assert_cmpint (row.acks, ==, 2);
}

static void
test_row_dropped_is_told (void)
{
  PcdNoteRow row = { .position = 10 };

  pcd_note_row_drop (&row, 9); /* done with already */
  assert_row (&row, 10, 0, 0, 0);
  pcd_note_row_drop (&row, 14);
  assert_row (&row, 14, 0, 4, 4);
  g_assert_cmpint (row.untold_first, ==, 11);
  pcd_note_row_drop (&row, 16); /* while the receiver is told of those */
  pcd_note_row_ack (&row, &(PcdNoteAck){ .first = 11, .told_last = 14 });
  assert_row (&row, 16, 0, 6, 2);
  g_assert_cmpint (row.untold_first, ==, 15);
  pcd_note_row_ack (&row, &(PcdNoteAck){ .first = 15, .told_last = 16 });
  assert_row (&row, 16, 0, 6, 0);
}

/* 11 to 20 are under way when room is made. */
static void
test_row_dropped_under_way (void)
{
  const struct {
    gint64 drop, delivered, position, dropped, untold;
  } cases[] = {
    { 15, 10, 20, 0, 0 },  { 20, 10, 20, 0, 0 }, { 25, 10, 25, 5, 5 },
    { 25, 4, 25, 11, 11 }, { 13, 1, 13, 2, 2 },  { 25, 0, 25, 15, 15 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    PcdNoteRow row = { .position = 10 };
    pcd_note_row_drop (&row, cases[i].drop);
    pcd_note_row_ack (&row, &(PcdNoteAck){ .first = 11, .delivered = cases[i].delivered });
    assert_row (&row, cases[i].position, cases[i].delivered, cases[i].dropped, cases[i].untold);
    g_assert_cmpint (row.dropped + row.delivered, ==, row.position - 10);
  }
}

/* ---- with a journal ---- */

typedef struct {
  char *dir;
  PcdJournal *journal;
  PcdNoteReader *reader;
} Fixture;

static void
reopen (Fixture *f)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *notice = NULL;

  g_clear_pointer (&f->reader, pcd_note_reader_free);
  g_clear_pointer (&f->journal, pcd_journal_close);
  f->journal = pcd_journal_open (f->dir, &notice, &error);
  g_assert_no_error (error);
  g_assert_null (notice);
  f->reader = pcd_note_reader_new (pcd_journal_get_path (f->journal));
}

static void
set_up (Fixture *f, gconstpointer data)
{
  f->dir = g_dir_make_tmp ("pcd-notes-XXXXXX", NULL);
  reopen (f);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_autoptr (GDir) dir = NULL;
  const char *name;

  pcd_note_reader_free (f->reader);
  pcd_journal_close (f->journal);
  dir = g_dir_open (f->dir, 0, NULL);
  while ((name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (f->dir, name, NULL);
    g_unlink (path);
  }
  g_rmdir (f->dir);
  g_free (f->dir);
}

static void
set_sinks (Fixture *f, const char *first, gint64 max_notes, gint64 max_bytes, const char *second)
{
  GPtrArray *limits = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_note_limits_free);

  if (first)
    g_ptr_array_add (limits, pcd_note_limits_new (first, max_notes, max_bytes));
  if (second)
    g_ptr_array_add (limits, pcd_note_limits_new (second, 1000, 1 << 20));
  pcd_journal_set_sinks (f->journal, limits);
}

static void
add (Fixture *f, guint from, guint to)
{
  for (guint i = from; i <= to; i++) {
    g_autofree char *json = g_strdup_printf ("{\"n\":%05u}", i);
    pcd_journal_add_note (f->journal, "u/source", "phase", i, json);
  }
}

static PcdNoteState
look (Fixture *f, const char *sink)
{
  PcdNoteState state = { 0 };
  g_autoptr (GError) error = NULL;

  reopen (f); /* all that was asked for is on disk then */
  g_assert_true (pcd_note_reader_look (f->reader, sink, &state, &error));
  g_assert_no_error (error);
  return state;
}

static guint
take (Fixture *f, gint64 after, guint max, const char *first_json)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) notes = pcd_note_reader_take (f->reader, after, max, &error);

  g_assert_no_error (error);
  if (notes->len > 0)
    g_assert_cmpstr (((PcdNote *)g_ptr_array_index (notes, 0))->json, ==, first_json);
  for (guint i = 1; i < notes->len; i++)
    g_assert_cmpint (((PcdNote *)g_ptr_array_index (notes, i))->number, ==,
                     ((PcdNote *)g_ptr_array_index (notes, i - 1))->number + 1);
  return notes->len;
}

static void
test_nobody (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  PcdNoteState state;

  set_sinks (f, NULL, 0, 0, NULL);
  add (f, 1, 10);
  reopen (f);
  g_assert_false (pcd_note_reader_look (f->reader, "a", &state, &error));
  g_assert_error (error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NOT_FOUND);
  g_assert_cmpuint (take (f, 0, 100, NULL), ==, 0);
}

static void
test_two_sinks (Fixture *f, gconstpointer data)
{
  set_sinks (f, "a", 1000, 1 << 20, NULL);
  add (f, 1, 10);
  set_sinks (f, "a", 1000, 1 << 20, "b");
  add (f, 11, 20);
  g_assert_cmpint (look (f, "a").waiting, ==, 20);
  g_assert_cmpint (look (f, "a").waiting_bytes, ==, 20 * 11);
  g_assert_cmpint (look (f, "b").waiting, ==, 10);
  g_assert_cmpuint (take (f, 0, 5, "{\"n\":00001}"), ==, 5);
  pcd_journal_ack_notes (f->journal, "a", &(PcdNoteAck){ .first = 1, .delivered = 20 });
  g_assert_cmpint (look (f, "a").waiting, ==, 0);
  g_assert_cmpint (look (f, "a").row.delivered, ==, 20);
  /* what b waits for is there still, and nothing else */
  g_assert_cmpuint (take (f, 0, 100, "{\"n\":00011}"), ==, 10);
  set_sinks (f, "a", 1000, 1 << 20, NULL);
  g_assert_cmpint (look (f, "a").waiting, ==, 0);
  g_assert_cmpuint (take (f, 0, 100, NULL), ==, 0);
  /* numbers are never used again */
  add (f, 21, 21);
  look (f, "a");
  g_assert_cmpuint (take (f, 20, 100, "{\"n\":00021}"), ==, 1);
}

static void
test_limit_of_notes (Fixture *f, gconstpointer data)
{
  set_sinks (f, "a", 100, 1 << 20, NULL);
  add (f, 1, 1000);
  PcdNoteState state = look (f, "a");
  g_assert_cmpint (state.waiting, ==, 100);
  assert_row (&state.row, 900, 0, 900, 900);
  g_assert_cmpuint (take (f, 0, 1000, "{\"n\":00901}"), ==, 100);
}

static void
test_limit_of_bytes (Fixture *f, gconstpointer data)
{
  set_sinks (f, "a", 1000, 10 * 11 + 5, NULL);
  add (f, 1, 50);
  PcdNoteState state = look (f, "a");
  g_assert_cmpint (state.waiting, ==, 10);
  g_assert_cmpint (state.waiting_bytes, ==, 110);
  assert_row (&state.row, 40, 0, 40, 40);
  /* one that is too large alone is the only one that is kept */
  g_autofree char *large = g_strnfill (500, 'x');
  set_sinks (f, "a", 1000, 115, NULL);
  pcd_journal_add_note (f->journal, "", "phase", 1, large);
  g_assert_cmpint (look (f, "a").waiting, ==, 1);
}

static void
test_ids (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  set_sinks (f, "a", 100, 1 << 20, NULL);
  add (f, 1, 2);
  PcdNoteState state = look (f, "a");
  g_autoptr (GPtrArray) notes = pcd_note_reader_take (f->reader, 0, 10, &error);
  g_autofree char *expected = g_strconcat (state.queue, "-2", NULL);
  g_assert_cmpuint (strlen (state.queue), ==, 32);
  g_assert_cmpstr (((PcdNote *)g_ptr_array_index (notes, 1))->id, ==, expected);
}

/* A database of version 1, as the first release made it, keeps what it has. */
static void
test_old_database (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_strdup (pcd_journal_get_path (f->journal));
  gint64 incident = pcd_journal_begin_incident (f->journal, "u", "vm1", PCD_ROLE_SOURCE, 1);
  g_autoptr (GError) error = NULL;
  sqlite3 *db = NULL;

  g_clear_pointer (&f->journal, pcd_journal_close);
  g_assert_cmpint (sqlite3_open (path, &db), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (db,
                                 "DROP TABLE notes; DROP TABLE sinks; DROP TABLE queue;"
                                 "PRAGMA user_version = 1",
                                 NULL, NULL, NULL),
                   ==, SQLITE_OK);
  sqlite3_close (db);
  /* `incident list` of a new postcopyctl beside an old daemon */
  g_autoptr (JsonNode) list = pcd_journal_list (f->dir, 0, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (json_array_get_length (json_node_get_array (list)), ==, 1);
  reopen (f);
  g_autoptr (GPtrArray) open = pcd_journal_get_open (f->journal, &error);
  g_assert_cmpuint (open->len, ==, 1);
  g_assert_cmpint (((PcdOpenIncident *)g_ptr_array_index (open, 0))->id, ==, incident);
  set_sinks (f, "a", 100, 1 << 20, NULL);
  add (f, 1, 3);
  g_assert_cmpint (look (f, "a").waiting, ==, 3);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/notes/row/plain", test_row_plain);
  g_test_add_func ("/notes/row/dropped-is-told", test_row_dropped_is_told);
  g_test_add_func ("/notes/row/dropped-under-way", test_row_dropped_under_way);
#define ADD(name, func) g_test_add ("/notes/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("nobody", test_nobody);
  ADD ("two-sinks", test_two_sinks);
  ADD ("limit-of-notes", test_limit_of_notes);
  ADD ("limit-of-bytes", test_limit_of_bytes);
  ADD ("ids", test_ids);
  ADD ("old-database", test_old_database);
  return g_test_run ();
}
