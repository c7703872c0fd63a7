/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs of others that are run for a moment, hooks and vetoes, to their end or their time-out,
 * with all that they started. Must not know what they are run for. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What is kept of what a program writes; more is read and thrown away. */
#define PCD_CHILD_MAX_TEXT 4096

/**
 * PcdChild: what to run, and how.
 * @name: of its input, for /proc
 * @argv: with an absolute path; no shell sees it
 * @environment: all of it
 * @input: its standard input, in a file: nothing waits for a program that does not read
 * @output: whether its standard output is kept, and its errors are the daemon's; else its errors
 *   are kept, and its output goes nowhere
 * @until_usec: CLOCK_MONOTONIC; what runs then gets SIGTERM, and after @grace_usec SIGKILL, as does
 *   the rest of its session's process group
 * @grace_usec: 0: SIGKILL at once
 * @cancel_fd: readable once nobody wants it any more, which ends it likewise; -1 for none
 */
typedef struct {
  const char *name;
  char **argv;
  char **environment;
  const char *input;
  gboolean output;
  gint64 until_usec;
  gint64 grace_usec;
  int cancel_fd;
} PcdChild;

typedef enum {
  PCD_CHILD_ENDED, /* by itself; or by a signal that was not ours */
  PCD_CHILD_TIMED_OUT,
  PCD_CHILD_CANCELLED,
  PCD_CHILD_NOT_STARTED,
} PcdChildEnd;

/**
 * pcd_child_run:
 * @ret_status: (out): as of waitpid (); of %PCD_CHILD_ENDED
 * @ret_text: (out) (transfer full): what it wrote, up to %PCD_CHILD_MAX_TEXT bytes; not of
 *   %PCD_CHILD_NOT_STARTED
 * @error: of %PCD_CHILD_NOT_STARTED only
 *
 * It runs in a session of its own, in /, without other descriptors, signals at their defaults, and
 * dies with the calling thread, which waits for it. A process that it left behind may still hold
 * what it wrote to: that is not waited for.
 */
PcdChildEnd pcd_child_run (const PcdChild *child, int *ret_status, char **ret_text, GError **error);

G_END_DECLS
