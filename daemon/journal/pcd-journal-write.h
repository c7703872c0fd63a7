/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The writer of the journal: jobs into transactions, and what to do when the disk will not.
 * Private to daemon/journal; used by one thread at a time. */
#pragma once

#include <sqlite3.h>

#include "journal/pcd-journal-notes.h"

G_BEGIN_DECLS

typedef enum {
  PCD_JOB_BEGIN,
  PCD_JOB_END,
  PCD_JOB_RECORD,
  PCD_JOB_INTENT,
  PCD_JOB_RESULT,
  PCD_JOB_LADDER,
  PCD_JOB_FLAG,
  PCD_JOB_NOTE,
  PCD_JOB_SINKS,
  PCD_JOB_ACK,
  PCD_JOB_CLOSE, /* the thread's own; never given to pcd_journal_writer_run () */
} PcdJobKind;

/**
 * PcdJob: one thing to be written. Refcounted; nobody changes it once it was queued but the writer.
 * @uuid: of BEGIN and FLAG; the stream of NOTE
 * @name: the domain of BEGIN, the action of INTENT, the flag of FLAG, the kind of NOTE, the sink of
 * ACK
 * @role: of BEGIN
 * @boot: of BEGIN: the boot in which @ladder means something
 * @text: END: how; RECORD, NOTE: its JSON; INTENT: who; RESULT: reason; FLAG: value
 * @outcome: of RESULT
 * @ladder: (nullable): JSON, of INTENT, RESULT, LADDER
 * @limits: (element-type PcdNoteLimits): of SINKS
 * @ack: of ACK
 * @callback: (nullable): of INTENT and FLAG
 * @error: (nullable): set by the writer, of what is waited for
 */
typedef struct {
  gatomicrefcount refs;
  PcdJobKind kind;
  gint64 incident;
  gint64 time;
  guint64 ticket;
  PcdRole role;
  char *uuid;
  char *name;
  char *boot;
  char *text;
  char *outcome;
  char *ladder;
  GPtrArray *limits;
  PcdNoteAck ack;
  PcdJournalCallback callback;
  gpointer data;
  GError *error;
} PcdJob;

PcdJob *pcd_job_new (PcdJobKind kind, gint64 incident, gint64 time);
PcdJob *pcd_job_ref (PcdJob *job);

/* Somebody does nothing before it is on disk: it is answered, and not tried again. */
gboolean pcd_job_is_awaited (const PcdJob *job);

void pcd_job_unref (PcdJob *job);

/* To the writer's thread; from any thread. @job: (transfer full) */
void pcd_journal_push (PcdJournal *journal, PcdJob *job);

/* Whether so much waits for the disk that what may be lost is to be dropped. */
gboolean pcd_journal_is_full (PcdJournal *journal);

typedef struct _PcdJournalWriter PcdJournalWriter;

/**
 * pcd_journal_writer_new:
 * @db: (transfer full): from pcd_journal_file_open ()
 * @open: (element-type PcdJob): what was open in it, as the jobs that would write it
 *
 * Returns: (transfer full): %NULL if @db is damaged in spite of all checks
 */
PcdJournalWriter *
pcd_journal_writer_new (const char *path, sqlite3 *db, GPtrArray *open, GError **error);
void pcd_journal_writer_free (PcdJournalWriter *writer);

/**
 * pcd_journal_writer_run:
 * @jobs: (element-type PcdJob): written in one transaction; may be empty
 *
 * On return everything that is awaited has its @error, or is on disk. What must not be lost and
 * could not be written is kept for the next call.
 *
 * Returns: whether the queue of notes on disk has changed
 */
gboolean pcd_journal_writer_run (PcdJournalWriter *writer, GPtrArray *jobs);

/* Whether something waits for the disk to get better: then call run again in a while. */
gboolean pcd_journal_writer_has_kept (const PcdJournalWriter *writer);

/* Records that the caller dropped for want of speed, to be told with the writer's own. */
void pcd_journal_writer_drop (PcdJournalWriter *writer, guint n);

void pcd_journal_writer_prune (PcdJournalWriter *writer);

/**
 * pcd_journal_read_open:
 *
 * Returns: (transfer full) (element-type PcdJob): the jobs that would write what is open, and flags
 */
GPtrArray *pcd_journal_read_open (sqlite3 *db, const char *path, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdJob, pcd_job_unref)

G_END_DECLS
