/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PostcopydJob of one call: deadline, cancelling, progress, log, settings.
 * Must not know what is called, nor in which thread. */
#pragma once

#include <glib.h>

#include "postcopyd-plugin.h"

G_BEGIN_DECLS

/* The count of references is atomic. */
typedef struct _PcdPluginJob PcdPluginJob;

/**
 * PcdPluginProgress: in the thread of the call, as often as the plugin likes.
 */
typedef void (*PcdPluginProgress) (guint64 done, guint64 total, const char *text, gpointer data);

/**
 * pcd_plugin_job_new:
 * @name: of the plugin, for the log
 * @deadline_usec: g_get_monotonic_time () at which nobody waits any more; the caller's to watch
 * @settings: (nullable): a{ss}
 * @directory: (nullable): see PostcopydJob
 * @progress: (nullable)
 *
 * Any thread.
 */
PcdPluginJob *pcd_plugin_job_new (const char *name,
                                  gint64 deadline_usec,
                                  GVariant *settings,
                                  const char *directory,
                                  PcdPluginProgress progress,
                                  gpointer data);
PcdPluginJob *pcd_plugin_job_ref (PcdPluginJob *job);
void pcd_plugin_job_unref (PcdPluginJob *job);

/* What the plugin gets; lives as long as @job. */
const PostcopydJob *pcd_plugin_job_get_view (const PcdPluginJob *job);

/* Any thread. */
void pcd_plugin_job_cancel (PcdPluginJob *job);

/* (nullable): the parameters or settings of an a{ss}; of the strings @from keeps the ownership. */
PostcopydParam *pcd_plugin_job_params (GVariant *from, guint *ret_n);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdPluginJob, pcd_plugin_job_unref)

G_END_DECLS
