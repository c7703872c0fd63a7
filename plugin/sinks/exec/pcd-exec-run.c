/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fork, poll, kill. */
#include "sinks/exec/pcd-exec-run.h"

#include "core/pcd-record.h"
#include "host/pcd-child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_TEXT  300
#define MAX_LINES 3

/* More is read and thrown away: a full pipe would stop it. */
static void
read_some (int fd, GString *text)
{
  char buffer[4096];
  gssize n;

  while ((n = read (fd, buffer, sizeof buffer)) > 0)
    g_string_append_len (text, buffer, MIN (n, (gssize)(4096 - MIN (text->len, 4096))));
}

static gboolean
start (char **argv, char **environment, const char *input, int errors, GPid *pid, GError **error)
{
  int in = pcd_child_input ("event", input, "\n"), out = open ("/dev/null", O_WRONLY | O_CLOEXEC);
  gboolean ok = FALSE;

  if (in < 0 || out < 0)
    g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (errno), "%s", g_strerror (errno));
  else
    ok = g_spawn_async_with_fds ("/", argv, environment, G_SPAWN_DO_NOT_REAP_CHILD,
                                 pcd_child_prepare, GINT_TO_POINTER (getpid ()), pid, in, out,
                                 errors, error);
  if (in >= 0)
    close (in);
  if (out >= 0)
    close (out);
  return ok;
}

/* Until it ends, @until, or @cancel_fd. Nobody else reaps it, so its number stays its own. */
static PcdExecEnd
watch (int pidfd, int errors, int cancel_fd, gint64 until, GString *text)
{
  struct pollfd fds[] = { { pidfd, POLLIN, 0 }, { errors, POLLIN, 0 }, { cancel_fd, POLLIN, 0 } };

  while (TRUE) {
    const gint64 left = until - g_get_monotonic_time ();
    int n = left > 0 ? poll (fds, G_N_ELEMENTS (fds), (int)MIN (left / 1000 + 1, 60000)) : 0;
    if (n < 0 && errno != EINTR)
      return PCD_EXEC_TIMED_OUT;
    if (left <= 0)
      return PCD_EXEC_TIMED_OUT;
    if (n <= 0)
      continue;
    if (fds[1].revents & POLLIN)
      read_some (errors, text);
    else if (fds[1].revents)
      fds[1].fd = -1; /* closed: it need not end because of that */
    if (fds[0].revents)
      return PCD_EXEC_EXITED;
    if (fds[2].revents)
      return PCD_EXEC_CANCELLED;
  }
}

static PcdExecEnd
wait_for_end (GPid pid, int errors, int cancel_fd, gint64 until, GString *text, int *ret_status)
{
  int pidfd = (int)syscall (SYS_pidfd_open, pid, 0);
  PcdExecEnd end = pidfd >= 0 ? watch (pidfd, errors, cancel_fd, until, text) : PCD_EXEC_TIMED_OUT;

  if (end != PCD_EXEC_EXITED) {
    kill (-pid, SIGTERM);
    if (pidfd >= 0)
      watch (pidfd, errors, -1, g_get_monotonic_time () + PCD_EXEC_TERM_USEC, text);
    kill (-pid, SIGKILL);
  }
  while (waitpid (pid, ret_status, 0) < 0 && errno == EINTR)
    ;
  if (pidfd >= 0)
    close (pidfd);
  return end;
}

static char *
first_lines (const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", MAX_LINES + 1);
  g_autoptr (GString) joined = g_string_new (NULL);

  for (guint i = 0; lines[i] && i < MAX_LINES; i++)
    if (lines[i][0])
      g_string_append_printf (joined, "%s%s", joined->len ? " / " : "", lines[i]);
  g_string_truncate (joined, MIN (joined->len, MAX_TEXT));
  return pcd_text_printable (joined->str);
}

PcdExecResult
pcd_exec_run (char **argv, char **environment, const char *input, gint64 until_usec, int cancel_fd)
{
  PcdExecResult result = { .end = PCD_EXEC_NOT_STARTED };
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  int errors[2], status = 0;
  GPid pid = 0;

  if (pipe2 (errors, O_CLOEXEC) < 0) {
    result.text = g_strdup (g_strerror (errno));
    return result;
  }
  fcntl (errors[0], F_SETFL, O_NONBLOCK);
  gboolean started = start (argv, environment, input, errors[1], &pid, &error);
  close (errors[1]);
  if (started)
    result.end = wait_for_end (pid, errors[0], cancel_fd, until_usec, text, &status);
  read_some (errors[0], text);
  close (errors[0]);
  result.text = started ? first_lines (text->str) : pcd_text_printable (error->message);
  if (result.end == PCD_EXEC_EXITED && WIFSIGNALED (status))
    result.end = PCD_EXEC_KILLED;
  result.status = WIFSIGNALED (status) ? WTERMSIG (status) : WEXITSTATUS (status);
  return result;
}
