/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the ladder and operators ask becomes an attempt, and its answer goes back to the ladder.
 * Knows which policy applies; how an attempt goes is pcd-attempt.c's business. */
#include "engine/pcd-response-private.h"

#include "core/pcd-ended.h"
#include "core/pcd-foresee.h"
#include "engine/pcd-peers.h"

#include <gio/gio.h>

#include <string.h>

#define EVIDENCE_USEC (300 * (gint64)1000)

static const PcdLadderEvent tick = { .kind = PCD_LADDER_TICK };

void
pcd_response_tell (PcdResponse *self, PcdActionKind action, const char *what, const char *detail)
{
  self->callbacks->tell (PCD_RECORD_ACTION, pcd_action_to_string (action), what, detail,
                         self->data);
}

void
pcd_response_set_flag (PcdResponse *self, const char *flag, const char *value)
{
  pcd_journal_set_flag (self->env->journal, self->uuid, flag, value);
}

/* ---- the ladder ---- */

static void
carry_out (PcdResponse *self, const PcdLadderEffect *effect)
{
  switch (effect->kind) {
  case PCD_LADDER_START:
    if (!pcd_response_veto_ask (self, effect))
      pcd_response_begin_by_policy (self, effect->ticket, effect->action, effect->params);
    break;
  case PCD_LADDER_WOULD:
    pcd_response_tell (self, effect->action, "would", "dry run");
    break;
  case PCD_LADDER_CANCEL:
    pcd_response_cancel (self, effect->ticket);
    break;
  case PCD_LADDER_GIVE_UP:
    pcd_response_tell (self, effect->action, "gave-up", "no attempts left");
    break;
  case PCD_LADDER_REFUSE:
    pcd_response_tell (self, effect->action, "refused",
                       "destructive, and [host] allow-destroy is not set in postcopyd.conf");
    break;
  default:
    g_assert_not_reached ();
  }
}

static gboolean
on_wakeup (gpointer data)
{
  PcdResponse *self = data;

  self->wakeup = 0;
  pcd_response_climb (self, &tick);
  return G_SOURCE_REMOVE;
}

static void
set_wakeup (PcdResponse *self, gint64 when, gint64 now)
{
  g_clear_handle_id (&self->wakeup, g_source_remove);
  if (when != G_MAXINT64)
    self->wakeup = g_timeout_add (CLAMP ((when - now + 999) / 1000, 0, G_MAXINT), on_wakeup, self);
}

/* QEMU's word of a pause may be some ms ahead of the evidence why, and a pause that an operator
 * asked for is not to be undone. */
static gboolean
waits_for_evidence (const PcdState *state, gint64 now)
{
  return state->phase == PCD_PHASE_PAUSED && state->cause == PCD_CAUSE_UNKNOWN &&
         now - state->phase_since < EVIDENCE_USEC;
}

/* A destination's libvirt that was restarted, too, says "postcopy" over a pause until the host's
 * evidence tells better: a connection that flows, or none. */
static gboolean
may_still_be_paused (PcdResponse *self)
{
  const PcdState *state = &self->state;

  if (state->phase != PCD_PHASE_NONE &&
      (state->phase != PCD_PHASE_POSTCOPY || state->flow != PCD_FLOW_NONE))
    self->was_paused = FALSE;
  return self->was_paused;
}

/* Every attempt and all trouble is of an incident; without one there may be what a postcopyd left
 * whose journal is lost. */
static gboolean
is_untouched (const PcdResponse *self)
{
  return pcd_response_get_last_incident (self) == 0 && self->deed == PCD_DEED_UNDONE &&
         !self->found_held;
}

/* One step of the ladder. What it wants done is for pcd_response_carry_out_all (), once the ladder
 * has been written down. */
void
pcd_response_step (PcdResponse *self, const PcdLadderEvent *event, PcdLadderEffects *ret_effects)
{
  const gint64 now = g_get_monotonic_time ();
  const PcdState unknown = pcd_state_init (self->state.role, now);
  PcdLadderInput input = {
    .policy = self->policy,
    .state = may_still_be_paused (self) ? &unknown : &self->state,
    .held = self->held,
    .dry_run = self->env->dry_run,
    .allow_destroy = self->env->allow_destroy,
    .hung = self->hung,
    .untouched = is_untouched (self),
  };

  memcpy (input.facts, self->facts, sizeof input.facts);
  self->ladder = pcd_ladder_step (&self->ladder, &input, event, now, ret_effects);
  set_wakeup (self, ret_effects->wakeup, now);
}

void
pcd_response_carry_out_all (PcdResponse *self, const PcdLadderEffects *effects)
{
  g_autoptr (PcdPolicy) policy = pcd_policy_ref (self->policy); /* params live as long as it does */

  for (guint i = 0; i < effects->n; i++)
    carry_out (self, &effects->effects[i]);
  self->callbacks->changed (self->data);
}

void
pcd_response_climb (PcdResponse *self, const PcdLadderEvent *event)
{
  const gint64 now = g_get_monotonic_time ();
  PcdLadderEffects effects;

  if (event == &tick && waits_for_evidence (&self->state, now)) {
    set_wakeup (self, self->state.phase_since + EVIDENCE_USEC, now);
    return;
  }
  pcd_response_step (self, event, &effects);
  pcd_response_carry_out_all (self, &effects);
}

static void
select_policy (PcdResponse *self)
{
  g_autofree char *note = NULL;
  const char *source;
  PcdPolicy *policy = pcd_policy_set_choose (self->env->policies, self->chosen, self->wish,
                                             self->name, self->env->matches, self->env->n_matches,
                                             self->env->allow_destroy, &source, &note);

  if (self->policy && !g_str_equal (self->policy->name, policy->name))
    self->callbacks->tell (PCD_RECORD_POLICY, self->policy->name, policy->name, note, self->data);
  else if (note)
    self->callbacks->tell (PCD_RECORD_POLICY, NULL, policy->name, note, self->data);
  pcd_policy_ref (policy);
  g_clear_pointer (&self->policy, pcd_policy_unref);
  self->policy = policy;
  self->policy_source = source;
}

/* ---- public ---- */

PcdResponse *
pcd_response_new (PcdResponseEnv *env,
                  const char *uuid,
                  const char *name,
                  PcdRole role,
                  const PcdOpenIncident *left,
                  const PcdResponseCallbacks *callbacks,
                  gpointer data)
{
  PcdResponse *self = g_new0 (PcdResponse, 1);

  self->env = env;
  self->uuid = g_strdup (uuid);
  self->name = g_strdup (name);
  self->state = pcd_state_init (role, g_get_monotonic_time ());
  self->ladder = pcd_ladder_init (role);
  self->attempts = g_ptr_array_new ();
  self->questions = g_ptr_array_new ();
  self->shown_vetoes = g_array_new (FALSE, FALSE, sizeof (PcdVetoView));
  self->callbacks = callbacks;
  self->data = data;
  if (left)
    pcd_response_take_over (self, left);
  select_policy (self);
  if (left && left->ladder_error)
    callbacks->tell (PCD_RECORD_HOLD, "no", "yes", left->ladder_error, data);
  if (left)
    pcd_response_report_unfinished (self, left);
  pcd_response_watch_undo (self);
  return self;
}

void
pcd_response_free (PcdResponse *self)
{
  g_clear_handle_id (&self->wakeup, g_source_remove);
  g_clear_handle_id (&self->undo_id, g_source_remove);
  for (guint i = 0; i < self->attempts->len; i++)
    pcd_attempt_abandon (g_ptr_array_index (self->attempts, i));
  g_ptr_array_unref (self->attempts);
  pcd_response_veto_clear (self);
  pcd_policy_unref (self->policy);
  g_free (self->uuid);
  g_free (self->name);
  g_free (self->wish);
  g_free (self->chosen);
  g_free (self->last_reason);
  g_free (self);
}

static PcdFact
fact_of (PcdAnswer answer)
{
  return answer == PCD_ANSWER_YES  ? PCD_FACT_YES
         : answer == PCD_ANSWER_NO ? PCD_FACT_NO
                                   : PCD_FACT_UNKNOWN;
}

void
pcd_response_note_trouble (PcdResponse *self, const PcdState *state)
{
  if (pcd_state_is_trouble (state))
    pcd_response_open_incident (self);
}

void
pcd_response_note_found_held (PcdResponse *self)
{
  self->found_held = TRUE;
}

void
pcd_response_update (PcdResponse *self,
                     const PcdState *state,
                     const PcdMeasure *measure,
                     PcdFact peer_answers)
{
  self->state = *state;
  self->hung = self->hung && state->phase == PCD_PHASE_PAUSED;
  self->facts[PCD_PREDICATE_PEER_ANSWERS] = peer_answers;
  if (measure) {
    self->facts[PCD_PREDICATE_KICKABLE] = fact_of (measure->kickable);
    self->facts[PCD_PREDICATE_TRACEABLE] = fact_of (measure->traceable);
    self->facts[PCD_PREDICATE_BLOCKED] =
        measure->n_blocked_vcpus + measure->n_blocked_others > 0 ? PCD_FACT_YES : PCD_FACT_NO;
  }
  if (pcd_state_is_trouble (state))
    pcd_response_open_incident (self);
  pcd_response_veto_update (self);
  pcd_response_climb (self, &tick);
  pcd_response_end_incident_if_over (self);
}

void
pcd_response_reselect (PcdResponse *self)
{
  select_policy (self);
  pcd_response_climb (self, &tick);
}

void
pcd_response_set_wish (PcdResponse *self, const char *wish)
{
  if (g_strcmp0 (self->wish, wish) == 0)
    return;
  g_free (self->wish);
  self->wish = g_strdup (wish);
  pcd_response_reselect (self);
}

/* What @order would come to. Ways to the peer are known before; all else the action finds out. */
static PcdOutcome
foresee_order (PcdResponse *self, const PcdOrder *order, char **ret_reason)
{
  g_auto (PcdRequest) request = { .action = order->action };

  if (order->action != PCD_ACTION_RECOVER)
    return PCD_OUTCOME_DONE;
  self->callbacks->fill (&request, order->address, self->data);
  *ret_reason = request.host.peers ? pcd_routes_to_string (request.host.peers)
                                   : g_strdup (request.host.no_peers);
  return request.host.peers ? PCD_OUTCOME_DONE : PCD_OUTCOME_REFUSED;
}

void
pcd_response_order (PcdResponse *self,
                    const PcdOrder *order,
                    PcdOrderCallback callback,
                    gpointer data)
{
  const PcdLadderEvent began = { .kind = PCD_LADDER_OPERATOR_BEGAN, .action = order->action };
  const PcdParams defaults = pcd_params_init (order->action);
  PcdAttemptSpec spec = {
    .action = order->action,
    .params = order->params ? order->params : &defaults,
    .way = order->address,
    .force = order->force,
    .cancellable = order->cancellable,
    .progress = order->progress,
    .callback = callback,
    .callback_data = data,
  };

  const char *why_not = pcd_ended_why_not (order->action, self->state.role, self->state.phase);
  if (why_not) {
    callback (PCD_OUTCOME_REFUSED, why_not, data);
    return;
  }
  if (order->dry_run) {
    g_autofree char *reason = NULL;
    const PcdOutcome outcome = foresee_order (self, order, &reason);

    callback (outcome, reason, data);
    return;
  }
  if (self->env->dry_run) {
    callback (PCD_OUTCOME_DONE, "nothing was done: this postcopyd runs with --dry-run", data);
    return;
  }
  spec.ticket = pcd_response_new_ticket (self);
  pcd_response_climb (self, &began);
  pcd_response_begin (self, &spec, order->who);
}

/* A release may be late: it lets the policy undo what it did. */
gboolean
pcd_response_hold (PcdResponse *self, gboolean held, const char *who, GError **error)
{
  if (self->held == held)
    return TRUE;
  if (held && pcd_phase_has_ended (self->state.phase)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                 "the migration of %s has ended, there is nothing to hold", self->name);
    return FALSE;
  }
  self->held = held;
  pcd_response_set_flag (self, "held", held ? who : NULL);
  self->callbacks->tell (PCD_RECORD_HOLD, held ? "no" : "yes", held ? "yes" : "no", who,
                         self->data);
  pcd_response_climb (self, &tick);
  return TRUE;
}

gboolean
pcd_response_set_policy (PcdResponse *self, const char *name, const char *who, GError **error)
{
  const PcdPolicy *policy = name ? pcd_policy_set_lookup (self->env->policies, name) : NULL;

  if (name && !policy) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 "there is no policy '%s'; 'postcopyctl policy list' names them", name);
    return FALSE;
  }
  if (policy && policy->destructive && !self->env->allow_destroy) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                 "policy '%s' can destroy the domain, and [host] allow-destroy is not set in "
                 "postcopyd.conf",
                 name);
    return FALSE;
  }
  g_free (self->chosen);
  self->chosen = g_strdup (name);
  pcd_response_set_flag (self, "policy", name);
  pcd_response_reselect (self);
  return TRUE;
}

const PcdPolicy *
pcd_response_get_policy (PcdResponse *self)
{
  return self->policy;
}

gint64
pcd_response_get_incident (const PcdResponse *self)
{
  return self->incident;
}

gint64
pcd_response_get_last_incident (const PcdResponse *self)
{
  return self->incident ?: self->last_incident;
}

void
pcd_response_fill_view (PcdResponse *self, PcdMigrationView *view)
{
  const PcdAttempt *running = self->attempts->len ? g_ptr_array_index (self->attempts, 0) : NULL;
  PcdActionKind next;
  gint64 when;

  view->policy = self->policy->name;
  view->policy_source = self->policy_source;
  view->held = self->held;
  view->incident = self->incident;
  if (running) {
    const PcdAttemptProgress *progress = pcd_attempt_get_progress (running);

    view->doing = pcd_action_to_string (pcd_attempt_get_action (running));
    view->doing_text = progress->text;
    view->doing_done = progress->done;
    view->doing_total = progress->total;
  }
  pcd_response_veto_fill_view (self, view);
  view->we_stopped = self->deed != PCD_DEED_UNDONE;
  view->last_action = self->said.last_action;
  view->last_outcome = self->said.last_outcome;
  view->last_reason = self->last_reason;
  pcd_response_held_fill_view (self, view);
  if (pcd_ladder_foresee (&self->ladder, self->policy, is_untouched (self), &next, &when)) {
    view->next_action = pcd_action_to_string (next);
    view->next_time = when == PCD_FORESEE_PEER_ANSWERS
                          ? 0
                          : g_get_real_time () + MAX (when - g_get_monotonic_time (), 0);
  }
}
