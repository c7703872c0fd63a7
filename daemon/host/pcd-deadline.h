/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a function that may hang in a thread of its own and waits no longer than it is told to.
 * Must not know what the function does. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdDeadline:
 *
 * A function under way.
 */
typedef struct _PcdDeadline PcdDeadline;

/**
 * PcdDeadlineFunc:
 * @data: belongs to the function alone until it returns
 */
typedef void (*PcdDeadlineFunc) (gpointer data);

/**
 * pcd_deadline_start:
 * @name: name of the thread, at most 15 bytes of it show
 * @data: (transfer full): what @func works on, results included
 * @free_data: frees @data if nobody waits for it any more
 *
 * Starts @func in a new thread.
 *
 * Returns: (transfer full): to be given to pcd_deadline_wait (), exactly once; %NULL if no thread
 *   could be made: @data is freed then
 */
PcdDeadline *pcd_deadline_start (const char *name,
                                 PcdDeadlineFunc func,
                                 gpointer data,
                                 GDestroyNotify free_data);

/**
 * pcd_deadline_wait:
 * @deadline: (transfer full) (nullable): from pcd_deadline_start ()
 * @until: moment in g_get_monotonic_time () at which to give up
 *
 * A function that overstays is left alone: its thread ends when the kernel lets it, and frees the
 * data then.
 *
 * Returns: (transfer full) (nullable): the data, back from the function, or %NULL if it is late
 */
gpointer pcd_deadline_wait (PcdDeadline *deadline, gint64 until);

G_END_DECLS
