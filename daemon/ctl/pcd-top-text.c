/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One function per kind of cell; widths are columns of a terminal, not bytes. */
#include "ctl/pcd-top-text.h"

#include "core/pcd-record.h"
#include "core/pcd-types.h"

#include <string.h>

#define LEVELS 8

char *
pcd_top_sparkline (const gint64 *values, guint width, gint64 max, gboolean unicode)
{
  static const char *const bars[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
  static const char *const ascii[] = { "_", ".", ":", "-", "=", "+", "*", "#" };
  GString *text = g_string_new (NULL);

  width = MIN (width, PCD_TOP_HISTORY);
  gint64 full = max;
  for (guint i = 0; max == 0 && i < PCD_TOP_HISTORY; i++)
    full = MAX (full, values[i]);
  for (guint i = PCD_TOP_HISTORY - width; i < PCD_TOP_HISTORY; i++) {
    const double share = full > 0 ? (double)values[i] / (double)full : 0;
    const guint level = (guint)(CLAMP (share, 0, 1) * (LEVELS - 1) + 0.5);
    g_string_append (text, values[i] < 0 ? " " : unicode ? bars[level] : ascii[level]);
  }
  return g_string_free (text, FALSE);
}

static guint
width_of (gunichar c)
{
  return g_unichar_iszerowidth (c) ? 0 : g_unichar_iswide (c) ? 2 : 1;
}

char *
pcd_top_fit (const char *text, guint width, gboolean unicode)
{
  g_autofree char *printable = pcd_text_printable (text);
  GString *fitted = g_string_new (NULL);
  guint total = 0, used = 0;

  for (const char *p = printable; *p; p = g_utf8_next_char (p))
    total += unicode ? width_of (g_utf8_get_char (p)) : 1;
  const guint room = total > width ? width - MIN (width, 1) : width;
  for (const char *p = printable; *p; p = g_utf8_next_char (p)) {
    const gunichar c = g_utf8_get_char (p);
    const guint columns = unicode ? width_of (c) : 1;
    /* What has no width of its own could pile up on a neighbour. */
    if (columns == 0)
      continue;
    if (used + columns > room)
      break;
    g_string_append_unichar (fitted, unicode || c < 0x80 ? c : '?');
    used += columns;
  }
  if (total > width && width > 0) {
    g_string_append (fitted, unicode ? "…" : "~");
    used++;
  }
  for (; used < width; used++)
    g_string_append_c (fitted, ' ');
  return g_string_free (fitted, FALSE);
}

char *
pcd_top_age (gint64 usec)
{
  const gint64 s = MAX (usec, 0) / G_USEC_PER_SEC;

  if (s < 60)
    return g_strdup_printf ("%ds", (int)s);
  if (s < 3600)
    return g_strdup_printf ("%dm%02ds", (int)(s / 60), (int)(s % 60));
  if (s < 48 * 3600)
    return g_strdup_printf ("%dh%02dm", (int)(s / 3600), (int)(s / 60 % 60));
  return g_strdup_printf ("%dd", (int)MIN (s / 86400, 99999));
}

char *
pcd_top_deeds (const PcdClientMigration *m, gint64 now)
{
  GString *text = g_string_new (*m->policy ? m->policy : "-");

  if (m->held)
    g_string_append (text, " (held)");
  if (*m->doing)
    g_string_append_printf (text, ", does %s%s%s", m->doing, *m->doing_text ? ": " : "",
                            m->doing_text);
  if (*m->next_action && m->next_time) {
    g_autofree char *in = pcd_top_age (m->next_time - now);
    g_string_append_printf (text, ", %s in %s", m->next_action, in);
  } else if (*m->next_action) {
    g_string_append_printf (text, ", next %s", m->next_action);
  }
  return g_string_free (text, FALSE);
}

void
pcd_top_lay_out (guint columns, guint *ret_widths)
{
  /* In the order of what matters; a title must fit, too. */
  static const struct {
    PcdTopColumn column;
    guint width;
  } wishes[] = {
    { PCD_TOP_NAME, 14 },   { PCD_TOP_PHASE, 11 },    { PCD_TOP_BLOCKED, 7 },
    { PCD_TOP_SINCE, 6 },   { PCD_TOP_FLOW, 11 },     { PCD_TOP_ROLE, 4 },
    { PCD_TOP_MISSING, 9 }, { PCD_TOP_RATE_LINE, 8 }, { PCD_TOP_BLOCKED_LINE, 8 },
    { PCD_TOP_DEEDS, 16 },  { PCD_TOP_RATE, 7 },
  };
  guint used = 0;

  memset (ret_widths, 0, PCD_TOP_N_COLUMNS * sizeof *ret_widths);
  for (guint i = 0; i < G_N_ELEMENTS (wishes); i++) {
    const guint blank = i > 0;
    if (used + blank + wishes[i].width > columns)
      break;
    ret_widths[wishes[i].column] = wishes[i].width;
    used += blank + wishes[i].width;
  }
  if (ret_widths[PCD_TOP_NAME] == 0) {
    ret_widths[PCD_TOP_NAME] = columns;
    return;
  }
  const guint more = MIN (columns - used, 18);
  ret_widths[PCD_TOP_NAME] += more;
  if (ret_widths[PCD_TOP_DEEDS])
    ret_widths[PCD_TOP_DEEDS] += columns - used - more;
}

/* What makes the bare word of the phase less than the whole truth. */
static char *
describe_flow (const PcdClientMigration *m)
{
  if (m->unattended)
    return g_strdup ("unattended");
  if (*m->flow && !g_str_equal (m->flow, "none"))
    return g_strdup (m->flow);
  return g_strdup (*m->cause && !g_str_equal (m->cause, "none") ? m->cause : "-");
}

static char *
describe_rate (gint64 rate)
{
  if (rate < 0)
    return g_strdup ("-");
  if (rate < 100000)
    return g_strdup_printf ("%" G_GINT64_FORMAT, rate);
  return g_strdup_printf ("%" G_GINT64_FORMAT "k", MIN (rate / 1000, 999999));
}

static char *
make_cell (const PcdTopRow *row, PcdTopColumn column, guint width, gboolean unicode, gint64 now)
{
  const PcdClientMigration *m = row->migration;

  switch (column) {
  case PCD_TOP_NAME:
    return g_strdup (m->name);
  case PCD_TOP_ROLE:
    return g_strdup (g_str_equal (m->role, pcd_role_to_string (PCD_ROLE_SOURCE)) ? "src" : "dst");
  case PCD_TOP_PHASE:
    return g_strdup (m->phase);
  case PCD_TOP_FLOW:
    return describe_flow (m);
  case PCD_TOP_SINCE:
    return pcd_top_age (now - m->phase_time);
  case PCD_TOP_BLOCKED:
    return m->measured ? g_strdup_printf ("%u/%u", m->n_blocked_vcpus, m->n_vcpus) : g_strdup ("-");
  case PCD_TOP_MISSING:
    return m->asked && m->progress.known ? pcd_progress_bytes_to_text (m->progress.remaining)
                                         : g_strdup ("-");
  case PCD_TOP_RATE_LINE:
    return pcd_top_sparkline (row->rates, width, 0, unicode);
  case PCD_TOP_BLOCKED_LINE:
    return pcd_top_sparkline (row->blocked, width, m->n_vcpus, unicode);
  case PCD_TOP_RATE:
    return describe_rate (row->rate);
  default:
    return pcd_top_deeds (m, now);
  }
}

char *
pcd_top_row_to_text (const PcdTopRow *row, const guint *widths, gboolean unicode, gint64 now)
{
  static const char *const titles[PCD_TOP_N_COLUMNS] = {
    [PCD_TOP_NAME] = "NAME",
    [PCD_TOP_ROLE] = "ROLE",
    [PCD_TOP_PHASE] = "PHASE",
    [PCD_TOP_FLOW] = "FLOW/CAUSE",
    [PCD_TOP_SINCE] = "SINCE",
    [PCD_TOP_BLOCKED] = "BLOCKED",
    [PCD_TOP_MISSING] = "MISSING",
    [PCD_TOP_RATE_LINE] = "RATE",
    [PCD_TOP_BLOCKED_LINE] = "BLOCKED",
    [PCD_TOP_RATE] = "PAGES/S",
    [PCD_TOP_DEEDS] = "POLICY, DOING, NEXT",
  };
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < PCD_TOP_N_COLUMNS; i++) {
    if (widths[i] == 0)
      continue;
    g_autofree char *cell =
        row ? make_cell (row, i, widths[i], unicode, now) : g_strdup (titles[i]);
    g_autofree char *fitted = pcd_top_fit (cell, widths[i], unicode);
    g_string_append_printf (text, "%s%s", text->len ? " " : "", fitted);
  }
  return g_string_free (text, FALSE);
}
