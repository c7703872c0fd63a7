/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The queue of notes in the database: adding, dropping the oldest, and what receivers took.
 * Private to daemon/journal; the writer's thread only, within its transactions. */
#pragma once

#include <sqlite3.h>

#include "journal/pcd-journal-notes.h"

G_BEGIN_DECLS

/* Tables of version 2: for a fresh database, and for one of version 1. */
extern const char pcd_note_schema[];

typedef struct _PcdNoteWriter PcdNoteWriter;

PcdNoteWriter *pcd_note_writer_new (void);
void pcd_note_writer_free (PcdNoteWriter *writer);

/* Returns: SQLite's, as all below */
int pcd_note_writer_prepare (PcdNoteWriter *writer, sqlite3 *db);

/* Before @db is closed. */
void pcd_note_writer_release (PcdNoteWriter *writer);

/* Nothing is kept while nobody wants it. */
int pcd_note_writer_add (
    PcdNoteWriter *writer, const char *stream, const char *kind, gint64 time, const char *json);

/**
 * pcd_note_writer_set_sinks:
 * @limits: (element-type PcdNoteLimits): all that there are; the places of others are forgotten
 */
int pcd_note_writer_set_sinks (PcdNoteWriter *writer, GPtrArray *limits);

int pcd_note_writer_ack (PcdNoteWriter *writer, const char *sink, const PcdNoteAck *ack);

/**
 * pcd_note_writer_settle:
 * @ret_changed: whether the queue is another than at the last call
 *
 * At the end of a transaction: drops what is beyond a sink's limits, deletes what all are done
 * with.
 */
int pcd_note_writer_settle (PcdNoteWriter *writer, gboolean *ret_changed);

G_END_DECLS
