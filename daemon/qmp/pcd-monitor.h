/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The control monitor: how the hook asks QEMU for one, and how to find it in a running QEMU.
 * Must not know the QMP protocol or libvirt's API; used by the daemon and by the hook. */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/* Why a pseudo-terminal and not a socket: the element travels with the domain to every later host.
 * A socket's path must exist and be allowed there, or QEMU does not start; a client socket with
 * `reconnect` needs no path, but QEMU 10.2 removed that option and 11.0.0 aborts on its successor.
 * A pty asks nothing of a host: every version has it, every confinement allows it (it is what
 * libvirt's own serial consoles use). It does OOB, tested with QEMU 7.2. */
#define PCD_MONITOR_ID      "pcd-monitor"
#define PCD_MONITOR_CHARDEV "pty,id=" PCD_MONITOR_ID
#define PCD_MONITOR_MON     "chardev=" PCD_MONITOR_ID ",mode=control"

/**
 * pcd_monitor_pick:
 * @indices: the numbers of all ptys whose master the QEMU process holds (fdinfo's `tty-index`)
 * @n: how many
 * @domain_xml: (nullable): the domain's live XML, which names the ptys that libvirt knows
 * @error: set when none or more than one is left
 *
 * The control monitor is the pty that libvirt knows nothing of. The hook adds it only to a domain
 * without any other pty outside libvirt's knowledge, so at most one can be left; if more are, the
 * answer is an error rather than a guess. Pure.
 *
 * Returns: the pty's number, or -1
 */
int pcd_monitor_pick (const guint *indices, gsize n, const char *domain_xml, GError **error);

/**
 * pcd_monitor_find:
 * @pid: a QEMU process
 * @domain_xml: (nullable): its domain's live XML (any secrets may be missing from it). Without it
 *   the answer is an error when QEMU has other ptys
 * @error: return location; %G_FILE_ERROR_NOENT when this QEMU has no control monitor
 *
 * Reads `/proc/PID`: some hundred microseconds, never waits for QEMU. Needs ptrace access to it.
 *
 * Returns: (transfer full): the monitor's path, through `/proc/PID/root` so that it is right for a
 *   QEMU in another mount namespace; valid while the process lives
 */
char *pcd_monitor_find (pid_t pid, const char *domain_xml, GError **error);

/**
 * pcd_monitor_make_private:
 * @path: what pcd_monitor_find() returned
 *
 * Gives the pty to root, mode 0600. QEMU holds the master side and does not mind.
 *
 * Returns: %FALSE with @error set if the file system says no
 */
gboolean pcd_monitor_make_private (const char *path, GError **error);

G_END_DECLS
