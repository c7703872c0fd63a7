/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.postcopyd.Job1: what an operator asked for, as an object that outlives who asked.
 * Knows no engine: it is told what becomes of the order. */
#pragma once

#include "core/pcd-ladder.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* All jobs of a daemon. */
typedef struct _PcdJobs PcdJobs;
typedef struct _PcdJob PcdJob;

/**
 * PcdJobSpec: everything is copied.
 * @action: name of the action
 * @authority: who may ask for it may cancel it, see pcd_authority_check ()
 * @uuid: of the domain
 * @domain: its name
 * @migration: the object's path
 * @who: asked for it, such as "uid 1000"
 */
typedef struct {
  const char *action;
  const char *authority;
  const char *uuid;
  const char *domain;
  const char *migration;
  const char *who;
} PcdJobSpec;

/* @objects: (transfer none): where jobs are shown; must outlive the result */
PcdJobs *pcd_jobs_new (GDBusObjectManagerServer *objects);
void pcd_jobs_free (PcdJobs *jobs);

/**
 * pcd_jobs_begin:
 *
 * Shows a job that runs.
 *
 * Returns: (transfer none): until pcd_job_end () or pcd_job_discard ()
 */
PcdJob *pcd_jobs_begin (PcdJobs *jobs, const PcdJobSpec *spec);

const char *pcd_job_get_path (const PcdJob *job);

/* (transfer none): cancelled once somebody who may called Cancel () */
GCancellable *pcd_job_get_cancellable (const PcdJob *job);

/* @text: (nullable): what it is busy with */
void pcd_job_progress (PcdJob *job, guint64 done, guint64 total, const char *text);

/* Tells, and takes the job away some time later. @reason: (nullable) */
void pcd_job_end (PcdJob *job, PcdOutcome outcome, const char *reason);

/* It never began. */
void pcd_job_discard (PcdJob *job);

G_END_DECLS
