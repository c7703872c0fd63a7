/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The journal's main-thread half: a queue in, callbacks out. The thread behind it sleeps on the
 * queue and wakes for nothing else. */
#include "journal/pcd-journal-notes.h"

#include <string.h>
#include <unistd.h>

#include "journal/pcd-journal-file.h"
#include "journal/pcd-journal-write.h"
#include "journal/pcd-ladder-json.h"

/* Records beyond are dropped: a disk that hangs shall not fill the memory. */
#define MAX_QUEUED 10000

/* One transaction; an intent does not wait for more than these. */
#define MAX_BATCH 256

#define CLOSE_USEC (2 * G_USEC_PER_SEC)

/* How often what could not be written is tried again while nothing else happens. */
#define RETRY_USEC (5 * G_USEC_PER_SEC)

/* One reference is the owner's, one the thread's, and one each callback's under way. */
struct _PcdJournal {
  gatomicrefcount refs;
  GAsyncQueue *queue;
  GMainContext *context;
  gint n_dropped; /* atomic */

  /* The main thread's. */
  gboolean closed;
  gint64 next_id;
  char *boot;
  char *path;
  GPtrArray *open;
  GThread *thread;

  /* The writer thread's. */
  PcdJournalWriter *writer;

  GMutex lock;
  GCond cond;
  gboolean finished;
  void (*watch) (gpointer data);
  gpointer watch_data;
  int lock_fd;
};

PcdJournal *
pcd_journal_ref (PcdJournal *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
pcd_journal_unref (PcdJournal *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  g_async_queue_unref (self->queue);
  g_main_context_unref (self->context);
  g_ptr_array_unref (self->open);
  g_free (self->boot);
  g_free (self->path);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
  g_free (self);
}

/* ---- callbacks ---- */

typedef struct {
  PcdJournal *journal; /* NULL: there never was one */
  PcdJob *job;
} Answer;

static gboolean
on_answer (gpointer data)
{
  Answer *answer = data;

  if (!answer->journal || !answer->journal->closed)
    answer->job->callback (answer->job->error, answer->job->data);
  return G_SOURCE_REMOVE;
}

static void
answer_free (gpointer data)
{
  Answer *answer = data;

  g_clear_pointer (&answer->journal, pcd_journal_unref);
  pcd_job_unref (answer->job);
  g_free (answer);
}

/* Not g_main_context_invoke (): that may run it here and now. */
static void
send_answer (PcdJournal *self, PcdJob *job)
{
  g_autoptr (GSource) source = g_idle_source_new ();
  Answer *answer = g_new0 (Answer, 1);

  if (self)
    g_atomic_ref_count_inc (&self->refs);
  answer->journal = self;
  answer->job = pcd_job_ref (job);
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, on_answer, answer, answer_free);
  g_source_attach (source, self ? self->context : NULL);
}

/* ---- the thread ---- */

/* What has come, without waiting for more; to the first that somebody waits for. */
static GPtrArray *
take_batch (PcdJournal *self, gboolean *ret_close)
{
  GPtrArray *batch = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_job_unref);
  PcdJob *job = pcd_journal_writer_has_kept (self->writer)
                    ? g_async_queue_timeout_pop (self->queue, RETRY_USEC)
                    : g_async_queue_pop (self->queue);

  while (job && job->kind != PCD_JOB_CLOSE) {
    g_ptr_array_add (batch, job);
    if (pcd_job_is_awaited (job) || batch->len >= MAX_BATCH)
      return batch;
    job = g_async_queue_try_pop (self->queue);
  }
  *ret_close = job != NULL;
  g_clear_pointer (&job, pcd_job_unref);
  return batch;
}

static void
answer_batch (PcdJournal *self, GPtrArray *batch)
{
  for (guint i = 0; i < batch->len; i++) {
    PcdJob *job = g_ptr_array_index (batch, i);
    if (pcd_job_is_awaited (job))
      send_answer (self, job);
  }
}

static void
tell_watch (PcdJournal *self)
{
  g_mutex_lock (&self->lock);
  if (self->watch)
    self->watch (self->watch_data);
  g_mutex_unlock (&self->lock);
}

static gpointer
writer_thread (gpointer data)
{
  PcdJournal *self = data;
  gboolean close_now = FALSE;

  pcd_journal_writer_prune (self->writer);
  while (!close_now) {
    g_autoptr (GPtrArray) batch = take_batch (self, &close_now);
    guint n_dropped = (guint)g_atomic_int_and ((guint *)&self->n_dropped, 0);

    pcd_journal_writer_drop (self->writer, n_dropped);
    if (pcd_journal_writer_run (self->writer, batch))
      tell_watch (self);
    answer_batch (self, batch);
  }
  g_clear_pointer (&self->writer, pcd_journal_writer_free);
  close (self->lock_fd);
  g_mutex_lock (&self->lock);
  self->finished = TRUE;
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->lock);
  pcd_journal_unref (self);
  return NULL;
}

void
pcd_journal_watch_notes (PcdJournal *self, void (*func) (gpointer data), gpointer data)
{
  g_mutex_lock (&self->lock);
  self->watch = func;
  self->watch_data = data;
  g_mutex_unlock (&self->lock);
}

const char *
pcd_journal_get_path (PcdJournal *self)
{
  return self->path;
}

/* ---- opening and closing ---- */

/* Of /proc the unit leaves us processes only, and passes this. systemd writes it without dashes. */
static char *
read_boot_id (void)
{
  char *text = g_strdup (g_getenv ("PCD_BOOT_ID"));

  if (!text && !g_file_get_contents ("/proc/sys/kernel/random/boot_id", &text, NULL, NULL))
    return g_strdup ("unknown");
  g_auto (GStrv) parts = g_strsplit (g_strstrip (text), "-", -1);
  g_free (text);
  return g_strjoinv ("", parts);
}

/* On success @self has the lock's descriptor, the writer and what is open. */
static gboolean
open_database (PcdJournal *self, char **ret_notice, GError **error)
{
  g_autofree char *notice = NULL;
  g_autoptr (sqlite3) db = pcd_journal_file_open (self->path, &notice, error);

  if (!db || !pcd_journal_file_first_id (db, self->path, &self->next_id, error))
    return FALSE;
  self->open = pcd_journal_read_open (db, self->path, error);
  if (!self->open)
    return FALSE;
  self->writer = pcd_journal_writer_new (self->path, g_steal_pointer (&db), self->open, error);
  if (!self->writer)
    return FALSE;
  *ret_notice = g_steal_pointer (&notice);
  return TRUE;
}

/* A check that ran out of time may have left damage to be met now. */
static gboolean
open_or_set_aside (PcdJournal *self, char **ret_notice, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autofree char *aside = NULL, *notice = NULL;

  if (open_database (self, ret_notice, &local_error))
    return TRUE;
  if (g_error_matches (local_error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_DAMAGED)) {
    g_clear_pointer (&self->open, g_ptr_array_unref);
    aside = pcd_journal_file_set_aside (self->path, "damaged", error);
    if (!aside || !open_database (self, &notice, error))
      return FALSE;
    *ret_notice = g_strdup_printf ("%s; it was set aside as %s and a fresh journal begun",
                                   local_error->message, aside);
    return TRUE;
  }
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static gboolean
start (PcdJournal *self, const char *state_dir, char **ret_notice, GError **error)
{
  g_autofree char *notice = NULL;

  self->lock_fd = pcd_journal_file_lock (state_dir, error);
  if (self->lock_fd < 0)
    return FALSE;
  if (open_or_set_aside (self, &notice, error)) {
    g_atomic_ref_count_inc (&self->refs);
    self->thread = g_thread_try_new ("journal", writer_thread, self, error);
    if (self->thread) {
      if (ret_notice)
        *ret_notice = g_steal_pointer (&notice);
      return TRUE;
    }
    g_atomic_ref_count_dec (&self->refs);
  }
  g_clear_pointer (&self->writer, pcd_journal_writer_free);
  close (self->lock_fd);
  return FALSE;
}

PcdJournal *
pcd_journal_open (const char *state_dir, char **ret_notice, GError **error)
{
  PcdJournal *self = g_new0 (PcdJournal, 1);

  if (ret_notice)
    *ret_notice = NULL;
  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  self->queue = g_async_queue_new_full ((GDestroyNotify)pcd_job_unref);
  self->context = g_main_context_ref_thread_default ();
  self->path = g_build_filename (state_dir, PCD_JOURNAL_FILE, NULL);
  self->boot = read_boot_id ();
  if (start (self, state_dir, ret_notice, error))
    return self;
  if (!self->open)
    self->open = g_ptr_array_new ();
  pcd_journal_unref (self);
  return NULL;
}

void
pcd_journal_close (PcdJournal *self)
{
  gint64 until = g_get_monotonic_time () + CLOSE_USEC;

  if (!self)
    return;
  self->closed = TRUE;
  g_async_queue_push (self->queue, pcd_job_new (PCD_JOB_CLOSE, 0, 0));
  g_mutex_lock (&self->lock);
  while (!self->finished && g_cond_wait_until (&self->cond, &self->lock, until))
    ;
  gboolean finished = self->finished;
  g_mutex_unlock (&self->lock);
  if (finished) {
    g_thread_join (self->thread);
  } else {
    g_warning ("journal: %s: the disk did not answer within 2 s; what was under way may be lost",
               self->path);
    g_thread_unref (self->thread);
  }
  pcd_journal_unref (self);
}

/* ---- what is written ---- */

void
pcd_journal_push (PcdJournal *self, PcdJob *job)
{
  g_async_queue_push (self->queue, job);
}

gboolean
pcd_journal_is_full (PcdJournal *self)
{
  return g_async_queue_length (self->queue) >= MAX_QUEUED;
}

static char *
ladder_text (const PcdLadder *ladder)
{
  return ladder ? pcd_ladder_to_json (ladder) : NULL;
}

void
pcd_journal_add_record (PcdJournal *self, gint64 incident, const PcdRecord *record)
{
  if (!self)
    return;
  if (pcd_journal_is_full (self)) {
    g_atomic_int_inc (&self->n_dropped);
    return;
  }
  PcdJob *job = pcd_job_new (PCD_JOB_RECORD, incident, record->time);
  job->text = pcd_record_to_json (record);
  pcd_journal_push (self, job);
}

gint64
pcd_journal_begin_incident (
    PcdJournal *self, const char *uuid, const char *name, PcdRole role, gint64 time)
{
  if (!self)
    return 0;
  gint64 id = self->next_id++;
  PcdJob *job = pcd_job_new (PCD_JOB_BEGIN, id, time);
  job->uuid = g_strdup (uuid);
  job->name = g_utf8_make_valid (name ?: "", -1);
  job->role = role;
  job->boot = g_strdup (self->boot);
  pcd_journal_push (self, job);
  return id;
}

void
pcd_journal_end_incident (PcdJournal *self, gint64 incident, const char *how, gint64 time)
{
  if (!self)
    return;
  PcdJob *job = pcd_job_new (PCD_JOB_END, incident, time);
  job->text = g_strdup (how);
  pcd_journal_push (self, job);
}

/* (transfer full): of what is waited for, and there is no journal. */
static void
fail_without (PcdJob *job)
{
  g_set_error (
      &job->error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_DISK,
      "there is no journal: it could not be opened when postcopyd started; its log says why, "
      "restart it then");
  send_answer (NULL, job);
  pcd_job_unref (job);
}

void
pcd_journal_intent (PcdJournal *self,
                    gint64 incident,
                    guint64 ticket,
                    const char *action,
                    const char *who,
                    const PcdLadder *ladder,
                    gint64 time,
                    PcdJournalCallback callback,
                    gpointer data)
{
  PcdJob *job = pcd_job_new (PCD_JOB_INTENT, incident, time);

  job->ticket = ticket;
  job->name = g_strdup (action);
  job->text = g_utf8_make_valid (who ?: "", -1);
  job->callback = callback;
  job->data = data;
  if (self && incident != 0) {
    job->ladder = ladder_text (ladder);
    pcd_journal_push (self, job);
    return;
  }
  if (!self) {
    fail_without (job);
    return;
  }
  g_set_error (&job->error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NOT_FOUND,
               "%s: an intent needs an incident", self->path);
  send_answer (self, job);
  pcd_job_unref (job);
}

void
pcd_journal_result (PcdJournal *self,
                    gint64 incident,
                    guint64 ticket,
                    const char *outcome,
                    const char *reason,
                    const PcdLadder *ladder,
                    gint64 time)
{
  if (!self)
    return;
  PcdJob *job = pcd_job_new (PCD_JOB_RESULT, incident, time);
  job->ticket = ticket;
  job->outcome = g_strdup (outcome);
  job->text = reason ? g_utf8_make_valid (reason, -1) : NULL;
  job->ladder = ladder_text (ladder);
  pcd_journal_push (self, job);
}

void
pcd_journal_keep_ladder (PcdJournal *self, gint64 incident, const PcdLadder *ladder)
{
  if (!self)
    return;
  PcdJob *job = pcd_job_new (PCD_JOB_LADDER, incident, 0);
  job->ladder = ladder_text (ladder);
  pcd_journal_push (self, job);
}

static PcdJob *
flag_job (const char *uuid, const char *flag, const char *value)
{
  PcdJob *job = pcd_job_new (PCD_JOB_FLAG, 0, 0);

  job->uuid = g_strdup (uuid);
  job->name = g_strdup (flag);
  job->text = value ? g_utf8_make_valid (value, -1) : NULL;
  return job;
}

void
pcd_journal_set_flag (PcdJournal *self, const char *uuid, const char *flag, const char *value)
{
  if (self)
    pcd_journal_push (self, flag_job (uuid, flag, value));
}

void
pcd_journal_secure_flag (PcdJournal *self,
                         const char *uuid,
                         const char *flag,
                         const char *value,
                         PcdJournalCallback callback,
                         gpointer data)
{
  PcdJob *job = flag_job (uuid, flag, value);

  job->callback = callback;
  job->data = data;
  if (self) {
    pcd_journal_push (self, job);
    return;
  }
  fail_without (job);
}

/* ---- what an earlier daemon left ---- */

void
pcd_open_incident_free (PcdOpenIncident *incident)
{
  if (!incident)
    return;
  g_free (incident->uuid);
  g_free (incident->name);
  g_free (incident->ladder_error);
  g_array_unref (incident->unfinished);
  g_hash_table_unref (incident->flags);
  g_free (incident);
}

GHashTable *
pcd_journal_get_flags (PcdJournal *self)
{
  GHashTable *flags =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_hash_table_unref);

  for (guint i = 0; self && i < self->open->len; i++) {
    const PcdJob *job = g_ptr_array_index (self->open, i);
    if (job->kind != PCD_JOB_FLAG)
      continue;
    GHashTable *of_domain = g_hash_table_lookup (flags, job->uuid);
    if (!of_domain) {
      of_domain = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
      g_hash_table_insert (flags, g_strdup (job->uuid), of_domain);
    }
    g_hash_table_insert (of_domain, g_strdup (job->name), g_strdup (job->text));
  }
  return flags;
}

static PcdOpenIncident *
open_incident_new (const PcdJob *job, const char *boot, GHashTable *flags)
{
  PcdOpenIncident *incident = g_new0 (PcdOpenIncident, 1);
  GHashTable *of_domain = g_hash_table_lookup (flags, job->uuid);

  incident->id = job->incident;
  incident->uuid = g_strdup (job->uuid);
  incident->name = g_strdup (job->name);
  incident->role = job->role;
  incident->began = job->time;
  incident->same_boot = g_str_equal (job->boot, boot);
  incident->unfinished = g_array_new (FALSE, FALSE, sizeof (guint64));
  incident->flags = of_domain ? g_hash_table_ref (of_domain)
                              : g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return incident;
}

static void
take_ladder (const PcdJournal *self, PcdOpenIncident *incident, const char *text)
{
  g_autofree char *origin =
      g_strdup_printf ("%s, ladder of incident %" G_GINT64_FORMAT, self->path, incident->id);
  g_autoptr (GError) error = NULL;

  incident->has_ladder = pcd_ladder_from_json (text, origin, &incident->ladder, &error);
  if (!incident->has_ladder)
    incident->ladder_error = g_strdup (error->message);
}

GPtrArray *
pcd_journal_get_open (PcdJournal *self, GError **error)
{
  g_autoptr (GPtrArray) incidents =
      g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_open_incident_free);
  g_autoptr (GHashTable) flags = pcd_journal_get_flags (self);
  PcdOpenIncident *incident = NULL;

  /* pcd_journal_read_open () has the jobs of an incident behind its beginning. */
  for (guint i = 0; self && i < self->open->len; i++) {
    const PcdJob *job = g_ptr_array_index (self->open, i);
    if (job->kind == PCD_JOB_BEGIN) {
      incident = open_incident_new (job, self->boot, flags);
      g_ptr_array_add (incidents, incident);
    } else if (job->kind == PCD_JOB_INTENT) {
      g_array_append_val (incident->unfinished, job->ticket);
    } else if (job->kind == PCD_JOB_LADDER) {
      take_ladder (self, incident, job->ladder);
    }
  }
  return g_steal_pointer (&incidents);
}
