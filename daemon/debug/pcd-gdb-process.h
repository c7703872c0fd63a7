/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A process as gdb sees it: threads, registers and memory, to read.
 * Must not know why it may be held. */
#pragma once

#include "debug/pcd-gdb-session.h"

#include <sys/types.h>

G_BEGIN_DECLS

/**
 * PcdGdbRefuses: see #PcdGdbTarget
 */
typedef char *(*PcdGdbRefuses) (pid_t pid);

extern const PcdGdbTarget pcd_gdb_process_target;

/**
 * pcd_gdb_process_new:
 * @pid: a process
 * @refuses: whether a thread of it could not be traced just now
 *
 * It is held as pcd_hold_run() does: without a signal. Memory is read by pread () of /proc/PID/mem,
 * which answers EIO for a missing page and does not wait.
 *
 * Returns: (transfer full): for %pcd_gdb_process_target; %NULL if there is no such process
 */
gpointer pcd_gdb_process_new (pid_t pid, PcdGdbRefuses refuses, GError **error);

G_END_DECLS
