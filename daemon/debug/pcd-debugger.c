/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fork, exec, a pidfd to wait on, and SIGKILL.
 * Must not know gdb. */
#include "debug/pcd-debugger.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define POLL_MSEC 100
/* A debugger in a loop fills no disk. */
#define OUTPUT_MAX ((rlim_t)64 * 1024 * 1024)

/* In the child, between fork () and exec (): async-signal-safe calls only. */
static void
prepare_child (gpointer data)
{
  const struct rlimit limit = { OUTPUT_MAX, OUTPUT_MAX };
  sigset_t none;

  setsid ();
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  setrlimit (RLIMIT_FSIZE, &limit);
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != GPOINTER_TO_INT (data)) /* we died before that was set */
    _exit (127);
}

static gboolean
start (const PcdDebuggerRun *run, GPid *ret_pid, GError **error)
{
  g_autofree char *path = g_strconcat ("PATH=", g_getenv ("PATH") ?: "/usr/bin:/bin", NULL);
  const char *const environment[] = { path, "LC_ALL=C.UTF-8", "HOME=/", NULL };

  return g_spawn_async_with_fds ("/", (char **)run->argv, (char **)environment,
                                 G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH, prepare_child,
                                 GINT_TO_POINTER (getpid ()), ret_pid, -1, run->output_fd,
                                 run->output_fd, error);
}

/* Whether it has ended by then. */
static gboolean
wait_for_end (int pidfd, gint64 until, const PcdDebuggerRun *run)
{
  struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };

  for (;;) {
    gint64 left = until - g_get_monotonic_time ();
    int msec = (int)CLAMP ((left + 999) / 1000, 0, POLL_MSEC);

    if (poll (&poll_fd, 1, msec) > 0)
      return TRUE;
    if (left <= 0 || (run->is_cancelled && run->is_cancelled (run->data)))
      return FALSE;
  }
}

gboolean
pcd_debugger_run (const PcdDebuggerRun *run,
                  PcdDebuggerEnd *ret_end,
                  int *ret_status,
                  GError **error)
{
  PcdDebuggerEnd how = PCD_DEBUGGER_EXITED;
  int status = 0;
  GPid pid;

  if (!start (run, &pid, error))
    return FALSE;
  /* Nobody else reaps it, so the number stays its own until waitpid (). */
  int pidfd = (int)syscall (SYS_pidfd_open, pid, 0);
  if (!wait_for_end (pidfd, run->until, run)) {
    how = g_get_monotonic_time () >= run->until ? PCD_DEBUGGER_OVERDUE : PCD_DEBUGGER_CANCELLED;
    kill (-pid, SIGKILL);
  }
  while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
    ;
  kill (-pid, SIGKILL); /* what it may have started */
  close (pidfd);
  *ret_end = how;
  *ret_status = status;
  return TRUE;
}
