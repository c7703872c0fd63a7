/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A connection that speaks gdb's remote protocol: packets with deadlines.
 * Must not know what they mean. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdGdbCame:
 * @PCD_GDB_PACKET: a packet
 * @PCD_GDB_INTERRUPT: the wish to stop what goes on
 * @PCD_GDB_NOTHING: nothing until then
 * @PCD_GDB_CLOSED: the other end went away, or what it says is not the protocol
 */
typedef enum {
  PCD_GDB_PACKET,
  PCD_GDB_INTERRUPT,
  PCD_GDB_NOTHING,
  PCD_GDB_CLOSED,
} PcdGdbCame;

typedef struct _PcdGdbLink PcdGdbLink;

/**
 * pcd_gdb_link_new:
 * @fd: a stream socket; taken
 * @is_client: whether we are the one that asks; else we also answer `QStartNoAckMode`
 *
 * One thread at a time.
 *
 * Returns: (transfer full):
 */
PcdGdbLink *pcd_gdb_link_new (int fd, gboolean is_client);
void pcd_gdb_link_free (PcdGdbLink *link);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdGdbLink, pcd_gdb_link_free)

/**
 * pcd_gdb_link_next:
 * @until: moment in g_get_monotonic_time()
 * @packet: gets the content of a packet
 */
PcdGdbCame pcd_gdb_link_next (PcdGdbLink *link, gint64 until, GString *packet);

/* %FALSE when the other end is gone, or takes nothing for a second. */
gboolean pcd_gdb_link_send (PcdGdbLink *link, const char *content, gsize size);

G_END_DECLS
