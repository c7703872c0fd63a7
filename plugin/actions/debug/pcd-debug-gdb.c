/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of gdb, and what its output says.
 * Must not decide whether it may attach. */
#include "actions/debug/pcd-debug-gdb.h"

#include "debug/pcd-debugger.h"
#include "debug/pcd-trace-stop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_USEC   (20 * G_USEC_PER_SEC)
#define RELEASE_USEC G_USEC_PER_SEC

/* What gdb said, as far as it matters. */
typedef struct {
  guint n_threads;
  char last[160];
} Said;

/* `Thread 3 (Thread 0x7f... (LWP 1234) "CPU 0/KVM"):` begins each thread's part. */
static void
read_said (int fd, Said *said)
{
  char line[1024];
  int copy = dup (fd);
  FILE *file = copy < 0 ? NULL : fdopen (copy, "r");

  if (!file) {
    if (copy >= 0)
      close (copy);
    return;
  }
  rewind (file);
  while (fgets (line, sizeof line, file)) {
    said->n_threads += strncmp (line, "Thread ", 7) == 0 && strstr (line, "):") != NULL;
    if (*g_strchomp (line))
      g_strlcpy (said->last, line, sizeof said->last);
  }
  fclose (file);
}

static gboolean
is_cancelled (gpointer data)
{
  const PostcopydJob *job = data;

  return job->cancelled (job) != 0;
}

static gint64
limit_of (const PcdDebugWork *work)
{
  const char *limit = pcd_action_param (work->migration, "limit");
  const gint64 usec = limit ? g_ascii_strtoll (limit, NULL, 10) : LIMIT_USEC;

  /* Leaves time to release QEMU. */
  return MIN (pcd_action_limit (work->job, usec), work->job->deadline_usec - 2 * RELEASE_USEC);
}

static PostcopydOutcome
tell (const PcdDebugWork *work, PcdDebuggerEnd end, int status, gint64 took, gboolean clean)
{
  const double seconds = (double)took / G_USEC_PER_SEC;
  const char *left = clean ? "QEMU goes on" : "QEMU does not go on yet: SIGCONT is sent again";
  Said said = { 0 };

  read_said (work->fd, &said);
  if (end != PCD_DEBUGGER_EXITED)
    return pcd_action_fail (work->reason, "gdb was ended %s after %.1f s; %s; what it said: %s",
                            end == PCD_DEBUGGER_OVERDUE ? "at its limit" : "as it was called off",
                            seconds, left, work->path);
  if (!clean)
    return pcd_action_fail (work->reason, "gdb has ended; %s", left);
  if (WIFSIGNALED (status))
    return pcd_action_fail (work->reason, "gdb was ended by signal %d; %s", WTERMSIG (status),
                            left);
  if (!WIFEXITED (status) || WEXITSTATUS (status) != 0 || said.n_threads == 0)
    return pcd_action_fail (work->reason, "gdb could not: %s", *said.last ? said.last : "no word");
  return pcd_action_done (work->reason, "backtraces of %u threads in %.1f s: %s", said.n_threads,
                          seconds, work->path);
}

/* Files as QEMU sees them, by a path: left to itself gdb enters QEMU's mount namespace with setns
 * (), which the service unit does not let it. No initialization files, no scripts of the program's,
 * no debuginfod: nothing that takes long or runs somebody else's code as root. Signals that come
 * meanwhile are QEMU's. */
static PostcopydOutcome
run_gdb (const PcdDebugWork *work, const char *gdb)
{
  g_autofree char *pid = g_strdup_printf ("%d", (int)work->migration->pid);
  g_autofree char *sysroot = g_strdup_printf ("set sysroot /proc/%s/root", pid);
  const char *const argv[] = { gdb,    "-nx",
                               "-nh",  "-batch",
                               "-iex", "set auto-load no",
                               "-iex", "set width 0",
                               "-iex", sysroot,
                               "-iex", "handle all nostop noprint pass",
                               "-p",   pid,
                               "-ex",  "thread apply all -c bt 64",
                               "-ex",  "detach",
                               NULL };
  const PcdDebuggerRun run = { .argv = argv,
                               .output_fd = work->fd,
                               .until = limit_of (work),
                               .is_cancelled = is_cancelled,
                               .data = (gpointer)work->job };
  const gint64 began = g_get_monotonic_time ();
  g_autoptr (GError) error = NULL;
  PcdDebuggerEnd end;
  gboolean clean;
  int status;

  if (!pcd_debugger_run (&run, &end, &status, &error))
    return pcd_action_fail (work->reason, "gdb could not be started: %s", error->message);
  clean =
      pcd_trace_stop_release (work->migration->pid, g_get_monotonic_time () + RELEASE_USEC, NULL);
  return tell (work, end, status, g_get_monotonic_time () - began, clean);
}

PostcopydOutcome
pcd_debug_gdb_backtrace (const PcdDebugWork *work)
{
  g_autofree char *gdb = g_find_program_in_path ("gdb");

  if (!gdb)
    return pcd_action_refuse (work->reason, "gdb is not installed: it is in the package gdb; mode "
                                            "stacks needs no debugger");
  return run_gdb (work, gdb);
}
