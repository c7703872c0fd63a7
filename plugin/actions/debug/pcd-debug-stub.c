/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An abstract socket, QEMU's command `gdbserver`, and a look at who connects.
 * Must not speak gdb's protocol. */
#include "actions/debug/pcd-debug-stub.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char *
command (PcdMonitorKeeper *monitor,
         const char *line,
         const PcdQmpBlocked *blocked,
         gint64 until,
         GError **error)
{
  g_autoptr (JsonObject) arguments = json_object_new ();
  g_autoptr (JsonNode) value = NULL;

  json_object_set_string_member (arguments, "command-line", line);
  value = pcd_monitor_keeper_call (monitor, "human-monitor-command", arguments, PCD_QMP_IN_BAND,
                                   blocked, until, error);
  if (!value)
    return NULL;
  return g_strdup (JSON_NODE_HOLDS_VALUE (value) ? json_node_get_string (value) : "");
}

static int
listen_at (const char *name, GError **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  memcpy (address.sun_path + 1, name, strlen (name));
  /* QEMU's name for it has no NUL behind it ("tight"). */
  if (fd >= 0 &&
      bind (fd, (const struct sockaddr *)&address,
            (socklen_t)(G_STRUCT_OFFSET (struct sockaddr_un, sun_path) + 1 + strlen (name))) == 0 &&
      listen (fd, 8) == 0)
    return fd;
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "no socket for QEMU: %s",
               g_strerror (errno));
  if (fd >= 0)
    close (fd);
  return -1;
}

/* It has connected by now, or not at all. */
static int
accept_from (int listen_fd, pid_t pid)
{
  struct ucred peer;
  socklen_t size = sizeof peer;
  int fd;

  while ((fd = accept4 (listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
    if (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == pid)
      return fd;
    close (fd);
  }
  return -1;
}

PcdGdbLink *
pcd_debug_stub_open (PcdMonitorKeeper *monitor,
                     pid_t pid,
                     const PcdQmpBlocked *blocked,
                     gint64 until,
                     GError **error)
{
  g_autofree char *secret = g_uuid_string_random ();
  g_autofree char *name = g_strconcat ("postcopyd-gdb-", secret, NULL);
  g_autofree char *line = g_strdup_printf ("gdbserver unix:%s,abstract=on", name);
  int listen_fd = listen_at (name, error);

  if (listen_fd < 0)
    return NULL;
  g_autofree char *said = command (monitor, line, blocked, until, error);
  int fd = accept_from (listen_fd, pid);
  close (listen_fd);
  if (fd >= 0 && said)
    return pcd_gdb_link_new (fd, TRUE);
  if (said)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "QEMU did not connect: %s",
                 g_strchomp (said));
  if (fd >= 0)
    close (fd);
  return NULL;
}

gboolean
pcd_debug_stub_close (PcdMonitorKeeper *monitor, gint64 until, GError **error)
{
  g_autofree char *said = command (monitor, "gdbserver none", NULL, until, error);

  return said != NULL;
}
