/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Single libvirt calls that may wait, each on a connection and in a thread of its own. Rule 7.
 * Must not know when they are wanted. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* All of these: from any thread; @uri %NULL is libvirt's own choice; @until is a moment in
 * g_get_monotonic_time(), past which the thread is left behind and %G_IO_ERROR_TIMED_OUT is set,
 * while the call may still be carried out; else %PCD_VIR_ERROR. */

/**
 * pcd_own_call_abort_postcopy:
 *
 * virDomainAbortJobFlags (VIR_DOMAIN_ABORT_JOB_POSTCOPY), libvirt 8.5: QEMU's `migrate-pause`. On
 * the source only; on a destination libvirt waits 30 s for a job and fails.
 */
gboolean
pcd_own_call_abort_postcopy (const char *uri, const char *uuid, gint64 until, GError **error);

/**
 * pcd_own_call_destroy:
 *
 * virDomainDestroy: works on either side of a failed postcopy (it kills before it takes a job).
 * %TRUE also if there is no such domain any more.
 */
gboolean pcd_own_call_destroy (const char *uri, const char *uuid, gint64 until, GError **error);

/**
 * pcd_own_call_is_active:
 * @ret_active: (out): %FALSE if libvirt knows no such domain, or it does not run
 */
gboolean pcd_own_call_is_active (
    const char *uri, const char *uuid, gint64 until, gboolean *ret_active, GError **error);

/**
 * pcd_own_call_get_xml:
 *
 * Returns: (transfer full): the running domain's XML, without secrets
 */
char *pcd_own_call_get_xml (const char *uri, const char *uuid, gint64 until, GError **error);

/**
 * pcd_own_call_monitor:
 * @command: what to send to QEMU
 * @is_hmp: to the human monitor; else it is a QMP command in JSON
 *
 * virDomainQemuMonitorCommand. On the source only: on a destination in postcopy libvirt waits 30 s
 * for a job and fails.
 *
 * Returns: (transfer full): QEMU's answer
 */
char *pcd_own_call_monitor (const char *uri,
                            const char *uuid,
                            const char *command,
                            gboolean is_hmp,
                            gint64 until,
                            GError **error);

G_END_DECLS
