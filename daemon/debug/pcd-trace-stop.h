/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a debugger that was killed may leave in a process: threads that stand stopped, and a SIGSTOP
 * that waits for its thread. Looks, and undoes it. Must not know debuggers. */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * PcdTraceStop:
 * @n_threads: threads looked at
 * @n_traced: that have a tracer
 * @n_stopped: that stand in a stop by a signal (state T)
 * @n_pending: that have a SIGSTOP waiting, their own or the process's
 */
typedef struct {
  guint n_threads;
  guint n_traced;
  guint n_stopped;
  guint n_pending;
} PcdTraceStop;

/**
 * pcd_trace_stop_add:
 * @status: text of /proc/PID/task/TID/status
 *
 * Pure.
 */
void pcd_trace_stop_add (PcdTraceStop *stop, const char *status);

/**
 * pcd_trace_stop_read:
 *
 * Reads `status` of every thread: some 10 µs each, and waits for nothing.
 *
 * Returns: %FALSE if there is no such process
 */
gboolean pcd_trace_stop_read (pid_t pid, PcdTraceStop *ret_stop);

/**
 * pcd_trace_stop_release:
 * @pid: a process that nobody but us may have stopped
 * @until: moment in g_get_monotonic_time() to give up at
 * @ret_before: (out) (optional): what there was to undo
 *
 * PTRACE_ATTACH sends each thread a SIGSTOP. A thread that cannot take it, as one that waits for a
 * page in the kernel, keeps it when the tracer is gone, and then it stops the whole process the
 * moment the page arrives. SIGCONT takes every waiting SIGSTOP of every thread away at the moment
 * at which it is sent (kernel/signal.c, prepare_signal ()), so it is sent once the last tracer has
 * gone, and again until nothing is left.
 *
 * Returns: whether no thread is traced or stopped and no SIGSTOP waits; also if the process is gone
 */
gboolean pcd_trace_stop_release (pid_t pid, gint64 until, PcdTraceStop *ret_before);

G_END_DECLS
