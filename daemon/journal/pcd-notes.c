/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The queue of notes as the daemon asks for it: each call becomes a job of the journal's writer. */
#include "journal/pcd-journal-notes.h"

#include "journal/pcd-journal-write.h"

PcdNoteLimits *
pcd_note_limits_new (const char *sink, gint64 max_notes, gint64 max_bytes)
{
  PcdNoteLimits *limits = g_new0 (PcdNoteLimits, 1);

  limits->sink = g_strdup (sink);
  limits->max_notes = max_notes;
  limits->max_bytes = max_bytes;
  return limits;
}

void
pcd_note_limits_free (PcdNoteLimits *limits)
{
  g_free (limits->sink);
  g_free (limits);
}

void
pcd_journal_add_note (
    PcdJournal *self, const char *stream, const char *kind, gint64 time, const char *json)
{
  if (!self || pcd_journal_is_full (self))
    return;
  PcdJob *job = pcd_job_new (PCD_JOB_NOTE, 0, time);
  job->uuid = g_strdup (stream);
  job->name = g_strdup (kind);
  job->text = g_strdup (json);
  pcd_journal_push (self, job);
}

void
pcd_journal_set_sinks (PcdJournal *self, GPtrArray *limits)
{
  if (!self) {
    g_ptr_array_unref (limits);
    return;
  }
  PcdJob *job = pcd_job_new (PCD_JOB_SINKS, 0, 0);
  job->limits = limits;
  pcd_journal_push (self, job);
}

void
pcd_journal_ack_notes (PcdJournal *self, const char *sink, const PcdNoteAck *ack)
{
  PcdJob *job = pcd_job_new (PCD_JOB_ACK, 0, 0);

  job->name = g_strdup (sink);
  job->ack = *ack;
  pcd_journal_push (self, job);
}
