/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thread for calls that may wait, with a deadline for each call.
 * Must not know what the calls are: it runs them, waits for them, or leaves them behind. */
#include "libvirt/pcd-vir-worker.h"

/* One reference is the thread's, which passes it on to job_over (), and one the owner's. */
struct _PcdVirJob {
  gatomicrefcount refs;
  const PcdVirJobFuncs *funcs;
  gpointer task;

  GMutex lock; /* the members up to the next comment */
  const char *call;
  char *subject;
  gint64 deadline;
  gboolean abandoned;

  /* The main thread's own. */
  gpointer data;
  gboolean disowned;
  gboolean is_late;
  guint timer;
};

static void
job_unref (PcdVirJob *job)
{
  if (!g_atomic_ref_count_dec (&job->refs))
    return;
  if (job->funcs->free_task)
    job->funcs->free_task (job->task);
  g_mutex_clear (&job->lock);
  g_free (job->subject);
  g_free (job);
}

void
pcd_vir_to_main (GSourceFunc func, gpointer data)
{
  /* Not g_main_context_invoke (): that would run @func in this thread whenever nobody happens to
   * own the context. */
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, func, data, NULL);
  g_source_attach (source, NULL);
}

static void
stop_timer (PcdVirJob *job)
{
  if (job->timer)
    g_source_remove (job->timer);
  job->timer = 0;
}

/* The thread has ended; this holds its reference. */
static gboolean
job_over (gpointer data)
{
  PcdVirJob *job = data;

  stop_timer (job);
  if (!job->disowned && job->is_late)
    job->funcs->ended (job, job->data);
  else if (!job->disowned)
    job->funcs->done (job, job->task, job->data);
  job_unref (job);
  return G_SOURCE_REMOVE;
}

static gpointer
job_thread (gpointer data)
{
  PcdVirJob *job = data;

  job->funcs->work (job, job->task);
  pcd_vir_to_main (job_over, job);
  return NULL;
}

static gboolean on_deadline (gpointer data);

/* Until the thread begins its first call; and how often a job that has lasted longer is looked at,
 * for its present call may have a shorter deadline than the one that the timer was set for. */
#define FIRST_DEADLINE (5 * G_USEC_PER_SEC)
#define LOOK_INTERVAL  (1 * G_USEC_PER_SEC)

static void
arm (PcdVirJob *job, gint64 usec)
{
  job->timer = g_timeout_add (usec / 1000 + 1, on_deadline, job);
}

/* The thread may have begun another call since the timer was set: then wait for that one's. */
static gboolean
on_deadline (gpointer data)
{
  PcdVirJob *job = data;
  g_autofree char *subject = NULL;
  const char *call;
  gint64 left;

  job->timer = 0;
  g_mutex_lock (&job->lock);
  left = job->deadline - g_get_monotonic_time ();
  job->abandoned = left <= 0;
  subject = g_strdup (job->subject);
  call = job->call;
  g_mutex_unlock (&job->lock);

  if (left > 0) {
    arm (job, MIN (left, LOOK_INTERVAL));
    return G_SOURCE_REMOVE;
  }
  job->is_late = TRUE;
  job->funcs->late (job, call, subject, job->data);
  return G_SOURCE_REMOVE;
}

PcdVirJob *
pcd_vir_job_start (const PcdVirJobFuncs *funcs, gpointer task, gpointer data, GError **error)
{
  PcdVirJob *job = g_new0 (PcdVirJob, 1);
  GThread *thread;

  g_atomic_ref_count_init (&job->refs);
  g_atomic_ref_count_inc (&job->refs);
  g_mutex_init (&job->lock);
  job->funcs = funcs;
  job->task = task;
  job->data = data;
  job->call = "thread start";
  job->deadline = g_get_monotonic_time () + FIRST_DEADLINE;
  thread = g_thread_try_new ("libvirt-call", job_thread, job, error);
  if (!thread) {
    job_unref (job);
    job_unref (job);
    return NULL;
  }
  g_thread_unref (thread);
  arm (job, FIRST_DEADLINE);
  return job;
}

gboolean
pcd_vir_job_begin (PcdVirJob *job, const char *call, const char *subject, gint64 deadline_usec)
{
  g_autofree char *copy = g_strdup (subject);
  gboolean wanted;

  g_mutex_lock (&job->lock);
  wanted = !job->abandoned;
  job->call = call;
  g_free (job->subject);
  job->subject = g_steal_pointer (&copy);
  job->deadline = g_get_monotonic_time () + deadline_usec;
  g_mutex_unlock (&job->lock);
  return wanted;
}

void
pcd_vir_job_disown (PcdVirJob *job)
{
  g_mutex_lock (&job->lock);
  job->abandoned = TRUE;
  g_mutex_unlock (&job->lock);
  job->disowned = TRUE;
  stop_timer (job);
  job_unref (job);
}
