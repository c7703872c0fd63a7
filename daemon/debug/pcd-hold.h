/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Holds every thread of a process still for a moment, and reads its registers.
 * Must not know what that is for. */
#pragma once

#include <glib.h>
#include <sys/procfs.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * PcdHeldThread:
 * @tid: thread id
 * @regs: its general registers, as in a core
 */
typedef struct {
  pid_t tid;
  elf_gregset_t regs;
} PcdHeldThread;

/**
 * PcdHoldFunc: called while the process stands still, in a thread that traces it
 * @threads: (element-type PcdHeldThread): the main thread first
 */
typedef gboolean (*PcdHoldFunc) (GArray *threads, gpointer data, GError **error);

/**
 * pcd_hold_run:
 * @pid: a process; needs CAP_SYS_PTRACE
 * @until: moment in g_get_monotonic_time() by which every thread must stand
 * @ret_held_usec: (out) (optional): how long it stood
 *
 * PTRACE_SEIZE and PTRACE_INTERRUPT, Linux 3.4: no signal is sent, so unlike with PTRACE_ATTACH
 * none can be left behind; what waits in a cgroup's freezer or stands in a stop is reached, too,
 * and is so again afterwards. The tracer is a thread made for this: at its end, or the daemon's,
 * the kernel lets go of everything, also of a thread that did not come to stand.
 *
 * A thread that waits for a page on KVM's kernel-side copy path is not reached, and burns a CPU
 * from then on until the page is there: look before (pcd_thread_report_traceable ()).
 *
 * Returns: what @func returned; %FALSE with %G_IO_ERROR_TIMED_OUT, naming the thread, if one did
 * not come to stand: @func is not called then
 */
gboolean pcd_hold_run (pid_t pid,
                       gint64 until,
                       PcdHoldFunc func,
                       gpointer data,
                       gint64 *ret_held_usec,
                       GError **error);

G_END_DECLS
