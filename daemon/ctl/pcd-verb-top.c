/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl top: all migrations of this host on one screen, live, with keys that act.
 * One main loop, which never waits: keys, signals, the bus and a tick are its sources. */
#include "bus/pcd-address.h"
#include "ctl/pcd-client-progress.h"
#include "ctl/pcd-show.h"
#include "ctl/pcd-top-screen.h"
#include "ctl/pcd-top-signals.h"
#include "ctl/pcd-top.h"
#include "ctl/pcd-verbs.h"

#include <glib-unix.h>
#include <glib/gi18n.h>
#include <unistd.h>

#define PROGRESS_MSEC 5000
#define LOOK_TICKS    2 /* between looks at threads */

/* ---- what the daemon tells ---- */

typedef struct {
  PcdTop *top;
  char *path;
} Asked;

static void
asked_free (gpointer data)
{
  Asked *asked = data;

  g_free (asked->path);
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
  pcd_top_draw_soon (asked->top);
}

static void
ask_progress_of (PcdTop *self, const PcdClientMigration *m)
{
  if (!pcd_client_has_progress (m) || !g_hash_table_add (self->asking, g_strdup (m->path)))
    return;
  const PcdClientQuestion question = {
    .path = m->path, .method = "GetProgress", .reply_type = "(a{sv})", .timeout_msec = PROGRESS_MSEC
  };
  Asked *asked = g_new0 (Asked, 1);
  *asked = (Asked){ self, g_strdup (m->path) };
  if (!pcd_top_link_ask (self->link, &question, on_progress, asked, asked_free))
    g_hash_table_remove (self->asking, m->path);
}

/* QEMU is asked for each: of those only that are looked at. */
static void
ask_progress (PcdTop *self)
{
  const guint height = pcd_top_screen_get_height ();
  const guint first = pcd_top_model_fit (self->model, height);

  if (self->pane == PCD_TOP_LIST)
    for (guint i = first; i < pcd_top_model_get_n (self->model) && i - first < height; i++)
      ask_progress_of (self, pcd_top_model_get_row (self->model, i)->migration);
  else if (pcd_top_get_current (self))
    ask_progress_of (self, pcd_top_get_current (self));
}

static gboolean
on_tick (gpointer data)
{
  PcdTop *self = data;

  if (!self->lost) {
    pcd_top_model_tick (self->model);
    ask_progress (self);
  }
  if (++self->n_ticks % LOOK_TICKS == 0)
    pcd_top_look_again (self);
  pcd_top_draw_soon (self);
  return G_SOURCE_CONTINUE;
}

static void
on_state (PcdClientState *state, gpointer data)
{
  PcdTop *self = data;

  g_clear_pointer (&self->lost, g_free);
  pcd_top_model_set_state (self->model, state);
  pcd_top_draw_soon (self);
}

static void
on_lost (const char *reason, gpointer data)
{
  PcdTop *self = data;

  if (!self->lost)
    self->lost_time = g_get_real_time ();
  g_free (self->lost);
  self->lost = g_strdup (reason);
  pcd_top_draw_soon (self);
}

/* ---- the terminal ---- */

static gboolean
on_input (gint fd, GIOCondition condition, gpointer data)
{
  PcdTop *self = data;
  int key;

  if (condition & (G_IO_HUP | G_IO_ERR)) {
    g_main_loop_quit (self->loop);
    return G_SOURCE_REMOVE;
  }
  while ((key = pcd_top_screen_get_key ()) != PCD_TOP_KEY_NONE)
    pcd_top_on_key (self, key);
  pcd_top_draw_for_key (self);
  return G_SOURCE_CONTINUE;
}

static void
on_signal (PcdTopSignal signal, gpointer data)
{
  PcdTop *self = data;

  switch (signal) {
  case PCD_TOP_SIGNAL_END:
    g_main_loop_quit (self->loop);
    break;
  case PCD_TOP_SIGNAL_RESIZE:
    pcd_top_screen_resize ();
    pcd_top_draw_soon (self);
    break;
  case PCD_TOP_SIGNAL_STOP:
    pcd_top_screen_leave ();
    pcd_top_signals_stop_here (self->signals);
    break;
  case PCD_TOP_SIGNAL_CONTINUE:
    pcd_top_screen_leave ();
    pcd_top_screen_resize ();
    pcd_top_draw (self);
    break;
  }
}

static void
show (PcdTop *self, const char *address)
{
  static const PcdTopLinkUser user = { .state = on_state, .lost = on_lost };

  self->signals = pcd_top_signals_new (on_signal, self);
  self->link = pcd_top_link_new (address, &user, self);
  const guint input_id =
      g_unix_fd_add (STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR, on_input, self);
  const guint tick_id = g_timeout_add_seconds (1, on_tick, self);
  pcd_top_draw (self);
  g_main_loop_run (self->loop);
  pcd_top_screen_close ();
  /* The input's own source is gone if it hung up. */
  GSource *input = g_main_context_find_source_by_id (NULL, input_id);
  if (input)
    g_source_destroy (input);
  g_source_remove (tick_id);
  g_clear_handle_id (&self->draw_id, g_source_remove);
  pcd_top_link_free (self->link);
  pcd_top_signals_free (self->signals);
}

static void
clear (PcdTop *self)
{
  g_main_loop_unref (self->loop);
  pcd_top_model_free (self->model);
  g_hash_table_unref (self->asking);
  g_string_free (self->filter, TRUE);
  pcd_top_seen_free (self->seen);
  g_free (self->lost);
  g_free (self->message);
  g_free (self->shown);
  g_free (self->shown_name);
  g_free (self->text);
  g_free (self->path);
  g_free (self->name);
}

static int
run (const PcdCtl *ctl, int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  int exit_code = pcd_verb_parse_alone (&pcd_verb_top, NULL, &argc, &argv);

  if (exit_code >= 0)
    return exit_code;
  if (ctl->host) {
    g_printerr (_ ("%s: --host: a full screen is best shown from there: "
                   "ssh -t %s postcopyctl top\n"),
                g_get_prgname (), ctl->host);
    return PCD_EXIT_USAGE;
  }
  g_autofree char *address = pcd_bus_resolve (ctl->bus, &error);
  if (!address) {
    g_printerr ("%s: --bus: %s\n", g_get_prgname (), error->message);
    return PCD_EXIT_USAGE;
  }
  if (!isatty (STDOUT_FILENO) || !isatty (STDIN_FILENO)) {
    g_printerr (_ ("%s: needs a terminal for input and output; 'postcopyctl status --watch' and "
                   "'postcopyctl list --json' do not\n"),
                g_get_prgname ());
    return PCD_EXIT_FAILED;
  }
  g_autofree char *problem = pcd_top_screen_open ();
  if (problem) {
    g_printerr (_ ("%s: %s; set TERM to what this terminal is, or use "
                   "'postcopyctl status --watch'\n"),
                g_get_prgname (), problem);
    return PCD_EXIT_FAILED;
  }
  PcdTop top = {
    .ctl = ctl,
    .loop = g_main_loop_new (NULL, FALSE),
    .model = pcd_top_model_new (),
    .filter = g_string_new (NULL),
    .asking = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL),
  };
  show (&top, address);
  clear (&top);
  return PCD_EXIT_DONE;
}

const PcdVerb pcd_verb_top = {
  .name = "top",
  .synopsis = "",
  .summary = N_ ("All migrations on this host, live, on one screen"),
  .run = run,
};
