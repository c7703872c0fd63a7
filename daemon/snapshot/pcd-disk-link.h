/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Says to a QEMU what is to be done with its disks, by whichever monitor there is.
 * Must not know what is said. */
#pragma once

#include "qmp/pcd-monitor-keeper.h"

G_BEGIN_DECLS

/* One thread at a time, and not the main context's. */
typedef struct _PcdDiskLink PcdDiskLink;

/**
 * pcd_disk_link_new:
 * @pid: a QEMU
 * @name: of its domain
 * @monitor: (nullable): a kept monitor; when it is given up, because the migration is over, a
 *   connection of this link's own takes its place
 */
PcdDiskLink *pcd_disk_link_new (pid_t pid, const char *name, PcdMonitorKeeper *monitor);
void pcd_disk_link_free (PcdDiskLink *link);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdDiskLink, pcd_disk_link_free)

/* Gives a connection of its own up, for others to have it; the next call makes a new one. */
void pcd_disk_link_release (PcdDiskLink *link);

/* Whether QEMU has not ended. */
gboolean pcd_disk_link_is_alive (const PcdDiskLink *link);

/**
 * pcd_disk_link_may_send:
 *
 * Looks at QEMU's threads, if it matters.
 *
 * Returns: %FALSE with %G_IO_ERROR_PERMISSION_DENIED while @command could hang QEMU
 */
gboolean pcd_disk_link_may_send (PcdDiskLink *link, const char *command, GError **error);

/**
 * pcd_disk_link_call:
 * @arguments: (transfer full) (nullable)
 * @until: moment in g_get_monotonic_time()
 *
 * As pcd_monitor_keeper_call (), in band; looks at QEMU's threads before, if it matters.
 */
JsonNode *pcd_disk_link_call (
    PcdDiskLink *link, const char *command, JsonObject *arguments, gint64 until, GError **error);

G_END_DECLS
