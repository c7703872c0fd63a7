/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All questions are sent, then all answers waited for. */
#include "ctl/pcd-client-progress.h"

#include "ctl/pcd-show.h"

#include <glib/gi18n.h>

/* The daemon itself gives libvirt less. */
#define DEADLINE_MSEC 5000

typedef struct {
  GMainLoop *loop;
  guint waiting;
} Round;

typedef struct {
  Round *round;
  PcdClientMigration *migration;
} Asked;

gboolean
pcd_client_has_progress (const PcdClientMigration *migration)
{
  static const PcdPhase phases[] = { PCD_PHASE_POSTCOPY, PCD_PHASE_PAUSED, PCD_PHASE_RECOVERING };

  for (guint i = 0; i < G_N_ELEMENTS (phases); i++)
    if (g_str_equal (migration->phase, pcd_phase_to_string (phases[i])))
      return TRUE;
  return FALSE;
}

static void
on_answer (GVariant *reply, const GError *error, gpointer data)
{
  g_autofree Asked *asked = data;
  PcdClientMigration *migration = asked->migration;

  migration->asked = TRUE;
  if (reply)
    migration->progress = pcd_client_progress_parse (reply, &migration->problem);
  else if (g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_METHOD))
    migration->problem = g_strdup (_ ("the migration is gone, or this postcopyd cannot say"));
  else
    migration->problem = g_strdup (_ ("postcopyd did not answer"));
  if (--asked->round->waiting == 0)
    g_main_loop_quit (asked->round->loop);
}

void
pcd_client_ask_progress (PcdClient *client, const PcdClientState *state, const char *domain)
{
  /* Of its own: signals of the daemon, which may call for another look, wait meanwhile. */
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (context, FALSE);
  Round round = { .loop = loop };

  g_main_context_push_thread_default (context);

  for (guint i = 0; i < state->migrations->len; i++) {
    PcdClientMigration *migration = g_ptr_array_index (state->migrations, i);

    if (!pcd_show_matches (migration, domain) || !pcd_client_has_progress (migration))
      continue;
    const PcdClientQuestion question = { .path = migration->path,
                                         .method = "GetProgress",
                                         .reply_type = "(a{sv})",
                                         .timeout_msec = DEADLINE_MSEC };
    Asked *asked = g_new0 (Asked, 1);
    *asked = (Asked){ &round, migration };
    round.waiting++;
    pcd_client_ask (client, &question, on_answer, asked);
  }
  if (round.waiting > 0)
    g_main_loop_run (loop);
  g_main_context_pop_thread_default (context);
}
