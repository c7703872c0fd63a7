/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ncurses compares with what is on the screen already, and writes only what differs: no flicker. */
#include "ctl/pcd-top-screen.h"

#include "ctl/pcd-top-text.h"

#include <glib/gi18n.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
/* ncurses' own bool would do, but its names are many: last, and here only. */
#include <ncurses.h>

#define ESCAPE_MSEC 50 /* an Esc that nothing follows for so long is the key */
#define OTHER_LINES 5  /* title, heads; detail, message, keys */
#define PANE_OTHERS 3  /* title; message, keys */

enum { PAIR_BAD = 1, PAIR_WARN, PAIR_GOOD };

static struct {
  SCREEN *screen;
  PcdTerminal terminal;
  gboolean has_colours;
} screen;

/* Without a cursor that can be put somewhere there is no full screen: TERM=dumb. */
static gboolean
can_paint (void)
{
  const char *move_cursor = tigetstr ("cup");

  return move_cursor && move_cursor != (char *)-1;
}

char *
pcd_top_screen_open (void)
{
  const char *term = g_getenv ("TERM");

  if (!term || !*term)
    return g_strdup (_ ("TERM is not set, which would tell the type of the terminal"));
  use_env (TRUE);
  use_tioctl (TRUE); /* an exported COLUMNS would survive no resize */
  screen.screen = newterm (NULL, stdout, stdin);
  if (!screen.screen)
    return g_strdup_printf (_ ("this host does not know a terminal of type '%s'"), term);
  if (!can_paint ()) {
    pcd_top_screen_close ();
    return g_strdup_printf (_ ("a terminal of type '%s' cannot show a full screen"), term);
  }
  screen.terminal = pcd_terminal_of (STDOUT_FILENO);
  screen.has_colours = screen.terminal.colour && has_colors ();
  screen.terminal.colour = TRUE; /* of what is painted for us: bold and dim remain */
  set_escdelay (ESCAPE_MSEC);
  cbreak ();
  noecho ();
  nonl ();
  keypad (stdscr, TRUE);
  nodelay (stdscr, TRUE);
  curs_set (0);
  if (screen.has_colours) {
    start_color ();
    use_default_colors ();
    init_pair (PAIR_BAD, COLOR_RED, -1);
    init_pair (PAIR_WARN, COLOR_YELLOW, -1);
    init_pair (PAIR_GOOD, COLOR_GREEN, -1);
  }
  return NULL;
}

void
pcd_top_screen_close (void)
{
  if (!screen.screen)
    return;
  if (!isendwin ())
    endwin ();
  delscreen (screen.screen);
  screen.screen = NULL;
}

void
pcd_top_screen_leave (void)
{
  /* Twice would put the cursor where it was when top began. */
  if (!isendwin ())
    endwin ();
  clearok (curscr, TRUE);
}

void
pcd_top_screen_resize (void)
{
  struct winsize size = { 0 };

  if (ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
    resizeterm (size.ws_row, size.ws_col);
}

const PcdTerminal *
pcd_top_screen_get_terminal (void)
{
  screen.terminal.columns = (guint)COLS;
  return &screen.terminal;
}

static guint
lines_but (int others)
{
  return LINES > others ? (guint)(LINES - others) : 0;
}

guint
pcd_top_screen_get_height (void)
{
  return lines_but (OTHER_LINES);
}

guint
pcd_top_screen_get_pane_height (void)
{
  return lines_but (PANE_OTHERS);
}

/* ---- drawing ---- */

/* Without colours, what is bad is bold all the same. */
static attr_t
attributes_of (PcdColour colour)
{
  const gboolean has = screen.has_colours;

  switch (colour) {
  case PCD_COLOUR_GOOD:
    return has ? (attr_t)COLOR_PAIR (PAIR_GOOD) : A_NORMAL;
  case PCD_COLOUR_WARN:
    return has ? (attr_t)COLOR_PAIR (PAIR_WARN) : A_NORMAL;
  case PCD_COLOUR_BAD:
    return A_BOLD | (has ? (attr_t)COLOR_PAIR (PAIR_BAD) : A_NORMAL);
  case PCD_COLOUR_FAINT:
    return A_DIM;
  case PCD_COLOUR_STRONG:
    return A_BOLD;
  default:
    return A_NORMAL;
  }
}

static void
put (int line, attr_t attributes, const char *text)
{
  if (line < 0 || line >= LINES)
    return;
  g_autofree char *fitted = pcd_top_fit (text, (guint)COLS, screen.terminal.unicode);
  attrset (attributes);
  mvaddstr (line, 0, fitted);
  attrset (A_NORMAL);
}

static void
put_row (int line, const PcdTopPicture *picture, const PcdTopRow *row, const guint *widths)
{
  int column = 0;

  move (line, 0);
  for (guint i = 0; i < PCD_TOP_N_COLUMNS; i++) {
    if (widths[i] == 0)
      continue;
    g_autofree char *cell = pcd_top_cell (row, i, widths, screen.terminal.unicode, picture->now);
    attrset (attributes_of (pcd_top_cell_colour (row, i)));
    mvaddstr (line, column, cell);
    column += (int)widths[i] + 1;
  }
  attrset (A_NORMAL);
}

static void
draw_rows (const PcdTopPicture *picture)
{
  const guint height = pcd_top_screen_get_height ();
  const guint n = pcd_top_model_get_n (picture->model);
  const guint first = pcd_top_model_fit (picture->model, height);
  const gboolean unicode = screen.terminal.unicode;
  guint widths[PCD_TOP_N_COLUMNS];

  pcd_top_lay_out ((guint)COLS, widths);
  g_autofree char *titles = pcd_top_row_to_text (NULL, widths, unicode, 0);
  put (1, A_BOLD | A_UNDERLINE, titles);
  for (guint i = first; i < n && i - first < height; i++) {
    const PcdTopRow *row = pcd_top_model_get_row (picture->model, i);
    const gboolean is_selected = i == pcd_top_model_get_selected (picture->model);
    const int line = (int)(2 + i - first);
    if (!is_selected && !picture->is_old) {
      put_row (line, picture, row, widths);
      continue;
    }
    g_autofree char *text = pcd_top_row_to_text (row, widths, unicode, picture->now);
    put (line, (picture->is_old ? A_DIM : 0) | (is_selected ? A_REVERSE : 0), text);
  }
  if (n == 0 && height > 0)
    put (3, A_NORMAL, picture->nothing);
  put (LINES - 3, picture->is_old ? attributes_of (PCD_COLOUR_WARN) : A_DIM, picture->detail);
}

/* The length of a command of pcd_terminal_paint (), or 0. */
static gsize
find_colour (const char *text, PcdColour *ret_colour)
{
  static const struct {
    const char *code;
    PcdColour colour;
  } codes[] = {
    { "\033[32m", PCD_COLOUR_GOOD },  { "\033[33m", PCD_COLOUR_WARN },
    { "\033[1;31m", PCD_COLOUR_BAD }, { "\033[2m", PCD_COLOUR_FAINT },
    { "\033[1m", PCD_COLOUR_STRONG }, { "\033[0m", PCD_COLOUR_NONE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (codes); i++)
    if (g_str_has_prefix (text, codes[i].code)) {
      *ret_colour = codes[i].colour;
      return strlen (codes[i].code);
    }
  return 0;
}

/* A painted line: what else stands in it is never taken for a command. */
static void
put_painted (int line, const char *text)
{
  guint left = (guint)COLS;

  move (line, 0);
  while (*text && left > 0) {
    PcdColour colour;
    const gsize command = find_colour (text, &colour);
    if (command > 0) {
      attrset (attributes_of (colour));
      text += command;
      continue;
    }
    const char *end = strchr (text + 1, '\033');
    g_autofree char *piece = end ? g_strndup (text, (gsize)(end - text)) : g_strdup (text);
    const guint width = MIN (pcd_top_width (piece, screen.terminal.unicode), left);
    g_autofree char *fitted = pcd_top_fit (piece, width, screen.terminal.unicode);
    addstr (fitted);
    left -= width;
    text += strlen (piece);
  }
  attrset (A_NORMAL);
}

static void
draw_pane (PcdTopPicture *picture)
{
  g_auto (GStrv) lines = g_strsplit (picture->pane, "\n", -1);
  const guint height = pcd_top_screen_get_pane_height ();
  guint n = g_strv_length (lines);

  while (n > 0 && !*lines[n - 1])
    n--;
  picture->pane_first = MIN (picture->pane_first, n > height ? n - height : 0);
  for (guint i = picture->pane_first; i < n && i - picture->pane_first < height; i++)
    put_painted ((int)(1 + i - picture->pane_first), lines[i]);
  if (n <= height)
    return;
  g_autofree char *position = g_strdup_printf (_ (" %u-%u of %u "), picture->pane_first + 1,
                                               MIN (picture->pane_first + height, n), n);
  const guint width = pcd_top_width (position, screen.terminal.unicode);
  if (width >= (guint)COLS)
    return;
  attrset (A_REVERSE);
  mvaddstr (0, COLS - (int)width, position);
  attrset (A_NORMAL);
}

void
pcd_top_screen_draw (PcdTopPicture *picture)
{
  erase ();
  put (0, A_BOLD | (picture->is_old ? attributes_of (PCD_COLOUR_WARN) : 0), picture->title);
  if (picture->pane)
    draw_pane (picture);
  else
    draw_rows (picture);
  put (LINES - 2, A_BOLD, picture->message);
  put (LINES - 1, A_REVERSE, picture->keys);
  refresh ();
}

/* ---- keys ---- */

int
pcd_top_screen_get_key (void)
{
  static const struct {
    wint_t code;
    int key;
  } keys[] = {
    { KEY_UP, PCD_TOP_KEY_UP },
    { KEY_DOWN, PCD_TOP_KEY_DOWN },
    { KEY_PPAGE, PCD_TOP_KEY_PAGE_UP },
    { KEY_NPAGE, PCD_TOP_KEY_PAGE_DOWN },
    { KEY_HOME, PCD_TOP_KEY_HOME },
    { KEY_END, PCD_TOP_KEY_END },
    { KEY_BACKSPACE, PCD_TOP_KEY_BACKSPACE },
    { KEY_ENTER, '\n' },
  };
  wint_t code = 0;
  const int kind = get_wch (&code);

  if (kind == ERR)
    return PCD_TOP_KEY_NONE;
  if (kind == KEY_CODE_YES) {
    for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
      if (keys[i].code == code)
        return keys[i].key;
    return PCD_TOP_KEY_OTHER;
  }
  if (code == '\r')
    return '\n';
  return code == 0x7f || code == '\b' ? PCD_TOP_KEY_BACKSPACE : (int)code;
}
