/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Measures all cells before the first line is made. */
#include "ctl/pcd-table.h"

#include "core/pcd-text.h"

#include <glib/gi18n.h>
#include <string.h>

struct _PcdTable {
  const PcdTableColumn *columns;
  guint n;
  GPtrArray *rows;  /* GStrv; %NULL members: a line stands there */
  GPtrArray *lines; /* of the same length */
};

PcdTable *
pcd_table_new (const PcdTableColumn *columns)
{
  PcdTable *self = g_new0 (PcdTable, 1);

  self->columns = columns;
  while (columns[self->n].title)
    self->n++;
  self->rows = g_ptr_array_new_with_free_func ((GDestroyNotify)g_strfreev);
  self->lines = g_ptr_array_new_with_free_func (g_free);
  return self;
}

void
pcd_table_free (PcdTable *self)
{
  g_ptr_array_unref (self->rows);
  g_ptr_array_unref (self->lines);
  g_free (self);
}

void
pcd_table_add (PcdTable *self, GStrv cells)
{
  g_ptr_array_add (self->rows, cells);
  g_ptr_array_add (self->lines, NULL);
}

void
pcd_table_add_line (PcdTable *self, char *line)
{
  g_ptr_array_add (self->rows, NULL);
  g_ptr_array_add (self->lines, line);
}

static void
append_cell (GString *text, const char *cell, guint width, gboolean right)
{
  const guint own = pcd_text_width (cell);

  if (right)
    g_string_append_printf (text, "%*s", (int)(width - MIN (own, width)), "");
  g_string_append (text, cell);
  if (!right)
    g_string_append_printf (text, "%*s", (int)(width - MIN (own, width)), "");
}

static gboolean
fits (const PcdTable *self, char **cells, const guint *widths, const PcdTerminal *terminal)
{
  guint total = 0;

  for (guint i = 0; i < self->n && cells[i]; i++)
    total += self->columns[i].gap + (i + 1 == self->n ? pcd_text_width (cells[i]) : widths[i]);
  return !terminal || terminal->columns == 0 || total <= terminal->columns;
}

static void
strip (GString *text)
{
  while (text->len > 0 && text->str[text->len - 1] == ' ')
    g_string_truncate (text, text->len - 1);
}

static void
append_row (const PcdTable *self,
            GString *text,
            char **cells,
            const guint *widths,
            const PcdTerminal *terminal)
{
  /* Under the second column: what it is about stands out at the left. */
  const guint hang = self->n > 1 ? widths[0] + self->columns[1].gap : 0;
  const gboolean is_one_line = fits (self, cells, widths, terminal);

  for (guint i = 0; i < self->n && cells[i]; i++) {
    if (i + 1 == self->n && !is_one_line) {
      strip (text);
      g_string_append_printf (text, "\n%*s", (int)hang, "");
      pcd_terminal_wrap (terminal, text, cells[i], hang);
      return;
    }
    g_string_append_printf (text, "%*s", (int)self->columns[i].gap, "");
    append_cell (text, cells[i], widths[i], self->columns[i].right);
  }
  strip (text);
  g_string_append_c (text, '\n');
}

char *
pcd_table_to_text (const PcdTable *self, char ruler, const PcdTerminal *terminal)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree guint *widths = g_new0 (guint, self->n);
  g_auto (GStrv) titles = g_new0 (char *, self->n + 1);
  guint total = 0;

  for (guint i = 0; i < self->n; i++) {
    titles[i] = g_strdup (_ (self->columns[i].title));
    widths[i] = MAX (self->columns[i].width, pcd_text_width (titles[i]));
    for (guint k = 0; k < self->rows->len; k++) {
      char **cells = g_ptr_array_index (self->rows, k);
      if (cells && g_strv_length (cells) > i)
        widths[i] = MAX (widths[i], pcd_text_width (cells[i]));
    }
    total += widths[i] + self->columns[i].gap;
  }
  append_row (self, text, titles, widths, NULL);
  if (ruler) {
    g_autofree char *line = g_strnfill (total, ruler);
    g_string_append_printf (text, "%s\n", line);
  }
  for (guint k = 0; k < self->rows->len; k++) {
    char **cells = g_ptr_array_index (self->rows, k);
    if (cells)
      append_row (self, text, cells, widths, terminal);
    else
      g_string_append_printf (text, "%s\n", (char *)g_ptr_array_index (self->lines, k));
  }
  return g_string_free (g_steal_pointer (&text), FALSE);
}
