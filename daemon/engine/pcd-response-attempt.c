/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attempts of one migration's response, its incident, and what was done to the guest: the stop of a
 * snapshot that nobody undid is undone here. Decides nothing else. */
#include "engine/pcd-response-private.h"

#include <gio/gio.h>

/* A stop of a snapshot that was cut short is undone; tried again after so long, then longer. */
#define UNDO_FIRST_MSEC 500
#define UNDO_LAST_MSEC  30000

static const PcdLadderEvent tick = { .kind = PCD_LADDER_TICK };

const char *
pcd_response_deed_to_string (PcdDeed deed)
{
  static const char *const words[] = {
    [PCD_DEED_UNDONE] = NULL,
    [PCD_DEED_STOP] = "yes",
    [PCD_DEED_STOP_FOR_SNAPSHOT] = "snapshot",
  };

  return words[deed];
}

static void
set_deed (PcdResponse *self, PcdDeed deed)
{
  if (self->deed != deed)
    pcd_response_set_flag (self, "stopped", pcd_response_deed_to_string (deed));
  self->deed = deed;
}

/* A stop that is sent may be pending in QEMU and come true when a page arrives: what counts is that
 * it may have been sent. */
static void
on_attempt_deed (PcdDeed deed, PcdJournalCallback callback, gpointer callback_data, gpointer data)
{
  PcdResponse *self = data;

  if (deed == PCD_DEED_UNDONE) {
    set_deed (self, deed);
    callback (NULL, callback_data);
    return;
  }
  self->deed = deed;
  pcd_journal_secure_flag (self->env->journal, self->uuid, "stopped",
                           pcd_response_deed_to_string (deed), callback, callback_data);
}

/* What we did to the guest, so that `resume` undoes that and nothing else. What is frozen it finds
 * by the mark on the cgroup itself. */
static void
note_deeds (PcdResponse *self, PcdActionKind action, PcdOutcome outcome)
{
  /* A guest that a snapshot had stopped is now to stay so. */
  if (action == PCD_ACTION_STOP && outcome == PCD_OUTCOME_DONE && self->deed)
    set_deed (self, PCD_DEED_STOP);
  /* Whether it is so the action itself finds out each time; refused means that it is not. */
  if (action == PCD_ACTION_STOP && outcome == PCD_OUTCOME_FAILED)
    self->hung = TRUE;
  if (action == PCD_ACTION_RECOVER && self->state.role == PCD_ROLE_DESTINATION)
    self->hung = outcome == PCD_OUTCOME_FAILED;
  if (action == PCD_ACTION_RESUME && outcome == PCD_OUTCOME_DONE)
    set_deed (self, PCD_DEED_UNDONE);
}

static void
on_attempt_starts (PcdAttempt *attempt, PcdRequest *request, const char *way, gpointer data)
{
  PcdResponse *self = data;

  request->uuid = self->uuid;
  request->name = self->name;
  request->state = self->state;
  request->libvirt_uri = self->env->uri;
  request->host.we_stopped = self->deed != PCD_DEED_UNDONE;
  request->host.for_snapshot = pcd_attempt_get_ticket (attempt) == self->undo_ticket;
  request->allow_destroy = self->env->allow_destroy;
  request->host.state_dir = self->env->state_dir;
  request->incident = self->incident;
  self->callbacks->fill (request, way, self->data);
  pcd_response_tell (self, request->action, "started", NULL);
}

/* Once the migration has, and what was begun for it, and the guest is let go. What an operator
 * wished was for this one. */
void
pcd_response_end_incident_if_over (PcdResponse *self)
{
  if (!pcd_phase_has_ended (self->state.phase) || self->attempts->len > 0 || self->undo_id ||
      pcd_response_veto_is_open (self) || pcd_response_look_held (self))
    return;
  if (self->held)
    pcd_response_set_flag (self, "held", NULL);
  if (self->chosen)
    pcd_response_set_flag (self, "policy", NULL);
  if (self->incident == 0)
    return;
  pcd_journal_end_incident (self->env->journal, self->incident,
                            pcd_phase_to_string (self->state.phase), g_get_real_time ());
  self->last_incident = self->incident;
  self->incident = 0;
  self->callbacks->changed (self->data);
}

/* That people were told is the least of what was done. */
static void
note_last (PcdResponse *self, PcdActionKind action, PcdOutcome outcome, const char *reason)
{
  if (action == PCD_ACTION_NOTIFY && outcome == PCD_OUTCOME_DONE && self->said.last_action)
    return;
  g_free (self->last_reason);
  self->last_reason = g_strdup (reason);
  self->said.last_action = pcd_action_to_string (action);
  self->said.last_outcome = pcd_outcome_to_string (outcome);
}

static void
on_attempt_ended (PcdAttempt *attempt, PcdOutcome outcome, const char *reason, gpointer data)
{
  PcdResponse *self = data;
  const PcdActionKind action = pcd_attempt_get_action (attempt);
  const guint64 ticket = pcd_attempt_get_ticket (attempt);
  const PcdLadderEvent event = {
    .kind = ticket >= OPERATOR_TICKET ? PCD_LADDER_OPERATOR_ENDED : PCD_LADDER_FINISHED,
    .ticket = ticket,
    .outcome = outcome,
    .action = action,
  };
  PcdLadderEffects effects;

  g_ptr_array_remove (self->attempts, attempt);
  note_deeds (self, action, outcome);
  if (ticket == self->undo_ticket && outcome == PCD_OUTCOME_REFUSED)
    set_deed (self, PCD_DEED_UNDONE); /* QEMU is in no state that a stop leaves it in */
  pcd_response_watch_undo (self);
  note_last (self, action, outcome, reason);
  /* The ladder must know before it is written down, or the next daemon would do it again. */
  pcd_response_step (self, ticket == self->undo_ticket ? &tick : &event, &effects);
  pcd_journal_result (self->env->journal, self->incident, ticket, pcd_outcome_to_string (outcome),
                      reason, &self->ladder, g_get_real_time ());
  pcd_response_tell (self, action, pcd_outcome_to_string (outcome), reason);
  pcd_attempt_free (attempt);
  pcd_response_carry_out_all (self, &effects);
  pcd_response_end_incident_if_over (self);
}

static void
on_attempt_progressed (PcdAttempt *attempt, gpointer data)
{
  PcdResponse *self = data;

  self->callbacks->changed (self->data);
}

static const PcdAttemptCallbacks attempt_callbacks = {
  .starts = on_attempt_starts,
  .progressed = on_attempt_progressed,
  .deed = on_attempt_deed,
  .ended = on_attempt_ended,
};

guint64
pcd_response_new_ticket (PcdResponse *self)
{
  self->operator_ticket =
      MAX (self->operator_ticket + 1, OPERATOR_TICKET + (guint64)g_get_real_time ());
  return self->operator_ticket;
}

void
pcd_response_open_incident (PcdResponse *self)
{
  if (self->incident == 0)
    self->incident = pcd_journal_begin_incident (self->env->journal, self->uuid, self->name,
                                                 self->state.role, g_get_real_time ());
}

void
pcd_response_begin (PcdResponse *self, const PcdAttemptSpec *spec, const char *who)
{
  PcdAttempt *attempt = pcd_attempt_new (spec, &self->env->turns, &attempt_callbacks, self);

  g_ptr_array_add (self->attempts, attempt);
  pcd_response_open_incident (self);
  pcd_attempt_begin (attempt, self->env->journal, self->incident, who, &self->ladder);
}

void
pcd_response_begin_by_policy (PcdResponse *self,
                              guint64 ticket,
                              PcdActionKind action,
                              const PcdParams *params)
{
  const PcdAttemptSpec spec = { .ticket = ticket, .action = action, .params = params };
  g_autofree char *who = g_strdup_printf ("policy %s", self->policy->name);

  pcd_response_begin (self, &spec, who);
}

void
pcd_response_cancel (PcdResponse *self, guint64 ticket)
{
  if (pcd_response_veto_cancel (self, ticket))
    return;
  for (guint i = 0; i < self->attempts->len; i++) {
    PcdAttempt *attempt = g_ptr_array_index (self->attempts, i);

    if (pcd_attempt_get_ticket (attempt) != ticket)
      continue;
    pcd_attempt_cancel (attempt);
    return;
  }
}

/* ---- a snapshot's stop that nobody undid ---- */

static gboolean on_undo (gpointer data);

/* Nobody asked for a guest that stands still: no step of a policy needs to say that it goes on. */
void
pcd_response_watch_undo (PcdResponse *self)
{
  g_clear_handle_id (&self->undo_id, g_source_remove);
  if (self->deed != PCD_DEED_STOP_FOR_SNAPSHOT || self->env->dry_run)
    return;
  if (!self->undo_msec)
    self->undo_msec = UNDO_FIRST_MSEC;
  self->undo_id = g_timeout_add (self->undo_msec, on_undo, self);
}

static gboolean
on_undo (gpointer data)
{
  PcdResponse *self = data;
  const PcdPhase phase = self->state.phase;
  const PcdAttemptSpec spec = {
    .ticket = pcd_response_new_ticket (self),
    .action = PCD_ACTION_RESUME,
  };

  self->undo_id = 0;
  if (phase == PCD_PHASE_GONE || phase == PCD_PHASE_FAILED)
    set_deed (self, PCD_DEED_UNDONE);
  if (phase == PCD_PHASE_NONE || self->attempts->len > 0 || self->held || !self->deed) {
    pcd_response_watch_undo (self);
    pcd_response_end_incident_if_over (self);
    return G_SOURCE_REMOVE;
  }
  self->undo_msec = MIN (self->undo_msec * 2, UNDO_LAST_MSEC);
  self->undo_ticket = spec.ticket;
  pcd_response_begin (self, &spec, "postcopyd, as a snapshot was cut short");
  return G_SOURCE_REMOVE;
}
