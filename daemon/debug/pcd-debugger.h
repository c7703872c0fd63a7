/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a debugger as a child that outlives neither its deadline nor us.
 * Must not know what it is to find out. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdDebuggerEnd:
 * @PCD_DEBUGGER_EXITED: by itself
 * @PCD_DEBUGGER_OVERDUE: past its deadline, and was ended
 * @PCD_DEBUGGER_CANCELLED: ended because somebody wished so
 */
typedef enum {
  PCD_DEBUGGER_EXITED,
  PCD_DEBUGGER_OVERDUE,
  PCD_DEBUGGER_CANCELLED,
} PcdDebuggerEnd;

/**
 * PcdDebuggerRun:
 * @argv: (array zero-terminated=1): what to run; its environment is PATH and LC_ALL=C.UTF-8 only
 * @output_fd: gets its standard output and error
 * @until: moment in g_get_monotonic_time() at which it is ended
 * @is_cancelled: asked a few times a second
 */
typedef struct {
  const char *const *argv;
  int output_fd;
  gint64 until;
  gboolean (*is_cancelled) (gpointer data);
  gpointer data;
} PcdDebuggerRun;

/**
 * pcd_debugger_run:
 * @ret_status: (out): as from waitpid (), however it ended
 *
 * Waits, so not for the main loop. The debugger is ended by SIGKILL, its children with it. It
 * also dies with the calling thread (PR_SET_PDEATHSIG), that is, with the daemon.
 *
 * Returns: %FALSE if it could not be started
 */
gboolean pcd_debugger_run (const PcdDebuggerRun *run,
                           PcdDebuggerEnd *ret_end,
                           int *ret_status,
                           GError **error);

G_END_DECLS
