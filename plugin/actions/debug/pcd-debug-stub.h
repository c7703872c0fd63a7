/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU's own gdb stub, reached so that nobody else can.
 * Must not know when it may be opened. */
#pragma once

#include "actions/pcd-action-util.h"
#include "debug/pcd-gdb-link.h"

G_BEGIN_DECLS

/**
 * pcd_debug_stub_open:
 * @blocked: QEMU's threads, looked at just now
 * @until: moment in g_get_monotonic_time()
 *
 * QEMU's stub is no server here: QEMU is told to connect to an abstract socket of ours, whose other
 * end must be that very process. So nothing of the stub's is reachable by anybody, no file is
 * needed that QEMU could reach, and a QEMU that cannot connect leaves the guest as it is
 * (chardev/char-socket.c connects at once; gdbstub.c takes "unix:" as any other chardev).
 * The guest is stopped by that.
 *
 * Returns: (transfer full): %NULL with #GIOError or #PcdQmpError; after a time-out it may be open
 */
PcdGdbLink *pcd_debug_stub_open (PcdMonitorKeeper *monitor,
                                 pid_t pid,
                                 const PcdQmpBlocked *blocked,
                                 gint64 until,
                                 GError **error);

/* QEMU closes it; the guest stays as it is. */
gboolean pcd_debug_stub_close (PcdMonitorKeeper *monitor, gint64 until, GError **error);

G_END_DECLS
