/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Before policy acts: whether those outside have something against it. What an operator orders is
 * not asked about: operators win over policy, and over who may forbid it. */
#include "engine/pcd-response-private.h"

/* From the ladder's start to the hooks' say. */
typedef struct {
  PcdResponse *response;
  guint64 ticket;
  PcdActionKind action;
  PcdWhen when;
  PcdPolicy *policy; /* the params' */
  PcdParams params;
  gboolean has_params;
  PcdVeto *veto;
} Question;

static void
question_free (Question *question)
{
  pcd_policy_unref (question->policy);
  g_free (question);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Question, question_free)

static void
clear_veto (PcdStandingVeto *veto)
{
  g_clear_pointer (&veto->author, g_free);
  g_clear_pointer (&veto->reason, g_free);
}

static void
tell_veto (PcdResponse *self, PcdActionKind action)
{
  const PcdStandingVeto *veto = &self->vetoes[action];
  g_autofree char *left =
      pcd_duration_to_string ((veto->until - g_get_real_time ()) / G_USEC_PER_SEC * G_USEC_PER_SEC);
  g_autofree char *detail = g_strdup_printf ("by %s%s%s; asked again after %s", veto->author,
                                             veto->reason ? ": " : "", veto->reason ?: "", left);

  pcd_response_tell (self, action, "vetoed", detail);
}

/* A veto that is said again and again is one veto. */
static void
note_veto (PcdResponse *self, const Question *question, const PcdVetoSay *say)
{
  PcdStandingVeto *veto = &self->vetoes[question->action];
  const gboolean news =
      g_strcmp0 (veto->author, say->author) != 0 || g_strcmp0 (veto->reason, say->reason) != 0;
  const gint64 now = g_get_real_time ();

  if (!veto->author)
    veto->since = now;
  if (news) {
    clear_veto (veto);
    veto->author = g_strdup (say->author);
    veto->reason = g_strdup (say->reason);
  }
  veto->when = question->when;
  veto->until = now + say->again_usec;
  if (news)
    tell_veto (self, question->action);
}

static void
note_problem (PcdResponse *self, PcdActionKind action, const PcdVetoSay *say)
{
  PcdStandingVeto *veto = &self->vetoes[action];
  g_autofree char *detail =
      say->problem ? g_strdup_printf ("%s; default = %s holds", say->problem,
                                      self->env->veto->deny_unanswered ? "deny" : "allow")
                   : NULL;

  if (g_strcmp0 (veto->problem, say->problem) == 0)
    return;
  g_free (veto->problem);
  veto->problem = g_strdup (say->problem);
  if (detail)
    pcd_response_tell (self, action, "unanswered", detail);
}

static void
permit (PcdResponse *self, PcdActionKind action, const char *detail)
{
  if (!self->vetoes[action].author)
    return;
  clear_veto (&self->vetoes[action]);
  pcd_response_tell (self, action, "permitted", detail);
}

static void
on_say (const PcdVetoSay *say, gpointer data)
{
  g_autoptr (Question) question = data;
  PcdResponse *self = question->response;
  const PcdLadderEvent event = {
    .kind = PCD_LADDER_WITHDRAWN,
    .ticket = question->ticket,
    .until = g_get_monotonic_time () + say->again_usec,
  };

  g_ptr_array_remove (self->questions, question);
  note_problem (self, question->action, say);
  if (say->verdict == PCD_VETO_ALLOW) {
    permit (self, question->action, say->author);
    pcd_response_begin_by_policy (self, question->ticket, question->action,
                                  question->has_params ? &question->params : NULL);
    return;
  }
  note_veto (self, question, say);
  pcd_response_climb (self, &event);
}

gboolean
pcd_response_veto_ask (PcdResponse *self, const PcdLadderEffect *start)
{
  Question *question;
  PcdVetoQuestion words;

  if (!pcd_veto_config_covers (self->env->veto, start->action))
    return FALSE;
  question = g_new0 (Question, 1);
  question->response = self;
  question->ticket = start->ticket;
  question->action = start->action;
  question->when = start->when;
  question->policy = pcd_policy_ref (self->policy);
  question->has_params = start->params != NULL;
  if (start->params)
    question->params = *start->params;
  /* What is said belongs to it. */
  pcd_response_open_incident (self);
  words = (PcdVetoQuestion){
    .domain = self->name,
    .uuid = self->uuid,
    .action = start->action,
    .role = pcd_role_to_string (self->state.role),
    .policy = self->policy->name,
    .phase = pcd_phase_to_string (self->state.phase),
    .cause = pcd_cause_to_string (self->state.cause),
    .incident = self->incident,
    .vetoed_time = self->vetoes[start->action].author ? self->vetoes[start->action].since : 0,
  };
  g_ptr_array_add (self->questions, question);
  question->veto = pcd_veto_ask (self->env->veto, &words, on_say, question);
  return TRUE;
}

/* Nobody wants to know any more. */
static void
drop (PcdResponse *self, guint index)
{
  g_autoptr (Question) question = g_ptr_array_steal_index (self->questions, index);
  const PcdLadderEvent event = { .kind = PCD_LADDER_WITHDRAWN, .ticket = question->ticket };

  pcd_veto_drop (question->veto);
  pcd_response_climb (self, &event);
}

gboolean
pcd_response_veto_cancel (PcdResponse *self, guint64 ticket)
{
  for (guint i = 0; i < self->questions->len; i++)
    if (((Question *)g_ptr_array_index (self->questions, i))->ticket == ticket) {
      drop (self, i);
      return TRUE;
    }
  return FALSE;
}

static gboolean
holds (PcdResponse *self, PcdWhen when)
{
  return pcd_when_holds (when, self->state.phase, self->state.flow);
}

void
pcd_response_veto_update (PcdResponse *self)
{
  /* To drop one may begin another. */
  for (guint i = 0; i < self->questions->len;)
    if (holds (self, ((Question *)g_ptr_array_index (self->questions, i))->when))
      i++;
    else
      drop (self, i);
  for (guint i = 0; i < PCD_ACTION_MAX; i++)
    if (self->vetoes[i].author && !holds (self, self->vetoes[i].when))
      permit (self, i, "nothing is left to veto, as the migration's phase has changed");
}

gboolean
pcd_response_veto_is_open (PcdResponse *self)
{
  gboolean open = self->questions->len > 0;

  for (guint i = 0; i < PCD_ACTION_MAX; i++)
    open = open || self->vetoes[i].author;
  return open;
}

void
pcd_response_veto_fill_view (PcdResponse *self, PcdMigrationView *view)
{
  g_array_set_size (self->shown_vetoes, 0);
  for (guint i = 0; i < PCD_ACTION_MAX; i++) {
    const PcdStandingVeto *veto = &self->vetoes[i];
    const PcdVetoView shown = { pcd_action_to_string (i), veto->author, veto->reason, veto->since,
                                veto->until };

    if (veto->author)
      g_array_append_val (self->shown_vetoes, shown);
  }
  view->vetoes = self->shown_vetoes;
  if (view->doing || self->questions->len == 0)
    return;
  view->doing = pcd_action_to_string (((Question *)g_ptr_array_index (self->questions, 0))->action);
  view->doing_text = "asks the veto hooks whether it may";
}

void
pcd_response_veto_clear (PcdResponse *self)
{
  for (guint i = 0; i < self->questions->len; i++) {
    Question *question = g_ptr_array_index (self->questions, i);

    pcd_veto_drop (question->veto);
    question_free (question);
  }
  g_ptr_array_unref (self->questions);
  for (guint i = 0; i < PCD_ACTION_MAX; i++) {
    clear_veto (&self->vetoes[i]);
    g_free (self->vetoes[i].problem);
  }
  g_array_unref (self->shown_vetoes);
}
