/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a plugin may ask of the daemon during a call. All of it in any thread. */
#include "plugins/pcd-plugin-job.h"

#include <sys/eventfd.h>
#include <unistd.h>

struct _PcdPluginJob {
  gatomicrefcount refs;
  PostcopydJob view;
  char *name;
  char *directory;
  GVariant *settings;
  PostcopydParam *params; /* of @settings */
  PcdPluginProgress progress;
  gpointer data;
  gint cancelled; /* atomic */
  GMutex lock;
  int event_fd; /* -1 until it is asked for */
};

static PcdPluginJob *
job_of (const PostcopydJob *view)
{
  return (PcdPluginJob *)((const char *)view - G_STRUCT_OFFSET (PcdPluginJob, view));
}

static int
is_cancelled (const PostcopydJob *view)
{
  return g_atomic_int_get (&job_of (view)->cancelled);
}

static void
take_progress (const PostcopydJob *view, uint64_t done, uint64_t total, const char *text)
{
  PcdPluginJob *job = job_of (view);

  job->progress (done, total, text, job->data);
}

/* Most actions ask for none. */
static int
get_cancel_fd (const PostcopydJob *view)
{
  PcdPluginJob *job = job_of (view);
  int fd;

  g_mutex_lock (&job->lock);
  if (job->event_fd < 0)
    job->event_fd =
        eventfd (g_atomic_int_get (&job->cancelled) ? 1 : 0, EFD_CLOEXEC | EFD_NONBLOCK);
  fd = job->event_fd;
  g_mutex_unlock (&job->lock);
  return fd;
}

static GLogLevelFlags
level_of (PostcopydLevel level)
{
  switch (level) {
  case POSTCOPYD_ERROR: /* G_LOG_LEVEL_ERROR would end the process */
    return G_LOG_LEVEL_CRITICAL;
  case POSTCOPYD_WARNING:
    return G_LOG_LEVEL_WARNING;
  case POSTCOPYD_NOTICE:
    return G_LOG_LEVEL_MESSAGE;
  case POSTCOPYD_DEBUG:
    return G_LOG_LEVEL_DEBUG;
  case POSTCOPYD_INFO:
  default:
    return G_LOG_LEVEL_INFO;
  }
}

static void
take_line (const PostcopydJob *view, PostcopydLevel level, const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text ? text : "", -1);

  g_log_structured (G_LOG_DOMAIN, level_of (level), "PCD_PLUGIN", job_of (view)->name, "MESSAGE",
                    "plugin %s: %s", job_of (view)->name, valid);
}

PostcopydParam *
pcd_plugin_job_params (GVariant *from, guint *ret_n)
{
  const gsize n = from ? g_variant_n_children (from) : 0;
  PostcopydParam *params = n ? g_new (PostcopydParam, n) : NULL;

  for (gsize i = 0; i < n; i++)
    g_variant_get_child (from, i, "{&s&s}", &params[i].name, &params[i].value);
  *ret_n = (guint)n;
  return params;
}

PcdPluginJob *
pcd_plugin_job_new (const char *name,
                    gint64 deadline_usec,
                    GVariant *settings,
                    const char *directory,
                    PcdPluginProgress progress,
                    gpointer data)
{
  PcdPluginJob *job = g_new0 (PcdPluginJob, 1);
  guint n;

  g_atomic_ref_count_init (&job->refs);
  g_mutex_init (&job->lock);
  job->name = g_strdup (name);
  job->directory = g_strdup (directory);
  job->settings = settings ? g_variant_ref (settings) : NULL;
  job->params = pcd_plugin_job_params (settings, &n);
  job->progress = progress;
  job->data = data;
  job->event_fd = -1;
  job->view = (PostcopydJob){
    .struct_size = sizeof job->view,
    .deadline_usec = deadline_usec,
    .cancelled = is_cancelled,
    .progress = progress ? take_progress : NULL,
    .cancel_fd = get_cancel_fd,
    .log = take_line,
    .n_settings = n,
    .settings = job->params,
    .directory = job->directory,
  };
  return job;
}

PcdPluginJob *
pcd_plugin_job_ref (PcdPluginJob *job)
{
  g_atomic_ref_count_inc (&job->refs);
  return job;
}

void
pcd_plugin_job_unref (PcdPluginJob *job)
{
  if (!g_atomic_ref_count_dec (&job->refs))
    return;
  if (job->event_fd >= 0)
    close (job->event_fd);
  g_clear_pointer (&job->settings, g_variant_unref);
  g_mutex_clear (&job->lock);
  g_free (job->params);
  g_free (job->name);
  g_free (job->directory);
  g_free (job);
}

const PostcopydJob *
pcd_plugin_job_get_view (const PcdPluginJob *job)
{
  return &job->view;
}

void
pcd_plugin_job_cancel (PcdPluginJob *job)
{
  g_mutex_lock (&job->lock);
  g_atomic_int_set (&job->cancelled, 1);
  if (job->event_fd >= 0 && eventfd_write (job->event_fd, 1) < 0)
    g_debug ("a cancelled job is told by its flag alone");
  g_mutex_unlock (&job->lock);
}
