/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The listener, and who may connect. The protocol is pcd-disk-nbd's. */
#include "snapshot/pcd-disk-server.h"

#include "snapshot/pcd-disk-nbd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPORT    "pcd-copy-"
#define MAX_PEERS 64

typedef struct {
  PcdDiskServer *server;
  GThread *thread;
  int fd;
} Peer;

struct _PcdDiskServer {
  pid_t pid;
  int listen_fd;
  int stop_fd;
  guint16 port;
  GThread *thread;
  GMutex lock;
  GPtrArray *images; /* (element-type PcdDiskImage), not owned */
  guint n_served;
  GPtrArray *peers; /* of the listener's thread */
};

/* The socket's number if it is established between these two ports of 127.0.0.1. */
static guint64
find_inode (guint16 local_port, guint16 remote_port)
{
  g_autofree char *ends = g_strdup_printf (" %08X:%04X %08X:%04X 01 ", htonl (INADDR_LOOPBACK),
                                           local_port, htonl (INADDR_LOOPBACK), remote_port);
  g_autofree char *text = NULL;
  const char *at;
  guint64 inode = 0;

  if (!g_file_get_contents ("/proc/thread-self/net/tcp", &text, NULL, NULL) ||
      !(at = strstr (text, ends)))
    return 0;
  /* tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode */
  return sscanf (at + strlen (ends), "%*s %*s %*s %*s %*s %" G_GUINT64_FORMAT, &inode) == 1 ? inode
                                                                                            : 0;
}

static gboolean
has_socket (pid_t pid, guint64 inode)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", (int)pid);
  g_autofree char *wanted = g_strdup_printf ("socket:[%" G_GUINT64_FORMAT "]", inode);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;
  gboolean found = FALSE;

  while (!found && dir && (name = g_dir_read_name (dir))) {
    g_autofree char *link = g_build_filename (path, name, NULL);
    g_autofree char *target = g_file_read_link (link, NULL);

    found = g_strcmp0 (target, wanted) == 0;
  }
  return found;
}

static gboolean
may_connect (const PcdDiskServer *self, const struct sockaddr_in *peer)
{
  const guint64 inode = find_inode (ntohs (peer->sin_port), self->port);

  return inode != 0 && has_socket (self->pid, inode);
}

/* ---- a connection ---- */

/* "pcd-copy-INDEX-SIZE" */
static gboolean
find_export (const char *name, gpointer data, PcdDiskExport *ret_export)
{
  PcdDiskServer *self = data;
  guint64 size;
  guint index;
  int end = 0;

  if (sscanf (name, EXPORT "%u-%" G_GUINT64_FORMAT "%n", &index, &size, &end) != 2 || name[end])
    return FALSE;
  g_mutex_lock (&self->lock);
  ret_export->image = index < self->images->len ? self->images->pdata[index] : NULL;
  self->n_served++;
  g_mutex_unlock (&self->lock);
  ret_export->size = size;
  return !ret_export->image || pcd_disk_image_get_size (ret_export->image) == size;
}

static gpointer
serve (gpointer data)
{
  Peer *peer = data;

  pcd_disk_nbd_serve (peer->fd, find_export, peer->server);
  shutdown (peer->fd, SHUT_RDWR);
  return NULL;
}

static void
peer_free (Peer *peer)
{
  shutdown (peer->fd, SHUT_RDWR);
  g_thread_join (peer->thread);
  close (peer->fd);
  g_free (peer);
}

static void
take (PcdDiskServer *self, int fd)
{
  const int one = 1;
  Peer *peer = g_new0 (Peer, 1);

  setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  peer->server = self;
  peer->fd = fd;
  peer->thread = g_thread_new ("disk-copy", serve, peer);
  g_ptr_array_add (self->peers, peer);
}

static gpointer
listen_to_all (gpointer data)
{
  PcdDiskServer *self = data;
  struct pollfd polls[] = { { .fd = self->stop_fd, .events = POLLIN },
                            { .fd = self->listen_fd, .events = POLLIN } };

  while (poll (polls, G_N_ELEMENTS (polls), -1) >= 0 || errno == EINTR) {
    struct sockaddr_in peer = { 0 };
    socklen_t size = sizeof peer;
    int fd;

    if (polls[0].revents)
      break;
    fd = accept4 (self->listen_fd, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
    if (fd < 0)
      continue;
    if (self->peers->len < MAX_PEERS && may_connect (self, &peer))
      take (self, fd);
    else
      close (fd);
  }
  return NULL;
}

/* ---- the server ---- */

static gboolean
open_socket (PcdDiskServer *self, guint16 port, GError **error)
{
  struct sockaddr_in address = { .sin_family = AF_INET,
                                 .sin_port = htons (port),
                                 .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  const int one = 1;

  self->stop_fd = eventfd (0, EFD_CLOEXEC);
  self->listen_fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (self->stop_fd >= 0 && self->listen_fd >= 0 &&
      setsockopt (self->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
      bind (self->listen_fd, (struct sockaddr *)&address, sizeof address) == 0 &&
      listen (self->listen_fd, SOMAXCONN) == 0 &&
      getsockname (self->listen_fd, (struct sockaddr *)&address, &size) == 0) {
    self->port = ntohs (address.sin_port);
    return TRUE;
  }
  g_set_error (error, G_IO_ERROR, (gint)g_io_error_from_errno (errno), "a port of 127.0.0.1: %s",
               g_strerror (errno));
  return FALSE;
}

PcdDiskServer *
pcd_disk_server_new (pid_t pid, guint16 port, GError **error)
{
  g_autoptr (PcdDiskServer) self = g_new0 (PcdDiskServer, 1);

  self->pid = pid;
  self->listen_fd = self->stop_fd = -1;
  self->images = g_ptr_array_new ();
  self->peers = g_ptr_array_new_with_free_func ((GDestroyNotify)peer_free);
  g_mutex_init (&self->lock);
  if (!open_socket (self, port, error))
    return NULL;
  self->thread = g_thread_new ("disk-listen", listen_to_all, self);
  return g_steal_pointer (&self);
}

void
pcd_disk_server_free (PcdDiskServer *self)
{
  const guint64 one = 1;

  if (!self)
    return;
  if (self->thread) {
    if (write (self->stop_fd, &one, sizeof one) < 0)
      g_debug ("eventfd: %s", g_strerror (errno));
    g_thread_join (self->thread);
  }
  g_ptr_array_unref (self->peers);
  g_ptr_array_unref (self->images);
  if (self->listen_fd >= 0)
    close (self->listen_fd);
  if (self->stop_fd >= 0)
    close (self->stop_fd);
  g_mutex_clear (&self->lock);
  g_free (self);
}

guint16
pcd_disk_server_get_port (const PcdDiskServer *self)
{
  return self->port;
}

guint
pcd_disk_server_get_n_served (PcdDiskServer *self)
{
  guint n;

  g_mutex_lock (&self->lock);
  n = self->n_served;
  g_mutex_unlock (&self->lock);
  return n;
}

char *
pcd_disk_server_add (PcdDiskServer *self, PcdDiskImage *image)
{
  guint index;

  g_mutex_lock (&self->lock);
  index = self->images->len;
  g_ptr_array_add (self->images, image);
  g_mutex_unlock (&self->lock);
  return g_strdup_printf (EXPORT "%u-%" G_GUINT64_FORMAT, index, pcd_disk_image_get_size (image));
}
