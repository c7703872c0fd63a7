/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Width, colours and unicode of a terminal, and text that fits into it. */
#include "ctl/pcd-terminal.h"

#include "core/pcd-text.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NARROWEST 40

static guint
columns_of (int fd)
{
  const char *wish = g_getenv ("COLUMNS");
  struct winsize size = { 0 };
  guint64 columns;

  if (wish && g_ascii_string_to_unsigned (wish, 10, NARROWEST, G_MAXUINT16, &columns, NULL))
    return (guint)columns;
  if (ioctl (fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    return MAX (size.ws_col, NARROWEST);
  return 80;
}

PcdTerminal
pcd_terminal_of (int fd)
{
  const char *term = g_getenv ("TERM");
  const char *no_colour = g_getenv ("NO_COLOR");
  PcdTerminal terminal = { 0 };

  if (!isatty (fd))
    return terminal;
  terminal.unicode = g_get_charset (NULL);
  terminal.columns = columns_of (fd);
  terminal.colour = term && !g_str_equal (term, "dumb") && (!no_colour || !*no_colour);
  return terminal;
}

void
pcd_terminal_paint (const PcdTerminal *terminal, GString *to, PcdColour colour, const char *text)
{
  static const char *const codes[] = {
    [PCD_COLOUR_GOOD] = "32", [PCD_COLOUR_WARN] = "33",  [PCD_COLOUR_BAD] = "1;31",
    [PCD_COLOUR_FAINT] = "2", [PCD_COLOUR_STRONG] = "1",
  };

  if (terminal->colour && colour != PCD_COLOUR_NONE)
    g_string_append_printf (to, "\033[%sm%s\033[0m", codes[colour], text);
  else
    g_string_append (to, text);
}

void
pcd_terminal_wrap (const PcdTerminal *terminal, GString *to, const char *text, guint indent)
{
  const guint width = terminal->columns > indent + 20 ? terminal->columns - indent : 0;
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  glong used = 0;

  for (guint i = 0; words[i]; i++) {
    const glong length = (glong)pcd_text_width (words[i]);
    if (i > 0 && width > 0 && used + 1 + length > (glong)width) {
      g_string_append_printf (to, "\n%*s", (int)indent, "");
      used = 0;
    } else if (i > 0) {
      g_string_append_c (to, ' ');
      used++;
    }
    g_string_append (to, words[i]);
    used += length;
  }
  g_string_append_c (to, '\n');
}
