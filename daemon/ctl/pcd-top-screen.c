/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ncurses compares with what is on the screen already, and writes only what differs: no flicker. */
#include "ctl/pcd-top-screen.h"

#include "core/pcd-types.h"
#include "ctl/pcd-show.h"
#include "ctl/pcd-terminal.h"
#include "ctl/pcd-top-text.h"

/* ncurses' own bool would do, but its names are many: last, and here only. */
#include <glib/gi18n.h>
#include <ncurses.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ESCAPE_MSEC 50 /* an Esc that nothing follows for so long is the key */
#define OTHER_LINES 5  /* title, heads; detail, message, keys */

enum { PAIR_BAD = 1, PAIR_WARN, PAIR_GOOD };

static struct {
  SCREEN *screen;
  PcdTerminal terminal;
} screen;

gboolean
pcd_top_screen_open (void)
{
  screen.terminal = pcd_terminal_of (STDOUT_FILENO);
  use_env (TRUE);
  use_tioctl (TRUE); /* an exported COLUMNS would survive no resize */
  screen.screen = newterm (NULL, stdout, stdin);
  if (!screen.screen)
    return FALSE;
  set_escdelay (ESCAPE_MSEC);
  cbreak ();
  noecho ();
  nonl ();
  keypad (stdscr, TRUE);
  nodelay (stdscr, TRUE);
  curs_set (0);
  screen.terminal.colour = screen.terminal.colour && has_colors ();
  if (screen.terminal.colour) {
    start_color ();
    use_default_colors ();
    init_pair (PAIR_BAD, COLOR_RED, -1);
    init_pair (PAIR_WARN, COLOR_YELLOW, -1);
    init_pair (PAIR_GOOD, COLOR_GREEN, -1);
  }
  return TRUE;
}

void
pcd_top_screen_close (void)
{
  if (!screen.screen)
    return;
  endwin ();
  delscreen (screen.screen);
  screen.screen = NULL;
}

void
pcd_top_screen_resize (void)
{
  struct winsize size = { 0 };

  if (ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
    resizeterm (size.ws_row, size.ws_col);
}

guint
pcd_top_screen_get_columns (void)
{
  return (guint)COLS;
}

guint
pcd_top_screen_get_height (void)
{
  return LINES > OTHER_LINES ? (guint)(LINES - OTHER_LINES) : 0;
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

static attr_t
colour (int pair)
{
  return screen.terminal.colour ? (attr_t)COLOR_PAIR (pair) : A_NORMAL;
}

static attr_t
attributes_of (const PcdTopPicture *picture, const PcdClientMigration *m)
{
  if (picture->old || pcd_show_has_ended (m))
    return A_DIM;
  if (g_str_equal (m->phase, pcd_phase_to_string (PCD_PHASE_PAUSED)) ||
      g_str_equal (m->flow, pcd_flow_to_string (PCD_FLOW_STALLED)))
    return colour (PAIR_BAD) | A_BOLD;
  if (m->unattended || g_str_equal (m->flow, pcd_flow_to_string (PCD_FLOW_SLOW)) ||
      g_str_equal (m->phase, pcd_phase_to_string (PCD_PHASE_RECOVERING)))
    return colour (PAIR_WARN);
  return colour (PAIR_GOOD);
}

static void
draw_rows (const PcdTopPicture *picture)
{
  const guint height = pcd_top_screen_get_height ();
  const guint n = pcd_top_model_get_n (picture->model);
  const guint first = pcd_top_model_fit (picture->model, height);
  guint widths[PCD_TOP_N_COLUMNS];

  pcd_top_lay_out ((guint)COLS, widths);
  g_autofree char *titles = pcd_top_row_to_text (NULL, widths, screen.terminal.unicode, 0);
  put (1, A_BOLD | A_UNDERLINE, titles);
  for (guint i = first; i < n && i - first < height; i++) {
    const PcdTopRow *row = pcd_top_model_get_row (picture->model, i);
    g_autofree char *text =
        pcd_top_row_to_text (row, widths, screen.terminal.unicode, picture->now);
    const attr_t selected = i == pcd_top_model_get_selected (picture->model) ? A_REVERSE : 0;
    put ((int)(2 + i - first), attributes_of (picture, row->migration) | selected, text);
  }
  if (n == 0)
    return;
  const PcdClientMigration *m =
      pcd_top_model_get_row (picture->model, pcd_top_model_get_selected (picture->model))
          ->migration;
  g_autofree char *deeds = pcd_top_deeds (m, picture->now);
  g_autofree char *detail = g_strdup_printf (
      "%s: %s%s%s%s%s%s", m->name, deeds, *m->last_action ? _ ("; did ") : "", m->last_action,
      *m->last_action ? ": " : "", m->last_outcome, *m->last_action ? "" : "");
  put (LINES - 3, A_DIM, detail);
}

static void
draw_pane (PcdTopPicture *picture)
{
  g_auto (GStrv) lines = g_strsplit (picture->pane, "\n", -1);
  const guint height = pcd_top_screen_get_height () + 1;
  const guint n = g_strv_length (lines);

  picture->pane_first = MIN (picture->pane_first, n > height ? n - height : 0);
  for (guint i = picture->pane_first; i < n && i - picture->pane_first < height; i++)
    put ((int)(2 + i - picture->pane_first), A_NORMAL, lines[i]);
}

static void
draw_title (const PcdTopPicture *picture)
{
  const guint n = pcd_top_model_get_n (picture->model);
  g_autofree char *title =
      picture->old
          ? g_strdup_printf (_ ("postcopyctl top: last known: %s"), picture->old)
          : g_strdup_printf (_ ("postcopyctl top: %u migration%s, %u in trouble, by %s%s"), n,
                             n == 1 ? "" : "s", pcd_top_model_get_n_in_trouble (picture->model),
                             pcd_top_model_describe_sort (picture->model),
                             pcd_top_model_is_reversed (picture->model) ? _ (", reversed") : "");

  put (0, A_BOLD | (picture->old ? colour (PAIR_WARN) : 0), title);
}

void
pcd_top_screen_draw (PcdTopPicture *picture)
{
  erase ();
  draw_title (picture);
  if (picture->pane)
    draw_pane (picture);
  else
    draw_rows (picture);
  put (LINES - 2, A_BOLD, picture->message);
  put (LINES - 1, A_REVERSE,
       picture->pane ? "Esc back  q quit"
                     : "q quit ? help h hold c recover i inspect  sort: p n b r t, R turns");
  refresh ();
}

int
pcd_top_screen_get_key (void)
{
  static const struct {
    int code;
    int key;
  } keys[] = {
    { KEY_UP, PCD_TOP_KEY_UP },
    { KEY_DOWN, PCD_TOP_KEY_DOWN },
    { KEY_PPAGE, PCD_TOP_KEY_PAGE_UP },
    { KEY_NPAGE, PCD_TOP_KEY_PAGE_DOWN },
    { KEY_HOME, PCD_TOP_KEY_HOME },
    { KEY_END, PCD_TOP_KEY_END },
    { KEY_ENTER, '\n' },
    { '\r', '\n' },
    { 'k', PCD_TOP_KEY_UP },
    { 'j', PCD_TOP_KEY_DOWN },
  };
  const int code = getch ();

  if (code == ERR)
    return PCD_TOP_KEY_NONE;
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    if (keys[i].code == code)
      return keys[i].key;
  return code < 0x80 ? code : PCD_TOP_KEY_OTHER;
}
