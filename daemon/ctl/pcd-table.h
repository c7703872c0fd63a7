/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rows under titles, as wide as what is in them. Must not know what is shown. */
#pragma once

#include "ctl/pcd-terminal.h"

G_BEGIN_DECLS

/**
 * PcdTableColumn:
 * @title: to be translated, by the table
 * @width: in columns of a terminal; more if a title or a cell needs it
 * @gap: spaces before it
 * @right: numbers stand at the right
 */
typedef struct {
  const char *title;
  guint width;
  guint gap;
  gboolean right;
} PcdTableColumn;

typedef struct _PcdTable PcdTable;

/* @columns: static; the last has a %NULL title */
PcdTable *pcd_table_new (const PcdTableColumn *columns);
void pcd_table_free (PcdTable *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdTable, pcd_table_free)

/**
 * pcd_table_add:
 * @cells: (transfer full): UTF-8 without control characters, one for each column; fewer leave the
 *   others empty
 */
void pcd_table_add (PcdTable *self, GStrv cells);

/* A line as it is between the rows. */
void pcd_table_add_line (PcdTable *self, char *line);

/**
 * pcd_table_to_text:
 * @ruler: the character of a line under the titles, 0 for none
 * @terminal: (nullable): where the last cell of a row has no room beside it, it stands below
 *
 * Returns: (transfer full): lines, no blanks at their ends
 */
char *pcd_table_to_text (const PcdTable *self, char ruler, const PcdTerminal *terminal);

G_END_DECLS
