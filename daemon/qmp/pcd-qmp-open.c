/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opens the file behind a control monitor: a pty or a unix socket.
 * Must not know the QMP protocol. */
#include "qmp/pcd-qmp-open.h"

#include "qmp/pcd-qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

static int
fail (int fd, const char *path, GError **error)
{
  int saved = errno;

  if (fd >= 0)
    close (fd);
  /* A full listen queue is a monitor with a client, and others who wait for it. */
  if (saved == EWOULDBLOCK)
    g_set_error (error, PCD_QMP_ERROR, PCD_QMP_ERROR_BUSY,
                 "another client holds the control monitor %s", path);
  else
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved), "%s: %s", path,
                 g_strerror (saved));
  return -1;
}

static int
open_tty (const char *path, GError **error)
{
  int fd = open (path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  struct termios mode;

  if (fd < 0 || flock (fd, LOCK_EX | LOCK_NB) < 0 || tcgetattr (fd, &mode) < 0)
    return fail (fd, path, error);
  /* QEMU made it raw; a stray `stty` must not have echoed our commands back. */
  cfmakeraw (&mode);
  if (tcsetattr (fd, TCSANOW, &mode) < 0)
    return fail (fd, path, error);
  return fd;
}

static int
open_socket (const char *path, GError **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd;

  if (g_strlcpy (address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return fail (-1, path, error);
  }
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect (fd, (struct sockaddr *)&address, sizeof address) < 0)
    return fail (fd, path, error);
  return fd;
}

int
pcd_qmp_open (const char *path, GError **error)
{
  struct stat st;

  if (stat (path, &st) < 0)
    return fail (-1, path, error);
  if (S_ISSOCK (st.st_mode))
    return open_socket (path, error);
  if (S_ISCHR (st.st_mode))
    return open_tty (path, error);
  errno = ENOTTY;
  return fail (-1, path, error);
}
