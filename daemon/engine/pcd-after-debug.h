/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The duty to let QEMU go on after a debugger that did not end by itself.
 * Must not know why there was one. Main thread only. */
#pragma once

#include "debug/pcd-trace-stop.h"
#include "journal/pcd-journal.h"

G_BEGIN_DECLS

/**
 * PcdAfterDebug: zeroed: no duty.
 * @n_running: debuggers under way
 * @due: a debugger was begun, and is not known to have ended by itself. Kept in the journal, as
 *   flag "debugger", before the debugger is: a daemon that is restarted finds it there
 */
typedef struct {
  guint n_running;
  gboolean due;
} PcdAfterDebug;

/* A debugger is about to be started, or was when the last daemon ended (@flags). */
void pcd_after_debug_begin (PcdAfterDebug *self, PcdJournal *journal, const char *uuid);
void pcd_after_debug_take_over (PcdAfterDebug *self, GHashTable *flags);

/* It is over; @by_itself: nothing can be left of it. */
void pcd_after_debug_end (PcdAfterDebug *self,
                          gboolean by_itself,
                          PcdJournal *journal,
                          const char *uuid);

/**
 * pcd_after_debug_look:
 * @pid: QEMU, 0 if not known
 * @ret_before: (out): what there was
 *
 * To be called with every look at QEMU, and as the migration ends. Sends SIGCONT if the duty is due
 * and a stop is seen that no tracer accounts for. Takes some 10 µs per thread, and waits for
 * nothing.
 *
 * Returns: whether there was something to undo
 */
gboolean pcd_after_debug_look (const PcdAfterDebug *self, pid_t pid, PcdTraceStop *ret_before);

/* The migration has ended: every page is there, nothing can come later. */
void pcd_after_debug_forget (PcdAfterDebug *self, PcdJournal *journal, const char *uuid);

G_END_DECLS
