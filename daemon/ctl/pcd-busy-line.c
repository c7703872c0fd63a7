/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text, a bar if there is a measure, the time; what does not fit goes in that order reversed. */
#include "ctl/pcd-busy-line.h"

#define BAR_WIDEST    22 /* brackets included */
#define BAR_NARROWEST 7

static guint
char_width (gunichar c)
{
  return g_unichar_iszerowidth (c) ? 0 : g_unichar_iswide (c) ? 2 : 1;
}

guint
pcd_busy_width (const char *text)
{
  guint width = 0;

  for (const char *p = text; *p; p = g_utf8_next_char (p))
    width += char_width (g_utf8_get_char (p));
  return width;
}

static char *
cut (const char *text, guint columns)
{
  const char *p = text;
  guint width = 0;

  for (; *p; p = g_utf8_next_char (p)) {
    width += char_width (g_utf8_get_char (p));
    if (width > columns)
      break;
  }
  return g_strndup (text, (gsize)(p - text));
}

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
    const guint taken = pcd_busy_width (view->text) + pcd_busy_width (tail) + 1;
    if (limit >= taken + BAR_NARROWEST)
      bar = make_bar ((guint)(share * 1000), limit - taken);
  } else {
    tail = g_strdup_printf (", %s", time);
  }
  const guint tail_width = pcd_busy_width (tail);
  g_autofree char *head = cut (view->text, limit > tail_width ? limit - tail_width : 0);
  g_autofree char *line = g_strconcat (head, bar ? bar : "", tail, NULL);
  return cut (line, limit);
}
