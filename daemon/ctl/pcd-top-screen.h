/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The only file of `postcopyctl top` that knows ncurses: draws a picture, reads keys. */
#pragma once

#include "ctl/pcd-terminal.h"
#include "ctl/pcd-top-model.h"

G_BEGIN_DECLS

/**
 * PcdTopPicture: all that is to be seen.
 * @title: the first line
 * @is_old: what is shown is not so any more: grey
 * @detail: a line below the rows, about the selected one
 * @message: one line: an outcome, or a question
 * @keys: the last line
 * @pane: (nullable): lines to be shown in place of the rows, painted by pcd_terminal_paint ()
 * @pane_first: the line of @pane to begin with; put right if it is too much
 * @nothing: shown if there are no rows
 * @now: microseconds since the epoch
 */
typedef struct {
  PcdTopModel *model;
  const char *title;
  gboolean is_old;
  const char *detail;
  const char *message;
  const char *keys;
  const char *pane;
  guint pane_first;
  const char *nothing;
  gint64 now;
} PcdTopPicture;

/* Beyond all of Unicode. */
typedef enum {
  PCD_TOP_KEY_NONE = -1, /* no more */
  PCD_TOP_KEY_OTHER = 0x110000,
  PCD_TOP_KEY_UP,
  PCD_TOP_KEY_DOWN,
  PCD_TOP_KEY_PAGE_UP,
  PCD_TOP_KEY_PAGE_DOWN,
  PCD_TOP_KEY_HOME,
  PCD_TOP_KEY_END,
  PCD_TOP_KEY_BACKSPACE,
} PcdTopKey;

/* Returns: (transfer full) (nullable): why the terminal cannot be used; %NULL if it is in use */
char *pcd_top_screen_open (void);
/* Gives the terminal back as it was. */
void pcd_top_screen_close (void);
/* Gives it back until the next picture, which is drawn from scratch. */
void pcd_top_screen_leave (void);
/* The terminal has another size now. */
void pcd_top_screen_resize (void);

/* For the text of a pane: its width, and what the terminal can show. */
const PcdTerminal *pcd_top_screen_get_terminal (void);
/* Rows of the table that fit. */
guint pcd_top_screen_get_height (void);
/* Lines of a pane that fit. */
guint pcd_top_screen_get_pane_height (void);

void pcd_top_screen_draw (PcdTopPicture *picture);

/* Returns: a character, or a #PcdTopKey; Enter is '\n'. Does not wait, but for the rest of an
 * escape sequence. */
int pcd_top_screen_get_key (void);

G_END_DECLS
