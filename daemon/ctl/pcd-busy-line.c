/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text, a bar if there is a measure, the time; what does not fit goes in that order reversed. */
#include "ctl/pcd-busy-line.h"

#include "core/pcd-text.h"

#define BAR_WIDEST    22 /* brackets included */
#define BAR_NARROWEST 7

static char *
make_bar (guint permille, guint room)
{
  const guint inner = MIN (room, BAR_WIDEST) - 2, filled = inner * permille / 1000;
  g_autofree char *full = g_strnfill (filled, '#'), *rest = g_strnfill (inner - filled, '-');

  return g_strconcat (" [", full, rest, "]", NULL);
}

char *
pcd_busy_line (const PcdBusyView *view, guint columns)
{
  const gint64 seconds = view->elapsed_usec / G_USEC_PER_SEC;
  g_autofree char *time = pcd_progress_left_to_text (seconds * G_USEC_PER_SEC);
  g_autofree char *tail = NULL, *bar = NULL;
  const guint limit = columns > 1 ? columns - 1 : 0;

  if (view->progress.known)
    return pcd_progress_line (view->text, &view->progress, columns);
  if (view->total > 0) {
    const double share = (double)MIN (view->done, view->total) / (double)view->total;
    tail = g_strdup_printf (" %u %%, %s", (guint)(share * 100), time);
    const guint taken = pcd_text_width (view->text) + pcd_text_width (tail) + 1;
    if (limit >= taken + BAR_NARROWEST)
      bar = make_bar ((guint)(share * 1000), limit - taken);
  } else {
    tail = g_strdup_printf (", %s", time);
  }
  const guint tail_width = pcd_text_width (tail);
  g_autofree char *head = pcd_text_cut (view->text, limit > tail_width ? limit - tail_width : 0);
  g_autofree char *line = g_strconcat (head, bar ? bar : "", tail, NULL);
  return pcd_text_cut (line, limit);
}
