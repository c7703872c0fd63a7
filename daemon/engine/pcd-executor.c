/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs actions in threads of their own and brings the answer back to the main thread, or says that
 * none came in time. Knows no action. */
#include "engine/pcd-executor.h"

#include "core/pcd-params.h"
#include "plugins/pcd-plugin-job.h"
#include "qmp/pcd-monitor-keeper.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

struct _PcdExecution {
  gatomicrefcount refs;
  PcdPlugin *plugin;
  PostcopydMigration view;
  PcdPluginJob *job;
  PcdActionHost host;
  GPtrArray *texts; /* owns the strings of @view */
  GArray *params;   /* (element-type PostcopydParam) */
  gint64 allowed_usec;
  gint64 took_usec;
  PostcopydOutcome outcome;
  char reason[512];
  GMutex lock; /* the members up to the next comment */
  char *text;
  guint64 done;
  guint64 total;
  gboolean told;  /* the main thread has not taken it yet */
  gboolean ended; /* the call came back */
  gboolean left;  /* nobody waits for that */
  /* Main thread only. */
  PcdExecutionProgress progress;
  PcdExecutionDeed deed;
  PcdExecutionCallback callback; /* NULL once it was called */
  gpointer data;
  guint deadline_id;
};

void
pcd_request_clear (PcdRequest *request)
{
  g_clear_pointer (&request->host.peers, g_ptr_array_unref);
  g_free ((char *)request->host.no_peers);
  request->host.no_peers = NULL;
}

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
  pcd_plugin_unref (self->plugin);
  pcd_plugin_job_unref (self->job);
  g_clear_pointer (&self->host.peers, g_ptr_array_unref);
  g_clear_pointer (&self->host.monitor, pcd_monitor_keeper_unref);
  g_clear_pointer (&self->host.tcp_log, pcd_tcp_log_unref);
  g_ptr_array_unref (self->texts);
  g_array_unref (self->params);
  g_mutex_clear (&self->lock);
  g_free (self->text);
  g_free (self);
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
take_progress (guint64 done, guint64 total, const char *text, gpointer data)
{
  PcdExecution *self = data;
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

/* What an action must not answer is a failure of it, and told. */
static PcdOutcome
check_answer (PcdExecution *self)
{
  const int said = (int)self->outcome;

  self->reason[sizeof self->reason - 1] = '\0';
  switch (self->outcome) {
  case POSTCOPYD_DONE:
    return PCD_OUTCOME_DONE;
  case POSTCOPYD_REFUSED:
  case POSTCOPYD_FAILED:
    if (!self->reason[0])
      g_strlcpy (self->reason, "the action gave no reason", sizeof self->reason);
    return said == POSTCOPYD_REFUSED ? PCD_OUTCOME_REFUSED : PCD_OUTCOME_FAILED;
  default:
    g_snprintf (self->reason, sizeof self->reason,
                "the action answered %d, expected %d (done), %d (refused) or %d (failed)", said,
                POSTCOPYD_DONE, POSTCOPYD_REFUSED, POSTCOPYD_FAILED);
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
  const PcdOutcome outcome = check_answer (self);
  g_autofree char *reason = g_utf8_make_valid (self->reason, -1);

  /* Others' code is the first to be asked where the time went. */
  if (pcd_plugin_get_path (self->plugin)) {
    g_autofree char *timed = g_strdup_printf (
        "%s%splugin %s took %.3f s", reason, reason[0] ? "; " : "",
        pcd_plugin_get_name (self->plugin), self->took_usec / (double)G_USEC_PER_SEC);
    answer (self, outcome, timed);
  } else {
    answer (self, outcome, reason);
  }
  return G_SOURCE_REMOVE;
}

static gboolean
on_deadline (gpointer data)
{
  PcdExecution *self = data;
  g_autofree char *reason =
      g_strdup_printf ("no answer within %.1f s; it was left behind, try 'postcopyctl inspect'",
                       self->allowed_usec / (double)G_USEC_PER_SEC);

  self->deadline_id = 0;
  pcd_plugin_job_cancel (self->job);
  g_mutex_lock (&self->lock);
  self->left = !self->ended;
  if (self->left)
    pcd_plugin_set_overdue (self->plugin, TRUE);
  g_mutex_unlock (&self->lock);
  answer (self, PCD_OUTCOME_FAILED, reason);
  return G_SOURCE_REMOVE;
}

/* Signals are for the main loop, and not for a thread in which others' code runs. */
static void
call (PcdExecution *self)
{
  const gint64 began = g_get_monotonic_time ();
  g_autoptr (GError) error = NULL;
  sigset_t all;

  if (!pcd_plugin_enter (self->plugin, &error)) {
    g_strlcpy (self->reason, error->message, sizeof self->reason);
    self->outcome = POSTCOPYD_REFUSED;
    return;
  }
  sigfillset (&all);
  if (pcd_plugin_get_path (self->plugin))
    pthread_sigmask (SIG_BLOCK, &all, NULL);
  self->outcome = pcd_plugin_get_action (self->plugin)
                      ->run (&self->view, pcd_plugin_job_get_view (self->job), self->reason,
                             sizeof self->reason);
  self->took_usec = g_get_monotonic_time () - began;
  pcd_plugin_leave (self->plugin);
}

static gpointer
run (gpointer data)
{
  PcdExecution *self = data;

  call (self);
  g_mutex_lock (&self->lock);
  self->ended = TRUE;
  if (self->left)
    pcd_plugin_set_overdue (self->plugin, FALSE);
  g_mutex_unlock (&self->lock);
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
    .internal = pcd_plugin_get_path (self->plugin) ? NULL : &self->host,
    .incident = request->incident,
    .peer_uri = keep (self, request->peer_uri),
    .connection = keep (self, request->connection),
    .phase_since_usec = request->state.phase_since,
    .flags = (request->force ? POSTCOPYD_FORCED : 0) |
             (request->allow_destroy ? POSTCOPYD_DESTROY_ALLOWED : 0),
  };
}

PcdExecution *
pcd_executor_start (PcdPlugin *plugin,
                    const PcdRequest *request,
                    gint64 deadline_usec,
                    PcdExecutionCallback callback,
                    gpointer data)
{
  PcdExecution *self = g_new0 (PcdExecution, 1);

  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->lock);
  self->plugin = pcd_plugin_ref (plugin);
  g_assert (pcd_plugin_get_action (plugin));
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
  if (self->host.tcp_log)
    pcd_tcp_log_ref (self->host.tcp_log);
  self->host.state_dir = keep (self, request->host.state_dir);
  self->host.no_peers = keep (self, request->host.no_peers);
  self->host.directory = keep (self, request->host.directory);
  describe (self, request);
  self->job = pcd_plugin_job_new (
      pcd_plugin_get_name (plugin), g_get_monotonic_time () + deadline_usec,
      pcd_plugin_get_settings (plugin), pcd_plugin_get_directory (plugin), take_progress, self);
  self->deadline_id = g_timeout_add (deadline_usec / 1000 + 1, on_deadline, self);
  g_thread_unref (g_thread_new (pcd_plugin_get_name (plugin), run, self));
  return self;
}

void
pcd_execution_cancel (PcdExecution *execution)
{
  pcd_plugin_job_cancel (execution->job);
}

void
pcd_execution_on_progress (PcdExecution *execution, PcdExecutionProgress progress)
{
  execution->progress = progress;
}
