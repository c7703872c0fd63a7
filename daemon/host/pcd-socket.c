/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* System calls on the duplicate of one migration socket.
 * Must not judge; that is core/pcd-net. */
#include "host/pcd-socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gio/gio.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define N_OPTIONS    5
#define USER_TIMEOUT (N_OPTIONS - 1)

static const struct {
  int level;
  int name;
  const char *word;
} options[N_OPTIONS] = {
  /* Times before the switch, so that keepalive never runs with the defaults of two hours. */
  { IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE" },
  { IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL" },
  { IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT" },
  { SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE" },
  { IPPROTO_TCP, TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT" },
};

struct _PcdSocket {
  int fd;
  pid_t pid;
  int remote_fd;
  struct sockaddr_storage local;
  struct sockaddr_storage peer;
  PcdSocketCandidate candidate;
  PcdSocketMatch match;
  int reuse;
  enum { PROBE_UNTRIED, PROBE_WORKS, PROBE_REFUSED } probe;
  gboolean armed;
  gboolean lifted;
  gboolean shut;
  int former[N_OPTIONS];
  int backstop_ms;
};

static gboolean
fail (GError **error, const char *what)
{
  int saved = errno;

  g_set_error (error, G_IO_ERROR, (gint)g_io_error_from_errno (saved), "migration socket: %s: %s",
               what, g_strerror (saved));
  return FALSE;
}

static gboolean
get_int (int fd, int level, int name, int *ret_value)
{
  socklen_t len = sizeof *ret_value;

  return getsockopt (fd, level, name, ret_value, &len) == 0;
}

static void
fill_endpoint (const struct sockaddr_storage *from, PcdEndpoint *to)
{
  const struct sockaddr_in *v4 = (const void *)from;
  const struct sockaddr_in6 *v6 = (const void *)from;

  memset (to, 0, sizeof *to);
  if (from->ss_family == AF_INET) {
    inet_ntop (AF_INET, &v4->sin_addr, to->address, sizeof to->address);
    to->port = ntohs (v4->sin_port);
  } else if (from->ss_family == AF_INET6) {
    gboolean mapped = IN6_IS_ADDR_V4MAPPED (&v6->sin6_addr);

    inet_ntop (mapped ? AF_INET : AF_INET6, &v6->sin6_addr.s6_addr[mapped ? 12 : 0], to->address,
               sizeof to->address);
    to->port = ntohs (v6->sin6_port);
  }
}

/* MPTCP says so in SO_PROTOCOL; its TCP_INFO is about the first subflow only, so it is left alone.
 */
static gboolean
is_tcp (int fd)
{
  int domain, type, protocol;

  return get_int (fd, SOL_SOCKET, SO_DOMAIN, &domain) && get_int (fd, SOL_SOCKET, SO_TYPE, &type) &&
         get_int (fd, SOL_SOCKET, SO_PROTOCOL, &protocol) &&
         (domain == AF_INET || domain == AF_INET6) && type == SOCK_STREAM &&
         protocol == IPPROTO_TCP;
}

static guint64
read_inode (pid_t pid, int fd)
{
  char path[64], target[64];
  ssize_t n;

  g_snprintf (path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
  n = readlink (path, target, sizeof target - 1);
  if (n <= 0)
    return 0;
  target[n] = '\0';
  return g_str_has_prefix (target, "socket:[") ? g_ascii_strtoull (target + 8, NULL, 10) : 0;
}

PcdSocket *
pcd_socket_new_take (int fd, pid_t pid, int remote_fd, GError **error)
{
  g_autoptr (PcdSocket) self = g_new0 (PcdSocket, 1);
  socklen_t len = sizeof self->local;
  PcdNetSample sample;

  self->fd = fd;
  self->pid = pid;
  self->remote_fd = remote_fd;
  if (!is_tcp (fd)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                 "descriptor %d of process %d is not a TCP socket", remote_fd, (int)pid);
    return NULL;
  }
  getsockname (fd, (struct sockaddr *)&self->local, &len);
  len = sizeof self->peer;
  getpeername (fd, (struct sockaddr *)&self->peer, &len); /* fails while it listens: stays empty */
  fill_endpoint (&self->local, &self->candidate.local);
  fill_endpoint (&self->peer, &self->candidate.peer);
  if (!pcd_socket_sample (self, &sample, error))
    return NULL;
  get_int (fd, SOL_SOCKET, SO_REUSEADDR, &self->reuse);
  self->candidate.fd = remote_fd;
  self->candidate.inode = read_inode (pid, remote_fd);
  self->candidate.state = sample.state;
  self->candidate.sent = sample.bytes_acked;
  self->candidate.received = sample.bytes_received;
  return g_steal_pointer (&self);
}

void
pcd_socket_free (PcdSocket *self)
{
  if (self == NULL)
    return;
  if (self->fd >= 0)
    close (self->fd);
  g_free (self);
}

int
pcd_socket_get_fd (const PcdSocket *self)
{
  return self->fd;
}

const PcdSocketCandidate *
pcd_socket_get_candidate (const PcdSocket *self)
{
  return &self->candidate;
}

PcdSocketMatch *
pcd_socket_get_match (PcdSocket *self)
{
  return &self->match;
}

char *
pcd_socket_endpoint_to_string (const PcdEndpoint *endpoint)
{
  gboolean v6 = strchr (endpoint->address, ':') != NULL;

  return g_strdup_printf ("%s%s%s:%u", v6 ? "[" : "", endpoint->address, v6 ? "]" : "",
                          endpoint->port);
}

gboolean
pcd_socket_is_held (const PcdSocket *self)
{
  return read_inode (self->pid, self->remote_fd) == self->candidate.inode;
}

gboolean
pcd_socket_sample (PcdSocket *self, PcdNetSample *ret_sample, GError **error)
{
  struct tcp_info i = { 0 };
  socklen_t len = sizeof i;
  int outq = 0;

  if (getsockopt (self->fd, IPPROTO_TCP, TCP_INFO, &i, &len) < 0)
    return fail (error, "TCP_INFO");
  if (len < offsetof (struct tcp_info, tcpi_snd_wnd) + sizeof i.tcpi_snd_wnd) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                 "this kernel's TCP_INFO ends after %u bytes; Linux 5.4 or newer is needed", len);
    return FALSE;
  }
  if (i.tcpi_state != PCD_TCP_LISTEN && ioctl (self->fd, SIOCOUTQ, &outq) < 0)
    return fail (error, "SIOCOUTQ");
  *ret_sample = (PcdNetSample){
    .now = g_get_monotonic_time (),
    .state = i.tcpi_state,
    .unacked = i.tcpi_unacked,
    .notsent = i.tcpi_notsent_bytes,
    .retransmits = i.tcpi_retransmits,
    .backoff = i.tcpi_backoff,
    .probes = i.tcpi_probes,
    .rto = i.tcpi_rto,
    .rtt = i.tcpi_rtt,
    .rttvar = i.tcpi_rttvar,
    .last_ack_recv = i.tcpi_last_ack_recv,
    .last_data_recv = i.tcpi_last_data_recv,
    .bytes_acked = i.tcpi_bytes_acked,
    .bytes_received = i.tcpi_bytes_received,
    .bytes_sent = i.tcpi_bytes_sent,
    .bytes_retrans = i.tcpi_bytes_retrans,
    .delivered = i.tcpi_delivered,
    .total_retrans = i.tcpi_total_retrans,
    .segs_out = i.tcpi_segs_out,
    .snd_wnd = i.tcpi_snd_wnd,
    .snd_mss = i.tcpi_snd_mss,
    .outq = (guint)outq,
  };
  return TRUE;
}

static gboolean
set_verified (PcdSocket *self, guint which, int value, GError **error)
{
  int got = -1;

  if (setsockopt (self->fd, options[which].level, options[which].name, &value, sizeof value) < 0 ||
      !get_int (self->fd, options[which].level, options[which].name, &got))
    return fail (error, options[which].word);
  if (got == value)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "migration socket: %s: set to %d, is %d",
               options[which].word, value, got);
  return FALSE;
}

static gboolean
keep_former (PcdSocket *self, GError **error)
{
  for (guint i = 0; i < N_OPTIONS; i++)
    if (!get_int (self->fd, options[i].level, options[i].name, &self->former[i]))
      return fail (error, options[i].word);
  return TRUE;
}

gboolean
pcd_socket_arm (PcdSocket *self, gint64 network_timeout, gint64 backstop, GError **error)
{
  /* Whole seconds, at least one (tcp_sock_set_keepidle_locked()). Half the time-out before the
   * first probe, so that it and the next one fall into the time-out. */
  int idle = (int)CLAMP (network_timeout / (2 * G_USEC_PER_SEC), 1, 60);
  int ms = (int)(MAX (backstop, 2 * network_timeout) / 1000);
  /* While the backstop is lifted, unanswered keepalive ends it after about as long. */
  int count = CLAMP (ms / 1000 / idle, 3, 127);
  int values[N_OPTIONS] = { idle, idle, count, 1, ms };

  if (!self->armed && !keep_former (self, error))
    return FALSE;
  self->armed = TRUE;
  self->lifted = FALSE;
  self->backstop_ms = ms;
  for (guint i = 0; i < N_OPTIONS; i++)
    if (!set_verified (self, i, values[i], error))
      return FALSE;
  return TRUE;
}

gboolean
pcd_socket_set_backstop (PcdSocket *self, gboolean on, GError **error)
{
  if (!self->armed || self->lifted == !on)
    return TRUE;
  if (!set_verified (self, USER_TIMEOUT, on ? self->backstop_ms : 0, error))
    return FALSE;
  self->lifted = !on;
  return TRUE;
}

gboolean
pcd_socket_is_armed (const PcdSocket *self)
{
  return self->armed;
}

gboolean
pcd_socket_disarm (PcdSocket *self, GError **error)
{
  if (!self->armed)
    return TRUE;
  for (gint i = N_OPTIONS - 1; i >= 0; i--)
    if (!set_verified (self, (guint)i, self->former[i], error))
      return FALSE;
  self->armed = FALSE;
  return TRUE;
}

gboolean
pcd_socket_can_probe (PcdSocket *self)
{
  if (self->probe == PROBE_UNTRIED)
    pcd_socket_probe (self);
  return self->probe == PROBE_WORKS;
}

gboolean
pcd_socket_probe (PcdSocket *self)
{
  int off = 0; /* TCP_REPAIR_OFF */

  if (self->probe == PROBE_REFUSED)
    return FALSE;
  if (setsockopt (self->fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof off) < 0) {
    self->probe = PROBE_REFUSED;
    return FALSE;
  }
  self->probe = PROBE_WORKS;
  setsockopt (self->fd, SOL_SOCKET, SO_REUSEADDR, &self->reuse, sizeof self->reuse);
  return TRUE;
}

gboolean
pcd_socket_shutdown (PcdSocket *self, GError **error)
{
  struct linger reset = { .l_onoff = 1, .l_linger = 0 };

  /* Without it the peer merely learns later. */
  setsockopt (self->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  self->shut = TRUE;
  /* ENOTCONN: it has ended already, which is what was wanted. */
  if (shutdown (self->fd, SHUT_RDWR) < 0 && errno != ENOTCONN)
    return fail (error, "shutdown");
  return TRUE;
}

/* As /proc/net/tcp and tcp6 print an end: the address as words in memory order, then the port. */
static void
format_end (const struct sockaddr_storage *address, char *out, gsize size)
{
  const struct sockaddr_in *v4 = (const void *)address;
  const struct sockaddr_in6 *v6 = (const void *)address;
  guint32 w[4];

  if (address->ss_family == AF_INET) {
    g_snprintf (out, size, "%08X:%04X", v4->sin_addr.s_addr, ntohs (v4->sin_port));
    return;
  }
  memcpy (w, &v6->sin6_addr, sizeof w);
  g_snprintf (out, size, "%08X%08X%08X%08X:%04X", w[0], w[1], w[2], w[3], ntohs (v6->sin6_port));
}

/* The end that closed first leaves a mini-socket for a minute, ours being TCP_CLOSE by then. */
static gboolean
has_time_wait (const PcdSocket *self)
{
  const char *file = self->local.ss_family == AF_INET ? "tcp" : "tcp6";
  g_autofree char *path = g_strdup_printf ("/proc/%d/net/%s", (int)self->pid, file);
  g_autofree char *own = g_strdup_printf ("/proc/self/net/%s", file);
  g_autofree char *text = NULL;
  char local[48], peer[48];
  g_autofree char *ends = NULL;
  const char *at;

  format_end (&self->local, local, sizeof local);
  format_end (&self->peer, peer, sizeof peer);
  ends = g_strdup_printf (" %s %s ", local, peer);
  if (!g_file_get_contents (path, &text, NULL, NULL) &&
      !g_file_get_contents (own, &text, NULL, NULL))
    return FALSE;
  at = strstr (text, ends);
  if (at == NULL)
    return FALSE;
  switch (strtoul (at + strlen (ends), NULL, 16)) {
  case PCD_TCP_FIN_WAIT1:
  case PCD_TCP_FIN_WAIT2:
  case PCD_TCP_CLOSING:
  case PCD_TCP_TIME_WAIT:
    return TRUE;
  default:
    return FALSE;
  }
}

gboolean
pcd_socket_close_evidence (PcdSocket *self, PcdNetClose *ret_evidence, GError **error)
{
  struct pollfd poller = { .fd = self->fd };
  PcdNetClose seen = { .shut_by_us = self->shut };

  if (!pcd_socket_sample (self, &seen.sample, error))
    return FALSE;
  poll (&poller, 1, 0);
  seen.error = (poller.revents & POLLERR) != 0;
  seen.time_wait = seen.sample.state == PCD_TCP_CLOSE && has_time_wait (self);
  *ret_evidence = seen;
  return TRUE;
}
