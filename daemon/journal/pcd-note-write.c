/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Notes into the database, and out of it when all sinks are done with them. */
#include "journal/pcd-note-write.h"

#include <string.h>

#include "journal/pcd-journal-file.h"

/* AUTOINCREMENT: a number is never used again, also not when all notes were deleted. "total" is
 * that of all sizes up to and with this note since the table was empty: what waits is a difference.
 */
const char pcd_note_schema[] =
    "CREATE TABLE queue (uuid TEXT NOT NULL) STRICT;"
    "INSERT INTO queue VALUES (lower(hex(randomblob(16))));"
    "CREATE TABLE notes ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " stream TEXT NOT NULL, kind TEXT NOT NULL, time INTEGER NOT NULL, json TEXT NOT NULL,"
    " size INTEGER NOT NULL, total INTEGER NOT NULL) STRICT;"
    "CREATE TABLE sinks ("
    " name TEXT PRIMARY KEY, position INTEGER NOT NULL,"
    " delivered INTEGER NOT NULL, refused INTEGER NOT NULL, dropped INTEGER NOT NULL,"
    " untold INTEGER NOT NULL, untold_first INTEGER NOT NULL, untold_last INTEGER NOT NULL,"
    " acks INTEGER NOT NULL) STRICT, WITHOUT ROWID;";

enum { ADD, LAST, FIRST, FITTING, GET, PUT, INTRODUCE, NAMES, FORGET, PRUNE, N_STATEMENTS };

static const char *const sql[N_STATEMENTS] = {
  [ADD] = "INSERT INTO notes (stream, kind, time, json, size, total) VALUES (?1, ?2, ?3, ?4, ?5, "
          "coalesce((SELECT total FROM notes ORDER BY id DESC LIMIT 1), 0) + ?5)",
  [LAST] = "SELECT id, total FROM notes ORDER BY id DESC LIMIT 1",
  [FIRST] = "SELECT total - size FROM notes WHERE id > ?1 ORDER BY id LIMIT 1",
  [FITTING] = "SELECT id FROM notes WHERE id > ?1 AND total - size >= ?2 ORDER BY id LIMIT 1",
  [GET] = "SELECT position, delivered, refused, dropped, untold, untold_first, untold_last, acks "
          "FROM sinks WHERE name = ?1",
  [PUT] = "UPDATE sinks SET position = ?2, delivered = ?3, refused = ?4, dropped = ?5, "
          "untold = ?6, untold_first = ?7, untold_last = ?8, acks = ?9 WHERE name = ?1",
  [INTRODUCE] = "INSERT INTO sinks VALUES (?1, coalesce((SELECT seq FROM sqlite_sequence "
                "WHERE name = 'notes'), 0), 0, 0, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING",
  [NAMES] = "SELECT name FROM sinks",
  [FORGET] = "DELETE FROM sinks WHERE name = ?1",
  [PRUNE] = "DELETE FROM notes WHERE id <= (SELECT coalesce(min(position), 9e18) FROM sinks)",
};

struct _PcdNoteWriter {
  sqlite3_stmt *statements[N_STATEMENTS];
  GPtrArray *limits; /* NULL: nobody has said yet who is there; then all is kept for whom it was */
  gboolean added;    /* since the last settling */
  gboolean acked;
};

PcdNoteWriter *
pcd_note_writer_new (void)
{
  return g_new0 (PcdNoteWriter, 1);
}

void
pcd_note_writer_free (PcdNoteWriter *self)
{
  pcd_note_writer_release (self);
  g_clear_pointer (&self->limits, g_ptr_array_unref);
  g_free (self);
}

int
pcd_note_writer_prepare (PcdNoteWriter *self, sqlite3 *db)
{
  int rc = SQLITE_OK;

  for (guint i = 0; i < N_STATEMENTS && rc == SQLITE_OK; i++)
    rc = sqlite3_prepare_v3 (db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &self->statements[i], NULL);
  return rc;
}

void
pcd_note_writer_release (PcdNoteWriter *self)
{
  for (guint i = 0; i < N_STATEMENTS; i++)
    g_clear_pointer (&self->statements[i], sqlite3_finalize);
}

static int
finish (sqlite3_stmt *statement)
{
  int rc = sqlite3_step (statement);

  sqlite3_reset (statement);
  sqlite3_clear_bindings (statement);
  return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static void
bind_name (sqlite3_stmt *statement, const char *name)
{
  sqlite3_bind_text (statement, 1, name, -1, SQLITE_STATIC);
}

int
pcd_note_writer_add (
    PcdNoteWriter *self, const char *stream, const char *kind, gint64 time, const char *json)
{
  sqlite3_stmt *add = self->statements[ADD];

  if (self->limits && self->limits->len == 0)
    return SQLITE_OK;
  self->added = TRUE;
  bind_name (add, stream);
  sqlite3_bind_text (add, 2, kind, -1, SQLITE_STATIC);
  sqlite3_bind_int64 (add, 3, time);
  sqlite3_bind_text (add, 4, json, -1, SQLITE_STATIC);
  sqlite3_bind_int64 (add, 5, (gint64)strlen (json));
  return finish (add);
}

/* ---- sinks ---- */

static gboolean
is_known (GPtrArray *limits, const char *name)
{
  for (guint i = 0; i < limits->len; i++)
    if (g_str_equal (((const PcdNoteLimits *)g_ptr_array_index (limits, i))->sink, name))
      return TRUE;
  return FALSE;
}

int
pcd_note_writer_set_sinks (PcdNoteWriter *self, GPtrArray *limits)
{
  g_autoptr (GPtrArray) gone = g_ptr_array_new_with_free_func (g_free);
  sqlite3_stmt *names = self->statements[NAMES];
  int rc;

  g_ptr_array_ref (limits);
  g_clear_pointer (&self->limits, g_ptr_array_unref);
  self->limits = limits;
  self->added = self->acked = TRUE;
  while ((rc = sqlite3_step (names)) == SQLITE_ROW)
    if (!is_known (limits, (const char *)sqlite3_column_text (names, 0)))
      g_ptr_array_add (gone, g_strdup ((const char *)sqlite3_column_text (names, 0)));
  sqlite3_reset (names);
  rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
  for (guint i = 0; i < gone->len && rc == SQLITE_OK; i++) {
    bind_name (self->statements[FORGET], g_ptr_array_index (gone, i));
    rc = finish (self->statements[FORGET]);
  }
  for (guint i = 0; i < limits->len && rc == SQLITE_OK; i++) {
    const PcdNoteLimits *limit = g_ptr_array_index (limits, i);
    bind_name (self->statements[INTRODUCE], limit->sink);
    rc = finish (self->statements[INTRODUCE]);
  }
  return rc;
}

static gint64 *
row_member (PcdNoteRow *row, guint column)
{
  gint64 *const members[] = {
    &row->position, &row->delivered,    &row->refused,     &row->dropped,
    &row->untold,   &row->untold_first, &row->untold_last, &row->acks,
  };
  return members[column];
}

#define N_COLUMNS 8

static int
get_row (PcdNoteWriter *self, const char *sink, PcdNoteRow *row, gboolean *ret_found)
{
  sqlite3_stmt *get = self->statements[GET];

  bind_name (get, sink);
  int rc = sqlite3_step (get);
  *ret_found = rc == SQLITE_ROW;
  for (guint i = 0; i < N_COLUMNS && *ret_found; i++)
    *row_member (row, i) = sqlite3_column_int64 (get, (int)i);
  sqlite3_reset (get);
  return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int
put_row (PcdNoteWriter *self, const char *sink, PcdNoteRow *row)
{
  sqlite3_stmt *put = self->statements[PUT];

  bind_name (put, sink);
  for (guint i = 0; i < N_COLUMNS; i++)
    sqlite3_bind_int64 (put, (int)i + 2, *row_member (row, i));
  return finish (put);
}

int
pcd_note_writer_ack (PcdNoteWriter *self, const char *sink, const PcdNoteAck *ack)
{
  PcdNoteRow row = { 0 };
  gboolean found;
  int rc = get_row (self, sink, &row, &found);

  if (rc != SQLITE_OK || !found)
    return rc;
  pcd_note_row_ack (&row, ack);
  self->acked = TRUE;
  return put_row (self, sink, &row);
}

/* ---- limits ---- */

/* A statement that gives one row of integers, or none. */
static int
get_ints (sqlite3_stmt *statement, gint64 *values, int n, gboolean *ret_found)
{
  int rc = sqlite3_step (statement);

  *ret_found = rc == SQLITE_ROW;
  for (int i = 0; i < n && *ret_found; i++)
    values[i] = sqlite3_column_int64 (statement, i);
  sqlite3_reset (statement);
  sqlite3_clear_bindings (statement);
  return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* @ret_position: up to which the bytes of @limit want it dropped */
static int
position_by_bytes (PcdNoteWriter *self,
                   const PcdNoteLimits *limit,
                   gint64 position,
                   const gint64 last[2],
                   gint64 *ret_position)
{
  gint64 before = 0, first = 0, least = last[1] - limit->max_bytes;
  gboolean found;

  *ret_position = 0;
  sqlite3_bind_int64 (self->statements[FIRST], 1, position);
  int rc = get_ints (self->statements[FIRST], &before, 1, &found);
  if (rc != SQLITE_OK || !found || before >= least)
    return rc;
  sqlite3_bind_int64 (self->statements[FITTING], 1, position);
  sqlite3_bind_int64 (self->statements[FITTING], 2, least);
  rc = get_ints (self->statements[FITTING], &first, 1, &found);
  *ret_position = (found ? first : last[0]) - 1;
  return rc;
}

static int
bound (PcdNoteWriter *self, const PcdNoteLimits *limit, const gint64 last[2])
{
  PcdNoteRow row = { 0 };
  gboolean found;
  gint64 by_bytes = 0;
  int rc = get_row (self, limit->sink, &row, &found);

  if (rc == SQLITE_OK && found)
    rc = position_by_bytes (self, limit, row.position, last, &by_bytes);
  gint64 position = MAX (by_bytes, last[0] - limit->max_notes);
  if (rc != SQLITE_OK || !found || position <= row.position)
    return rc;
  pcd_note_row_drop (&row, position);
  self->acked = TRUE;
  return put_row (self, limit->sink, &row);
}

int
pcd_note_writer_settle (PcdNoteWriter *self, gboolean *ret_changed)
{
  gint64 last[2] = { 0, 0 };
  gboolean found = FALSE;
  int rc = SQLITE_OK;

  *ret_changed = self->added || self->acked;
  if (self->added && self->limits)
    rc = get_ints (self->statements[LAST], last, 2, &found);
  for (guint i = 0; found && i < self->limits->len && rc == SQLITE_OK; i++)
    rc = bound (self, g_ptr_array_index (self->limits, i), last);
  if (rc == SQLITE_OK && self->acked)
    rc = finish (self->statements[PRUNE]);
  self->added = self->acked = FALSE;
  return rc;
}
