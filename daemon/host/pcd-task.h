/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads the files of one thread, /proc/PID/task/TID/....
 * Must not judge what it reads: that is core/pcd-thread-class.c. */
#pragma once

#include "core/pcd-thread-class.h"

#include <sys/types.h>

G_BEGIN_DECLS

/**
 * PcdTaskParts:
 *
 * What to read. None of these files takes the target's mmap_lock, so none waits for a thread that
 * holds it (fs/proc/base.c, fs/proc/array.c, Linux 4.18 to 6.18):
 * - `stat`: a spinlock (sighand) and the thread count; shows no address without ptrace access
 * - `wchan`: ptrace read access, then get_wchan () under a spinlock
 * - `stack`, `syscall`: lock_trace () takes exec_update_lock for reading, killable; it is held for
 *   writing only while the target is in execve (), which QEMU does not do once a guest runs. Before
 *   5.11 that is cred_guard_mutex, which ptrace and a writer of /proc/PID/attr also take: for
 *   moments, unless the target hangs in execve ()
 * - `syscall` also waits for a thread that is just going to sleep, a clock tick at most
 *   (wait_task_inactive ())
 * - `sched`: seqlocks only, no privilege; CONFIG_SCHED_DEBUG before Linux 6.15
 * `cmdline`, `environ`, `maps` and `mem` do take the mmap_lock and are not for here.
 */
typedef enum {
  PCD_TASK_WCHAN = 1 << 0,
  PCD_TASK_STACK = 1 << 1,
  PCD_TASK_SYSCALL = 1 << 2,
} PcdTaskParts;

/**
 * PcdTaskSample:
 * @sample: texts owned by this
 * @cpu: where the thread runs or ran last
 * @no_ptrace: `syscall` was asked for and refused
 * @no_stack: `stack` was asked for and refused
 */
typedef struct {
  PcdThreadSample sample;
  int cpu;
  gboolean no_ptrace;
  gboolean no_stack;
} PcdTaskSample;

/**
 * pcd_task_open:
 * @process_fd: directory /proc/PID
 *
 * Returns: descriptor of its task/TID, or -1 with errno. It stays with that very thread, also after
 *   the number has been given to another one
 */
int pcd_task_open (int process_fd, pid_t tid);

/**
 * pcd_task_read_file:
 * @fd: a directory of /proc
 * @name: a file in it
 *
 * Reads at most 16 KiB, which no file used here exceeds.
 *
 * Returns: (transfer full) (nullable): the text without its last newline, or %NULL with errno
 */
char *pcd_task_read_file (int fd, const char *name);

/**
 * pcd_task_read_sample:
 * @task_fd: from pcd_task_open ()
 * @parts: what to read besides the state
 * @ret_sample: (out): to be cleared
 *
 * Returns: %FALSE if the thread is gone
 */
gboolean pcd_task_read_sample (int task_fd, PcdTaskParts parts, PcdTaskSample *ret_sample);

void pcd_task_sample_clear (PcdTaskSample *sample);

/**
 * pcd_task_read_exec_start:
 * @task_fd: from pcd_task_open (), or of /proc/thread-self
 * @ret_nsec: (out): the scheduler's clock, of the CPU the thread ran on, when it last stopped
 *   running (se.exec_start: update_curr () sets it, also on going to sleep)
 *
 * Returns: %FALSE if this kernel does not show it
 */
gboolean pcd_task_read_exec_start (int task_fd, gint64 *ret_nsec);

G_END_DECLS
