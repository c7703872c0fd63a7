/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The threads of a process: which of them wait for a missing page, since when, on which path.
 * Must not know libvirt, QMP or migrations, nor do anything to the process. */
#pragma once

#include "core/pcd-thread-class.h"

#include <json-glib/json-glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * PcdThreadsMode:
 * @PCD_THREADS_CHEAP: one pass for periodic sampling: state and `wchan` of every thread, the rest
 *   only of those that seem blocked. A thread that runs stays unknown unless by luck: it takes a
 *   thorough look to tell a running vCPU from one that spins
 * @PCD_THREADS_THOROUGH: everything, several samples of threads that are not simply asleep, and
 * looks from the threads' own CPUs (pcd-cpu-look.h). To be used before anything that could hang
 */
typedef enum {
  PCD_THREADS_CHEAP,
  PCD_THREADS_THOROUGH,
} PcdThreadsMode;

/**
 * PcdThread:
 * @tid: thread id
 * @name: its name
 * @state: letter of the kernel's state at the last look
 * @class: the judgement
 * @blocked_usec: how long it has been asleep for the page, -1 if it is not blocked or the kernel
 * does not tell (no `sched` file; it spins; its CPU let us not read the clock). Starts anew when a
 *   signal made the thread go and fault again
 * @blocked_min_usec: what the samples alone prove, 0 if not blocked
 * @wait_id: changes whenever a blocked thread has run, 0 if unknown: with it a sampler knows that
 * it still sees the same wait
 * @wchan: (nullable): kernel function it slept in at the last look
 * @stack: (nullable): for a blocked thread, the kernel stack that @class was read from
 */
typedef struct {
  pid_t tid;
  char *name;
  char state;
  PcdThreadClass class;
  gint64 blocked_usec;
  gint64 blocked_min_usec;
  gint64 wait_id;
  char *wchan;
  char *stack;
} PcdThread;

/**
 * PcdThreadReport:
 * @pid: the process
 * @taken_usec: g_get_monotonic_time () of the last sample
 * @threads: (element-type PcdThread): in the kernel's order, the main thread first
 * @no_ptrace: ptrace read access was missing (CAP_SYS_PTRACE, or QEMU's own user)
 * @no_stack: CAP_SYS_ADMIN was missing
 * @n_vcpus: vCPUs that KVM has for this process, -1 if not known (TCG, or no access)
 */
typedef struct {
  pid_t pid;
  gint64 taken_usec;
  GPtrArray *threads;
  gboolean no_ptrace;
  gboolean no_stack;
  int n_vcpus;
} PcdThreadReport;

void pcd_thread_report_free (PcdThreadReport *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdThreadReport, pcd_thread_report_free)

/**
 * pcd_threads_read:
 * @pid: a process; whether it is a QEMU is for pcd_process_check_qemu ()
 * @mode: how hard to look
 * @error: return location
 *
 * Reads /proc only (see pcd-task.h for why that does not hang) and sends no signal. Safe in any
 * thread; no lock is held. 300 threads take 15 ms in cheap and 75 ms in thorough mode (of which 40
 * are pauses), a CPU that lets nobody in adds 0.3 s; gives up after 5 s.
 *
 * Missing privileges are no error: the answers are unknown then, and say why.
 *
 * Returns: (transfer full): the report, or %NULL with %G_IO_ERROR_NOT_FOUND (no such process, or it
 *   ended meanwhile) or %G_IO_ERROR_TIMED_OUT
 */
PcdThreadReport *pcd_threads_read (pid_t pid, PcdThreadsMode mode, GError **error);

/**
 * pcd_thread_report_kickable:
 * @ret_first: (out) (optional) (nullable): the first thread that makes the answer no or unknown
 *
 * Returns: yes only if QMP `stop` has to wait for no thread in vain. For KVM vCPUs that were not
 *   matched to a thread, unknown
 */
PcdAnswer pcd_thread_report_kickable (const PcdThreadReport *report, const PcdThread **ret_first);

/**
 * pcd_thread_report_traceable:
 * @ret_first: (out) (optional) (nullable): the first thread that makes the answer no or unknown
 *
 * Returns: yes only if a debugger can attach to every thread
 */
PcdAnswer pcd_thread_report_traceable (const PcdThreadReport *report, const PcdThread **ret_first);

/**
 * pcd_thread_report_summary:
 *
 * Returns: (transfer full): a sentence or two for people, such as "2 of 4 vCPUs wait for a missing
 *   page on the kernel-side-copy path: QMP stop and gdb would hang."
 */
char *pcd_thread_report_summary (const PcdThreadReport *report);

/**
 * pcd_thread_report_to_json:
 *
 * Keys (stable): `pid`; `threads`, a list of `tid`, `name`, `vcpu` (null if none), `vcpu-disputed`,
 * `state`, `blocked`, `blocked-usec` (null if unknown), `blocked-usec-at-least`, `path`,
 * `spinning`, `kickable`, `traceable`, `reason`, `wchan`; `kickable` and `traceable` of the whole;
 * `vcpus` (null if unknown); `missing-privileges`, a list; `summary`.
 *
 * Returns: (transfer full): an object
 */
JsonNode *pcd_thread_report_to_json (const PcdThreadReport *report);

G_END_DECLS
