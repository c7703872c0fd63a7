/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What /proc alone tells of a process's threads, for people.
 * Must not attach to anything. */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * pcd_stacks_describe:
 * @pid: a QEMU
 * @ret_n_threads: (out): how many threads it tells of
 *
 * Of every thread: its state, what it waits for, the judgement of pcd_threads_read (), system call
 * with its arguments, stack pointer and program counter (/proc/PID/task/TID/syscall), and the
 * kernel's stack. Works on every kernel and with every kind of wait; as harmless and as bounded as
 * pcd_threads_read ().
 *
 * Returns: (transfer full) (nullable): a text
 */
char *pcd_stacks_describe (pid_t pid, guint *ret_n_threads, GError **error);

G_END_DECLS
