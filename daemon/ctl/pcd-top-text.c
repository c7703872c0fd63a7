/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One function per kind of cell; widths are columns of a terminal, not bytes. */
#include "ctl/pcd-top-text.h"

#include "core/pcd-record.h"
#include "core/pcd-text.h"
#include "core/pcd-types.h"
#include "ctl/pcd-show-block.h"
#include "ctl/pcd-show.h"

#include <glib/gi18n.h>
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

guint
pcd_top_width (const char *text, gboolean unicode)
{
  g_autofree char *printable = pcd_text_printable (text);
  guint total = 0;

  for (const char *p = printable; *p; p = g_utf8_next_char (p))
    total += unicode ? pcd_text_char_width (g_utf8_get_char (p)) : 1;
  return total;
}

char *
pcd_top_fit (const char *text, guint width, gboolean unicode)
{
  g_autofree char *printable = pcd_text_printable (text);
  const guint total = pcd_top_width (printable, unicode);
  GString *fitted = g_string_new (NULL);
  guint used = 0;

  const guint room = total > width ? width - MIN (width, 1) : width;
  for (const char *p = printable; *p; p = g_utf8_next_char (p)) {
    const gunichar c = g_utf8_get_char (p);
    const guint columns = unicode ? pcd_text_char_width (c) : 1;
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

/* As pcd_top_fit (), but names are told apart by their ends as often as by their beginnings. */
static char *
fit_name (const char *name, guint width, gboolean unicode)
{
  const guint total = pcd_top_width (name, unicode);

  if (total <= width || width < 6)
    return pcd_top_fit (name, width, unicode);
  g_autofree char *printable = pcd_text_printable (name);
  const guint tail = width / 3;
  const char *end = printable;
  while (pcd_top_width (end, unicode) > tail)
    end = g_utf8_next_char (end);
  g_autofree char *ending = pcd_top_fit (end, pcd_top_width (end, unicode), unicode);
  g_autofree char *begin = pcd_top_fit (printable, width - pcd_top_width (end, unicode), unicode);
  return g_strconcat (begin, ending, NULL);
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
    g_string_append (text, _ (" (held)"));
  if (pcd_show_held_still_by (m))
    /* TRANSLATORS: of a policy, behind its name: stop or freeze, by which the guest stands still */
    g_string_append_printf (text, _ (", held still by %s"), pcd_show_held_still_by (m));
  if (*m->doing)
    /* TRANSLATORS: of a policy, behind its name: what is done just now, such as ", does recover:
     * ..." */
    g_string_append_printf (text, _ (", does %s%s%s"), m->doing, *m->doing_text ? ": " : "",
                            m->doing_text);
  if (*m->next_action && m->next_time) {
    g_autofree char *in = pcd_top_age (m->next_time - now);
    /* TRANSLATORS: of a policy, behind its name: an action and a duration, such as ", recover in
     * 2s" */
    g_string_append_printf (text, _ (", %s in %s"), m->next_action, in);
  } else if (*m->next_action) {
    g_string_append_printf (text, _ (", next %s"), m->next_action);
  }
  return g_string_free (text, FALSE);
}

/* Shares what is left, a column each in turn, until each has all it can use. */
static guint
grow (guint *widths, const PcdTopColumn *columns, guint n, guint most, guint left)
{
  gboolean grew = TRUE;

  while (left > 0 && grew) {
    grew = FALSE;
    for (guint i = 0; i < n && left > 0; i++)
      if (widths[columns[i]] > 0 && widths[columns[i]] < most) {
        widths[columns[i]]++;
        left--;
        grew = TRUE;
      }
  }
  return left;
}

void
pcd_top_lay_out (guint columns, guint *ret_widths)
{
  /* In the order of what matters. The first five are 40 columns, with the next two 59, the first
   * ten 80. */
  static const struct {
    PcdTopColumn column;
    guint width;
  } wishes[] = {
    { PCD_TOP_MARK, 1 },         { PCD_TOP_NAME, 12 },     { PCD_TOP_PHASE, 10 },
    { PCD_TOP_BLOCKED, 7 },      { PCD_TOP_SINCE, 6 },     { PCD_TOP_FLOW, 11 },
    { PCD_TOP_BLOCKED_LINE, 6 }, { PCD_TOP_RATE_LINE, 6 }, { PCD_TOP_ROLE, 3 },
    { PCD_TOP_MISSING, 9 },      { PCD_TOP_RATE, 7 },      { PCD_TOP_DEEDS, 20 },
  };
  static const PcdTopColumn name[] = { PCD_TOP_NAME };
  static const PcdTopColumn lines[] = { PCD_TOP_BLOCKED_LINE, PCD_TOP_RATE_LINE };
  static const PcdTopColumn deeds[] = { PCD_TOP_DEEDS };
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
    memset (ret_widths, 0, PCD_TOP_N_COLUMNS * sizeof *ret_widths);
    ret_widths[PCD_TOP_NAME] = columns;
    return;
  }
  guint left = columns - used;
  left = grow (ret_widths, name, 1, 20, left);
  left = grow (ret_widths, lines, 2, 16, left);
  left = grow (ret_widths, name, 1, 24, left);
  left = grow (ret_widths, deeds, 1, 50, left);
  left = grow (ret_widths, lines, 2, PCD_TOP_HISTORY, left);
  left = grow (ret_widths, deeds, 1, G_MAXUINT, left);
  (void)grow (ret_widths, name, 1, G_MAXUINT, left);
}

static gboolean
flows_or_ended (const PcdClientMigration *m)
{
  return !*m->flow || g_str_equal (m->flow, pcd_flow_to_string (PCD_FLOW_NONE)) ||
         g_str_equal (m->flow, pcd_flow_to_string (PCD_FLOW_FLOWING));
}

/* That the guest is held still, where nothing worse is to be told. */
static gboolean
tells_hold (const PcdClientMigration *m)
{
  return pcd_show_held_still_by (m) && pcd_show_colour (m) != PCD_COLOUR_BAD && !m->unattended &&
         flows_or_ended (m);
}

/* What makes the bare word of the phase less than the whole truth. */
static char *
describe_flow (const PcdClientMigration *m)
{
  if (m->unattended)
    return g_strdup ("unattended");
  if (tells_hold (m))
    return g_strdup (_ ("held still"));
  if (*m->flow && !g_str_equal (m->flow, "none"))
    return g_strdup (m->flow);
  return g_strdup (*m->cause && !g_str_equal (m->cause, "none") ? m->cause : "-");
}

/* Where there is no room for the flow, trouble with it is told in place of "postcopy", and a guest
 * that is held still in place of any good phase. */
static char *
describe_phase (const PcdClientMigration *m, const guint *widths)
{
  if (widths[PCD_TOP_FLOW] > 0)
    return g_strdup (m->phase);
  if (tells_hold (m))
    return describe_flow (m);
  if (!g_str_equal (m->phase, pcd_phase_to_string (PCD_PHASE_POSTCOPY)))
    return g_strdup (m->phase);
  if (m->unattended)
    return g_strdup ("unattended");
  return g_strdup (flows_or_ended (m) ? m->phase : m->flow);
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

/* Shapes of their own: they are to be told apart without colours, too. */
static const char *
mark_of (const PcdClientMigration *m, gboolean unicode)
{
  switch (pcd_show_colour (m)) {
  case PCD_COLOUR_BAD:
    return "!";
  case PCD_COLOUR_WARN:
    return unicode ? "▲" : "~";
  case PCD_COLOUR_GOOD:
    return unicode ? "●" : "*";
  default:
    return unicode ? "·" : ".";
  }
}

static char *
make_cell (
    const PcdTopRow *row, PcdTopColumn column, const guint *widths, gboolean unicode, gint64 now)
{
  const PcdClientMigration *m = row->migration;

  switch (column) {
  case PCD_TOP_MARK:
    return g_strdup (mark_of (m, unicode));
  case PCD_TOP_NAME:
    return g_strdup (m->name);
  case PCD_TOP_ROLE:
    return g_strdup (g_str_equal (m->role, pcd_role_to_string (PCD_ROLE_SOURCE)) ? "src" : "dst");
  case PCD_TOP_PHASE:
    return describe_phase (m, widths);
  case PCD_TOP_FLOW:
    return describe_flow (m);
  case PCD_TOP_SINCE:
    return pcd_top_age (now - m->phase_time);
  case PCD_TOP_BLOCKED:
    return pcd_top_blocked (m) < 0 ? g_strdup ("-")
                                   : g_strdup_printf ("%u/%u", m->n_blocked_vcpus, m->n_vcpus);
  case PCD_TOP_MISSING:
    return m->asked && m->progress.known ? pcd_progress_bytes_to_text (m->progress.remaining)
                                         : g_strdup ("-");
  case PCD_TOP_RATE_LINE:
    return pcd_top_sparkline (row->rates, widths[column], 0, unicode);
  case PCD_TOP_BLOCKED_LINE:
    return pcd_top_sparkline (row->blocked, widths[column], m->n_vcpus, unicode);
  case PCD_TOP_RATE:
    return describe_rate (row->rate);
  default:
    return pcd_top_deeds (m, now);
  }
}

/* A picture stands beside its number, and says how far back it goes. */
static char *
make_title (PcdTopColumn column, const guint *widths)
{
  static const char *const titles[PCD_TOP_N_COLUMNS] = {
    [PCD_TOP_MARK] = "",
    [PCD_TOP_NAME] = N_ ("NAME"),
    [PCD_TOP_ROLE] = N_ ("S/D"),
    [PCD_TOP_PHASE] = N_ ("PHASE"),
    [PCD_TOP_FLOW] = N_ ("FLOW/CAUSE"),
    [PCD_TOP_SINCE] = N_ ("SINCE"),
    [PCD_TOP_BLOCKED] = N_ ("BLOCKED"),
    [PCD_TOP_MISSING] = N_ ("MISSING"),
    [PCD_TOP_RATE] = N_ ("PAGES/S"),
    [PCD_TOP_DEEDS] = N_ ("POLICY, DOING, NEXT"),
  };

  if (column == PCD_TOP_RATE_LINE && widths[PCD_TOP_RATE] == 0)
    return g_strdup (_ ("RATE"));
  if (column == PCD_TOP_RATE_LINE || column == PCD_TOP_BLOCKED_LINE)
    return g_strdup_printf (_ ("(%u s)"), MIN (widths[column], PCD_TOP_HISTORY));
  return g_strdup (*titles[column] ? _ (titles[column]) : "");
}

char *
pcd_top_cell (
    const PcdTopRow *row, PcdTopColumn column, const guint *widths, gboolean unicode, gint64 now)
{
  g_autofree char *text =
      row ? make_cell (row, column, widths, unicode, now) : make_title (column, widths);

  return row && column == PCD_TOP_NAME ? fit_name (text, widths[column], unicode)
                                       : pcd_top_fit (text, widths[column], unicode);
}

PcdColour
pcd_top_cell_colour (const PcdTopRow *row, PcdTopColumn column)
{
  const PcdClientMigration *m = row->migration;
  const PcdColour colour = pcd_show_colour (m);

  if (colour == PCD_COLOUR_FAINT)
    return colour;
  switch (column) {
  case PCD_TOP_MARK:
  case PCD_TOP_PHASE:
  case PCD_TOP_FLOW:
    return colour;
  case PCD_TOP_NAME:
    return colour == PCD_COLOUR_BAD ? PCD_COLOUR_STRONG : PCD_COLOUR_NONE;
  case PCD_TOP_BLOCKED:
  case PCD_TOP_BLOCKED_LINE:
    if (pcd_top_blocked (m) <= 0)
      return PCD_COLOUR_NONE;
    return m->n_blocked_vcpus < m->n_vcpus ? PCD_COLOUR_WARN : PCD_COLOUR_BAD;
  default:
    return PCD_COLOUR_NONE;
  }
}

char *
pcd_top_row_to_text (const PcdTopRow *row, const guint *widths, gboolean unicode, gint64 now)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < PCD_TOP_N_COLUMNS; i++) {
    if (widths[i] == 0)
      continue;
    g_autofree char *cell = pcd_top_cell (row, i, widths, unicode, now);
    g_string_append_printf (text, "%s%s", text->len ? " " : "", cell);
  }
  return g_string_free (text, FALSE);
}
