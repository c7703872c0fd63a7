/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs into transactions. A disk that is full or broken loses records and fails intents, and
 * nothing else; a database found to be damaged is set aside and what is open goes on in a new one.
 */
#include "journal/pcd-journal-write.h"

#include "journal/pcd-journal-file.h"
#include "journal/pcd-note-write.h"

/* What must not be lost, waiting for a disk that does not get better. */
#define MAX_KEPT 10000

#define PRUNE_EVERY 1000

static const char *const sql[] = {
  [PCD_JOB_BEGIN] = "INSERT INTO incidents (id, uuid, name, role, boot, began) "
                    "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
  [PCD_JOB_END] = "UPDATE incidents SET ended = ?2, how = ?3, ladder = NULL "
                  "WHERE id = ?1 AND ended IS NULL",
  [PCD_JOB_RECORD] = "INSERT INTO timeline (incident, time, kind, record) "
                     "VALUES (?1, ?2, 'record', ?3)",
  [PCD_JOB_INTENT] = "INSERT INTO timeline (incident, time, kind, ticket, action, who) "
                     "VALUES (?1, ?2, 'intent', ?3, ?4, ?5)",
  [PCD_JOB_RESULT] = "INSERT INTO timeline (incident, time, kind, ticket, action, outcome, reason) "
                     "SELECT ?1, ?2, 'result', ?3, action, ?4, ?5 FROM timeline "
                     "WHERE incident = ?1 AND ticket = ?3 AND kind = 'intent' "
                     "ON CONFLICT DO NOTHING",
  [PCD_JOB_LADDER] = "UPDATE incidents SET ladder = ?2 WHERE id = ?1 AND ended IS NULL",
  [PCD_JOB_FLAG] = "INSERT INTO flags (uuid, flag, value) VALUES (?1, ?2, ?3) "
                   "ON CONFLICT DO UPDATE SET value = excluded.value",
};

static const char unset_sql[] = "DELETE FROM flags WHERE uuid = ?1 AND flag = ?2";

struct _PcdJournalWriter {
  char *path;
  sqlite3 *db;
  sqlite3_stmt *statements[G_N_ELEMENTS (sql)];
  sqlite3_stmt *unset;
  PcdNoteWriter *notes;
  gboolean notes_changed; /* in the last transaction */
  GPtrArray *open;        /* jobs that would write what is open now, should the file be lost */
  GPtrArray *kept;        /* jobs that the disk did not take */
  gboolean failing;
  guint dropped;
  guint since_prune;
};

/* ---- jobs ---- */

PcdJob *
pcd_job_new (PcdJobKind kind, gint64 incident, gint64 time)
{
  PcdJob *job = g_new0 (PcdJob, 1);

  g_atomic_ref_count_init (&job->refs);
  job->kind = kind;
  job->incident = incident;
  job->time = time;
  return job;
}

PcdJob *
pcd_job_ref (PcdJob *job)
{
  g_atomic_ref_count_inc (&job->refs);
  return job;
}

gboolean
pcd_job_is_awaited (const PcdJob *job)
{
  return job->kind == PCD_JOB_INTENT || job->callback;
}

void
pcd_job_unref (PcdJob *job)
{
  if (!g_atomic_ref_count_dec (&job->refs))
    return;
  g_free (job->uuid);
  g_free (job->name);
  g_free (job->boot);
  g_free (job->text);
  g_free (job->outcome);
  g_free (job->ladder);
  g_clear_pointer (&job->limits, g_ptr_array_unref);
  g_clear_error (&job->error);
  g_free (job);
}

/* ---- the database ---- */

static void
close_database (PcdJournalWriter *self)
{
  for (guint i = 0; i < G_N_ELEMENTS (sql); i++)
    g_clear_pointer (&self->statements[i], sqlite3_finalize);
  g_clear_pointer (&self->unset, sqlite3_finalize);
  pcd_note_writer_release (self->notes);
  g_clear_pointer (&self->db, sqlite3_close);
}

static gboolean
prepare_all (PcdJournalWriter *self, GError **error)
{
  int rc =
      sqlite3_prepare_v3 (self->db, unset_sql, -1, SQLITE_PREPARE_PERSISTENT, &self->unset, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (sql) && rc == SQLITE_OK; i++)
    rc = sqlite3_prepare_v3 (self->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &self->statements[i],
                             NULL);
  if (rc == SQLITE_OK)
    rc = pcd_note_writer_prepare (self->notes, self->db);
  return rc == SQLITE_OK || pcd_journal_file_fail (self->db, rc, self->path, error);
}

static void
bind_text (sqlite3_stmt *statement, int index, const char *text)
{
  sqlite3_bind_text (statement, index, text, -1, SQLITE_STATIC);
}

static int
run_statement (sqlite3_stmt *statement)
{
  int rc = sqlite3_step (statement);

  sqlite3_reset (statement);
  sqlite3_clear_bindings (statement);
  return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int
write_ladder (PcdJournalWriter *self, const PcdJob *job)
{
  sqlite3_stmt *statement = self->statements[PCD_JOB_LADDER];

  if (!job->ladder)
    return SQLITE_OK;
  sqlite3_bind_int64 (statement, 1, job->incident);
  bind_text (statement, 2, job->ladder);
  return run_statement (statement);
}

static void
bind_event (sqlite3_stmt *statement, const PcdJob *job)
{
  if (job->incident)
    sqlite3_bind_int64 (statement, 1, job->incident);
  sqlite3_bind_int64 (statement, 2, job->time);
}

static int
write_job (PcdJournalWriter *self, const PcdJob *job)
{
  sqlite3_stmt *statement = job->kind < G_N_ELEMENTS (sql) ? self->statements[job->kind] : NULL;

  switch (job->kind) {
  case PCD_JOB_BEGIN:
    sqlite3_bind_int64 (statement, 1, job->incident);
    bind_text (statement, 2, job->uuid);
    bind_text (statement, 3, job->name);
    bind_text (statement, 4, pcd_role_to_string (job->role));
    bind_text (statement, 5, job->boot);
    sqlite3_bind_int64 (statement, 6, job->time);
    break;
  case PCD_JOB_END:
  case PCD_JOB_RECORD:
    bind_event (statement, job);
    bind_text (statement, 3, job->text);
    break;
  case PCD_JOB_INTENT:
  case PCD_JOB_RESULT:
    bind_event (statement, job);
    sqlite3_bind_int64 (statement, 3, (gint64)job->ticket);
    bind_text (statement, 4, job->kind == PCD_JOB_INTENT ? job->name : job->outcome);
    bind_text (statement, 5, job->text);
    break;
  case PCD_JOB_FLAG:
    statement = job->text ? statement : self->unset;
    bind_text (statement, 1, job->uuid);
    bind_text (statement, 2, job->name);
    if (job->text)
      bind_text (statement, 3, job->text);
    break;
  case PCD_JOB_LADDER:
    return write_ladder (self, job);
  case PCD_JOB_NOTE:
    return pcd_note_writer_add (self->notes, job->uuid, job->name, job->time, job->text);
  case PCD_JOB_SINKS:
    return pcd_note_writer_set_sinks (self->notes, job->limits);
  case PCD_JOB_ACK:
    return pcd_note_writer_ack (self->notes, job->name, &job->ack);
  case PCD_JOB_CLOSE:
  default:
    return SQLITE_OK;
  }
  int rc = run_statement (statement);
  return rc == SQLITE_OK ? write_ladder (self, job) : rc;
}

/* What the database itself will not have, whatever the disk does; the transaction goes on. */
static void
refuse_job (PcdJournalWriter *self, PcdJob *job, int rc)
{
  if (job->kind != PCD_JOB_INTENT) {
    g_warning ("journal: incident %" G_GINT64_FORMAT " did not take what belongs to it: %s",
               job->incident, sqlite3_errmsg (self->db));
    return;
  }
  g_clear_error (&job->error);
  if (rc == SQLITE_CONSTRAINT_UNIQUE)
    g_set_error (&job->error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_DOUBLED,
                 "%s: ticket %" G_GUINT64_FORMAT " of incident %" G_GINT64_FORMAT
                 " was begun already, expected a new one",
                 self->path, job->ticket, job->incident);
  else
    g_set_error (&job->error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NOT_FOUND,
                 "%s: no incident %" G_GINT64_FORMAT ", expected one that has begun", self->path,
                 job->incident);
}

static int
write_all (PcdJournalWriter *self, GPtrArray *jobs)
{
  int rc = sqlite3_exec (self->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

  for (guint i = 0; i < jobs->len && rc == SQLITE_OK; i++) {
    PcdJob *job = g_ptr_array_index (jobs, i);
    g_clear_error (&job->error);
    rc = write_job (self, job);
    if ((rc & 0xff) == SQLITE_CONSTRAINT) {
      refuse_job (self, job, rc);
      rc = SQLITE_OK;
    }
  }
  if (rc == SQLITE_OK)
    rc = pcd_note_writer_settle (self->notes, &self->notes_changed);
  return rc == SQLITE_OK ? sqlite3_exec (self->db, "COMMIT", NULL, NULL, NULL) : rc;
}

static gboolean
transaction (PcdJournalWriter *self, GPtrArray *jobs, GError **error)
{
  int rc = write_all (self, jobs);

  if (rc == SQLITE_OK)
    return TRUE;
  pcd_journal_file_fail (self->db, rc, self->path, error);
  if (!sqlite3_get_autocommit (self->db))
    sqlite3_exec (self->db, "ROLLBACK", NULL, NULL, NULL);
  return FALSE;
}

/* ---- what is open ---- */

static gboolean
replaces (const PcdJob *job, const PcdJob *old)
{
  if (job->kind == PCD_JOB_SINKS || old->kind == PCD_JOB_SINKS)
    return job->kind == old->kind;
  if (job->kind == PCD_JOB_FLAG)
    return old->kind == PCD_JOB_FLAG && g_str_equal (job->uuid, old->uuid) &&
           g_str_equal (job->name, old->name);
  if (old->kind == PCD_JOB_FLAG || old->incident != job->incident)
    return FALSE;
  if (job->kind == PCD_JOB_END)
    return TRUE;
  if (job->kind == PCD_JOB_RESULT)
    return old->kind == PCD_JOB_INTENT && old->ticket == job->ticket;
  return job->kind == PCD_JOB_LADDER && old->kind == PCD_JOB_LADDER;
}

static void
note (PcdJournalWriter *self, PcdJob *job)
{
  gboolean adds = job->kind == PCD_JOB_BEGIN || job->kind == PCD_JOB_INTENT ||
                  job->kind == PCD_JOB_LADDER || job->kind == PCD_JOB_SINKS ||
                  (job->kind == PCD_JOB_FLAG && job->text);

  if (job->error || job->kind == PCD_JOB_RECORD || job->kind == PCD_JOB_NOTE ||
      job->kind == PCD_JOB_ACK)
    return;
  for (guint i = self->open->len; i-- > 0;)
    if (replaces (job, g_ptr_array_index (self->open, i)))
      g_ptr_array_remove_index (self->open, i);
  if (adds)
    g_ptr_array_add (self->open, pcd_job_ref (job));
  if (job->ladder && job->kind != PCD_JOB_LADDER) {
    g_autoptr (PcdJob) ladder = pcd_job_new (PCD_JOB_LADDER, job->incident, job->time);
    ladder->ladder = g_strdup (job->ladder);
    note (self, ladder);
  }
}

/* In the place of a database that is damaged, or that someone took away. */
static gboolean
begin_anew (PcdJournalWriter *self, const GError *why, GError **error)
{
  g_autofree char *aside = NULL, *notice = NULL;

  close_database (self);
  if (why) {
    aside = pcd_journal_file_set_aside (self->path, "damaged", error);
    if (!aside)
      return FALSE;
  }
  self->db = pcd_journal_file_open (self->path, &notice, error);
  if (!self->db || !prepare_all (self, error) || !transaction (self, self->open, error)) {
    close_database (self);
    return FALSE;
  }
  if (notice)
    g_warning ("journal: %s", notice);
  else if (why)
    g_warning ("journal: %s; it was set aside as %s and a fresh journal begun", why->message,
               aside);
  else
    g_warning ("journal: %s was taken away, a fresh journal was begun", self->path);
  return TRUE;
}

static gboolean
was_taken_away (PcdJournalWriter *self)
{
  int moved = 0;

  return sqlite3_file_control (self->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
         moved;
}

static gboolean
write_somewhere (PcdJournalWriter *self, GPtrArray *jobs, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  if ((!self->db || was_taken_away (self)) && !begin_anew (self, NULL, error))
    return FALSE;
  if (transaction (self, jobs, &local_error))
    return TRUE;
  if (g_error_matches (local_error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_DAMAGED))
    return begin_anew (self, local_error, error) && transaction (self, jobs, error);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/* ---- batches ---- */

static void
after_failure (PcdJournalWriter *self, GPtrArray *jobs, const GError *error)
{
  for (guint i = 0; i < jobs->len; i++) {
    PcdJob *job = g_ptr_array_index (jobs, i);
    if (pcd_job_is_awaited (job)) {
      g_clear_error (&job->error);
      job->error = g_error_copy (error);
    } else if (job->kind == PCD_JOB_NOTE) {
      continue; /* its record is counted */
    } else if (job->kind == PCD_JOB_RECORD || self->kept->len >= MAX_KEPT) {
      self->dropped++;
    } else {
      g_ptr_array_add (self->kept, pcd_job_ref (job));
    }
  }
  if (!self->failing)
    g_warning ("journal: %s; until this is over no action is begun, and records are lost",
               error->message);
  self->failing = TRUE;
}

static void
after_success (PcdJournalWriter *self, GPtrArray *jobs)
{
  for (guint i = 0; i < jobs->len; i++)
    note (self, g_ptr_array_index (jobs, i));
  if (self->failing)
    g_message ("journal: %s can be written again; %u records were lost", self->path, self->dropped);
  else if (self->dropped)
    g_warning ("journal: %s is written too slowly; %u records were lost", self->path,
               self->dropped);
  self->failing = FALSE;
  self->dropped = 0;
  self->since_prune += jobs->len;
  if (self->since_prune >= PRUNE_EVERY)
    pcd_journal_writer_prune (self);
}

gboolean
pcd_journal_writer_run (PcdJournalWriter *self, GPtrArray *jobs)
{
  g_autoptr (GPtrArray) all = g_steal_pointer (&self->kept);
  g_autoptr (GError) error = NULL;

  self->kept = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_job_unref);
  for (guint i = 0; i < jobs->len; i++)
    g_ptr_array_add (all, pcd_job_ref (g_ptr_array_index (jobs, i)));
  if (all->len == 0)
    return FALSE;
  self->notes_changed = FALSE;
  if (write_somewhere (self, all, &error))
    after_success (self, all);
  else
    after_failure (self, all, error);
  return !error && self->notes_changed;
}

gboolean
pcd_journal_writer_has_kept (const PcdJournalWriter *self)
{
  return self->kept->len > 0;
}

void
pcd_journal_writer_drop (PcdJournalWriter *self, guint n)
{
  self->dropped += n;
}

/* Not worth a word if it fails: what it could not delete is deleted next time. */
void
pcd_journal_writer_prune (PcdJournalWriter *self)
{
  self->since_prune = 0;
  if (self->db)
    pcd_journal_file_prune (self->db, PCD_JOURNAL_KEEP_INCIDENTS, PCD_JOURNAL_KEEP_RECORDS);
}

PcdJournalWriter *
pcd_journal_writer_new (const char *path, sqlite3 *db, GPtrArray *open, GError **error)
{
  PcdJournalWriter *self = g_new0 (PcdJournalWriter, 1);

  self->path = g_strdup (path);
  self->db = db;
  self->notes = pcd_note_writer_new ();
  self->kept = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_job_unref);
  self->open = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_job_unref);
  for (guint i = 0; i < open->len; i++)
    g_ptr_array_add (self->open, pcd_job_ref (g_ptr_array_index (open, i)));
  if (!prepare_all (self, error))
    g_clear_pointer (&self, pcd_journal_writer_free);
  return self;
}

void
pcd_journal_writer_free (PcdJournalWriter *self)
{
  close_database (self);
  pcd_note_writer_free (self->notes);
  g_ptr_array_unref (self->open);
  g_ptr_array_unref (self->kept);
  g_free (self->path);
  g_free (self);
}
