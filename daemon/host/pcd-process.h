/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds the QEMU process of a domain, and tells QEMUs from other processes.
 * Must not ask libvirt or QEMU itself. */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/* Where the system libvirtd keeps NAME.pid (and NAME.xml) of running domains. */
#define PCD_PROCESS_RUN_DIR "/run/libvirt/qemu"

/**
 * pcd_process_check_qemu:
 * @pid: a process
 * @error: return location
 *
 * Evidence for a QEMU: its program is called qemu..., or it has /dev/kvm or a KVM virtual machine
 * open. Where this user may not see either, its name counts.
 *
 * Returns: %TRUE, or %FALSE with %G_IO_ERROR_NOT_FOUND or %G_IO_ERROR_INVALID_ARGUMENT
 */
gboolean pcd_process_check_qemu (pid_t pid, GError **error);

/**
 * pcd_process_find_qemu:
 * @uuid: (nullable): the domain's UUID as libvirt writes it
 * @name: (nullable): the domain's name, for the pid file; if there is no @uuid, all there is
 * @run_dir: (nullable): folder of the pid files, %NULL for %PCD_PROCESS_RUN_DIR
 * @error: return location
 *
 * Takes the process of the pid file if its command line has `-uuid` @uuid, or without that
 * `-name guest=NAME` (libvirt always gives both: qemuBuildCommandLine ()), so that a stale file or
 * a reused number does no harm. Otherwise looks for such a process among those that share the
 * caller's network namespace: two hosts may live on one machine, with the same domain on both
 * during a migration.
 *
 * /proc/PID/cmdline is read under the target's mmap_lock (access_remote_vm ()), which a thread that
 * waits for a missing page does not hold, but one that waits for the lock itself may: so the read
 * happens in a thread of its own, with 1 s to do it. Not for the main loop.
 *
 * Returns: the process, or 0 with %G_IO_ERROR_NOT_FOUND, %G_IO_ERROR_TIMED_OUT, or
 *   %G_IO_ERROR_INVALID_DATA if there are several
 */
pid_t
pcd_process_find_qemu (const char *uuid, const char *name, const char *run_dir, GError **error);

G_END_DECLS
