/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A table that gives up columns where it is narrow; reasons stand beside or below. */
#include "ctl/pcd-show-threads.h"

#include "core/pcd-record.h"
#include "ctl/pcd-top-text.h"

#include <glib/gi18n.h>

#define INDENT     2
#define FULL_WIDTH 80  /* all columns */
#define WIDE       100 /* with their full titles */
#define WIDEST     180 /* and the reason beside them */

typedef enum {
  TID,
  NAME,
  VCPU,
  STATE,
  BLOCKED,
  SINCE,
  PATH,
  KICKABLE,
  TRACEABLE,
  N_CELLS,
  REASON = N_CELLS
} Cell;

typedef struct {
  const PcdTerminal *terminal;
  const guint *widths;
  GString *text;
} Table;

static const guint narrow[N_CELLS] = {
  [TID] = 7, [NAME] = 11, [VCPU] = 4, [BLOCKED] = 7, [KICKABLE] = 7,
};
static const guint full[N_CELLS] = { 7, 13, 4, 1, 7, 7, 19, 7, 7 };
static const guint wide[N_CELLS] = { 8, 16, 4, 5, 7, 9, 19, 8, 9 };

static gboolean
is_plain (const PcdThreadClass *class)
{
  return class->blocked == PCD_ANSWER_NO && class->kickable == PCD_ANSWER_YES &&
         class->traceable == PCD_ANSWER_YES && !class->vcpu_disputed;
}

/* `0.4 s`; `>0.12 s` if only the samples tell. */
static char *
describe_since (const PcdThread *thread)
{
  if (thread->class.blocked != PCD_ANSWER_YES)
    return g_strdup ("-");
  if (thread->blocked_usec >= 0)
    return g_strdup_printf ("%.1f s", (double)thread->blocked_usec / G_USEC_PER_SEC);
  return g_strdup_printf (">%.2f s", (double)thread->blocked_min_usec / G_USEC_PER_SEC);
}

static char *
describe_reason (const PcdThreadClass *class)
{
  g_autofree char *reason = g_strconcat (
      class->reason ?: "", class->vcpu_disputed ? _ (" (its name says another vCPU)") : "", NULL);

  return pcd_text_printable (reason);
}

static char *
describe_vcpu (const PcdThreadClass *class)
{
  if (class->vcpu >= 0)
    return g_strdup_printf ("%d", class->vcpu);
  return g_strdup (class->is_vcpu ? "?" : "-");
}

GStrv
pcd_show_thread_cells (const PcdThread *thread)
{
  const PcdThreadClass *class = &thread->class;
  GStrv cells = g_new0 (char *, N_CELLS + 2);

  cells[TID] = g_strdup_printf ("%d", (int)thread->tid);
  cells[NAME] = pcd_text_printable (thread->name ?: "");
  cells[VCPU] = describe_vcpu (class);
  cells[STATE] = g_strdup_printf ("%c", thread->state);
  cells[BLOCKED] = g_strdup (pcd_answer_to_string (class->blocked));
  cells[SINCE] = describe_since (thread);
  cells[PATH] = g_strdup (pcd_fault_path_to_string (class->path));
  cells[KICKABLE] = g_strdup (pcd_answer_to_string (class->kickable));
  cells[TRACEABLE] = g_strdup (pcd_answer_to_string (class->traceable));
  cells[REASON] = is_plain (class) ? g_strdup ("") : describe_reason (class);
  return cells;
}

static PcdColour
colour_of (const PcdThreadClass *class, Cell cell)
{
  switch (cell) {
  case NAME:
    return class->is_vcpu ? PCD_COLOUR_STRONG : PCD_COLOUR_NONE;
  case BLOCKED:
    return class->blocked == PCD_ANSWER_YES       ? PCD_COLOUR_BAD
           : class->blocked == PCD_ANSWER_UNKNOWN ? PCD_COLOUR_WARN
                                                  : PCD_COLOUR_NONE;
  case KICKABLE:
    return class->kickable == PCD_ANSWER_YES ? PCD_COLOUR_NONE : PCD_COLOUR_BAD;
  case TRACEABLE:
    return class->traceable == PCD_ANSWER_YES ? PCD_COLOUR_NONE : PCD_COLOUR_WARN;
  default:
    return PCD_COLOUR_NONE;
  }
}

static void
add_cell (Table *self, Cell cell, const char *text, PcdColour colour, gboolean is_first)
{
  g_autofree char *fitted = pcd_top_fit (text, self->widths[cell], self->terminal->unicode);

  if (!is_first)
    g_string_append_c (self->text, ' ');
  pcd_terminal_paint (self->terminal, self->text, colour, fitted);
}

static void
add_titles (Table *self)
{
  static const char *const titles[N_CELLS] = {
    [TID] = N_ ("TID"),         [NAME] = N_ ("NAME"),   [VCPU] = N_ ("VCPU"),
    [BLOCKED] = N_ ("BLOCKED"), [SINCE] = N_ ("SINCE"), [PATH] = N_ ("PATH"),
  };

  for (guint i = 0; i < N_CELLS; i++) {
    const char *title = i == STATE       ? self->widths[i] > 1 ? _ ("STATE") : _ ("S")
                              : i == KICKABLE ? self->widths[i] > 7 ? _ ("KICKABLE") : _ ("KICK")
                              : i == TRACEABLE ? self->widths[i] > 7 ? _ ("TRACEABLE") : _ ("TRACE")
                                               : _ (titles[i]);
    if (self->widths[i] > 0)
      add_cell (self, i, title, PCD_COLOUR_STRONG, i == 0);
  }
  if (self->terminal->columns >= WIDEST) {
    g_string_append_c (self->text, ' ');
    pcd_terminal_paint (self->terminal, self->text, PCD_COLOUR_STRONG, _ ("REASON"));
  }
  g_string_append_c (self->text, '\n');
}

static void
add_reason (Table *self, const char *reason)
{
  if (self->terminal->columns >= WIDEST) {
    g_string_append_c (self->text, ' ');
    g_string_append (self->text, reason);
    return;
  }
  g_string_append_printf (self->text, "\n%*s", 2 * INDENT, "");
  pcd_terminal_wrap (self->terminal, self->text, reason, 2 * INDENT);
  g_string_truncate (self->text, self->text->len - 1); /* its line end */
}

static void
add_thread (Table *self, const PcdThread *thread)
{
  g_auto (GStrv) cells = pcd_show_thread_cells (thread);

  for (guint i = 0; i < N_CELLS; i++)
    if (self->widths[i] > 0)
      add_cell (self, i, cells[i], colour_of (&thread->class, i), i == 0);
  if (*cells[REASON])
    add_reason (self, cells[REASON]);
  g_string_append_c (self->text, '\n');
}

/* ---- the order ---- */

static int
rank_of (const PcdThread *thread)
{
  const PcdThreadClass *class = &thread->class;

  if (class->blocked == PCD_ANSWER_YES)
    return class->is_vcpu ? 0 : 1;
  if (!is_plain (class))
    return 2;
  return class->is_vcpu ? 3 : 4;
}

/* Stable: the kernel's order is that of the array, by thread ids. */
static gint
compare (gconstpointer a, gconstpointer b)
{
  const PcdThread *x = *(gpointer const *)a, *y = *(gpointer const *)b;

  return rank_of (x) - rank_of (y) ?: (x->tid > y->tid) - (x->tid < y->tid);
}

static void
add_summary (Table *self, const PcdThreadReport *report)
{
  const PcdAnswer kickable = pcd_thread_report_kickable (report, NULL);
  g_autofree char *summary = pcd_thread_report_summary (report);
  g_autofree char *printable = pcd_text_printable (summary);

  pcd_terminal_paint (self->terminal, self->text,
                      kickable == PCD_ANSWER_YES  ? PCD_COLOUR_GOOD
                      : kickable == PCD_ANSWER_NO ? PCD_COLOUR_BAD
                                                  : PCD_COLOUR_WARN,
                      self->terminal->unicode ? "●" : "*");
  g_string_append_c (self->text, ' ');
  pcd_terminal_wrap (self->terminal, self->text, printable, INDENT);
  g_string_append_c (self->text, '\n');
}

static void
add_legend (Table *self)
{
  const char *const lines[] = {
    _ ("BLOCKED: waits for memory that has not come yet, SINCE then, on that PATH."),
    _ ("KICKABLE no: QMP stop, and libvirt behind it, would wait for this thread."),
    _ ("TRACEABLE no: a debugger that attaches would hang. Looking is safe."),
  };

  g_string_append_c (self->text, '\n');
  for (guint i = 0; i < G_N_ELEMENTS (lines); i++)
    pcd_terminal_wrap (self->terminal, self->text, lines[i], 0);
}

char *
pcd_show_threads (const PcdThreadReport *report, const PcdTerminal *terminal)
{
  Table self = {
    .terminal = terminal,
    .widths = terminal->columns >= WIDE         ? wide
              : terminal->columns >= FULL_WIDTH ? full
                                                : narrow,
    .text = g_string_new (NULL),
  };
  g_autoptr (GPtrArray) threads = g_ptr_array_copy (report->threads, NULL, NULL);

  g_ptr_array_set_free_func (threads, NULL);
  g_ptr_array_sort (threads, compare);
  add_summary (&self, report);
  add_titles (&self);
  for (guint i = 0; i < threads->len; i++)
    add_thread (&self, g_ptr_array_index (threads, i));
  add_legend (&self);
  return g_string_free (self.text, FALSE);
}
