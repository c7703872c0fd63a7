/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A socket, what came and was not taken yet, and what was said last.
 * Must not wait without an end. */
#include "debug/pcd-gdb-link.h"

#include "debug/pcd-rsp.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEND_MSEC 1000

struct _PcdGdbLink {
  int fd;
  gboolean is_client;
  gboolean no_acks;
  GByteArray *stream;
  GString *last; /* what was sent last, for a `-` */
};

PcdGdbLink *
pcd_gdb_link_new (int fd, gboolean is_client)
{
  PcdGdbLink *self = g_new0 (PcdGdbLink, 1);

  self->fd = fd;
  self->is_client = is_client;
  self->stream = g_byte_array_new ();
  self->last = g_string_new (NULL);
  return self;
}

void
pcd_gdb_link_free (PcdGdbLink *self)
{
  guint8 rest[256];

  if (!self)
    return;
  /* To close with something unread would take our last word from the other end. */
  shutdown (self->fd, SHUT_WR);
  while (recv (self->fd, rest, sizeof rest, MSG_DONTWAIT) > 0)
    ;
  close (self->fd);
  g_byte_array_unref (self->stream);
  g_string_free (self->last, TRUE);
  g_free (self);
}

static gboolean
send_all (PcdGdbLink *self, const char *data, gsize size)
{
  struct pollfd ready = { .fd = self->fd, .events = POLLOUT };

  while (size > 0) {
    gssize n = send (self->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN && poll (&ready, 1, SEND_MSEC) == 1)
      continue;
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return FALSE;
    data += n;
    size -= (gsize)n;
  }
  return TRUE;
}

gboolean
pcd_gdb_link_send (PcdGdbLink *self, const char *content, gsize size)
{
  g_string_truncate (self->last, 0);
  pcd_rsp_add (self->last, content, size);
  return send_all (self, self->last->str, self->last->len);
}

/* %PCD_GDB_NOTHING: go on. */
static PcdGdbCame
take (PcdGdbLink *self, GString *packet, gboolean *ret_empty)
{
  PcdRspKind kind = pcd_rsp_take (self->stream, packet);

  *ret_empty = kind == PCD_RSP_NONE;
  switch (kind) {
  case PCD_RSP_PACKET:
    if (!self->no_acks)
      send_all (self, "+", 1); /* it may be the last word of one that went */
    if (self->is_client || strcmp (packet->str, "QStartNoAckMode") != 0)
      return PCD_GDB_PACKET;
    if (!pcd_gdb_link_send (self, "OK", 2))
      return PCD_GDB_CLOSED;
    self->no_acks = TRUE;
    return PCD_GDB_NOTHING;
  case PCD_RSP_DAMAGED:
    return self->no_acks || !send_all (self, "-", 1) ? PCD_GDB_CLOSED : PCD_GDB_NOTHING;
  case PCD_RSP_NAK:
    return send_all (self, self->last->str, self->last->len) ? PCD_GDB_NOTHING : PCD_GDB_CLOSED;
  case PCD_RSP_INTERRUPT:
    return PCD_GDB_INTERRUPT;
  case PCD_RSP_NONSENSE:
    return PCD_GDB_CLOSED;
  case PCD_RSP_NONE:
  case PCD_RSP_ACK:
  default:
    return PCD_GDB_NOTHING;
  }
}

static PcdGdbCame
read_more (PcdGdbLink *self, gint64 until)
{
  const gint64 left = until - g_get_monotonic_time ();
  struct pollfd ready = { .fd = self->fd, .events = POLLIN };
  guint8 buffer[4096];
  gssize n;

  if (poll (&ready, 1, (int)CLAMP ((left + 999) / 1000, 0, 60000)) <= 0)
    return PCD_GDB_NOTHING;
  n = recv (self->fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
    return PCD_GDB_CLOSED;
  if (n > 0)
    g_byte_array_append (self->stream, buffer, (guint)n);
  return PCD_GDB_NOTHING;
}

PcdGdbCame
pcd_gdb_link_next (PcdGdbLink *self, gint64 until, GString *packet)
{
  gboolean late = FALSE;

  for (;;) {
    gboolean empty;
    PcdGdbCame came = take (self, packet, &empty);

    if (came != PCD_GDB_NOTHING)
      return came;
    if (empty && late)
      return PCD_GDB_NOTHING; /* half a packet is kept */
    late = g_get_monotonic_time () >= until;
    came = empty ? read_more (self, until) : PCD_GDB_NOTHING;
    if (came != PCD_GDB_NOTHING)
      return came;
  }
}
