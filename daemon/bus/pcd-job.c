/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One D-Bus object per order of an operator. */
#include "bus/pcd-job.h"

#include "bus/pcd-address.h"
#include "bus/pcd-authority.h"
#include "bus/pcd-bus-error.h"
#include "bus/pcd-dbus-generated.h"

/* A client that lost its connection may come back and look. */
#define KEEP_ENDED_SEC 10

#define RUNNING    "running"
#define CANCELLING "cancelling"
#define ENDED      "ended"

struct _PcdJobs {
  GDBusObjectManagerServer *objects;
  GCancellable *cancellable; /* of callers whose authority is looked up */
  GPtrArray *jobs;           /* (element-type PcdJob) */
  guint64 last;
};

struct _PcdJob {
  PcdJobs *jobs;
  PcdDbusJob1 *skeleton;
  GCancellable *cancellable;
  char *authority;
  char *path;
  guint keep_id;
};

static void
job_free (gpointer data)
{
  PcdJob *job = data;

  g_clear_handle_id (&job->keep_id, g_source_remove);
  g_signal_handlers_disconnect_by_data (job->skeleton, job);
  g_dbus_object_manager_server_unexport (job->jobs->objects, job->path);
  g_object_unref (job->skeleton);
  g_object_unref (job->cancellable);
  g_free (job->authority);
  g_free (job->path);
  g_free (job);
}

PcdJobs *
pcd_jobs_new (GDBusObjectManagerServer *objects)
{
  PcdJobs *self = g_new0 (PcdJobs, 1);

  self->objects = objects;
  self->cancellable = g_cancellable_new ();
  self->jobs = g_ptr_array_new_with_free_func (job_free);
  return self;
}

void
pcd_jobs_free (PcdJobs *self)
{
  if (!self)
    return;
  g_cancellable_cancel (self->cancellable);
  g_ptr_array_unref (self->jobs);
  g_object_unref (self->cancellable);
  g_free (self);
}

/* ---- Cancel () ---- */

/* The job may be gone before the caller's authority is known. */
typedef struct {
  PcdJobs *jobs;
  char *path;
  GDBusMethodInvocation *invocation;
} Cancel;

static PcdJob *
find (PcdJobs *self, const char *path)
{
  for (guint i = 0; i < self->jobs->len; i++) {
    PcdJob *job = g_ptr_array_index (self->jobs, i);

    if (g_str_equal (job->path, path))
      return job;
  }
  return NULL;
}

static void
cancel (Cancel *call, const char *who)
{
  PcdJob *job = find (call->jobs, call->path);

  if (!job || g_str_equal (pcd_dbus_job1_get_state (job->skeleton), ENDED)) {
    g_dbus_method_invocation_return_error (call->invocation, PCD_BUS_ERROR, PCD_BUS_ERROR_REFUSED,
                                           "it has ended, there is nothing to cancel");
    return;
  }
  g_message ("%s cancels %s of '%s', which %s asked for", who,
             pcd_dbus_job1_get_action (job->skeleton), pcd_dbus_job1_get_domain (job->skeleton),
             pcd_dbus_job1_get_who (job->skeleton));
  pcd_dbus_job1_set_state (job->skeleton, CANCELLING);
  g_dbus_method_invocation_return_value (call->invocation, NULL);
  /* Last: the job may end by it. */
  g_cancellable_cancel (job->cancellable);
}

static void
on_authority (const char *who, const GError *error, gpointer data)
{
  Cancel *call = data;

  if (who)
    cancel (call, who);
  else
    g_dbus_method_invocation_return_gerror (call->invocation, error);
  g_object_unref (call->invocation);
  g_free (call->path);
  g_free (call);
}

static gboolean
on_cancel (PcdDbusJob1 *skeleton, GDBusMethodInvocation *invocation, gpointer data)
{
  PcdJob *job = data;
  Cancel *call = g_new0 (Cancel, 1);

  call->jobs = job->jobs;
  call->path = g_strdup (job->path);
  call->invocation = g_object_ref (invocation);
  pcd_authority_check (invocation, job->authority, job->jobs->cancellable, on_authority, call);
  return TRUE;
}

/* ---- a job's life ---- */

PcdJob *
pcd_jobs_begin (PcdJobs *self, const PcdJobSpec *spec)
{
  PcdJob *job = g_new0 (PcdJob, 1);
  g_autofree char *domain = g_utf8_make_valid (spec->domain, -1);

  job->jobs = self;
  job->cancellable = g_cancellable_new ();
  job->authority = g_strdup (spec->authority);
  job->path = g_strdup_printf (PCD_BUS_PATH "/job/%" G_GUINT64_FORMAT, ++self->last);
  job->skeleton = pcd_dbus_job1_skeleton_new ();
  pcd_dbus_job1_set_action (job->skeleton, spec->action);
  pcd_dbus_job1_set_uuid (job->skeleton, spec->uuid);
  pcd_dbus_job1_set_domain (job->skeleton, domain);
  pcd_dbus_job1_set_migration (job->skeleton, spec->migration);
  pcd_dbus_job1_set_who (job->skeleton, spec->who);
  pcd_dbus_job1_set_began (job->skeleton, (guint64)g_get_real_time ());
  pcd_dbus_job1_set_state (job->skeleton, RUNNING);
  pcd_dbus_job1_set_text (job->skeleton, "");
  pcd_dbus_job1_set_outcome (job->skeleton, "");
  pcd_dbus_job1_set_reason (job->skeleton, "");
  g_signal_connect (job->skeleton, "handle-cancel", G_CALLBACK (on_cancel), job);
  g_autoptr (PcdDbusObjectSkeleton) object = pcd_dbus_object_skeleton_new (job->path);
  pcd_dbus_object_skeleton_set_job1 (object, job->skeleton);
  g_dbus_object_manager_server_export (self->objects, G_DBUS_OBJECT_SKELETON (object));
  g_ptr_array_add (self->jobs, job);
  return job;
}

const char *
pcd_job_get_path (const PcdJob *job)
{
  return job->path;
}

GCancellable *
pcd_job_get_cancellable (const PcdJob *job)
{
  return job->cancellable;
}

void
pcd_job_progress (PcdJob *job, guint64 done, guint64 total, const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text ?: "", -1);

  pcd_dbus_job1_set_text (job->skeleton, valid);
  pcd_dbus_job1_set_done (job->skeleton, done);
  pcd_dbus_job1_set_total (job->skeleton, total);
}

static gboolean
on_kept (gpointer data)
{
  PcdJob *job = data;

  job->keep_id = 0;
  g_ptr_array_remove (job->jobs->jobs, job);
  return G_SOURCE_REMOVE;
}

void
pcd_job_end (PcdJob *job, PcdOutcome outcome, const char *reason)
{
  g_autofree char *valid = g_utf8_make_valid (reason ?: "", -1);
  const char *word = pcd_outcome_to_string (outcome);

  pcd_dbus_job1_set_outcome (job->skeleton, word);
  pcd_dbus_job1_set_reason (job->skeleton, valid);
  pcd_dbus_job1_set_state (job->skeleton, ENDED);
  /* Who hears of the end and looks shall see it. */
  g_dbus_interface_skeleton_flush (G_DBUS_INTERFACE_SKELETON (job->skeleton));
  pcd_dbus_job1_emit_ended (job->skeleton, word, valid);
  job->keep_id = g_timeout_add_seconds (KEEP_ENDED_SEC, on_kept, job);
}

void
pcd_job_discard (PcdJob *job)
{
  g_ptr_array_remove (job->jobs->jobs, job);
}
