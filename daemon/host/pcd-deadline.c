/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thread, a flag and a condition. Whoever of the two sides leaves last frees everything.
 * Must not cancel threads: an abandoned one may hold locks of libvirt or GLib. */
#include "host/pcd-deadline.h"

struct _PcdDeadline {
  GMutex lock;
  GCond cond;
  gboolean returned;
  gboolean abandoned;
  PcdDeadlineFunc func;
  gpointer data;
  GDestroyNotify free_data;
};

static void
deadline_free (PcdDeadline *deadline)
{
  g_mutex_clear (&deadline->lock);
  g_cond_clear (&deadline->cond);
  g_free (deadline);
}

static gpointer
deadline_thread (gpointer user_data)
{
  PcdDeadline *deadline = user_data;

  deadline->func (deadline->data);
  g_mutex_lock (&deadline->lock);
  deadline->returned = TRUE;
  gboolean abandoned = deadline->abandoned;
  g_cond_signal (&deadline->cond);
  g_mutex_unlock (&deadline->lock);
  if (abandoned) {
    deadline->free_data (deadline->data);
    deadline_free (deadline);
  }
  return NULL;
}

PcdDeadline *
pcd_deadline_start (const char *name, PcdDeadlineFunc func, gpointer data, GDestroyNotify free_data)
{
  PcdDeadline *deadline = g_new0 (PcdDeadline, 1);

  g_mutex_init (&deadline->lock);
  g_cond_init (&deadline->cond);
  deadline->func = func;
  deadline->data = data;
  deadline->free_data = free_data;
  GThread *thread = g_thread_try_new (name, deadline_thread, deadline, NULL);
  if (!thread) {
    free_data (data);
    deadline_free (deadline);
    return NULL;
  }
  g_thread_unref (thread);
  return deadline;
}

gpointer
pcd_deadline_wait (PcdDeadline *deadline, gint64 until)
{
  if (!deadline)
    return NULL;
  g_mutex_lock (&deadline->lock);
  while (!deadline->returned)
    if (!g_cond_wait_until (&deadline->cond, &deadline->lock, until))
      break;
  gboolean returned = deadline->returned;
  deadline->abandoned = !returned;
  g_mutex_unlock (&deadline->lock);
  if (!returned)
    return NULL;
  gpointer data = deadline->data;
  deadline_free (deadline);
  return data;
}
