/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Carries one action out: intent to the journal, its turn, the action to the executor, the answer.
 * Decides nothing about what comes next. */
#include "engine/pcd-attempt.h"

#include <gio/gio.h>

/* From the intent to its end. Outlives its response, whose answer then goes nowhere. */
struct _PcdAttempt {
  const PcdAttemptCallbacks *callbacks; /* NULL once nobody is interested */
  gpointer data;
  PcdTurns *turns;
  guint64 ticket;
  PcdActionKind action;
  PcdParams params;
  gboolean has_params;
  char *way;
  gboolean force;
  gboolean counted; /* among turns->recoveries */
  gboolean cancelled;
  PcdAttemptProgress progress;
  PcdExecution *execution;
  PcdOrderCallback callback; /* of an operator */
  gpointer callback_data;
  PcdOrderProgress told_progress; /* likewise */
  GCancellable *cancellable;
  gulong cancelled_id;
};

/* No answer after so long: the thread is left behind. */
static gint64
allowed_usec (const PcdPlugin *plugin, const PcdAttempt *attempt)
{
  const gint64 wish = pcd_plugin_get_action (plugin)->limit_usec;

  switch (attempt->action) {
  case PCD_ACTION_DEBUG: /* and some seconds to end a debugger and to release QEMU */
    return (gint64)pcd_params_get (&attempt->params, attempt->action, "limit") +
           10 * G_USEC_PER_SEC;
  case PCD_ACTION_RECOVER:
    return 40 * G_USEC_PER_SEC; /* libvirt gives up a dead connection after 30 s */
  case PCD_ACTION_DESTROY:
    return 30 * G_USEC_PER_SEC;
  case PCD_ACTION_SNAPSHOT:
    return 30 * 60 * G_USEC_PER_SEC; /* of a terabyte; it ends at once when called off */
  case PCD_ACTION_FORCE_PAUSE:
    return 15 * G_USEC_PER_SEC;
  default:
    return wish > 0 ? wish : 10 * G_USEC_PER_SEC;
  }
}

static void
on_cancelled (GCancellable *cancellable, gpointer data)
{
  pcd_attempt_cancel (data);
}

PcdAttempt *
pcd_attempt_new (const PcdAttemptSpec *spec,
                 PcdTurns *turns,
                 const PcdAttemptCallbacks *callbacks,
                 gpointer data)
{
  PcdAttempt *attempt = g_new0 (PcdAttempt, 1);

  attempt->callbacks = callbacks;
  attempt->data = data;
  attempt->turns = turns;
  attempt->ticket = spec->ticket;
  attempt->action = spec->action;
  attempt->has_params = spec->params != NULL;
  attempt->params = spec->params ? *spec->params : pcd_params_init (spec->action);
  if (attempt->params.own)
    g_variant_ref (attempt->params.own);
  attempt->way = g_strdup (spec->way);
  attempt->force = spec->force;
  attempt->callback = spec->callback;
  attempt->callback_data = spec->callback_data;
  attempt->told_progress = spec->progress;
  /* Not g_cancellable_connect (): that cannot be undone from within the handler, and an attempt may
   * end by being cancelled. All of it happens on the main thread. */
  if (spec->cancellable) {
    attempt->cancellable = g_object_ref (spec->cancellable);
    attempt->cancelled_id =
        g_signal_connect (attempt->cancellable, "cancelled", G_CALLBACK (on_cancelled), attempt);
    attempt->cancelled = g_cancellable_is_cancelled (attempt->cancellable);
  }
  return attempt;
}

static void launch (PcdAttempt *attempt);

/* The next recovery may have the turn of one that ended. */
static void
give_back (PcdTurns *turns)
{
  PcdAttempt *next;

  turns->recoveries--;
  while (turns->recoveries < turns->parallel && (next = g_queue_pop_head (&turns->waiting)))
    launch (next);
}

void
pcd_attempt_free (PcdAttempt *attempt)
{
  PcdTurns *turns = attempt->counted ? attempt->turns : NULL;

  if (attempt->cancellable)
    g_signal_handler_disconnect (attempt->cancellable, attempt->cancelled_id);
  g_clear_object (&attempt->cancellable);
  g_free (attempt->progress.text);
  g_free (attempt->way);
  g_clear_pointer (&attempt->params.own, g_variant_unref);
  g_free (attempt);
  if (turns)
    give_back (turns);
}

/* The attempt's end, whatever it was. */
static void
settle (PcdAttempt *attempt, PcdOutcome outcome, const char *reason)
{
  if (attempt->callback)
    attempt->callback (outcome, reason, attempt->callback_data);
  if (attempt->callbacks)
    attempt->callbacks->ended (attempt, outcome, reason, attempt->data);
  else
    pcd_attempt_free (attempt);
}

static void
on_answer (PcdOutcome outcome, const char *reason, gpointer data)
{
  PcdAttempt *attempt = data;

  attempt->execution = NULL;
  settle (attempt, outcome, reason);
}

static void
on_progress (guint64 done, guint64 total, const char *text, gpointer data)
{
  PcdAttempt *attempt = data;

  g_free (attempt->progress.text);
  attempt->progress = (PcdAttemptProgress){ g_strdup (text), done, total };
  if (attempt->told_progress)
    attempt->told_progress (done, total, text, attempt->callback_data);
  if (attempt->callbacks)
    attempt->callbacks->progressed (attempt, attempt->data);
}

static void
on_deed (PcdDeed deed, PcdJournalCallback callback, gpointer callback_data, gpointer data)
{
  PcdAttempt *attempt = data;
  g_autoptr (GError) error = NULL;

  if (attempt->callbacks) {
    attempt->callbacks->deed (deed, callback, callback_data, attempt->data);
    return;
  }
  error = g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, "postcopyd is ending");
  callback (error, callback_data);
}

/* Whether a recovery may begin; if not, it waits for its turn. */
static gboolean
take_turn (PcdAttempt *attempt)
{
  PcdTurns *turns = attempt->turns;

  if (attempt->action != PCD_ACTION_RECOVER || attempt->counted)
    return TRUE;
  if (turns->recoveries >= turns->parallel) {
    g_queue_push_tail (&turns->waiting, attempt);
    on_progress (0, 0, "waits, as other recoveries run ([recover] parallel)", attempt);
    return FALSE;
  }
  attempt->counted = TRUE;
  turns->recoveries++;
  return TRUE;
}

static void
launch (PcdAttempt *attempt)
{
  PcdRequest request = { .action = attempt->action };
  PcdPlugin *plugin =
      pcd_plugins_find (attempt->turns->plugins, pcd_action_to_string (attempt->action));

  if (!attempt->callbacks || attempt->cancelled) {
    settle (attempt, PCD_OUTCOME_FAILED, "cancelled before it began");
    return;
  }
  if (!plugin || !pcd_plugin_get_action (plugin)) {
    const char *problem = plugin ? pcd_plugin_get_problem (plugin) : NULL;
    g_autofree char *reason = g_strdup_printf (
        "there is no action %s: %s", pcd_action_to_string (attempt->action),
        problem ? problem : "this postcopyd has not loaded it, see 'postcopyctl plugins'");

    settle (attempt, PCD_OUTCOME_REFUSED, reason);
    return;
  }
  if (!take_turn (attempt))
    return;
  request.params = attempt->has_params ? &attempt->params : NULL;
  request.force = attempt->force;
  g_clear_pointer (&attempt->progress.text, g_free);
  attempt->callbacks->starts (attempt, &request, attempt->way, attempt->data);
  attempt->execution =
      pcd_executor_start (plugin, &request, allowed_usec (plugin, attempt), on_answer, attempt);
  pcd_execution_on_progress (attempt->execution, on_progress);
  pcd_execution_on_deed (attempt->execution, on_deed);
  pcd_request_clear (&request);
}

static void
on_intent (const GError *error, gpointer data)
{
  PcdAttempt *attempt = data;

  if (error) {
    /* Rule 5: what could not be written down is not done. */
    g_autofree char *reason =
        g_strdup_printf ("the journal cannot be written: %s; is its disk full?", error->message);

    settle (attempt, PCD_OUTCOME_FAILED, reason);
    return;
  }
  launch (attempt);
}

void
pcd_attempt_begin (PcdAttempt *attempt,
                   PcdJournal *journal,
                   gint64 incident,
                   const char *who,
                   const PcdLadder *ladder)
{
  pcd_journal_intent (journal, incident, attempt->ticket, pcd_action_to_string (attempt->action),
                      who, ladder, g_get_real_time (), on_intent, attempt);
}

void
pcd_attempt_cancel (PcdAttempt *attempt)
{
  attempt->cancelled = TRUE;
  if (attempt->execution)
    pcd_execution_cancel (attempt->execution);
  else if (g_queue_remove (&attempt->turns->waiting, attempt))
    settle (attempt, PCD_OUTCOME_FAILED, "cancelled before it began");
}

void
pcd_attempt_abandon (PcdAttempt *attempt)
{
  attempt->callbacks = NULL;
  if (attempt->execution)
    pcd_execution_cancel (attempt->execution);
}

guint64
pcd_attempt_get_ticket (const PcdAttempt *attempt)
{
  return attempt->ticket;
}

PcdActionKind
pcd_attempt_get_action (const PcdAttempt *attempt)
{
  return attempt->action;
}

const PcdAttemptProgress *
pcd_attempt_get_progress (const PcdAttempt *attempt)
{
  return &attempt->progress;
}
