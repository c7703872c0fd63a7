/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl status: everything about the migrations of this host, or of one domain.
 * Old blocks are never shown without saying so first. */
#include "ctl/pcd-client-progress.h"
#include "ctl/pcd-look.h"
#include "ctl/pcd-pick.h"
#include "ctl/pcd-show-block.h"
#include "ctl/pcd-show.h"
#include "ctl/pcd-verbs.h"

#include <glib/gi18n.h>
#include <stdio.h>
#include <unistd.h>

typedef struct {
  const PcdCtl *ctl;
  PcdClient *client;
  const char *word; /* of the user */
  char *domain; /* what pcd_show_matches () understands; found once: an id ends with its domain */
  gboolean json;
  gboolean watch;
  gboolean is_live; /* a terminal is painted again every second, for what is as long as it lasts */
  gboolean moves;   /* there is progress to be watched */
  int exit_code;
  char *last; /* the JSON of what was printed last: signals may be about other domains */
} Status;

static char *
make_text (const Status *self, const PcdClientState *state)
{
  const PcdTerminal terminal = pcd_terminal_of (STDOUT_FILENO);
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < state->migrations->len; i++) {
    const PcdClientMigration *migration = g_ptr_array_index (state->migrations, i);
    PcdShowLook look = { 0 };
    if (!pcd_show_matches (migration, self->domain))
      continue;
    const gboolean looked = pcd_look (self->ctl, migration, &look);
    g_autofree char *block =
        pcd_show_block (state, migration, looked ? &look : NULL, &terminal, g_get_real_time ());
    g_string_append (text, block);
    pcd_show_look_clear (&look);
  }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static gboolean
has_domain (const PcdClientState *state, const char *domain)
{
  for (guint i = 0; i < state->migrations->len; i++)
    if (pcd_show_matches (g_ptr_array_index (state->migrations, i), domain))
      return TRUE;
  return FALSE;
}

static void
print_heading (const Status *self)
{
  if (self->json || !self->watch)
    return;
  g_autofree char *now = pcd_time_to_text (g_get_real_time ());
  if (isatty (STDOUT_FILENO))
    printf ("\033[H\033[2J");
  printf ("%s\n\n", now);
}

static gboolean
moves (const PcdClientState *state)
{
  for (guint i = 0; i < state->migrations->len; i++)
    if (((const PcdClientMigration *)g_ptr_array_index (state->migrations, i))->progress.known)
      return TRUE;
  return FALSE;
}

/* %FALSE to end, with the exit code set. */
static gboolean
print_status (gpointer data)
{
  Status *self = data;
  g_autoptr (PcdClientState) state = pcd_client_get_state (self->client);

  self->exit_code = PCD_EXIT_NO_DAEMON;
  if (!state)
    return FALSE;
  if (self->word && !self->domain)
    self->domain = pcd_pick_domain (self->ctl, state, self->word);
  pcd_client_ask_progress (self->client, state, self->domain);
  self->moves = moves (state);
  g_autofree char *warning = pcd_show_disconnected (state);
  g_autofree char *json = pcd_show_json (state, self->domain, !self->watch);
  self->exit_code = PCD_EXIT_DONE;
  if (g_strcmp0 (json, self->last) == 0 && !self->is_live)
    return TRUE;
  g_free (self->last);
  self->last = g_strdup (json);
  g_autofree char *text = self->json ? g_steal_pointer (&json) : make_text (self, state);
  print_heading (self);
  fflush (stdout);
  if (warning)
    g_printerr ("%s", warning);
  if (self->domain && !has_domain (state, self->domain)) {
    g_autofree char *hint = pcd_pick_hint (state, self->word);
    g_printerr (
        _ ("%s: no migration of a domain '%s' is known here%s; 'postcopyctl list' shows all\n"),
        g_get_prgname (), self->word, hint);
    self->exit_code = PCD_EXIT_NOT_FOUND;
    return FALSE;
  }
  if (!self->json && state->migrations->len == 0)
    g_printerr (_ ("no migrations\n"));
  /* GLib has SIGPIPE ignored: without a reader, end here. */
  if (fputs (text, stdout) < 0 || fflush (stdout) != 0)
    self->exit_code = PCD_EXIT_FAILED;
  return self->exit_code == PCD_EXIT_DONE;
}

/* What is missing changes all the time and is told to nobody who does not ask. */
static gboolean
on_tick (gpointer data)
{
  Status *self = data;

  if ((self->moves || self->is_live) && !print_status (self))
    pcd_client_end (self->client, PCD_EXIT_DONE);
  return G_SOURCE_CONTINUE;
}

static int
run_status (const PcdCtl *ctl, Status *self)
{
  static const PcdClientFollower follower = { .changed = print_status };
  int exit_code = PCD_EXIT_DONE;
  g_autoptr (PcdClient) client = pcd_client_open (ctl, &exit_code);

  if (!client)
    return exit_code;
  self->ctl = ctl;
  self->client = client;
  if (self->watch)
    pcd_client_listen (client, &follower, self);
  if (!print_status (self) || !self->watch)
    return self->exit_code;
  guint tick_id = g_timeout_add_seconds (1, on_tick, self);
  exit_code = pcd_client_follow (client);
  g_source_remove (tick_id);
  return exit_code == PCD_EXIT_DONE ? self->exit_code : exit_code;
}

static int
run (const PcdCtl *ctl, int argc, char **argv)
{
  Status status = { .exit_code = PCD_EXIT_DONE };
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &status.json, N_ ("Print JSON"), NULL },
    { "watch", 'w', 0, G_OPTION_ARG_NONE, &status.watch, N_ ("Print again with every change"),
      NULL },
    { NULL },
  };

  int parsed = pcd_verb_parse (&pcd_verb_status, entries, &argc, &argv);
  if (parsed >= 0)
    return parsed;
  if (argc > 2) {
    g_printerr (_ ("%s: unexpected argument '%s'; it takes one domain at most\n"), g_get_prgname (),
                argv[2]);
    return PCD_EXIT_USAGE;
  }
  status.word = argc > 1 ? argv[1] : NULL;
  status.is_live = status.watch && !status.json && isatty (STDOUT_FILENO);
  int exit_code = run_status (ctl, &status);
  g_free (status.last);
  g_free (status.domain);
  return exit_code;
}

const PcdVerb pcd_verb_status = {
  .name = "status",
  .synopsis = "[DOMAIN] [--json] [--watch]",
  .summary = N_ ("Everything about the migrations on this host, or of one domain"),
  .example = "status vm1 --watch",
  .run = run,
};
