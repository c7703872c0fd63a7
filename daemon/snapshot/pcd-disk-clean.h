/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Removes from a QEMU what is ours: jobs, then nodes. Must not know what they were for. */
#pragma once

#include "snapshot/pcd-disk-link.h"
#include "snapshot/pcd-disk-server.h"

G_BEGIN_DECLS

/* How long requests of QEMU wait for a server that has gone to come back; see docs/snapshots.md. */
#define PCD_DISK_DELAY_S 10

/**
 * pcd_disk_clean:
 * @until: moment in g_get_monotonic_time()
 *
 * Returns: %TRUE if nothing of ours is left, or QEMU has ended
 */
gboolean pcd_disk_clean (PcdDiskLink *link, gint64 until, GError **error);

/**
 * pcd_disk_clean_later:
 * @link: (transfer full)
 * @server: (transfer full): goes on answering
 * @images: (transfer full) (element-type PcdDiskImage): of @server; abandoned
 *
 * Tries until it is done, in a thread of its own: as long as a thread of QEMU waits for a page, a
 * job cannot be ended.
 */
void pcd_disk_clean_later (PcdDiskLink *link, PcdDiskServer *server, GPtrArray *images);

/**
 * pcd_disk_clean_after_death:
 * @pid: a QEMU
 * @port: at which another process served it
 * @name: of its domain
 *
 * QEMU tries to connect to that port again, for a while: until it may be told that its job is over
 * it is answered there, so that the guest's writes do not fail. Returns at once.
 */
void pcd_disk_clean_after_death (pid_t pid, guint16 port, const char *name);

G_END_DECLS
