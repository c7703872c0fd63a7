/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Neither bytes nor characters are columns. */
#include "core/pcd-text.h"

guint
pcd_text_char_width (gunichar c)
{
  return g_unichar_iszerowidth (c) ? 0 : g_unichar_iswide (c) ? 2 : 1;
}

guint
pcd_text_width (const char *text)
{
  guint width = 0;

  for (const char *p = text; *p; p = g_utf8_next_char (p))
    width += pcd_text_char_width (g_utf8_get_char (p));
  return width;
}

char *
pcd_text_pad (const char *text, guint width)
{
  const guint own = pcd_text_width (text);

  return g_strdup_printf ("%s%*s", text, own < width ? (int)(width - own) : 0, "");
}

char *
pcd_text_cut (const char *text, guint width)
{
  const char *end = text;
  guint used = 0;

  for (; *end; end = g_utf8_next_char (end)) {
    used += pcd_text_char_width (g_utf8_get_char (end));
    if (used > width)
      break;
  }
  return g_strndup (text, (gsize)(end - text));
}
