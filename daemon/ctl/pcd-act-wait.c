/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signals and a clock call for a look; a look shows, judges, and may ask for another attempt. */
#include "ctl/pcd-act-wait.h"

#include "core/pcd-duration.h"
#include "ctl/pcd-busy.h"
#include "ctl/pcd-client-progress.h"
#include "ctl/pcd-show.h"

#include <glib/gi18n.h>

/* Every action has a shorter deadline of its own; polkit may ask a person before. */
#define ANSWER_MSEC      (5 * 60 * 1000)
#define TICK_MSEC        500
#define LINE_USEC        (10 * G_TIME_SPAN_SECOND)
#define AGAIN_FIRST_USEC (1 * G_TIME_SPAN_SECOND)
#define AGAIN_LAST_USEC  (10 * G_TIME_SPAN_SECOND)

typedef struct {
  const PcdActWait *wait;
  PcdClient *client;
  GVariant *order;
  char *path;
  char *uuid;
  char *name; /* printable */
  gint64 began;
  gboolean asking;   /* Act () is under way */
  gint64 again_at;   /* to ask again, if nobody else goes on; 0 for never */
  gint64 again_usec; /* from the next failure to then */
  char *told;        /* the last failure */
  PcdBusy *busy;     /* (nullable) */
  char *phase;       /* of the last plain line */
  gint64 line_time;
  const char *outlook; /* what happens if it is waited for no longer */
  int exit_code;       /* -1 while it goes on */
} Wait;

static gboolean look (gpointer data);

void
pcd_act_tell_outcome (const char *name,
                      PcdActionKind action,
                      gboolean dry_run,
                      gboolean can_freeze,
                      const char *outcome,
                      const char *reason)
{
  const char *word = pcd_action_to_string (action);
  g_autofree char *text = pcd_text_printable (reason);

  if (g_str_equal (outcome, "done")) {
    if (dry_run)
      g_print (_ ("%s: would %s%s%s\n"), name, word, *text ? ": " : "", text);
    else
      g_print (_ ("%s: %s: done%s%s\n"), name, word, *text ? ": " : "", text);
    return;
  }
  gboolean hint = can_freeze && action == PCD_ACTION_STOP && g_str_equal (outcome, "refused");
  g_printerr ("%s: %s: %s", g_get_prgname (), outcome, *text ? text : _ ("no reason given"));
  if (hint)
    g_printerr (_ ("; try 'postcopyctl freeze %s'"), name);
  g_printerr ("\n");
}

/* ---- showing ---- */

static char *
describe (const Wait *self, const PcdClientMigration *migration)
{
  const gboolean flows = !g_str_equal (migration->flow, "none");
  const gboolean does = *migration->doing && !g_str_equal (migration->phase, "postcopy");

  /* TRANSLATORS: behind the phase of a migration: the action that is done just now */
  g_autofree char *doing = does ? g_strdup_printf (_ (", doing %s"), migration->doing) : NULL;

  return g_strconcat (self->name, ": ", migration->phase, flows ? ", " : "",
                      flows ? migration->flow : "", doing ?: "", NULL);
}

/* No terminal: a line for each phase, and one now and then. Flow may change many times a second. */
static void
show_line (Wait *self, const PcdClientMigration *migration, const char *state)
{
  const gint64 now = g_get_monotonic_time ();

  if (g_strcmp0 (migration->phase, self->phase) == 0 && now - self->line_time < LINE_USEC)
    return;
  g_free (self->phase);
  self->phase = g_strdup (migration->phase);
  self->line_time = now;
  g_autofree char *figures =
      migration->progress.known ? pcd_progress_to_text (&migration->progress) : NULL;
  g_printerr ("%s%s%s\n", state, figures ? ": " : "", figures ?: "");
}

static void
show (Wait *self, const PcdClientMigration *migration)
{
  g_autofree char *state = describe (self, migration);

  if (self->wait->quiet)
    return;
  pcd_busy_tell (self->busy, state);
  pcd_busy_progress (self->busy, &migration->progress);
  if (!pcd_busy_can_draw ())
    show_line (self, migration, state);
}

/* ---- what a failure means ---- */

static gboolean
is_paused (const PcdClientMigration *migration)
{
  return g_str_equal (migration->phase, "paused");
}

/* Whether the daemon goes on without being asked. */
static gboolean
goes_on (const PcdClientMigration *migration)
{
  return *migration->doing || g_str_equal (migration->next_action, "recover");
}

static const char *
outlook_of (const PcdClientMigration *migration)
{
  if (!is_paused (migration) || goes_on (migration))
    return _ ("postcopyd goes on");
  return migration->held ? _ ("it is paused, and held: postcopyd does not go on by itself")
                         : _ ("it is still paused");
}

/* Once for each reason: retries fail alike. */
static void
tell_failure (Wait *self, const char *reason)
{
  g_autofree char *text = pcd_text_printable (*reason ? reason : _ ("no reason given"));

  if (g_strcmp0 (text, self->told) == 0)
    return;
  pcd_busy_clear (self->busy);
  g_printerr (_ ("%s: an attempt failed: %s; it is tried again\n"), g_get_prgname (), text);
  g_free (self->told);
  self->told = g_steal_pointer (&text);
}

/* The attempts of the policy, which nobody answers to us. */
static void
tell_attempts (Wait *self, const PcdClientMigration *migration)
{
  if (!self->asking && g_str_equal (migration->last_action, "recover") &&
      g_str_equal (migration->last_outcome, "failed") && is_paused (migration))
    tell_failure (self, migration->last_reason);
}

static PcdClientMigration *
find_path (const PcdClientState *state, const char *path)
{
  for (guint i = 0; i < state->migrations->len; i++) {
    PcdClientMigration *migration = g_ptr_array_index (state->migrations, i);
    if (g_str_equal (migration->path, path))
      return migration;
  }
  return NULL;
}

static void
end (Wait *self, int exit_code)
{
  self->exit_code = exit_code;
  pcd_client_end (self->client, PCD_EXIT_DONE);
}

/* libvirt 9.0 to 10.x may report a false error while the recovery proceeds: the phase counts. */
static void
on_failed (Wait *self, const char *outcome, const char *reason)
{
  g_autoptr (PcdClientState) state = pcd_client_get_state (self->client);
  const PcdClientMigration *migration = state ? find_path (state, self->path) : NULL;
  const gboolean paused = migration && is_paused (migration);
  const gboolean refused = g_str_equal (outcome, "refused");
  const gboolean over = self->wait->action == PCD_ACTION_FORCE_PAUSE ? !paused : paused && refused;

  if (over || (refused && !self->wait->quiet)) {
    pcd_busy_clear (self->busy);
    pcd_act_tell_outcome (self->name, self->wait->action, FALSE, FALSE, outcome, reason);
  }
  if (over)
    end (self, PCD_EXIT_FAILED);
  if (over || !paused)
    return;
  tell_failure (self, reason);
  self->again_at = g_get_monotonic_time () + self->again_usec;
  self->again_usec = MIN (self->again_usec * 2, AGAIN_LAST_USEC);
}

static PcdClientQuestion
question_of (const Wait *self)
{
  return (PcdClientQuestion){ .path = self->path,
                              .method = "Act",
                              .arguments = self->order,
                              .reply_type = "(ss)",
                              .timeout_msec = ANSWER_MSEC };
}

static void
on_answer (GVariant *reply, const GError *error, gpointer data)
{
  Wait *self = data;
  const PcdClientQuestion question = question_of (self);
  const char *outcome = NULL, *reason = NULL;

  self->asking = FALSE;
  if (!reply) {
    pcd_busy_clear (self->busy);
    end (self, pcd_client_tell_error (self->client, &question, error));
    return;
  }
  g_variant_get (reply, "(&s&s)", &outcome, &reason);
  if (!g_str_equal (outcome, "done")) {
    on_failed (self, outcome, reason);
  } else if (!self->wait->quiet) {
    pcd_busy_clear (self->busy);
    pcd_act_tell_outcome (self->name, self->wait->action, FALSE, FALSE, outcome, reason);
  }
  if (self->exit_code < 0 && !look (self))
    pcd_client_end (self->client, PCD_EXIT_DONE);
}

static void
ask (Wait *self)
{
  const PcdClientQuestion question = question_of (self);

  self->asking = TRUE;
  self->again_at = 0;
  pcd_client_ask (self->client, &question, on_answer, self);
}

static void
ask_again_if_due (Wait *self, const PcdClientMigration *migration)
{
  if (self->asking || !self->again_at || !is_paused (migration) || goes_on (migration) ||
      g_get_monotonic_time () < self->again_at)
    return;
  ask (self);
}

/* ---- waiting ---- */

/* -1 to go on waiting. */
static int
judge (Wait *self, const PcdClientMigration *migration)
{
  if (self->wait->action == PCD_ACTION_FORCE_PAUSE && is_paused (migration))
    return PCD_EXIT_DONE;
  if (!pcd_show_has_ended (migration))
    return -1;
  if (g_str_equal (migration->phase, "completed")) {
    pcd_busy_clear (self->busy);
    if (!self->wait->quiet)
      g_print (_ ("%s: completed\n"), self->name);
    return PCD_EXIT_DONE;
  }
  pcd_busy_clear (self->busy);
  g_printerr (_ ("%s: failed: the migration of '%s' is %s\n"), g_get_prgname (), self->name,
              migration->phase);
  return PCD_EXIT_FAILED;
}

/* %FALSE to end, with the exit code set. */
static gboolean
look (gpointer data)
{
  Wait *self = data;
  g_autoptr (PcdClientState) state = pcd_client_get_state (self->client);
  PcdClientMigration *migration = state ? find_path (state, self->path) : NULL;

  if (!migration) {
    pcd_busy_clear (self->busy);
    self->exit_code = state ? PCD_EXIT_NOT_FOUND : PCD_EXIT_NO_DAEMON;
    if (state)
      g_printerr (_ ("%s: the migration of '%s' is not known here any more\n"), g_get_prgname (),
                  self->name);
    return FALSE;
  }
  if (!self->wait->quiet && self->wait->action == PCD_ACTION_RECOVER)
    pcd_client_ask_progress (self->client, state, self->uuid);
  self->outlook = outlook_of (migration);
  pcd_busy_set_interrupted (self->busy, self->outlook);
  tell_attempts (self, migration);
  self->exit_code = judge (self, migration);
  if (self->exit_code >= 0)
    return FALSE;
  show (self, migration);
  ask_again_if_due (self, migration);
  return TRUE;
}

static gboolean
on_tick (gpointer data)
{
  Wait *self = data;
  const gint64 timeout = self->wait->timeout_usec;

  if (timeout && g_get_monotonic_time () - self->began > timeout) {
    g_autofree char *waited = pcd_duration_to_string (timeout);

    pcd_busy_clear (self->busy);
    g_printerr (_ ("%s: failed: not over within %s; %s\n"), g_get_prgname (), waited,
                self->outlook);
    end (self, PCD_EXIT_FAILED);
  } else if (!look (self)) {
    pcd_client_end (self->client, PCD_EXIT_DONE);
  }
  return G_SOURCE_CONTINUE;
}

int
pcd_act_wait (PcdClient *client, const PcdClientMigration *migration, const PcdActWait *wait)
{
  static const PcdClientFollower follower = { .changed = look };
  g_autoptr (GVariant) order = g_variant_ref_sink (wait->order);
  g_autofree char *path = g_strdup (migration->path);
  g_autofree char *uuid = g_strdup (migration->uuid);
  g_autofree char *name = pcd_text_printable (migration->name);
  Wait self = {
    .wait = wait,
    .client = client,
    .order = order,
    .path = path,
    .uuid = uuid,
    .name = name,
    .began = g_get_monotonic_time (),
    .again_usec = AGAIN_FIRST_USEC,
    .exit_code = -1,
  };

  if (wait->draws)
    self.busy = pcd_busy_begin (0, name, NULL);
  pcd_client_listen (client, &follower, &self);
  if (look (&self)) {
    ask (&self);
    guint tick_id = g_timeout_add (TICK_MSEC, on_tick, &self);
    int followed = pcd_client_follow (client);
    g_source_remove (tick_id);
    if (followed != PCD_EXIT_DONE)
      self.exit_code = followed;
  }
  pcd_busy_end (self.busy);
  g_free (self.told);
  g_free (self.phase);
  return self.exit_code;
}
