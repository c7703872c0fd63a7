/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads /proc and duplicates descriptors to find a QEMU's migration connections.
 * Must not decide which they are; that is core/pcd-socket-match. */
#include "host/pcd-sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct _PcdSockets {
  pid_t pid;
  int pidfd;
};

PcdSockets *
pcd_sockets_open (pid_t pid, GError **error)
{
  int pidfd = (int)syscall (SYS_pidfd_open, pid, 0);
  PcdSockets *self;

  if (pidfd < 0) {
    int saved = errno;

    g_set_error (error, G_IO_ERROR, (gint)g_io_error_from_errno (saved), "process %d: %s", (int)pid,
                 g_strerror (saved));
    return NULL;
  }
  self = g_new0 (PcdSockets, 1);
  self->pid = pid;
  self->pidfd = pidfd;
  return self;
}

void
pcd_sockets_free (PcdSockets *self)
{
  if (self == NULL)
    return;
  close (self->pidfd);
  g_free (self);
}

int
pcd_sockets_get_pidfd (const PcdSockets *self)
{
  return self->pidfd;
}

static gboolean
is_socket (const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  char target[16] = "";

  return readlink (path, target, sizeof target - 1) > 0 && g_str_has_prefix (target, "socket:[");
}

/* Duplicates every TCP socket of the process; what is not a migration's is closed within ms. */
static GPtrArray *
duplicate_all (PcdSockets *self, GError **error)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_socket_free);
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", (int)self->pid);
  g_autoptr (GDir) dir = g_dir_open (path, 0, error);
  const char *name;

  if (dir == NULL)
    return NULL;
  while ((name = g_dir_read_name (dir))) {
    PcdSocket *socket;
    int there = atoi (name), here;

    if (!is_socket (path, name))
      continue;
    here = (int)syscall (SYS_pidfd_getfd, self->pidfd, there, 0);
    if (here < 0 && (errno == EPERM || errno == EACCES || errno == ENOSYS)) {
      int saved = errno;

      g_set_error (error, G_IO_ERROR, (gint)g_io_error_from_errno (saved),
                   "process %d: pidfd_getfd: %s (needs CAP_SYS_PTRACE and Linux 5.6)",
                   (int)self->pid, g_strerror (saved));
      return NULL;
    }
    /* EBADF: closed meanwhile. Not TCP: none of our business. */
    socket = here < 0 ? NULL : pcd_socket_new_take (here, self->pid, there, NULL);
    if (socket)
      g_ptr_array_add (all, socket);
  }
  return g_steal_pointer (&all);
}

gboolean
pcd_sockets_is_connecting (PcdSockets *self, gboolean *ret_connecting, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", (int)self->pid);
  g_autoptr (GDir) dir = g_dir_open (path, 0, error);
  gboolean connecting = FALSE;
  const char *name;

  if (dir == NULL)
    return FALSE;
  while (!connecting && (name = g_dir_read_name (dir))) {
    struct tcp_info info = { 0 };
    socklen_t size = sizeof info;
    int fd;

    if (!is_socket (path, name))
      continue;
    fd = (int)syscall (SYS_pidfd_getfd, self->pidfd, atoi (name), 0);
    if (fd < 0)
      continue;
    connecting = getsockopt (fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
                 info.tcpi_state == PCD_TCP_SYN_SENT;
    close (fd);
  }
  *ret_connecting = connecting;
  return TRUE;
}

static gboolean
is_transfer (long nr)
{
  return nr == SYS_read || nr == SYS_write || nr == SYS_readv || nr == SYS_writev ||
         nr == SYS_recvfrom || nr == SYS_sendto || nr == SYS_recvmsg || nr == SYS_sendmsg;
}

static gboolean
is_poll (long nr)
{
#ifdef SYS_poll
  if (nr == SYS_poll)
    return TRUE;
#endif
  return nr == SYS_ppoll;
}

/* What a poll of a single descriptor waits for. /proc/PID/mem fails with EIO on a page that
 * postcopy has not brought yet, where process_vm_readv() would wait for it. */
static int
read_polled_fd (pid_t pid, guint64 address)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/mem", (int)pid);
  struct pollfd poller = { .fd = -1 };
  int fd = open (path, O_RDONLY | O_CLOEXEC);

  if (fd < 0)
    return -1;
  if (pread (fd, &poller, sizeof poller, (off_t)address) != sizeof poller)
    poller.fd = -1;
  close (fd);
  return poller.fd;
}

/* /proc/PID/task/TID/syscall: the number and the arguments in hex, or "running". A thread that
 * waits for nothing we know gets fd -1: that it exists tells the matcher that QEMU names its
 * threads. */
static void
read_wait (pid_t pid, int tid, PcdThreadWait *wait)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task/%d/syscall", (int)pid, tid);
  g_autofree char *comm_path = g_strdup_printf ("/proc/%d/task/%d/comm", (int)pid, tid);
  g_autofree char *text = NULL;
  g_autofree char *comm = NULL;
  unsigned long long a0 = 0, a1 = 0;
  long nr = -1;

  *wait = (PcdThreadWait){ .tid = tid, .is_main = tid == pid, .fd = -1 };
  if (g_file_get_contents (comm_path, &comm, NULL, NULL))
    g_strlcpy (wait->comm, g_strchomp (comm), sizeof wait->comm);
  if (!g_file_get_contents (path, &text, NULL, NULL) ||
      sscanf (text, "%ld %llx %llx", &nr, &a0, &a1) != 3)
    return;
  if (is_transfer (nr))
    wait->fd = (int)a0;
  wait->polling = is_poll (nr) && a1 == 1;
  if (wait->polling && !wait->is_main)
    wait->fd = read_polled_fd (pid, a0);
}

static GArray *
read_waits (PcdSockets *self, GError **error)
{
  g_autoptr (GArray) waits = g_array_new (FALSE, FALSE, sizeof (PcdThreadWait));
  g_autofree char *path = g_strdup_printf ("/proc/%d/task", (int)self->pid);
  g_autoptr (GDir) dir = g_dir_open (path, 0, error);
  const char *name;

  if (dir == NULL)
    return NULL;
  while ((name = g_dir_read_name (dir))) {
    PcdThreadWait wait;

    read_wait (self->pid, atoi (name), &wait);
    g_array_append_val (waits, wait);
  }
  return g_steal_pointer (&waits);
}

static char *
explain (const GPtrArray *sockets, const PcdSocketMatch *matches)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < sockets->len; i++) {
    const PcdSocketCandidate *c = pcd_socket_get_candidate (sockets->pdata[i]);
    g_autofree char *local = pcd_socket_endpoint_to_string (&c->local);
    g_autofree char *peer = pcd_socket_endpoint_to_string (&c->peer);

    if (c->state == PCD_TCP_ESTABLISHED)
      g_string_append_printf (text, "%s%s -> %s: %s", text->len ? "; " : "", local, peer,
                              matches[i].reason);
  }
  return g_strdup (text->len ? text->str : "no established TCP connection");
}

GPtrArray *
pcd_sockets_scan (PcdSockets *self,
                  PcdRole role,
                  const PcdSocketExclusion *exclusions,
                  gsize n_exclusions,
                  gboolean eliminate,
                  char **ret_note,
                  GError **error)
{
  g_autoptr (GPtrArray) all = duplicate_all (self, error);
  g_autoptr (GArray) waits = all ? read_waits (self, error) : NULL;
  g_autoptr (GArray) candidates = g_array_new (FALSE, FALSE, sizeof (PcdSocketCandidate));
  g_autofree PcdSocketMatch *matches = NULL;
  g_autoptr (GPtrArray) found = NULL;
  PcdSocketMatchInput in = { 0 };

  if (waits == NULL)
    return NULL;
  for (guint i = 0; i < all->len; i++)
    g_array_append_vals (candidates, pcd_socket_get_candidate (all->pdata[i]), 1);
  matches = g_new0 (PcdSocketMatch, all->len + 1);
  in = (PcdSocketMatchInput){ role,
                              (const void *)candidates->data,
                              candidates->len,
                              (const void *)waits->data,
                              waits->len,
                              exclusions,
                              n_exclusions,
                              eliminate };
  if (pcd_socket_match (&in, matches) == 0 && ret_note)
    *ret_note = explain (all, matches);
  else if (ret_note)
    *ret_note = NULL;
  found = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_socket_free);
  for (guint i = 0; i < all->len; i++) {
    *pcd_socket_get_match (all->pdata[i]) = matches[i];
    if (matches[i].how != PCD_SOCKET_NO)
      g_ptr_array_add (found, g_steal_pointer (&all->pdata[i]));
  }
  return g_steal_pointer (&found);
}
