/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One Call per method call, from its arrival to its answer. */
#include "bus/pcd-operate.h"

#include "bus/pcd-act-options.h"
#include "bus/pcd-address.h"
#include "bus/pcd-authority.h"
#include "bus/pcd-bus-error.h"
#include "bus/pcd-job.h"
#include "core/pcd-node.h"
#include "debug/pcd-debug-file.h"

#include <gio/gunixfdlist.h>
#include <unistd.h>

/* What an operator may ask for by name; notify is the policies' own. */
static const PcdActionKind offered[] = {
  PCD_ACTION_RECOVER,  PCD_ACTION_FORCE_PAUSE, PCD_ACTION_STOP,   PCD_ACTION_FREEZE,
  PCD_ACTION_SNAPSHOT, PCD_ACTION_DEBUG,       PCD_ACTION_RESUME, PCD_ACTION_DESTROY,
};

struct _PcdOperate {
  PcdEngine *engine;
  PcdOperateReload reload;
  gpointer data;
  GCancellable *cancellable;
  PcdJobs *jobs;
};

typedef struct _Call Call;

/* Does what was asked, and answers it now or later; takes @call. */
typedef void (*CallFunc) (Call *call, const char *who);

struct _Call {
  PcdOperate *operate; /* until authority is known */
  GDBusMethodInvocation *invocation;
  CallFunc func;
  char *uuid;
  PcdRole role;
  gboolean held;
  char *policy;
  PcdActionKind action;
  PcdActOptions options;
  char *name;          /* the domain's */
  gboolean only_start; /* the job is the answer */
  PcdJob *job;
  guint timeout_id;
  gboolean answered;
};

static Call *
call_new (PcdOperate *self, GDBusMethodInvocation *invocation, CallFunc func)
{
  Call *call = g_new0 (Call, 1);

  call->operate = self;
  call->invocation = g_object_ref (invocation);
  call->func = func;
  return call;
}

static void
call_free (Call *call)
{
  g_clear_handle_id (&call->timeout_id, g_source_remove);
  pcd_act_options_clear (&call->options);
  g_object_unref (call->invocation);
  g_free (call->uuid);
  g_free (call->name);
  g_free (call->policy);
  g_free (call);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Call, call_free)

/* The invocation's own reference goes with its answer; ours stays. */
static void
answer (Call *call, GVariant *value)
{
  call->answered = TRUE;
  g_dbus_method_invocation_return_value (call->invocation, value);
}

static void
answer_error (Call *call, const GError *error)
{
  call->answered = TRUE;
  g_dbus_method_invocation_return_gerror (call->invocation, error);
}

/* The engine speaks GIO; who calls us reads names on the bus. */
static void
answer_engine_error (Call *call, const GError *error)
{
  PcdBusError code = PCD_BUS_ERROR_FAILED;

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
    code = PCD_BUS_ERROR_NOT_FOUND;
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT))
    code = PCD_BUS_ERROR_BAD_ARGUMENT;
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED) ||
           g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED))
    code = PCD_BUS_ERROR_REFUSED;
  g_autofree char *message = g_utf8_make_valid (error->message, -1);
  g_autoptr (GError) told = g_error_new_literal (PCD_BUS_ERROR, code, message);
  answer_error (call, told);
}

static void
on_authority (const char *who, const GError *error, gpointer data)
{
  Call *call = data;

  if (who) {
    call->func (call, who);
    return;
  }
  if (error->domain == PCD_BUS_ERROR) {
    answer_error (call, error);
  } else {
    g_autoptr (GError) ending =
        g_error_new (PCD_BUS_ERROR, PCD_BUS_ERROR_FAILED, "postcopyd is ending");
    answer_error (call, ending);
  }
  call_free (call);
}

static const char *
authority_of (PcdActionKind action)
{
  return pcd_action_get_spec (action)->destructive ? PCD_AUTHORITY_DESTROY : PCD_AUTHORITY_MANAGE;
}

static void
authorize (Call *call, const char *action_id)
{
  pcd_authority_check (call->invocation, action_id, call->operate->cancellable, on_authority, call);
}

static void
on_outcome (PcdOutcome outcome, const char *reason, gpointer data)
{
  g_autoptr (Call) call = data;
  g_autofree char *text = g_utf8_make_valid (reason ?: "", -1);

  pcd_job_end (call->job, outcome, reason);
  if (!call->answered)
    answer (call, g_variant_new ("(ss)", pcd_outcome_to_string (outcome), text));
}

static void
on_progress (guint64 done, guint64 total, const char *text, gpointer data)
{
  Call *call = data;

  pcd_job_progress (call->job, done, total, text);
}

static void
begin_job (Call *call, const char *who)
{
  g_autofree char *migration = pcd_bus_migration_path (call->uuid, call->role);
  const PcdJobSpec spec = {
    .action = pcd_action_to_string (call->action),
    .authority = authority_of (call->action),
    .uuid = call->uuid,
    .domain = call->name,
    .migration = migration,
    .who = who,
  };

  call->job = pcd_jobs_begin (call->operate->jobs, &spec);
}

/* The action has a deadline of its own: this is only how long its caller wants to wait. */
static gboolean
on_act_timeout (gpointer data)
{
  Call *call = data;
  g_autofree char *waited = pcd_duration_to_string (call->options.timeout_usec);
  g_autoptr (GError) error =
      g_error_new (PCD_BUS_ERROR, PCD_BUS_ERROR_FAILED, "%s has not ended within %s; it goes on",
                   pcd_action_to_string (call->action), waited);

  call->timeout_id = 0;
  answer_error (call, error);
  return G_SOURCE_REMOVE;
}

static void
act (Call *call, const char *who)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;
  g_autoptr (GDBusMethodInvocation) invocation = g_object_ref (call->invocation);
  const gboolean only_start = call->only_start;

  begin_job (call, who);
  path = g_strdup (pcd_job_get_path (call->job));
  const PcdOrder order = {
    .uuid = call->uuid,
    .role = call->role,
    .action = call->action,
    .params = &call->options.params,
    .address = call->options.address,
    .force = call->options.force,
    .dry_run = call->options.dry_run,
    .who = who,
    .cancellable = pcd_job_get_cancellable (call->job),
    .progress = on_progress,
  };

  /* The answer is here, as the call may be over before the order is back. */
  call->answered = only_start;
  /* Before the order, which may end and free the call at once. */
  if (call->options.timeout_usec)
    call->timeout_id =
        g_timeout_add ((guint)MAX (call->options.timeout_usec / 1000, 1), on_act_timeout, call);
  if (pcd_engine_order (call->operate->engine, &order, on_outcome, call, &error)) {
    if (only_start)
      g_dbus_method_invocation_return_value (invocation, g_variant_new ("(o)", path));
    return;
  }
  pcd_job_discard (call->job);
  answer_engine_error (call, error);
  call_free (call);
}

static void
hold (Call *call, const char *who)
{
  g_autoptr (Call) owned = call;
  g_autoptr (GError) error = NULL;

  if (pcd_engine_hold (call->operate->engine, call->uuid, call->role, call->held, who, &error))
    answer (call, NULL);
  else
    answer_engine_error (call, error);
}

static void
set_policy (Call *call, const char *who)
{
  g_autoptr (Call) owned = call;
  g_autoptr (GError) error = NULL;

  if (pcd_engine_set_policy (call->operate->engine, call->uuid, call->role,
                             *call->policy ? call->policy : NULL, who, &error))
    answer (call, NULL);
  else
    answer_engine_error (call, error);
}

static void
reload (Call *call, const char *who)
{
  g_autoptr (Call) owned = call;
  g_autoptr (GError) error = NULL;

  if (call->operate->reload (call->operate->data, &error)) {
    answer (call, NULL);
    return;
  }
  g_autofree char *message = g_utf8_make_valid (error->message, -1);
  g_autoptr (GError) told = g_error_new_literal (PCD_BUS_ERROR, PCD_BUS_ERROR_REFUSED, message);
  answer_error (call, told);
}

/* Where a file is looked for, in a thread: a disk may be slow. */
typedef struct {
  char *state_dir;
  gint64 incident;
  char *name;
} Place;

static void
place_free (gpointer data)
{
  Place *place = data;

  g_free (place->state_dir);
  g_free (place->name);
  g_free (place);
}

static void
open_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Place *place = data;
  GError *error = NULL;
  int fd = pcd_debug_file_open_last (place->state_dir, place->incident, &place->name, &error);

  if (fd < 0)
    g_task_return_error (task, error);
  else
    g_task_return_int (task, fd);
}

static void
on_opened (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (Call) call = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
  const Place *place = g_task_get_task_data (G_TASK (result));
  int fd = (int)g_task_propagate_int (G_TASK (result), &error);
  int handle = fd < 0 ? -1 : g_unix_fd_list_append (list, fd, &error);

  if (fd >= 0)
    close (fd);
  if (handle < 0) {
    const gboolean none = g_error_matches (error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
    g_autofree char *message = g_utf8_make_valid (error->message, -1);
    g_autoptr (GError) told = g_error_new_literal (
        PCD_BUS_ERROR, none ? PCD_BUS_ERROR_NOT_FOUND : PCD_BUS_ERROR_FAILED, message);
    answer_error (call, told);
    return;
  }
  call->answered = TRUE;
  g_dbus_method_invocation_return_value_with_unix_fd_list (
      call->invocation, g_variant_new ("(hs)", handle, place->name), list);
}

static void
open_debug_output (Call *call, const char *who)
{
  g_autoptr (GError) error = NULL;
  const char *state_dir = NULL;
  gint64 incident =
      pcd_engine_get_incident (call->operate->engine, call->uuid, call->role, &state_dir, &error);

  if (incident < 0) {
    answer_engine_error (call, error);
    call_free (call);
    return;
  }
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_opened, call);
  Place *place = g_new0 (Place, 1);
  place->state_dir = g_strdup (state_dir);
  place->incident = incident;
  g_task_set_task_data (task, place, place_free);
  g_task_run_in_thread (task, open_in_thread);
}

static gboolean
find_offered (const char *name, PcdActionKind *ret_action, GError **error)
{
  g_autoptr (GString) list = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (offered); i++) {
    const char *word = pcd_action_to_string (offered[i]);
    if (g_str_equal (name, word)) {
      *ret_action = offered[i];
      return TRUE;
    }
    g_string_append_printf (list, "%s%s", i ? ", " : "", word);
  }
  g_autofree char *quoted = pcd_node_quote (name);
  g_set_error (error, PCD_BUS_ERROR, PCD_BUS_ERROR_BAD_ARGUMENT,
               "unknown action %s, expected one of: %s", quoted, list->str);
  return FALSE;
}

/* What each skeleton stands for. */
typedef struct {
  PcdOperate *operate;
  char *uuid;
  PcdRole role;
} Target;

static void
target_free (gpointer data, GClosure *closure)
{
  Target *target = data;

  g_free (target->uuid);
  g_free (target);
}

static Call *
target_call (const Target *target, GDBusMethodInvocation *invocation, CallFunc func)
{
  Call *call = call_new (target->operate, invocation, func);

  call->uuid = g_strdup (target->uuid);
  call->role = target->role;
  return call;
}

static gboolean
take_act (PcdDbusMigration1 *skeleton,
          GDBusMethodInvocation *invocation,
          const char *action,
          GVariant *options,
          gboolean only_start,
          const Target *target)
{
  g_autoptr (Call) call = target_call (target, invocation, act);
  g_autoptr (GError) error = NULL;

  call->only_start = only_start;
  call->name = pcd_dbus_migration1_dup_name (skeleton);
  if (!find_offered (action, &call->action, &error) ||
      !pcd_act_options_parse (call->action, options, &call->options, &error)) {
    answer_error (call, error);
    return TRUE;
  }
  if (only_start && call->options.timeout_usec) {
    g_set_error (&error, PCD_BUS_ERROR, PCD_BUS_ERROR_BAD_ARGUMENT,
                 "timeout: Start() waits for nothing, expected it with Act() only");
    answer_error (call, error);
    return TRUE;
  }
  const char *action_id = authority_of (call->action);
  authorize (g_steal_pointer (&call), action_id);
  return TRUE;
}

static gboolean
on_act (PcdDbusMigration1 *skeleton,
        GDBusMethodInvocation *invocation,
        const char *action,
        GVariant *options,
        gpointer data)
{
  return take_act (skeleton, invocation, action, options, FALSE, data);
}

static gboolean
on_start (PcdDbusMigration1 *skeleton,
          GDBusMethodInvocation *invocation,
          const char *action,
          GVariant *options,
          gpointer data)
{
  return take_act (skeleton, invocation, action, options, TRUE, data);
}

static gboolean
on_hold (PcdDbusMigration1 *skeleton, GDBusMethodInvocation *invocation, gpointer data)
{
  Call *call = target_call (data, invocation, hold);

  call->held = TRUE;
  authorize (call, PCD_AUTHORITY_MANAGE);
  return TRUE;
}

static gboolean
on_release (PcdDbusMigration1 *skeleton, GDBusMethodInvocation *invocation, gpointer data)
{
  authorize (target_call (data, invocation, hold), PCD_AUTHORITY_MANAGE);
  return TRUE;
}

static gboolean
on_open_debug_output (PcdDbusMigration1 *skeleton,
                      GDBusMethodInvocation *invocation,
                      GUnixFDList *fds,
                      gpointer data)
{
  authorize (target_call (data, invocation, open_debug_output), PCD_AUTHORITY_MANAGE);
  return TRUE;
}

static gboolean
on_set_policy (PcdDbusMigration1 *skeleton,
               GDBusMethodInvocation *invocation,
               const char *name,
               gpointer data)
{
  Call *call = target_call (data, invocation, set_policy);

  call->policy = g_strdup (name);
  authorize (call, PCD_AUTHORITY_MANAGE);
  return TRUE;
}

static gboolean
on_reload (PcdDbusManager1 *manager, GDBusMethodInvocation *invocation, gpointer data)
{
  authorize (call_new (data, invocation, reload), PCD_AUTHORITY_MANAGE);
  return TRUE;
}

PcdOperate *
pcd_operate_new (PcdEngine *engine,
                 PcdDbusManager1 *manager,
                 GDBusObjectManagerServer *objects,
                 PcdOperateReload reload_func,
                 gpointer data)
{
  PcdOperate *self = g_new0 (PcdOperate, 1);

  self->engine = engine;
  self->reload = reload_func;
  self->data = data;
  self->cancellable = g_cancellable_new ();
  self->jobs = pcd_jobs_new (objects);
  g_signal_connect (manager, "handle-reload", G_CALLBACK (on_reload), self);
  return self;
}

void
pcd_operate_free (PcdOperate *self)
{
  if (!self)
    return;
  g_cancellable_cancel (self->cancellable);
  g_object_unref (self->cancellable);
  pcd_jobs_free (self->jobs);
  g_free (self);
}

static void
connect_method (PcdDbusMigration1 *skeleton,
                const char *signal,
                GCallback func,
                PcdOperate *self,
                const char *uuid,
                PcdRole role)
{
  Target *target = g_new0 (Target, 1);

  target->operate = self;
  target->uuid = g_strdup (uuid);
  target->role = role;
  g_signal_connect_data (skeleton, signal, func, target, target_free, 0);
}

void
pcd_operate_migration (PcdOperate *self,
                       PcdDbusMigration1 *skeleton,
                       const char *uuid,
                       PcdRole role)
{
  connect_method (skeleton, "handle-act", G_CALLBACK (on_act), self, uuid, role);
  connect_method (skeleton, "handle-start", G_CALLBACK (on_start), self, uuid, role);
  connect_method (skeleton, "handle-open-debug-output", G_CALLBACK (on_open_debug_output), self,
                  uuid, role);
  connect_method (skeleton, "handle-hold", G_CALLBACK (on_hold), self, uuid, role);
  connect_method (skeleton, "handle-release", G_CALLBACK (on_release), self, uuid, role);
  connect_method (skeleton, "handle-set-policy", G_CALLBACK (on_set_policy), self, uuid, role);
}
