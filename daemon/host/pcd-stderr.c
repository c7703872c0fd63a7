/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What our programs tell people on stderr. Every message goes through here, so that none has to
 * think of what a hostile name does to a terminal. Knows no message. */
#include "host/pcd-stderr.h"

#include "core/pcd-record.h"

#include <stdio.h>

static void
print_line (const char *line)
{
  g_autofree char *printable = pcd_text_printable (line);
  const char *charset = NULL;

  if (g_get_charset (&charset)) {
    fputs (printable, stderr);
    return;
  }
  g_autofree char *local =
      g_convert_with_fallback (printable, -1, charset, "UTF-8", "?", NULL, NULL, NULL);
  fputs (local ?: printable, stderr);
}

static void
print (const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (guint i = 0; lines[i]; i++) {
    print_line (lines[i]);
    if (lines[i + 1])
      fputc ('\n', stderr);
  }
  fflush (stderr);
}

void
pcd_stderr_init (void)
{
  g_set_printerr_handler (print);
}
