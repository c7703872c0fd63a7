/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stopped guest as gdb sees it: QEMU's own gdb stub, behind a gate. Safety rule 1.
 * Must not know why somebody wants to look. */
#pragma once

#include "actions/pcd-action-util.h"
#include "debug/pcd-gdb-session.h"

G_BEGIN_DECLS

extern const PcdGdbTarget pcd_debug_guest_target;

/**
 * pcd_debug_guest_new:
 * @monitor: the control monitor; a reference is taken
 * @state_dir: remembers that the guest was stopped, should we be killed: pcd_debug_file_mark()
 *
 * What could wait for a missing page never reaches QEMU: memory is read here, by the guest's own
 * page tables and /proc/PID/mem, and nothing is asked of the stub unless QEMU says that the guest
 * is stopped.
 *
 * Returns: (transfer full): for %pcd_debug_guest_target; %NULL if there is no such process
 */
gpointer pcd_debug_guest_new (
    pid_t pid, PcdMonitorKeeper *monitor, const char *state_dir, gint64 incident, GError **error);

/**
 * pcd_debug_guest_why_not:
 * @ret_blocked: (out) (optional): of the last look
 *
 * As for action stop, whose gate this is.
 *
 * Returns: (transfer full) (nullable): why the guest may not be stopped now
 */
char *pcd_debug_guest_why_not (pid_t pid, PcdQmpBlocked *ret_blocked);

G_END_DECLS
