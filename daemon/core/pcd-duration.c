/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Durations as people write them. Exact: no floating point. */
#include "core/pcd-duration.h"

#include <glib/gi18n.h>
#include <string.h>

#define T_MS  ((gint64)G_TIME_SPAN_MILLISECOND)
#define T_S   ((gint64)G_TIME_SPAN_SECOND)
#define T_MIN ((gint64)G_TIME_SPAN_MINUTE)
#define T_H   ((gint64)G_TIME_SPAN_HOUR)

/* Reads digits[.digits] exactly; floating point would turn 0.1s into 99999us. */
static gboolean
scale_number (const char *digits, gsize n_digits, gint64 unit, gint64 *ret_usec)
{
  gint64 whole = 0, part = 0, part_scale = 1;
  gboolean in_part = FALSE;

  for (gsize i = 0; i < n_digits; i++) {
    if (digits[i] == '.') {
      in_part = TRUE;
      continue;
    }
    gint64 digit = digits[i] - '0';
    if (!in_part) {
      if (whole > (G_MAXINT64 / unit - 1 - digit) / 10)
        return FALSE;
      whole = whole * 10 + digit;
    } else if (part_scale < 1000000) {
      part = part * 10 + digit;
      part_scale *= 10;
    }
  }
  *ret_usec = whole * unit + part * unit / part_scale;
  return TRUE;
}

/* Length of "12" or "1.5" at the start of @text, 0 if there is no number. */
static gsize
number_length (const char *text)
{
  gsize whole = strspn (text, "0123456789");

  if (whole == 0 || text[whole] != '.')
    return whole;
  gsize part = strspn (text + whole + 1, "0123456789");
  return part == 0 ? whole : whole + 1 + part;
}

gboolean
pcd_duration_parse (const char *text, gint64 *ret_usec, GError **error)
{
  static const struct {
    const char *name;
    gint64 usec;
  } units[] = { { "us", 1 },      { "ms", T_MS }, { "s", T_S }, { "sec", T_S },
                { "min", T_MIN }, { "m", T_MIN }, { "h", T_H }, { "d", 24 * T_H } };
  gsize length = number_length (text);
  const char *unit = text + length + strspn (text + length, " ");
  gint64 usec = 0;

  for (guint i = 0; length > 0 && i < G_N_ELEMENTS (units); i++)
    if (g_str_equal (unit, units[i].name) && scale_number (text, length, units[i].usec, &usec)) {
      *ret_usec = usec;
      return TRUE;
    }
  if (g_str_equal (text, "0")) {
    *ret_usec = 0;
    return TRUE;
  }
  g_autofree char *part = g_strndup (text, MIN (strlen (text), 40));
  g_autofree char *quoted = g_strescape (part, NULL);
  g_set_error (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_INVALID_VALUE,
               _ ("got \"%s%s\", expected a number with a unit (us, ms, s, min, h), such as 2s"),
               quoted, strlen (text) > 40 ? "..." : "");
  return FALSE;
}

char *
pcd_duration_to_string (gint64 usec)
{
  static const struct {
    const char *name;
    gint64 usec;
  } units[] = { { "h", T_H }, { "min", T_MIN }, { "s", T_S }, { "ms", T_MS }, { "us", 1 } };
  guint i = 0;

  if (usec == 0)
    return g_strdup ("0s");
  while (usec % units[i].usec != 0)
    i++;
  return g_strdup_printf ("%" G_GINT64_FORMAT "%s", usec / units[i].usec, units[i].name);
}

char *
pcd_duration_to_text (gint64 usec, gboolean exact)
{
  const gint64 some = MAX (usec, 0);
  const int s = (int)MIN (some / T_S, G_MAXINT);

  if (exact && some < 10 * T_MS)
    return g_strdup_printf (_ ("%.1f ms"), (double)some / T_MS);
  if (s < 60 && (exact || s < 10))
    return g_strdup_printf (exact ? _ ("%.2f s") : _ ("%.1f s"), (double)some / T_S);
  if (s < 60)
    return g_strdup_printf (_ ("%d s"), s);
  if (s < 3600)
    return g_strdup_printf (_ ("%d min %d s"), s / 60, s % 60);
  if (s < 48 * 3600)
    return g_strdup_printf (_ ("%d h %d min"), s / 3600, s / 60 % 60);
  return g_strdup_printf (ngettext ("%d day", "%d days", (gulong)(s / 86400)), s / 86400);
}
