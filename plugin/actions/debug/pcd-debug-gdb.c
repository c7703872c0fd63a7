/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A core, the command line of gdb, and what its output says.
 * Must not decide whether QEMU may be held. */
#include "actions/debug/pcd-debug-gdb.h"

#include "debug/pcd-debug-file.h"
#include "debug/pcd-debugger.h"
#include "debug/pcd-process-core.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_USEC (20 * G_USEC_PER_SEC)

/* What gdb said, as far as it matters. */
typedef struct {
  guint n_threads;
  char last[160];
} Said;

/* `Thread 3 (Thread 0x7f... (LWP 1234)):` begins each thread's part. */
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

  return pcd_action_limit (work->job, limit ? g_ascii_strtoll (limit, NULL, 10) : LIMIT_USEC);
}

static PostcopydOutcome
tell (const PcdDebugWork *work, PcdDebuggerEnd end, int status, const PcdCoreFigures *core)
{
  Said said = { 0 };

  read_said (work->fd, &said);
  if (end != PCD_DEBUGGER_EXITED)
    return pcd_action_fail (
        work->reason, "gdb was ended %s; mode stacks does without; what it said: %s",
        end == PCD_DEBUGGER_OVERDUE ? "at the limit" : "as it was called off", work->path);
  if (WIFSIGNALED (status))
    return pcd_action_fail (work->reason, "gdb was ended by signal %d; mode stacks does without",
                            WTERMSIG (status));
  if (!WIFEXITED (status) || WEXITSTATUS (status) != 0 || said.n_threads == 0)
    return pcd_action_fail (work->reason, "gdb could not: %s; mode stacks does without",
                            *said.last ? said.last : "no word");
  return pcd_action_done (work->reason,
                          "backtraces of %u threads; QEMU stood still for %.0f ms: %s",
                          said.n_threads, (double)core->held_usec / 1000.0, work->path);
}

/* No initialization files, no scripts of the program's, no debuginfod: nothing that takes long or
 * runs somebody else's code as root. Libraries are read here: libvirt's mount namespace of a QEMU
 * has the same. */
static PostcopydOutcome
run_gdb (const PcdDebugWork *work,
         const char *gdb,
         const char *core_path,
         gint64 until,
         const PcdCoreFigures *core)
{
  g_autofree char *exe_link = g_strdup_printf ("/proc/%d/exe", (int)work->migration->pid);
  g_autofree char *exe = g_file_read_link (exe_link, NULL);
  const char *const argv[] = { gdb,
                               "-nx",
                               "-nh",
                               "-batch",
                               "-iex",
                               "set auto-load no",
                               "-iex",
                               "set sysroot /",
                               "-iex",
                               "set width 0",
                               "-ex",
                               "thread apply all -c bt 64",
                               exe ?: exe_link,
                               core_path,
                               NULL };
  const PcdDebuggerRun run = { .argv = argv,
                               .output_fd = work->fd,
                               .until = until,
                               .is_cancelled = is_cancelled,
                               .data = (gpointer)work->job };
  g_autoptr (GError) error = NULL;
  PcdDebuggerEnd end;
  int status;

  if (!pcd_debugger_run (&run, &end, &status, &error))
    return pcd_action_fail (work->reason, "gdb could not be started: %s; mode stacks does without",
                            error->message);
  return tell (work, end, status, core);
}

/* gdb's cores have no names: a list of them goes before what it says. */
static void
list_threads (const PcdDebugWork *work)
{
  g_autoptr (PcdThreadReport) report =
      pcd_threads_read (work->migration->pid, PCD_THREADS_CHEAP, NULL);

  for (guint i = 0; report && i < report->threads->len; i++) {
    const PcdThread *thread = g_ptr_array_index (report->threads, i);
    dprintf (work->fd, "LWP %d is '%s'\n", (int)thread->tid, thread->name);
  }
}

PostcopydOutcome
pcd_debug_gdb_backtrace (const PcdDebugWork *work)
{
  const PcdActionHost *host = pcd_action_host (work->migration);
  const gint64 until = limit_of (work);
  g_autofree char *gdb = g_find_program_in_path ("gdb");
  g_autofree char *path = NULL, *open_path = NULL;
  g_autoptr (GError) error = NULL;
  PcdCoreFigures figures;
  PostcopydOutcome outcome;
  int fd;

  if (!gdb)
    return pcd_action_refuse (work->reason, "gdb is not installed: it is in the package gdb; mode "
                                            "stacks does without");
  fd = pcd_debug_file_create (host->state_dir, work->migration->incident, "backtrace", "core",
                              g_get_real_time (), &path, &error);
  if (fd < 0)
    return pcd_action_fail (work->reason, "%s", error->message);
  /* Nobody's any more when we end, however that is. */
  unlink (path);
  open_path = g_strdup_printf ("/proc/%d/fd/%d", (int)getpid (), fd);
  if (pcd_process_core_write (work->migration->pid, fd, until, &figures, &error)) {
    list_threads (work);
    outcome = run_gdb (work, gdb, open_path, until, &figures);
  } else {
    outcome = pcd_action_fail (work->reason, "%s", error->message);
  }
  close (fd);
  return outcome;
}

PostcopydOutcome
pcd_debug_gdb_core (const PcdDebugWork *work)
{
  g_autoptr (GError) error = NULL;
  PcdCoreFigures figures;

  if (!pcd_process_core_write (work->migration->pid, work->fd, limit_of (work), &figures, &error)) {
    if (ftruncate (work->fd, 0) < 0) /* half a core is none */
      g_warning ("%s: %s", work->path, g_strerror (errno));
    return pcd_action_fail (work->reason, "%s", error->message);
  }
  return pcd_action_done (
      work->reason,
      "%u threads, %.1f MiB without the guest's memory; QEMU stood still for %.0f ms: %s",
      figures.n_threads, (double)figures.n_bytes / (1024 * 1024),
      (double)figures.held_usec / 1000.0, work->path);
}
