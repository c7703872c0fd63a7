/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The only file of `postcopyctl top` that knows ncurses: draws a picture, reads keys. */
#pragma once

#include "ctl/pcd-top-model.h"

G_BEGIN_DECLS

/**
 * PcdTopPicture: all that is to be seen.
 * @old: (nullable): why @model is what was known last; it is shown grey then
 * @message: one line: an outcome, or a question
 * @pane: (nullable): lines to be shown in place of the rows
 * @pane_first: the line of @pane to begin with; put right if it is too much
 */
typedef struct {
  PcdTopModel *model;
  const char *old;
  const char *message;
  const char *pane;
  guint pane_first;
  gint64 now;
} PcdTopPicture;

typedef enum {
  PCD_TOP_KEY_NONE = -1, /* no more */
  PCD_TOP_KEY_OTHER = 0x1000,
  PCD_TOP_KEY_UP,
  PCD_TOP_KEY_DOWN,
  PCD_TOP_KEY_PAGE_UP,
  PCD_TOP_KEY_PAGE_DOWN,
  PCD_TOP_KEY_HOME,
  PCD_TOP_KEY_END,
} PcdTopKey;

/* Returns: %FALSE if the terminal cannot be used, or is not known */
gboolean pcd_top_screen_open (void);
/* Gives the terminal back as it was. */
void pcd_top_screen_close (void);
/* The terminal has another size now. */
void pcd_top_screen_resize (void);

/* Columns, for the text of a pane. */
guint pcd_top_screen_get_columns (void);
/* Rows of the table, or lines of a pane, that fit. */
guint pcd_top_screen_get_height (void);

void pcd_top_screen_draw (PcdTopPicture *picture);

/* Returns: a character, or a #PcdTopKey. Does not wait, but for the rest of an escape sequence. */
int pcd_top_screen_get_key (void);

G_END_DECLS
