/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl top: all migrations of this host on one screen, live, with keys that act.
 * One main loop, which never waits: keys, signals, the bus and a tick are its sources. */
#include "bus/pcd-address.h"
#include "ctl/pcd-client-progress.h"
#include "ctl/pcd-show-block.h"
#include "ctl/pcd-show.h"
#include "ctl/pcd-top-link.h"
#include "ctl/pcd-top-screen.h"
#include "ctl/pcd-verbs.h"

#include <glib-unix.h>
#include <glib/gi18n.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define DRAW_USEC     (200 * G_TIME_SPAN_MILLISECOND)
#define PROGRESS_MSEC 5000
/* The daemon may ask polkit, and polkit a person; a recovery itself takes a while. */
#define ANSWER_MSEC (150 * 1000)
#define ESCAPE      27

typedef enum { PANE_NONE, PANE_INSPECT, PANE_HELP } Pane;

static const char help[] =
    "Up, Down, j, k, PgUp, PgDn, Home, End   select a migration, or scroll this page\n"
    "\n"
    "i, Enter   inspect it: all that is known, and what you can do\n"
    "h          hold it: no automatic action from now on; release it if it is held\n"
    "c          recover it: reconnect a paused migration (ask on the source's host)\n"
    "           Each asks once: y does it, any other key does not.\n"
    "\n"
    "p          worst trouble first\n"
    "n          by name\n"
    "b          most blocked vCPUs first\n"
    "r          highest page rate first (known of rows that were on the screen)\n"
    "t          longest in its phase first\n"
    "R          the other way round\n"
    "\n"
    "RATE and BLOCKED are pictures of the last seconds: pages per second, each row by\n"
    "its own highest; and vCPUs that wait for missing memory, full is all of them.\n";

typedef struct {
  GMainLoop *loop;
  PcdTopModel *model;
  PcdTopLink *link;
  char *lost;    /* (nullable): why the daemon does not answer */
  char *message; /* an outcome, or the question of @confirm */
  Pane pane;
  char *inspected; /* path */
  char *block;     /* of it, as known last */
  guint pane_first;
  /* What y would do: %NULL @method is nothing. */
  const char *method;
  const char *word; /* for people */
  char *path;
  char *name;
  guint draw_id;
  gint64 drawn;
  GHashTable *asking; /* paths whose progress is asked for */
} Top;

/* ---- drawing ---- */

static void
make_block (Top *self)
{
  const PcdTopRow *row = pcd_top_model_find (self->model, self->inspected);
  const PcdTerminal terminal = { .columns = pcd_top_screen_get_columns (),
                                 .unicode = g_get_charset (NULL) };

  if (!row)
    return;
  g_free (self->block);
  self->block = pcd_show_block (pcd_top_model_get_state (self->model), row->migration, NULL,
                                &terminal, g_get_real_time ());
}

/* (nullable) */
static char *
describe_old (const Top *self)
{
  const PcdClientState *state = pcd_top_model_get_state (self->model);

  if (self->lost)
    return g_strdup_printf (_ ("%s; trying again"), self->lost);
  if (!state)
    return g_strdup ("connecting");
  char *text = pcd_show_disconnected (state);
  return text ? g_strchomp (text) : NULL;
}

static void
draw (Top *self)
{
  g_autofree char *old = describe_old (self);

  if (self->pane == PANE_INSPECT)
    make_block (self);
  PcdTopPicture picture = {
    .model = self->model,
    .old = old,
    .message = self->message ?: "",
    .pane = self->pane == PANE_HELP      ? help
            : self->pane == PANE_INSPECT ? self->block
                                         : NULL,
    .pane_first = self->pane_first,
    .now = g_get_real_time (),
  };
  pcd_top_screen_draw (&picture);
  self->pane_first = picture.pane_first;
  self->drawn = g_get_monotonic_time ();
}

static gboolean
on_draw (gpointer data)
{
  Top *self = data;

  self->draw_id = 0;
  draw (self);
  return G_SOURCE_REMOVE;
}

/* Soon, but no more than five times a second. */
static void
draw_soon (Top *self)
{
  const gint64 left = self->drawn + DRAW_USEC - g_get_monotonic_time ();

  if (!self->draw_id)
    self->draw_id = g_timeout_add ((guint)(CLAMP (left, 0, DRAW_USEC) / G_TIME_SPAN_MILLISECOND),
                                   on_draw, self);
}

static void say (Top *self, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
say (Top *self, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_free (self->message);
  self->message = g_strdup_vprintf (format, args);
  va_end (args);
  draw_soon (self);
}

/* ---- what the daemon tells ---- */

typedef struct {
  Top *top;
  char *path;
  char *name;
  const char *word;
} Asked;

static Asked *
asked_new (Top *self, const char *path, const char *name, const char *word)
{
  Asked *asked = g_new0 (Asked, 1);

  *asked = (Asked){ self, g_strdup (path), g_strdup (name), word };
  return asked;
}

static void
asked_free (gpointer data)
{
  Asked *asked = data;

  g_free (asked->path);
  g_free (asked->name);
  g_free (asked);
}

static void
on_progress (GVariant *reply, const GError *error, gpointer data)
{
  const Asked *asked = data;
  PcdProgress progress = { .rate = -1, .left_usec = -1 };
  char *problem = NULL;

  g_hash_table_remove (asked->top->asking, asked->path);
  if (reply)
    progress = pcd_client_progress_parse (reply, &problem);
  else
    problem = g_strdup (_ ("postcopyd did not answer"));
  pcd_top_model_set_progress (asked->top->model, asked->path, &progress, problem);
  draw_soon (asked->top);
}

/* QEMU is asked for each: of those only that are looked at. */
static void
ask_progress (Top *self)
{
  const guint height = pcd_top_screen_get_height ();
  const guint first = pcd_top_model_fit (self->model, height);

  for (guint i = first; i < pcd_top_model_get_n (self->model) && i - first < height; i++) {
    const PcdClientMigration *m = pcd_top_model_get_row (self->model, i)->migration;
    if (!pcd_client_has_progress (m) || !g_hash_table_add (self->asking, g_strdup (m->path)))
      continue;
    if (!pcd_top_link_ask (self->link, m->path, "GetProgress", NULL, "(a{sv})", PROGRESS_MSEC,
                           on_progress, asked_new (self, m->path, m->name, NULL), asked_free))
      g_hash_table_remove (self->asking, m->path);
  }
}

static gboolean
on_tick (gpointer data)
{
  Top *self = data;

  if (!self->lost) {
    pcd_top_model_tick (self->model);
    ask_progress (self);
  }
  draw_soon (self);
  return G_SOURCE_CONTINUE;
}

static void
on_state (PcdClientState *state, gpointer data)
{
  Top *self = data;

  g_clear_pointer (&self->lost, g_free);
  pcd_top_model_set_state (self->model, state);
  draw_soon (self);
}

static void
on_lost (const char *reason, gpointer data)
{
  Top *self = data;

  g_free (self->lost);
  self->lost = g_strdup (reason);
  draw_soon (self);
}

/* ---- acting ---- */

static void
on_outcome (GVariant *reply, const GError *error, gpointer data)
{
  const Asked *asked = data;
  const char *outcome = "done", *reason = "";

  if (!reply) {
    g_autoptr (GError) copy = g_error_copy (error);
    g_dbus_error_strip_remote_error (copy);
    say (asked->top, _ ("%s: %s: failed: %s"), asked->name, asked->word, copy->message);
    return;
  }
  if (g_variant_n_children (reply) == 2)
    g_variant_get (reply, "(&s&s)", &outcome, &reason);
  say (asked->top, "%s: %s: %s%s%s", asked->name, asked->word, outcome, *reason ? ": " : "",
       reason);
}

static void
act (Top *self)
{
  const gboolean is_act = g_str_equal (self->method, "Act");
  GVariant *arguments = is_act ? g_variant_new ("(sa{sv})", "recover", NULL) : NULL;

  say (self, _ ("%s: %s: asked"), self->name, self->word);
  if (!pcd_top_link_ask (self->link, self->path, self->method, arguments, is_act ? "(ss)" : "()",
                         ANSWER_MSEC, on_outcome,
                         asked_new (self, self->path, self->name, self->word), asked_free))
    say (self, _ ("%s: %s: not asked: postcopyd is not there"), self->name, self->word);
}

static const PcdClientMigration *
selected (const Top *self)
{
  return pcd_top_model_get_n (self->model) == 0
             ? NULL
             : pcd_top_model_get_row (self->model, pcd_top_model_get_selected (self->model))
                   ->migration;
}

static void
want (Top *self, const char *method, const char *word)
{
  const PcdClientMigration *m = selected (self);

  self->method = method;
  self->word = word;
  g_free (self->path);
  g_free (self->name);
  self->path = g_strdup (m->path);
  self->name = g_strdup (m->name);
  say (self, _ ("%s %s (%s)? y does it, any other key does not"), word, m->name, m->role);
}

static void
confirm (Top *self, int key)
{
  if (key == 'y')
    act (self);
  else
    say (self, _ ("%s: %s: left alone"), self->name, self->word);
  self->method = NULL;
}

/* ---- keys ---- */

static gboolean
sort_by_key (Top *self, int key)
{
  static const char keys[PCD_TOP_N_SORTS + 1] = { 'p', 'n', 'b', 'r', 't', '\0' };
  const char *found = key > 0 && key < 0x80 ? strchr (keys, key) : NULL;

  if (key == 'R')
    pcd_top_model_reverse (self->model);
  else if (found)
    pcd_top_model_sort (self->model, (PcdTopSort)(found - keys));
  return found || key == 'R';
}

/* 0 is no key to move by. */
static int
steps_of (int key)
{
  const int page = (int)MAX (pcd_top_screen_get_height (), 1);

  switch (key) {
  case PCD_TOP_KEY_UP:
    return -1;
  case PCD_TOP_KEY_DOWN:
    return 1;
  case PCD_TOP_KEY_PAGE_UP:
    return -page;
  case PCD_TOP_KEY_PAGE_DOWN:
    return page;
  case PCD_TOP_KEY_HOME:
    return -G_MAXINT / 2;
  case PCD_TOP_KEY_END:
    return G_MAXINT / 2;
  default:
    return 0;
  }
}

static void
on_pane_key (Top *self, int key)
{
  if (key == ESCAPE || key == '\n' || key == 'i' || key == '?')
    self->pane = PANE_NONE;
  self->pane_first = (guint)CLAMP ((gint64)self->pane_first + steps_of (key), 0, G_MAXINT / 2);
}

static void
inspect (Top *self, const PcdClientMigration *m)
{
  g_free (self->inspected);
  self->inspected = g_strdup (m->path);
  self->pane = PANE_INSPECT;
  self->pane_first = 0;
}

static void
on_list_key (Top *self, int key)
{
  const PcdClientMigration *m = selected (self);

  if (sort_by_key (self, key))
    return;
  if (steps_of (key) != 0) {
    pcd_top_model_move (self->model, steps_of (key));
  } else if (key == '?') {
    self->pane = PANE_HELP;
    self->pane_first = 0;
  } else if (m && (key == 'i' || key == '\n')) {
    inspect (self, m);
  } else if (m && key == 'h') {
    want (self, m->held ? "Release" : "Hold", m->held ? "release" : "hold");
  } else if (m && key == 'c') {
    want (self, "Act", "recover");
  }
}

static gboolean
on_input (gint fd, GIOCondition condition, gpointer data)
{
  Top *self = data;
  int key;

  if (condition & (G_IO_HUP | G_IO_ERR)) {
    g_main_loop_quit (self->loop);
    return G_SOURCE_REMOVE;
  }
  while ((key = pcd_top_screen_get_key ()) != PCD_TOP_KEY_NONE) {
    if (self->method)
      confirm (self, key);
    else if (key == 'q')
      g_main_loop_quit (self->loop);
    else if (self->pane != PANE_NONE)
      on_pane_key (self, key);
    else
      on_list_key (self, key);
  }
  draw_soon (self);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_resized (gpointer data)
{
  pcd_top_screen_resize ();
  draw_soon (data);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_end (gpointer data)
{
  g_main_loop_quit (((Top *)data)->loop);
  return G_SOURCE_CONTINUE;
}

static void
show (Top *self, const char *address)
{
  static const PcdTopLinkUser user = { .state = on_state, .lost = on_lost };
  static const int ends[] = { SIGINT, SIGTERM, SIGHUP };
  guint ids[G_N_ELEMENTS (ends) + 3];
  guint n = 0;

  self->link = pcd_top_link_new (address, &user, self);
  for (; n < G_N_ELEMENTS (ends); n++)
    ids[n] = g_unix_signal_add (ends[n], on_end, self);
  ids[n++] = g_unix_signal_add (SIGWINCH, on_resized, self);
  ids[n++] = g_unix_fd_add (STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR, on_input, self);
  ids[n++] = g_timeout_add_seconds (1, on_tick, self);
  draw (self);
  g_main_loop_run (self->loop);
  pcd_top_screen_close ();
  /* The input's own source is gone if it hung up. */
  while (n > 0) {
    GSource *source = g_main_context_find_source_by_id (NULL, ids[--n]);
    if (source)
      g_source_destroy (source);
  }
  g_clear_handle_id (&self->draw_id, g_source_remove);
  pcd_top_link_free (self->link);
}

static int
run (const PcdCtl *ctl, int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  int exit_code = pcd_verb_parse (&pcd_verb_top, NULL, &argc, &argv);

  if (exit_code >= 0)
    return exit_code;
  if (argc > 1) {
    g_printerr (_ ("%s: unexpected argument '%s'; it takes none\n"), g_get_prgname (), argv[1]);
    return PCD_EXIT_USAGE;
  }
  g_autofree char *address = pcd_bus_resolve (ctl->bus, &error);
  if (!address) {
    g_printerr ("%s: --bus: %s\n", g_get_prgname (), error->message);
    return PCD_EXIT_USAGE;
  }
  if (!isatty (STDOUT_FILENO) || !isatty (STDIN_FILENO)) {
    g_printerr (_ ("%s: needs a terminal for input and output; 'postcopyctl status' and "
                   "'postcopyctl list --json' do not\n"),
                g_get_prgname ());
    return PCD_EXIT_FAILED;
  }
  if (!pcd_top_screen_open ()) {
    g_printerr (
        _ ("%s: cannot use a terminal of type '%s'; set TERM to one that this host knows\n"),
        g_get_prgname (), g_getenv ("TERM") ?: "");
    return PCD_EXIT_FAILED;
  }
  Top top = {
    .loop = g_main_loop_new (NULL, FALSE),
    .model = pcd_top_model_new (),
    .asking = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL),
  };
  show (&top, address);
  g_main_loop_unref (top.loop);
  pcd_top_model_free (top.model);
  g_hash_table_unref (top.asking);
  g_free (top.lost);
  g_free (top.message);
  g_free (top.inspected);
  g_free (top.block);
  g_free (top.path);
  g_free (top.name);
  return PCD_EXIT_DONE;
}

const PcdVerb pcd_verb_top = {
  .name = "top",
  .synopsis = "",
  .summary = N_ ("All migrations on this host, live, on one screen"),
  .run = run,
};
