/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads the queue of notes beside its writer: a batch at a time, so that a long queue costs disk
 * and no memory. */
#include <string.h>

#include "journal/pcd-journal-file.h"
#include "journal/pcd-journal-notes.h"

#define MAX_BATCH_BYTES (256 * 1024)

struct _PcdNoteReader {
  char *path;
  sqlite3 *db;
  char queue[33];
};

void
pcd_note_free (PcdNote *note)
{
  if (!note)
    return;
  g_free (note->id);
  g_free (note->stream);
  g_free (note->kind);
  g_free (note->json);
  g_free (note);
}

PcdNoteReader *
pcd_note_reader_new (const char *path)
{
  PcdNoteReader *self = g_new0 (PcdNoteReader, 1);

  self->path = g_strdup (path);
  return self;
}

void
pcd_note_reader_free (PcdNoteReader *self)
{
  if (!self)
    return;
  g_clear_pointer (&self->db, sqlite3_close);
  g_free (self->path);
  g_free (self);
}

/* The file may have been set aside: what is read then is another queue. */
static gboolean
open_current (PcdNoteReader *self, GError **error)
{
  int moved = 0;

  if (self->db &&
      sqlite3_file_control (self->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved)
    g_clear_pointer (&self->db, sqlite3_close);
  if (!self->db) {
    self->db = pcd_journal_file_open_read (self->path, error);
    if (self->db)
      sqlite3_exec (self->db, "PRAGMA cache_size = -64", NULL, NULL, NULL);
  }
  return self->db != NULL;
}

static gboolean
fail (PcdNoteReader *self, int rc, GError **error)
{
  pcd_journal_file_fail (self->db, rc, self->path, error);
  /* Opened anew next time, whatever it was. */
  g_clear_pointer (&self->db, sqlite3_close);
  return FALSE;
}

gboolean
pcd_note_reader_look (PcdNoteReader *self,
                      const char *sink,
                      PcdNoteState *ret_state,
                      GError **error)
{
  static const char sql[] =
      "SELECT position, delivered, refused, dropped, untold, untold_first, untold_last, acks,"
      " (SELECT uuid FROM queue), (SELECT max(id) FROM notes),"
      " (SELECT total FROM notes ORDER BY id DESC LIMIT 1) -"
      " (SELECT total - size FROM notes WHERE id > position ORDER BY id LIMIT 1) "
      "FROM sinks WHERE name = ?1";
  PcdNoteState state = { 0 };
  PcdNoteRow *row = &state.row;
  gint64 *const members[] = {
    &row->position, &row->delivered,    &row->refused,     &row->dropped,
    &row->untold,   &row->untold_first, &row->untold_last, &row->acks,
  };

  if (!open_current (self, error))
    return FALSE;
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2 (self->db, sql, -1, &statement, NULL);
  if (rc == SQLITE_OK)
    rc = sqlite3_bind_text (statement, 1, sink, -1, SQLITE_STATIC);
  if (rc == SQLITE_OK)
    rc = sqlite3_step (statement);
  if (rc == SQLITE_ROW) {
    for (guint i = 0; i < G_N_ELEMENTS (members); i++)
      *members[i] = sqlite3_column_int64 (statement, (int)i);
    g_strlcpy (state.queue, (const char *)sqlite3_column_text (statement, 8) ?: "",
               sizeof state.queue);
    state.waiting = MAX (sqlite3_column_int64 (statement, 9) - row->position, 0);
    state.waiting_bytes = sqlite3_column_int64 (statement, 10);
  }
  sqlite3_finalize (statement);
  if (rc == SQLITE_DONE)
    g_set_error (error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NOT_FOUND, "%s: has no sink %s",
                 self->path, sink);
  else if (rc != SQLITE_ROW)
    fail (self, rc, error);
  if (rc != SQLITE_ROW)
    return FALSE;
  g_strlcpy (self->queue, state.queue, sizeof self->queue);
  *ret_state = state;
  return TRUE;
}

static char *
column_text (sqlite3_stmt *statement, int column)
{
  return g_strdup ((const char *)sqlite3_column_text (statement, column) ?: "");
}

static PcdNote *
read_note (const PcdNoteReader *self, sqlite3_stmt *statement)
{
  PcdNote *note = g_new0 (PcdNote, 1);

  note->number = sqlite3_column_int64 (statement, 0);
  note->id = g_strdup_printf ("%s-%" G_GINT64_FORMAT, self->queue, note->number);
  note->stream = column_text (statement, 1);
  note->kind = column_text (statement, 2);
  note->time = sqlite3_column_int64 (statement, 3);
  note->json = column_text (statement, 4);
  return note;
}

GPtrArray *
pcd_note_reader_take (PcdNoteReader *self, gint64 after, guint max, GError **error)
{
  g_autoptr (GPtrArray) notes = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_note_free);
  sqlite3_stmt *statement = NULL;
  gsize bytes = 0;

  if (!open_current (self, error))
    return NULL;
  int rc = sqlite3_prepare_v2 (self->db,
                               "SELECT id, stream, kind, time, json FROM notes WHERE id > ?1 "
                               "ORDER BY id LIMIT ?2",
                               -1, &statement, NULL);
  if (rc == SQLITE_OK) {
    sqlite3_bind_int64 (statement, 1, after);
    sqlite3_bind_int64 (statement, 2, max);
    while ((rc = sqlite3_step (statement)) == SQLITE_ROW && bytes < MAX_BATCH_BYTES) {
      PcdNote *note = read_note (self, statement);
      bytes += strlen (note->json);
      g_ptr_array_add (notes, note);
    }
  }
  sqlite3_finalize (statement);
  if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
    fail (self, rc, error);
    return NULL;
  }
  return g_steal_pointer (&notes);
}
