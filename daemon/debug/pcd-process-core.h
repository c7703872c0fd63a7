/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes a core of a process that goes on, for gdb.
 * Must not know migrations. */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * PcdCoreFigures:
 * @n_threads: with registers
 * @n_bytes: of memory that were written
 * @held_usec: how long the process stood still
 */
typedef struct {
  guint n_threads;
  guint64 n_bytes;
  gint64 held_usec;
} PcdCoreFigures;

/**
 * pcd_process_core_write:
 * @pid: a QEMU all of whose threads can be traced now
 * @fd: an empty file, gets an ELF core with holes
 * @until: moment in g_get_monotonic_time() at which to give up
 *
 * Of the process's own memory the pages that are there; what is not there reads as zero, and no
 * page is touched that is missing (pcd_guest_memory_read ()). Of mappings with missing pages, which
 * are the guest's memory (a snapshot keeps that), and of shared ones only the addresses are told.
 * The process stands still meanwhile: see pcd_hold_run ().
 *
 * Returns: %FALSE with #GIOError or #GFileError
 */
gboolean pcd_process_core_write (
    pid_t pid, int fd, gint64 until, PcdCoreFigures *ret_figures, GError **error);

G_END_DECLS
