/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The line on the terminal that says what postcopyctl waits for, and how long it has.
 * Must not know what that is. */
#pragma once

#include "core/pcd-progress.h"

G_BEGIN_DECLS

/**
 * PcdBusy: something that may last. A thread of its own draws, so that whoever works may block.
 *
 * Drawn from the first second on, on standard error, if that is a terminal on which this process is
 * in the foreground; and gone without a trace at the end. %NULL is one that says nothing.
 */
typedef struct _PcdBusy PcdBusy;

/**
 * PcdBusyFlags:
 * @PCD_BUSY_QUIET: draw nothing
 * @PCD_BUSY_DEFER: SIGINT and SIGTERM end nothing: see pcd_busy_is_interrupted ()
 * @PCD_BUSY_YIELD: draw nothing while another process of the same job talks to the terminal, as
 *   ssh(1) does to ask for a password
 */
typedef enum {
  PCD_BUSY_QUIET = 1 << 0,
  PCD_BUSY_DEFER = 1 << 1,
  PCD_BUSY_YIELD = 1 << 2,
} PcdBusyFlags;

/**
 * pcd_busy_begin:
 * @text: what is done; printable
 * @interrupted: (nullable): see pcd_busy_set_interrupted ()
 *
 * Returns: (nullable): %NULL if there is nothing to draw and nothing to defer, or if one is there
 *   already: who began first has the line
 */
PcdBusy *pcd_busy_begin (PcdBusyFlags flags, const char *text, const char *interrupted);

/* Clears the line. */
void pcd_busy_end (PcdBusy *busy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdBusy, pcd_busy_end)

/**
 * pcd_busy_set_interrupted:
 * @interrupted: (nullable): told if SIGINT or SIGTERM ends the program meanwhile, such as
 *   "postcopyd goes on"; the line is cleared in any case
 */
void pcd_busy_set_interrupted (PcdBusy *busy, const char *interrupted);

/* What is done now. From any thread. */
void pcd_busy_tell (PcdBusy *busy, const char *text);

/* How far it is: a bar; not if @total is 0. From any thread. */
void pcd_busy_count (PcdBusy *busy, guint64 done, guint64 total);

/* The same of a migration's memory. */
void pcd_busy_progress (PcdBusy *busy, const PcdProgress *progress);

/* Clears the line so that something else can be written; it is back after pcd_busy_tell (). %NULL
 * is whichever line there is. */
void pcd_busy_clear (PcdBusy *busy);

/* With PCD_BUSY_DEFER: the program is to end as soon as it has cleaned up. */
gboolean pcd_busy_is_interrupted (PcdBusy *busy);

/**
 * pcd_busy_give_in:
 *
 * Ends @busy, and this process by the signal that interrupted it, as a shell wants to see it.
 * Returns if there was none.
 */
void pcd_busy_give_in (PcdBusy *busy);

/* Whether standard error is a terminal on which lines can be drawn. */
gboolean pcd_busy_can_draw (void);

G_END_DECLS
