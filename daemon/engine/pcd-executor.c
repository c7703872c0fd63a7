/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs actions in threads of their own and brings the answer back to the main thread, or says that
 * none came in time. Knows no action. */
#include "engine/pcd-executor.h"

#include "actions/pcd-actions.h"
#include "qmp/pcd-monitor-keeper.h"

#include <string.h>

struct _PcdExecution {
  gatomicrefcount refs;
  const PostcopydAction *action;
  const char *action_name;
  PostcopydMigration view;
  PostcopydJob job;
  PcdActionHost host;
  GPtrArray *texts; /* owns the strings of @view */
  GArray *params;   /* (element-type PostcopydParam) */
  gint cancelled;   /* atomic */
  gint64 allowed_usec;
  PostcopydOutcome outcome;
  char reason[512];
  GMutex lock; /* the members up to the next comment */
  char *text;
  guint64 done;
  guint64 total;
  gboolean told; /* the main thread has not taken it yet */
  /* Main thread only. */
  PcdExecutionProgress progress;
  PcdExecutionDeed deed;
  PcdExecutionCallback callback; /* NULL once it was called */
  gpointer data;
  guint deadline_id;
};

static const char *
keep (PcdExecution *self, const char *text)
{
  char *copy = g_strdup (text);

  g_ptr_array_add (self->texts, copy);
  return copy;
}

static void
execution_unref (PcdExecution *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  g_clear_pointer (&self->host.peers, g_ptr_array_unref);
  g_clear_pointer (&self->host.monitor, pcd_monitor_keeper_unref);
  g_ptr_array_unref (self->texts);
  g_array_unref (self->params);
  g_mutex_clear (&self->lock);
  g_free (self->text);
  g_free (self);
}

static PcdExecution *
execution_of (const PostcopydJob *job)
{
  return (PcdExecution *)((const char *)job - G_STRUCT_OFFSET (PcdExecution, job));
}

static int
is_cancelled (const PostcopydJob *job)
{
  return g_atomic_int_get (&execution_of (job)->cancelled);
}

static gboolean
on_progress (gpointer data)
{
  PcdExecution *self = data;
  g_autofree char *text = NULL;
  guint64 done, total;

  g_mutex_lock (&self->lock);
  text = g_strdup (self->text);
  done = self->done;
  total = self->total;
  self->told = FALSE;
  g_mutex_unlock (&self->lock);
  if (self->callback && self->progress)
    self->progress (done, total, text, self->data);
  return G_SOURCE_REMOVE;
}

/* In the action's thread, which may say it a thousand times a second. */
static void
take_progress (const PostcopydJob *job, uint64_t done, uint64_t total, const char *text)
{
  PcdExecution *self = execution_of (job);
  g_autofree char *valid = text ? g_utf8_make_valid (text, -1) : NULL;

  g_mutex_lock (&self->lock);
  const gboolean told = self->told;
  g_free (self->text);
  self->text = g_steal_pointer (&valid);
  self->done = done;
  self->total = total;
  self->told = TRUE;
  g_mutex_unlock (&self->lock);
  if (told)
    return;
  g_atomic_ref_count_inc (&self->refs);
  g_main_context_invoke_full (NULL, G_PRIORITY_DEFAULT, on_progress, self,
                              (GDestroyNotify)execution_unref);
}

/* ---- deeds ---- */

/* One reference is the thread's that waits, one the main thread's. */
typedef struct {
  gatomicrefcount refs;
  PcdExecution *execution;
  PcdDeed deed;
  GMutex lock; /* the members that follow */
  GCond cond;
  gboolean answered;
  GError *error;
} Deed;

static void
deed_unref (Deed *deed)
{
  if (!g_atomic_ref_count_dec (&deed->refs))
    return;
  execution_unref (deed->execution);
  g_mutex_clear (&deed->lock);
  g_cond_clear (&deed->cond);
  g_clear_error (&deed->error);
  g_free (deed);
}

static void
on_deed_kept (const GError *error, gpointer data)
{
  Deed *deed = data;

  g_mutex_lock (&deed->lock);
  deed->error = error ? g_error_copy (error) : NULL;
  deed->answered = TRUE;
  g_cond_signal (&deed->cond);
  g_mutex_unlock (&deed->lock);
  deed_unref (deed);
}

static gboolean
on_deed (gpointer data)
{
  Deed *deed = data;
  PcdExecution *self = deed->execution;
  g_autoptr (GError) error = NULL;

  if (self->callback && self->deed) {
    self->deed (deed->deed, on_deed_kept, deed, self->data);
    return G_SOURCE_REMOVE;
  }
  error = g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, "the action was left behind");
  on_deed_kept (error, deed);
  return G_SOURCE_REMOVE;
}

gboolean
pcd_execution_deed (PcdExecution *self, PcdDeed what, gint64 until, GError **error)
{
  Deed *deed = g_new0 (Deed, 1);
  gboolean is_kept = TRUE;

  g_atomic_ref_count_init (&deed->refs);
  g_atomic_ref_count_inc (&deed->refs);
  g_atomic_ref_count_inc (&self->refs);
  deed->execution = self;
  deed->deed = what;
  g_mutex_init (&deed->lock);
  g_cond_init (&deed->cond);
  g_main_context_invoke (NULL, on_deed, deed);
  g_mutex_lock (&deed->lock);
  while (what != PCD_DEED_UNDONE && is_kept && !deed->answered)
    is_kept = g_cond_wait_until (&deed->cond, &deed->lock, until);
  if (!is_kept)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "the journal did not answer in time");
  else if (deed->error) {
    g_propagate_error (error, g_steal_pointer (&deed->error));
    is_kept = FALSE;
  }
  g_mutex_unlock (&deed->lock);
  deed_unref (deed);
  return is_kept;
}

void
pcd_execution_on_deed (PcdExecution *execution, PcdExecutionDeed deed)
{
  execution->deed = deed;
}

static PcdOutcome
outcome_of (PostcopydOutcome outcome)
{
  switch (outcome) {
  case POSTCOPYD_DONE:
    return PCD_OUTCOME_DONE;
  case POSTCOPYD_REFUSED:
    return PCD_OUTCOME_REFUSED;
  case POSTCOPYD_FAILED:
  default:
    return PCD_OUTCOME_FAILED;
  }
}

/* The answer, or the news that there is none; once. */
static void
answer (PcdExecution *self, PcdOutcome outcome, const char *reason)
{
  PcdExecutionCallback callback = self->callback;

  g_clear_handle_id (&self->deadline_id, g_source_remove);
  if (!callback)
    return;
  self->callback = NULL;
  callback (outcome, reason && reason[0] ? reason : NULL, self->data);
}

static gboolean
on_answer (gpointer data)
{
  PcdExecution *self = data;

  if (self->outcome != POSTCOPYD_DONE && !self->reason[0])
    g_snprintf (self->reason, sizeof self->reason, "the action gave no reason");
  answer (self, outcome_of (self->outcome), self->reason);
  return G_SOURCE_REMOVE;
}

static gboolean
on_deadline (gpointer data)
{
  PcdExecution *self = data;
  g_autofree char *reason = g_strdup_printf ("no answer within %.1f s; it was left behind",
                                             self->allowed_usec / (double)G_USEC_PER_SEC);

  self->deadline_id = 0;
  g_atomic_int_set (&self->cancelled, 1);
  answer (self, PCD_OUTCOME_FAILED, reason);
  return G_SOURCE_REMOVE;
}

static gpointer
run (gpointer data)
{
  PcdExecution *self = data;

  self->outcome = self->action->run (&self->view, &self->job, self->reason, sizeof self->reason);
  g_main_context_invoke_full (NULL, G_PRIORITY_DEFAULT, on_answer, self,
                              (GDestroyNotify)execution_unref);
  return NULL;
}

static void
add_param (const char *name, PcdParamType type, double value, const char *text, gpointer data)
{
  PcdExecution *self = data;
  const PostcopydParam param = {
    .name = keep (self, name),
    .value = type == PCD_PARAM_DURATION ? g_strdup_printf ("%" G_GINT64_FORMAT, (gint64)value)
                                        : g_strdup (text),
  };

  g_ptr_array_add (self->texts, (gpointer)param.value);
  g_array_append_val (self->params, param);
}

static void
describe (PcdExecution *self, const PcdRequest *request)
{
  if (request->params)
    pcd_params_foreach (request->params, request->action, add_param, self);
  self->view = (PostcopydMigration){
    .struct_size = sizeof self->view,
    .uuid = keep (self, request->uuid),
    .name = keep (self, request->name),
    .role = pcd_role_to_string (request->state.role),
    .phase = pcd_phase_to_string (request->state.phase),
    .flow = pcd_flow_to_string (request->state.flow),
    .cause = pcd_cause_to_string (request->state.cause),
    .pid = request->pid,
    .libvirt_uri = keep (self, request->libvirt_uri),
    .peer_address = keep (self, request->peer_address),
    .n_params = self->params->len,
    .params = (const PostcopydParam *)self->params->data,
    .internal = &self->host,
  };
}

const PostcopydAction *
pcd_executor_find (PcdActionKind action)
{
  const PostcopydPlugin *plugin = pcd_actions_find (pcd_action_to_string (action));

  return plugin ? plugin->action : NULL;
}

PcdExecution *
pcd_executor_start (const PcdRequest *request,
                    gint64 deadline_usec,
                    PcdExecutionCallback callback,
                    gpointer data)
{
  PcdExecution *self = g_new0 (PcdExecution, 1);

  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->lock);
  self->action = pcd_executor_find (request->action);
  self->action_name = pcd_action_to_string (request->action);
  g_assert (self->action);
  self->texts = g_ptr_array_new_with_free_func (g_free);
  self->params = g_array_new (FALSE, TRUE, sizeof (PostcopydParam));
  self->callback = callback;
  self->data = data;
  self->allowed_usec = deadline_usec;
  self->host = request->host;
  self->host.execution = self;
  if (self->host.peers)
    g_ptr_array_ref (self->host.peers);
  if (self->host.monitor)
    pcd_monitor_keeper_ref (self->host.monitor);
  self->host.state_dir = keep (self, request->host.state_dir);
  self->host.peer_uri = keep (self, request->host.peer_uri);
  self->host.directory = keep (self, request->host.directory);
  self->host.connection = keep (self, request->host.connection);
  describe (self, request);
  self->job = (PostcopydJob){
    .struct_size = sizeof self->job,
    .deadline_usec = g_get_monotonic_time () + deadline_usec,
    .cancelled = is_cancelled,
    .progress = take_progress,
  };
  self->deadline_id = g_timeout_add (deadline_usec / 1000 + 1, on_deadline, self);
  g_thread_unref (g_thread_new (self->action_name, run, self));
  return self;
}

void
pcd_execution_cancel (PcdExecution *execution)
{
  g_atomic_int_set (&execution->cancelled, 1);
}

void
pcd_execution_on_progress (PcdExecution *execution, PcdExecutionProgress progress)
{
  execution->progress = progress;
}
