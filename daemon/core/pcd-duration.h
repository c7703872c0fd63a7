/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Durations as people write them in configurations and policies, and as they say them.
 * Pure text and numbers; knows no file. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * pcd_duration_parse:
 * @text: a number with a unit, as systemd writes them: us, ms, s, min, h; "0" needs none;
 *   a fraction is fine ("1.5s")
 * @ret_usec: (out): microseconds
 */
gboolean pcd_duration_parse (const char *text, gint64 *ret_usec, GError **error);

/**
 * pcd_duration_to_string:
 * @usec: microseconds, not negative
 *
 * Returns: (transfer full): in the largest unit that is exact, such as 90s or 2min; can be parsed
 */
char *pcd_duration_to_string (gint64 usec);

/**
 * pcd_duration_to_text:
 * @usec: microseconds; less than none is none
 * @exact: below a minute, milliseconds or hundredths of seconds
 *
 * Returns: (transfer full): as a person would say it: 1.5 s, 45 s, 12 min 5 s, 3 h 20 min, 2 days;
 * exact, 4.2 ms, 45.31 s
 */
char *pcd_duration_to_text (gint64 usec, gboolean exact);

G_END_DECLS
