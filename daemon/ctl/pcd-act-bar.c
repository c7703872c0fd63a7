/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks for the state now and then while the answer is awaited, and has drawn what it says. */
#include "ctl/pcd-act-bar.h"

#include "core/pcd-record.h"
#include "ctl/pcd-busy.h"
#include "ctl/pcd-verb.h"

#include <glib/gi18n.h>

#define TICK_MSEC 300

typedef struct {
  PcdClient *client;
  const PcdClientMigration *migration;
  const PcdClientQuestion *question;
  const char *action;
  GMainLoop *loop;
  GVariant **reply;
  int exit_code;
  PcdBusy *busy;
} Bar;

static char *
describe (const Bar *self, const PcdClientMigration *now)
{
  g_autofree char *name = pcd_text_printable (self->migration->name);
  const gboolean is_ours = now && g_str_equal (now->doing, self->action);
  g_autofree char *text = pcd_text_printable (is_ours ? now->doing_text : "");

  return g_strconcat (name, ": ", self->action, *text ? ": " : "", text, NULL);
}

static void
tell (Bar *self, const PcdClientMigration *now)
{
  g_autofree char *text = describe (self, now);

  pcd_busy_tell (self->busy, text);
  pcd_busy_count (self->busy, now->doing_done, *now->doing ? now->doing_total : 0);
}

static gboolean
on_tick (gpointer data)
{
  Bar *self = data;
  g_autoptr (PcdClientState) state = pcd_client_get_state (self->client);

  for (guint i = 0; state && i < state->migrations->len; i++) {
    const PcdClientMigration *now = g_ptr_array_index (state->migrations, i);

    if (g_str_equal (now->path, self->migration->path))
      tell (self, now);
  }
  return G_SOURCE_CONTINUE;
}

static void
on_answer (GVariant *reply, const GError *error, gpointer data)
{
  Bar *self = data;

  g_clear_pointer (&self->busy, pcd_busy_end);
  if (reply)
    *self->reply = g_variant_ref (reply);
  self->exit_code =
      reply ? PCD_EXIT_DONE : pcd_client_tell_error (self->client, self->question, error);
  g_main_loop_quit (self->loop);
}

int
pcd_act_with_bar (PcdClient *client,
                  const PcdClientMigration *migration,
                  const PcdClientQuestion *question,
                  const char *action,
                  GVariant **ret_reply)
{
  /* Of its own: signals of the daemon, which call for nothing here, wait meanwhile. */
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (context, FALSE);
  g_autoptr (GSource) tick = g_timeout_source_new (TICK_MSEC);
  Bar self = { .client = client,
               .migration = migration,
               .question = question,
               .action = action,
               .loop = loop,
               .reply = ret_reply };

  g_autofree char *text = describe (&self, NULL);

  self.busy = pcd_busy_begin (0, text, _ ("postcopyd goes on with it"));
  g_main_context_push_thread_default (context);
  g_source_set_callback (tick, on_tick, &self, NULL);
  g_source_attach (tick, context);
  pcd_client_ask (client, question, on_answer, &self);
  g_main_loop_run (loop);
  pcd_busy_end (self.busy);
  g_source_destroy (tick);
  g_main_context_pop_thread_default (context);
  return self.exit_code;
}
