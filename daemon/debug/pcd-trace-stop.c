/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads the `status` of threads, and sends SIGCONT.
 * Must not know who stopped them. */
#include "debug/pcd-trace-stop.h"

#include "host/pcd-task.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define POLL_USEC 10000

static const char *
value_of (const char *status, const char *key)
{
  const char *at = strstr (status, key);

  return at ? at + strlen (key) : NULL;
}

/* Both are 64-bit masks in hex, bit 0 being signal 1. */
static gboolean
has_sigstop (const char *mask)
{
  return mask &&
         (g_ascii_strtoull (mask, NULL, 16) & (G_GUINT64_CONSTANT (1) << (SIGSTOP - 1))) != 0;
}

void
pcd_trace_stop_add (PcdTraceStop *stop, const char *status)
{
  const char *state = value_of (status, "\nState:\t");
  const char *tracer = value_of (status, "\nTracerPid:\t");

  stop->n_threads++;
  stop->n_traced += tracer && atoi (tracer) > 0;
  stop->n_stopped += state && *state == 'T';
  stop->n_pending += has_sigstop (value_of (status, "\nSigPnd:\t")) ||
                     has_sigstop (value_of (status, "\nShdPnd:\t"));
}

gboolean
pcd_trace_stop_read (pid_t pid, PcdTraceStop *ret_stop)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task", (int)pid);
  int folder = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = folder < 0 ? NULL : fdopendir (folder);
  PcdTraceStop stop = { 0 };
  struct dirent *entry;

  if (!dir) {
    if (folder >= 0)
      close (folder);
    return FALSE;
  }
  while ((entry = readdir (dir))) {
    g_autofree char *name = g_strconcat (entry->d_name, "/status", NULL);
    g_autofree char *status = entry->d_name[0] == '.' ? NULL : pcd_task_read_file (folder, name);
    if (status)
      pcd_trace_stop_add (&stop, status);
  }
  closedir (dir);
  *ret_stop = stop;
  return stop.n_threads > 0;
}

/* By signal-driven I/O, which as root may signal everybody (sigio_perm (), fs/fcntl.c): this one
 * signal is the only reason for which the service would need CAP_KILL. */
static void
send_continue_as_news (pid_t pid, int pidfd)
{
  const struct f_owner_ex owner = { F_OWNER_PID, pid };
  int ends[2];

  if (pipe2 (ends, O_CLOEXEC | O_NONBLOCK) < 0)
    return;
  /* The owner is the process, not its number; that it still was ours is seen after it was taken. */
  if (fcntl (ends[0], F_SETSIG, SIGCONT) == 0 && fcntl (ends[0], F_SETOWN_EX, &owner) == 0 &&
      (syscall (SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0 || errno == EPERM) &&
      fcntl (ends[0], F_SETFL, O_NONBLOCK | O_ASYNC) == 0 && write (ends[1], "", 1) < 0)
    g_debug ("process %d: no SIGCONT: %s", (int)pid, g_strerror (errno));
  close (ends[0]);
  close (ends[1]);
}

/* By a descriptor that was made before the look: a number given anew is not hit. */
static void
send_continue (pid_t pid, int pidfd)
{
  if (syscall (SYS_pidfd_send_signal, pidfd, SIGCONT, NULL, 0) < 0 && errno == EPERM)
    send_continue_as_news (pid, pidfd);
}

static gboolean
is_clean (const PcdTraceStop *stop)
{
  return stop->n_traced == 0 && stop->n_stopped == 0 && stop->n_pending == 0;
}

gboolean
pcd_trace_stop_release (pid_t pid, gint64 until, PcdTraceStop *ret_before)
{
  int pidfd = (int)syscall (SYS_pidfd_open, pid, 0);
  PcdTraceStop stop = { 0 };
  gboolean clean;

  if (pidfd < 0)
    return TRUE;
  clean = !pcd_trace_stop_read (pid, &stop) || is_clean (&stop);
  if (ret_before)
    *ret_before = stop;
  while (!clean) {
    /* As long as somebody traces it the stops are that one's, and so is their end. */
    if (stop.n_traced == 0)
      send_continue (pid, pidfd);
    clean = !pcd_trace_stop_read (pid, &stop) || is_clean (&stop);
    if (clean || g_get_monotonic_time () >= until)
      break;
    g_usleep (POLL_USEC);
  }
  close (pidfd);
  return clean;
}
