/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fork, poll, kill. */
#include "host/pcd-child.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Between fork () and exec (): async-signal-safe calls only. */
static void
prepare (gpointer our_pid)
{
  sigset_t none;

  setsid ();
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != GPOINTER_TO_INT (our_pid)) /* we died before that was set */
    _exit (127);
}

static int
open_input (const char *name, const char *text)
{
  int fd = memfd_create (name, MFD_CLOEXEC);

  if (fd < 0 || write (fd, text, strlen (text)) < 0 || lseek (fd, 0, SEEK_SET) < 0) {
    if (fd >= 0)
      close (fd);
    return -1;
  }
  return fd;
}

/* As much as a pipe holds: one who writes without end does not keep us here. */
static void
read_some (int fd, GString *text)
{
  char buffer[4096];
  gssize n;

  for (guint i = 0; i < 16 && (n = read (fd, buffer, sizeof buffer)) > 0; i++)
    g_string_append_len (
        text, buffer, MIN (n, (gssize)(PCD_CHILD_MAX_TEXT - MIN (text->len, PCD_CHILD_MAX_TEXT))));
}

static gboolean
start (const PcdChild *child, int kept, GPid *ret_pid, GError **error)
{
  int in = open_input (child->name, child->input);
  int out = child->output ? kept : open ("/dev/null", O_WRONLY | O_CLOEXEC);
  gboolean ok = FALSE;

  if (in < 0 || out < 0)
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "%s", g_strerror (errno));
  else
    ok = g_spawn_async_with_fds ("/", child->argv, child->environment, G_SPAWN_DO_NOT_REAP_CHILD,
                                 prepare, GINT_TO_POINTER (getpid ()), ret_pid, in, out,
                                 child->output ? -1 : kept, error);
  if (in >= 0)
    close (in);
  if (!child->output && out >= 0)
    close (out);
  return ok;
}

/* Until it ends, @until, or @cancel_fd. Nobody else reaps it, so its number stays its own. */
static PcdChildEnd
watch (int pidfd, int kept, int cancel_fd, gint64 until, GString *text)
{
  struct pollfd fds[] = { { pidfd, POLLIN, 0 }, { kept, POLLIN, 0 }, { cancel_fd, POLLIN, 0 } };

  while (TRUE) {
    const gint64 left = until - g_get_monotonic_time ();
    int n = left > 0 ? poll (fds, G_N_ELEMENTS (fds), (int)MIN (left / 1000 + 1, 60000)) : 0;
    if (n < 0 && errno != EINTR)
      return PCD_CHILD_TIMED_OUT;
    if (left <= 0)
      return PCD_CHILD_TIMED_OUT;
    if (n <= 0)
      continue;
    if (fds[1].revents & POLLIN)
      read_some (kept, text);
    else if (fds[1].revents)
      fds[1].fd = -1; /* closed: it need not end because of that */
    if (fds[0].revents)
      return PCD_CHILD_ENDED;
    if (fds[2].revents)
      return PCD_CHILD_CANCELLED;
  }
}

static PcdChildEnd
wait_for_end (const PcdChild *child, GPid pid, int kept, GString *text, int *ret_status)
{
  int pidfd = (int)syscall (SYS_pidfd_open, pid, 0);
  PcdChildEnd end = pidfd >= 0 ? watch (pidfd, kept, child->cancel_fd, child->until_usec, text)
                               : PCD_CHILD_TIMED_OUT;

  if (end != PCD_CHILD_ENDED && child->grace_usec > 0) {
    kill (-pid, SIGTERM);
    if (pidfd >= 0)
      watch (pidfd, kept, -1, g_get_monotonic_time () + child->grace_usec, text);
  }
  if (end != PCD_CHILD_ENDED)
    kill (-pid, SIGKILL);
  while (waitpid (pid, ret_status, 0) < 0 && errno == EINTR)
    ;
  if (pidfd >= 0)
    close (pidfd);
  return end;
}

PcdChildEnd
pcd_child_run (const PcdChild *child, int *ret_status, char **ret_text, GError **error)
{
  PcdChildEnd end = PCD_CHILD_NOT_STARTED;
  g_autoptr (GString) text = g_string_new (NULL);
  int fds[2], status = 0;
  GPid pid = 0;

  if (pipe2 (fds, O_CLOEXEC) < 0) {
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "%s", g_strerror (errno));
    return end;
  }
  fcntl (fds[0], F_SETFL, O_NONBLOCK);
  const gboolean started = start (child, fds[1], &pid, error);
  close (fds[1]);
  if (started) {
    end = wait_for_end (child, pid, fds[0], text, &status);
    read_some (fds[0], text); /* what is there already */
    *ret_status = status;
    *ret_text = g_string_free (g_steal_pointer (&text), FALSE);
  }
  close (fds[0]);
  return end;
}
