/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The delivery queue: notes for receivers, kept beside the journal until each has them.
 * Must not know what a receiver is. */
#pragma once

#include "journal/pcd-journal.h"
#include "journal/pcd-note-row.h"

G_BEGIN_DECLS

/**
 * PcdNoteLimits:
 * @sink: name
 * @max_notes: waiting for it, at least 1
 * @max_bytes: of their JSON together; the newest is kept in any case
 */
typedef struct {
  char *sink;
  gint64 max_notes;
  gint64 max_bytes;
} PcdNoteLimits;

PcdNoteLimits *pcd_note_limits_new (const char *sink, gint64 max_notes, gint64 max_bytes);
void pcd_note_limits_free (PcdNoteLimits *limits);

/**
 * pcd_journal_add_note:
 * @stream: "UUID/ROLE", or "" for what is about no domain
 * @time: microseconds since the epoch
 * @json: one line
 *
 * Queues it for every sink; returns at once. Lost as a record is while the disk cannot be written.
 */
void pcd_journal_add_note (
    PcdJournal *journal, const char *stream, const char *kind, gint64 time, const char *json);

/**
 * pcd_journal_set_sinks:
 * @limits: (transfer full) (element-type PcdNoteLimits): all sinks. A new one gets what comes from
 *   now on; of one that is not there any more nothing is kept
 */
void pcd_journal_set_sinks (PcdJournal *journal, GPtrArray *limits);

/* Any thread that holds a reference. */
void pcd_journal_ack_notes (PcdJournal *journal, const char *sink, const PcdNoteAck *ack);

/**
 * pcd_journal_watch_notes:
 * @func: (nullable): called in the writer's thread after each change of the queue is on disk; must
 *   not block. %NULL ends that, and waits for a call under way
 */
void pcd_journal_watch_notes (PcdJournal *journal, void (*func) (gpointer data), gpointer data);

/* For threads that may outlast pcd_journal_close (): what they ask for then is not done. */
PcdJournal *pcd_journal_ref (PcdJournal *journal);
void pcd_journal_unref (PcdJournal *journal);

/* Returns: (transfer none): of the database */
const char *pcd_journal_get_path (PcdJournal *journal);

/**
 * PcdNote: one thing to be told. @number: from 1; @id: unique for ever, over restarts and hosts,
 * made of the queue's own id and the number.
 */
typedef struct {
  gint64 number;
  char *id;
  char *stream;
  char *kind;
  gint64 time;
  char *json;
} PcdNote;

void pcd_note_free (PcdNote *note);

/**
 * PcdNoteState: where a sink is.
 * @queue: the queue's own id, another one after a database was set aside
 * @row: its row
 * @waiting: notes that it is to get
 * @waiting_bytes: their JSON's length
 */
typedef struct {
  char queue[33];
  PcdNoteRow row;
  gint64 waiting;
  gint64 waiting_bytes;
} PcdNoteState;

/* Reads the queue in a thread of one's own, beside the writer, a batch at a time. */
typedef struct _PcdNoteReader PcdNoteReader;

PcdNoteReader *pcd_note_reader_new (const char *path);
void pcd_note_reader_free (PcdNoteReader *reader);

/**
 * pcd_note_reader_look:
 *
 * Returns: %FALSE with %PCD_JOURNAL_ERROR_NOT_FOUND if the queue does not have that sink (yet)
 */
gboolean pcd_note_reader_look (PcdNoteReader *reader,
                               const char *sink,
                               PcdNoteState *ret_state,
                               GError **error);

/**
 * pcd_note_reader_take:
 * @after: the last number that is not wanted
 * @max: no more than these; there may be fewer, so that they stay below 256 KiB
 *
 * Returns: (transfer full) (element-type PcdNote): oldest first; frees its elements
 */
GPtrArray *pcd_note_reader_take (PcdNoteReader *reader, gint64 after, guint max, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdNoteReader, pcd_note_reader_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdNote, pcd_note_free)

G_END_DECLS
