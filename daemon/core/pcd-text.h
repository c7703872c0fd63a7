/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How wide text is on a terminal. Pure. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Columns of a terminal that @c takes: 0, 1, or 2 for what East Asia writes. */
guint pcd_text_char_width (gunichar c);

/**
 * pcd_text_width:
 * @text: UTF-8 without control characters
 */
guint pcd_text_width (const char *text);

/**
 * pcd_text_pad:
 *
 * Returns: (transfer full): @text and blanks, @width columns or more
 */
char *pcd_text_pad (const char *text, guint width);

/* Returns: (transfer full): as much of @text as fits into @width columns */
char *pcd_text_cut (const char *text, guint width);

G_END_DECLS
