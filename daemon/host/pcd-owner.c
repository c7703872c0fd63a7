/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Follows QEMU's monitor to the libvirt daemon, and looks at that daemon's TCP connections.
 * Must not use libvirt. */
#include "host/pcd-owner.h"

#include <errno.h>
#include <gio/gio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/pcd-socket.h"

#define SILENT_MSEC 2000

typedef gboolean (*EachSocket) (int fd, pid_t pid, int remote_fd, gpointer data);

/* Calls @each with a duplicate of each socket of @pid, which it takes; until it returns %FALSE. */
static gboolean
each_socket (pid_t pid, EachSocket each, gpointer data, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", (int)pid);
  g_autoptr (GDir) dir = g_dir_open (path, 0, error);
  int pidfd = dir ? (int)syscall (SYS_pidfd_open, pid, 0) : -1;
  const char *name;
  gboolean more = TRUE;

  if (dir && pidfd < 0)
    g_set_error (error, G_IO_ERROR, (gint)g_io_error_from_errno (errno),
                 "process %d: pidfd_open: %s", (int)pid, g_strerror (errno));
  if (pidfd < 0)
    return FALSE;
  while (more && (name = g_dir_read_name (dir))) {
    g_autofree char *link = g_build_filename (path, name, NULL);
    char target[16] = "";

    if (readlink (link, target, sizeof target - 1) <= 0 || !g_str_has_prefix (target, "socket:["))
      continue;
    int fd = (int)syscall (SYS_pidfd_getfd, pidfd, atoi (name), 0);
    if (fd >= 0)
      more = each (fd, pid, atoi (name), data);
  }
  close (pidfd);
  return TRUE;
}

static gboolean
is_libvirt_daemon (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/exe", (int)pid);
  g_autofree char *exe = g_file_read_link (path, NULL);
  g_autofree char *base = exe ? g_path_get_basename (exe) : NULL;

  return base && (strstr (base, "libvirtd") || strstr (base, "virtqemud"));
}

static gboolean
look_for_owner (int fd, pid_t pid, int remote_fd, gpointer data)
{
  pid_t *owner = data;
  struct ucred peer = { 0 };
  int domain = 0;
  socklen_t size = sizeof domain, peer_size = sizeof peer;

  if (getsockopt (fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
      getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) == 0 && peer.pid > 0 &&
      peer.pid != pid && is_libvirt_daemon (peer.pid))
    *owner = peer.pid;
  close (fd);
  return *owner < 0;
}

pid_t
pcd_owner_find (pid_t qemu, GError **error)
{
  pid_t owner = -1;

  if (!each_socket (qemu, look_for_owner, &owner, error))
    return -1;
  if (owner < 0)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 "no libvirt daemon is connected to the monitor of process %d", (int)qemu);
  return owner;
}

gboolean
pcd_owner_connection_is_dead (const PcdNetSample *sample,
                              gboolean unreachable,
                              gboolean call_is_over)
{
  gboolean repeated =
      (sample->unacked > 0 || sample->outq > 0) && (sample->retransmits > 0 || sample->backoff > 0);

  if (sample->state != PCD_TCP_ESTABLISHED)
    return FALSE;
  return call_is_over || (sample->last_ack_recv >= SILENT_MSEC && (repeated || unreachable));
}

typedef struct {
  const PcdOwnerEvidence *evidence;
  GPtrArray *found; /* (element-type PcdSocket) */
} Search;

static gboolean
collect (int fd, pid_t pid, int remote_fd, gpointer data)
{
  Search *search = data;
  PcdSocket *socket = pcd_socket_new_take (fd, pid, remote_fd, NULL);
  const PcdSocketCandidate *candidate = socket ? pcd_socket_get_candidate (socket) : NULL;

  if (candidate && candidate->state == PCD_TCP_ESTABLISHED &&
      candidate->peer.port == search->evidence->port &&
      g_strv_contains (search->evidence->addresses, candidate->peer.address))
    g_ptr_array_add (search->found, socket);
  else
    pcd_socket_free (socket);
  return TRUE;
}

static gboolean
shut_if_dead (PcdSocket *socket, const PcdOwnerEvidence *evidence, gboolean is_single)
{
  const PcdSocketCandidate *candidate = pcd_socket_get_candidate (socket);
  gboolean unreachable =
      evidence->unreachable && g_strv_contains (evidence->unreachable, candidate->peer.address);
  PcdNetSample sample;

  return pcd_socket_sample (socket, &sample, NULL) &&
         pcd_owner_connection_is_dead (&sample, unreachable, evidence->call_is_over && is_single) &&
         pcd_socket_shutdown (socket, NULL);
}

gboolean
pcd_owner_release (pid_t qemu,
                   const PcdOwnerEvidence *evidence,
                   PcdOwnerRelease *ret_release,
                   GError **error)
{
  g_autoptr (GPtrArray) found = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_socket_free);
  Search search = { evidence, found };
  pid_t owner = pcd_owner_find (qemu, error);

  if (owner < 0 || !each_socket (owner, collect, &search, error))
    return FALSE;
  PcdOwnerRelease release = { .n_connections = found->len };
  if (found->len == 1 || !evidence->only_one)
    for (guint i = 0; i < found->len; i++)
      release.n_shut +=
          shut_if_dead (g_ptr_array_index (found, i), evidence, found->len == 1) ? 1 : 0;
  *ret_release = release;
  return TRUE;
}
