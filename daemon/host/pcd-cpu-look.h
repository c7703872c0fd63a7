/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looks at threads from the very CPU they are on.
 * Must not touch the threads it looks at, nor move the calling thread. */
#pragma once

#include "host/pcd-task.h"

G_BEGIN_DECLS

/**
 * PcdCpuLook:
 * @cpu: the CPU
 * @task_fds: (element-type int): descriptors of threads on it; owned by the caller, and duplicated
 * @samples: (element-type PcdTaskSample): filled in: what was seen of them, see @owners
 * @owners: (element-type guint): filled in: for each sample the index of its thread in @task_fds
 * @has_clock: filled in: @clock_nsec is known
 * @clock_nsec: filled in: this CPU's scheduler clock (that of se.exec_start) minus
 *   g_get_monotonic_time () in nanoseconds
 *
 * Two things are to be had from there only:
 *
 * The stack of a thread that is on a CPU reads as empty, so from elsewhere a vCPU that spins on a
 * missing page and a healthy one look the same (measured on 6.18: `R`, wchan `0`, `running`, empty
 * stack, 10 of 10 times). Whoever runs on the thread's own CPU has pushed it off: then the stack
 * shows (16 of 16 times).
 *
 * The scheduler's clock differs between CPUs: time stolen by a hypervisor or spent in interrupts is
 * left out (rq_clock_task ()), which adds up to minutes on a busy host.
 */
typedef struct {
  int cpu;
  GArray *task_fds;
  GArray *samples;
  GArray *owners;
  gboolean has_clock;
  gint64 clock_nsec;
} PcdCpuLook;

/**
 * pcd_cpu_look_new:
 *
 * Returns: (transfer full): a look at @cpu; add descriptors to its @task_fds, or none to have the
 *   clock only
 */
PcdCpuLook *pcd_cpu_look_new (int cpu);
void pcd_cpu_look_free (PcdCpuLook *look);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdCpuLook, pcd_cpu_look_free)

/**
 * pcd_cpu_look_run:
 * @looks: (element-type PcdCpuLook): one per CPU
 * @until: moment in g_get_monotonic_time () at which to give up
 *
 * Carries the looks out, each in a short-lived thread bound to its CPU, for some 50 microseconds
 * per thread looked at. A CPU that does not let others in (a real-time thread on it, or it is
 * outside this process's cpuset) costs the wait until @until and stays without result. May be
 * called from any thread.
 */
void pcd_cpu_look_run (GPtrArray *looks, gint64 until);

G_END_DECLS
