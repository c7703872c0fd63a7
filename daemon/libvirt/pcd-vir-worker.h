/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thread for calls that may wait, with a deadline for each call.
 * Must not know what the calls are: it runs them, waits for them, or leaves them behind. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _PcdVirJob PcdVirJob;

/**
 * PcdVirJobFuncs:
 * @work: runs in a thread of its own
 * @done: @work returned in time
 * @late: @work overran the deadline of @call for @subject. The job is abandoned: @work goes on
 *   until its call returns, @done will not be called
 * @ended: the thread of an abandoned job ended at last
 * @free_task: frees @task, in any thread, so it must not block
 *
 * All but @work and @free_task are called on the main thread, and may disown @job.
 */
typedef struct {
  void (*work) (PcdVirJob *job, gpointer task);
  void (*done) (PcdVirJob *job, gpointer task, gpointer data);
  void (*late) (PcdVirJob *job, const char *call, const char *subject, gpointer data);
  void (*ended) (PcdVirJob *job, gpointer data);
  GDestroyNotify free_task;
} PcdVirJobFuncs;

/**
 * pcd_vir_job_start:
 * @funcs: static
 * @task: (transfer full): touched by @work only until it has ended; freed when the job is
 *
 * Returns: (transfer full): release with pcd_vir_job_disown ()
 */
PcdVirJob *
pcd_vir_job_start (const PcdVirJobFuncs *funcs, gpointer task, gpointer data, GError **error);

/**
 * pcd_vir_job_begin: for @work, before each call that may wait
 * @call: (transfer none): static name of the call
 * @subject: (nullable): what it is about
 * @deadline_usec: how long it may take
 *
 * Returns: %FALSE if the job has been abandoned: return soon, nobody wants the result
 */
gboolean
pcd_vir_job_begin (PcdVirJob *job, const char *call, const char *subject, gint64 deadline_usec);

/**
 * pcd_vir_job_disown:
 * @job: (transfer full): none of its functions is called any more, but @free_task
 *
 * Main thread. The thread goes on until its call returns.
 */
void pcd_vir_job_disown (PcdVirJob *job);

/**
 * pcd_vir_to_main:
 *
 * Calls @func on the main thread, after what was sent there before; from any thread.
 */
void pcd_vir_to_main (GSourceFunc func, gpointer data);

G_END_DECLS
