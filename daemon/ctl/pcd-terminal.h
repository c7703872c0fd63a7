/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the reader of our output can show: width, colours, unicode. Must not know what is shown. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
  PCD_COLOUR_NONE,
  PCD_COLOUR_GOOD,
  PCD_COLOUR_WARN,
  PCD_COLOUR_BAD,
  PCD_COLOUR_FAINT,
  PCD_COLOUR_STRONG,
} PcdColour;

/**
 * PcdTerminal: zeroed is plain text, such as for a pipe.
 * @columns: of the terminal; 0 if it is none, lines are not wrapped then
 * @colour: colours are wanted: a terminal that is not dumb, and no NO_COLOR in the environment
 *   (https://no-color.org)
 * @unicode: a terminal that can show more than ASCII
 */
typedef struct {
  guint columns;
  gboolean colour;
  gboolean unicode;
} PcdTerminal;

/* @fd: such as STDOUT_FILENO. COLUMNS in the environment wins over what the terminal says. */
PcdTerminal pcd_terminal_of (int fd);

/* Appends @text in @colour. */
void
pcd_terminal_paint (const PcdTerminal *terminal, GString *to, PcdColour colour, const char *text);

/**
 * pcd_terminal_wrap:
 * @text: UTF-8, one line
 * @indent: columns that stand before it already, and before each further line
 *
 * Appends @text and a line end, broken at spaces so that no line is wider than the terminal; a
 * longer word stays whole, for an address or a path is to be copied.
 */
void pcd_terminal_wrap (const PcdTerminal *terminal, GString *to, const char *text, guint indent);

G_END_DECLS
