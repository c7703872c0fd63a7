/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keeps the control monitor of one QEMU connected, and lets other threads use it: safety rule 1.
 * Must not know what the commands are for. */
#pragma once

#include "core/pcd-qmp-safe.h"
#include "qmp/pcd-qmp.h"

G_BEGIN_DECLS

typedef struct _PcdMonitorKeeper PcdMonitorKeeper;

/**
 * pcd_monitor_keeper_new:
 * @pid: a QEMU
 * @name: (nullable): its domain's name, for libvirt's state file, which tells the guest's own ptys
 *   from the monitor; without it a QEMU with several ptys has no monitor that could be told
 * @run_dir: (nullable): the folder of that file, %NULL for %PCD_PROCESS_RUN_DIR
 *
 * Finds the monitor in a thread and shakes hands; goes on trying while QEMU has one and lives,
 * with pauses of 1 to 10 s. To be made when postcopy starts: a QEMU whose main loop hangs cannot
 * shake hands. Belongs to the caller's thread-default main context.
 *
 * Returns: (transfer full):
 */
PcdMonitorKeeper *pcd_monitor_keeper_new (pid_t pid, const char *name, const char *run_dir);

/* Closes the connection and tries no more; on the context's thread. Calls that wait fail. */
void pcd_monitor_keeper_stop (PcdMonitorKeeper *keeper);

/* Any thread. The last one does not stop: do that first. */
PcdMonitorKeeper *pcd_monitor_keeper_ref (PcdMonitorKeeper *keeper);
void pcd_monitor_keeper_unref (PcdMonitorKeeper *keeper);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdMonitorKeeper, pcd_monitor_keeper_unref)

/**
 * pcd_monitor_keeper_is_ready:
 * @ret_why_not: (out) (optional) (transfer full) (nullable): a clause for people, when the answer
 *   is %FALSE, such as "no control monitor (the libvirt hook was not installed when ...)"
 *
 * Any thread.
 *
 * Returns: whether there is a connection, with OOB agreed on
 */
gboolean pcd_monitor_keeper_is_ready (PcdMonitorKeeper *keeper, char **ret_why_not);

/**
 * pcd_monitor_keeper_call:
 * @command: a QMP command
 * @arguments: (nullable): its arguments; not used any more after the return
 * @flags: in band or out of band
 * @blocked: (nullable): QEMU's threads, inspected just now; %NULL is "not known". With what it says
 *   pcd_qmp_may_send() must allow the command, or it is not sent
 * @until: moment in g_get_monotonic_time() to give up at
 * @error: %G_IO_ERROR_PERMISSION_DENIED if rule 1 forbids it, %G_IO_ERROR_NOT_CONNECTED without a
 *   connection, else #PcdQmpError. After %PCD_QMP_ERROR_TIMEOUT it may still be carried out
 *
 * Sends a command and waits for its answer. From any thread but the context's own, whose loop has
 * to turn meanwhile.
 *
 * Returns: (transfer full) (nullable): what it returned
 */
JsonNode *pcd_monitor_keeper_call (PcdMonitorKeeper *keeper,
                                   const char *command,
                                   JsonObject *arguments,
                                   PcdQmpFlags flags,
                                   const PcdQmpBlocked *blocked,
                                   gint64 until,
                                   GError **error);

/**
 * pcd_monitor_keeper_get_status:
 * @command: "query-status" or "query-migrate"
 *
 * As pcd_monitor_keeper_call() with no arguments, in band; both are safe always.
 *
 * Returns: (transfer full) (nullable): member `status` of the answer, "none" if it has none
 */
char *pcd_monitor_keeper_get_status (PcdMonitorKeeper *keeper,
                                     const char *command,
                                     gint64 until,
                                     GError **error);

G_END_DECLS
