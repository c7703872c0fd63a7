/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ptrace () by a thread of its own, whose end undoes it.
 * Must not send a signal. */
#include "debug/pcd-hold.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <gio/gio.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define POLL_USEC 500

/* A thread that is traced; @signal is what it was about to take when it came to stand. */
typedef struct {
  pid_t tid;
  int signal;
  gboolean stands;
  gboolean gone;
} Tracee;

typedef struct {
  pid_t pid;
  gint64 until;
  PcdHoldFunc func;
  gpointer data;
  gint64 held_usec;
  GError **error;
  GArray *tracees; /* Tracee */
} Hold;

static Tracee *
find (Hold *self, pid_t tid)
{
  for (guint i = 0; i < self->tracees->len; i++) {
    Tracee *tracee = &g_array_index (self->tracees, Tracee, i);
    if (tracee->tid == tid)
      return tracee;
  }
  return NULL;
}

static gboolean
seize (Hold *self, pid_t tid)
{
  const Tracee tracee = { .tid = tid };

  if (ptrace (PTRACE_SEIZE, tid, NULL, NULL) < 0 ||
      ptrace (PTRACE_INTERRUPT, tid, NULL, NULL) < 0) {
    if (errno == ESRCH)
      return TRUE; /* it has ended */
    g_set_error (self->error, G_IO_ERROR, g_io_error_from_errno (errno),
                 "thread %d cannot be traced: %s", (int)tid, g_strerror (errno));
    return FALSE;
  }
  g_array_append_val (self->tracees, tracee);
  return TRUE;
}

/* Those that were made since the last look. */
static gboolean
seize_new (Hold *self, guint *ret_n_new)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task", (int)self->pid);
  const guint before = self->tracees->len;
  DIR *dir = opendir (path);
  struct dirent *entry;
  gboolean ok = TRUE;

  if (!dir) {
    g_set_error (self->error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "no process %d", (int)self->pid);
    return FALSE;
  }
  while (ok && (entry = readdir (dir))) {
    pid_t tid = atoi (entry->d_name);
    if (tid > 0 && !find (self, tid))
      ok = seize (self, tid);
  }
  closedir (dir);
  *ret_n_new = self->tracees->len - before;
  return ok;
}

/* A stop other than PTRACE_EVENT_STOP is a signal on its way, to be given back. */
static void
look (Tracee *tracee)
{
  int status;
  pid_t tid = waitpid (tracee->tid, &status, __WALL | __WNOTHREAD | WNOHANG);

  if (tid == 0)
    return;
  tracee->gone = tid < 0 || !WIFSTOPPED (status);
  tracee->stands = !tracee->gone;
  if (tracee->stands && status >> 16 != PTRACE_EVENT_STOP)
    tracee->signal = WSTOPSIG (status);
}

static gboolean
wait_for (Hold *self, Tracee *tracee)
{
  for (look (tracee); !tracee->stands && !tracee->gone; look (tracee)) {
    if (g_get_monotonic_time () >= self->until) {
      g_set_error (self->error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "thread %d did not come to stand",
                   (int)tracee->tid);
      return FALSE;
    }
    g_usleep (POLL_USEC);
  }
  return TRUE;
}

/* Until a look finds no thread that is not held. */
static gboolean
take (Hold *self)
{
  guint n_new;

  do {
    if (!seize_new (self, &n_new))
      return FALSE;
    for (guint i = self->tracees->len - n_new; i < self->tracees->len; i++)
      if (!wait_for (self, &g_array_index (self->tracees, Tracee, i)))
        return FALSE;
  } while (n_new > 0);
  return TRUE;
}

static GArray *
read_registers (Hold *self)
{
  GArray *threads = g_array_new (FALSE, TRUE, sizeof (PcdHeldThread));

  for (guint i = 0; i < self->tracees->len; i++) {
    const Tracee *tracee = &g_array_index (self->tracees, Tracee, i);
    PcdHeldThread thread = { .tid = tracee->tid };
    struct iovec place = { &thread.regs, sizeof thread.regs };

    if (tracee->stands &&
        ptrace (PTRACE_GETREGSET, tracee->tid, (void *)(guintptr)NT_PRSTATUS, &place) == 0)
      g_array_append_val (threads, thread);
  }
  return threads;
}

static gpointer
run (gpointer data)
{
  Hold *self = data;
  gint64 began = g_get_monotonic_time ();
  gboolean ok = take (self);

  if (ok) {
    g_autoptr (GArray) threads = read_registers (self);
    ok = self->func (threads, self->data, self->error);
  }
  for (guint i = 0; i < self->tracees->len; i++) {
    const Tracee *tracee = &g_array_index (self->tracees, Tracee, i);
    if (tracee->stands)
      ptrace (PTRACE_DETACH, tracee->tid, NULL, (void *)(guintptr)tracee->signal);
  }
  self->held_usec = g_get_monotonic_time () - began;
  return GINT_TO_POINTER (ok);
}

gboolean
pcd_hold_run (
    pid_t pid, gint64 until, PcdHoldFunc func, gpointer data, gint64 *ret_held_usec, GError **error)
{
  g_autoptr (GArray) tracees = g_array_new (FALSE, TRUE, sizeof (Tracee));
  Hold hold = {
    .pid = pid, .until = until, .func = func, .data = data, .error = error, .tracees = tracees
  };
  gboolean ok = GPOINTER_TO_INT (g_thread_join (g_thread_new ("hold", run, &hold)));

  if (ret_held_usec)
    *ret_held_usec = hold.held_usec;
  return ok;
}
