/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a line of progress says, within a width. Pure; must not know of terminals. */
#pragma once

#include "core/pcd-progress.h"

G_BEGIN_DECLS

/**
 * PcdBusyView:
 * @text: what is being done; UTF-8, printable
 * @done: of @total; no more than that is shown
 * @total: 0 if it is not known: no bar then
 * @progress: of a migration; known, it takes the place of the others but @text
 * @elapsed_usec: since it began
 */
typedef struct {
  const char *text;
  guint64 done;
  guint64 total;
  PcdProgress progress;
  gint64 elapsed_usec;
} PcdBusyView;

/**
 * pcd_busy_line:
 * @columns: the terminal's
 *
 * Returns: (transfer full): such as "vm1: snapshot: memory [#####-----] 50 %, 4 s"; narrower than
 *   @columns, so that it never wraps: the bar becomes shorter and goes, then @text is cut
 */
char *pcd_busy_line (const PcdBusyView *view, guint columns);

G_END_DECLS
