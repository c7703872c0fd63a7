/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Before exec (), and what a program finds on its standard input. */
#include "host/pcd-child.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

void
pcd_child_prepare (gpointer our_pid)
{
  sigset_t none;

  setsid ();
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != GPOINTER_TO_INT (our_pid)) /* we died before that was set */
    _exit (127);
}

int
pcd_child_input (const char *name, const char *text, const char *end)
{
  int fd = memfd_create (name, MFD_CLOEXEC);

  if (fd < 0 || write (fd, text, strlen (text)) < 0 || write (fd, end, strlen (end)) < 0 ||
      lseek (fd, 0, SEEK_SET) < 0) {
    if (fd >= 0)
      close (fd);
    return -1;
  }
  return fd;
}
