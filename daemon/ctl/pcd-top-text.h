/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The words and pictures in the rows of `postcopyctl top`, made to fit.
 * Pure: knows no terminal. */
#pragma once

#include "ctl/pcd-terminal.h"
#include "ctl/pcd-top-model.h"

G_BEGIN_DECLS

/**
 * pcd_top_sparkline:
 * @values: (array length=PCD_TOP_HISTORY): newest last; -1 is unknown, and left blank
 * @width: how many of the newest
 * @max: what fills a cell; 0: the largest of @values
 * @unicode: bars of eighths, else ASCII of about that weight
 *
 * Returns: (transfer full): @width columns
 */
char *pcd_top_sparkline (const gint64 *values, guint width, gint64 max, gboolean unicode);

/* Columns that @text takes; see pcd_top_fit (). */
guint pcd_top_width (const char *text, gboolean unicode);

/**
 * pcd_top_fit:
 * @text: from outside
 * @unicode: else anything beyond ASCII is "?"
 *
 * Returns: (transfer full): @text, printable, in exactly @width columns of a terminal
 */
char *pcd_top_fit (const char *text, guint width, gboolean unicode);

/* Returns: (transfer full): how long, in at most six columns: 14s, 12m05s, 3h20m, 5d. */
char *pcd_top_age (gint64 usec);

/* Returns: (transfer full): policy, what is done, what will be. One line, not yet printable. */
char *pcd_top_deeds (const PcdClientMigration *migration, gint64 now);

/* From left to right: a picture beside its number. */
typedef enum {
  PCD_TOP_MARK,
  PCD_TOP_NAME,
  PCD_TOP_ROLE,
  PCD_TOP_PHASE,
  PCD_TOP_FLOW,
  PCD_TOP_SINCE,
  PCD_TOP_BLOCKED,
  PCD_TOP_BLOCKED_LINE,
  PCD_TOP_MISSING,
  PCD_TOP_RATE,
  PCD_TOP_RATE_LINE,
  PCD_TOP_DEEDS,
  PCD_TOP_N_COLUMNS,
} PcdTopColumn;

/**
 * pcd_top_lay_out:
 * @ret_widths: (array fixed-size=PCD_TOP_N_COLUMNS): 0: not shown. A blank stands between columns
 *
 * What matters least goes first where it is narrow: at 80 columns both pictures are there, at 40
 * what is wrong, since when, and how many vCPUs wait.
 */
void pcd_top_lay_out (guint columns, guint *ret_widths);

/**
 * pcd_top_cell:
 * @row: (nullable): %NULL: the title
 * @widths: of all columns
 *
 * Returns: (transfer full): exactly as wide as its column
 */
char *pcd_top_cell (
    const PcdTopRow *row, PcdTopColumn column, const guint *widths, gboolean unicode, gint64 now);

/* What its colour means; the words say the same. */
PcdColour pcd_top_cell_colour (const PcdTopRow *row, PcdTopColumn column);

/**
 * pcd_top_row_to_text:
 * @row: (nullable): %NULL: the titles
 *
 * Returns: (transfer full): at most as wide as what pcd_top_lay_out () was given
 */
char *pcd_top_row_to_text (const PcdTopRow *row, const guint *widths, gboolean unicode, gint64 now);

G_END_DECLS
