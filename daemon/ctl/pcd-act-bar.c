/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks for the state now and then while the answer is awaited, and draws what it says. */
#include "ctl/pcd-act-bar.h"

#include "core/pcd-record.h"
#include "ctl/pcd-verb.h"

#include <stdio.h>
#include <string.h>

#define TICK_MSEC 300
#define WIDTH     20

typedef struct {
  PcdClient *client;
  const PcdClientMigration *migration;
  int timeout_msec;
  GMainLoop *loop;
  GVariant **reply;
  int exit_code;
  gboolean line; /* there is one on the terminal */
} Bar;

static void
draw (Bar *self, const PcdClientMigration *now)
{
  const guint64 total = now->doing_total;
  const guint64 done = MIN (now->doing_done, total);
  const guint filled = (guint)((double)done / (double)total * WIDTH);
  g_autofree char *name = pcd_text_printable (now->name);
  g_autofree char *text = pcd_text_printable (now->doing_text);
  g_autofree char *full = g_strnfill (filled, '#'), *rest = g_strnfill (WIDTH - filled, '-');

  fprintf (stderr, "\r%s: %s: %s [%s%s] %u %%\033[K", name, now->doing, text, full, rest,
           (guint)((double)done / (double)total * 100));
  fflush (stderr);
  self->line = TRUE;
}

static gboolean
on_tick (gpointer data)
{
  Bar *self = data;
  g_autoptr (PcdClientState) state = pcd_client_get_state (self->client);

  for (guint i = 0; state && i < state->migrations->len; i++) {
    const PcdClientMigration *now = g_ptr_array_index (state->migrations, i);

    if (g_str_equal (now->path, self->migration->path) && *now->doing && now->doing_total > 0)
      draw (self, now);
  }
  return G_SOURCE_CONTINUE;
}

static void
on_answer (GVariant *reply, const GError *error, gpointer data)
{
  Bar *self = data;

  if (self->line)
    fprintf (stderr, "\r\033[K");
  fflush (stderr);
  if (reply)
    *self->reply = g_variant_ref (reply);
  self->exit_code = reply ? PCD_EXIT_DONE
                          : pcd_client_tell_error (self->client, "Act", self->timeout_msec, error);
  g_main_loop_quit (self->loop);
}

int
pcd_act_with_bar (PcdClient *client,
                  const PcdClientMigration *migration,
                  GVariant *order,
                  int timeout_msec,
                  GVariant **ret_reply)
{
  /* Of its own: signals of the daemon, which call for nothing here, wait meanwhile. */
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (context, FALSE);
  g_autoptr (GSource) tick = g_timeout_source_new (TICK_MSEC);
  Bar self = { .client = client,
               .migration = migration,
               .timeout_msec = timeout_msec,
               .loop = loop,
               .reply = ret_reply };

  g_main_context_push_thread_default (context);
  g_source_set_callback (tick, on_tick, &self, NULL);
  g_source_attach (tick, context);
  pcd_client_ask (client, migration->path, "Act", order, "(ss)", timeout_msec, on_answer, &self);
  g_main_loop_run (loop);
  g_source_destroy (tick);
  g_main_context_pop_thread_default (context);
  return self.exit_code;
}
