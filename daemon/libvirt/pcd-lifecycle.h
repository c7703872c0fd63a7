/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's numbers (events, states, job operations) translated into core's words. Pure tables.
 * Must not call libvirt: numbers in, values out. */
#pragma once

#include "core/pcd-event.h"

G_BEGIN_DECLS

/**
 * PcdTold: a lifecycle event, translated.
 * @lifecycle: what it means; %PCD_LIFECYCLE_UNKNOWN for numbers newer than this version
 * @role_known: whether the event alone says which side this host is
 * @role: meaningful if @role_known
 */
typedef struct {
  PcdLifecycle lifecycle;
  gboolean role_known;
  PcdRole role;
} PcdTold;

/**
 * pcd_lifecycle_translate:
 * @event: virDomainEventType
 * @detail: its virDomainEvent…DetailType
 */
PcdTold pcd_lifecycle_translate (int event, int detail);

/**
 * PcdJob: which job libvirt holds on a domain, as far as a migration cares.
 * @PCD_JOB_UNKNOWN: it could not be asked, or the operation is newer than this version
 * @PCD_JOB_NONE: no job
 * @PCD_JOB_MIGRATION_IN: MIGRATION_IN, or refused with "available only on the source host", which
 *   is how libvirt's QEMU driver answers while it holds that job (qemuDomainGetJobStatsInternal)
 * @PCD_JOB_MIGRATION_OUT: MIGRATION_OUT
 * @PCD_JOB_OTHER: save, dump, snapshot, backup...: QEMU may report migration statuses for these too
 */
typedef enum {
  PCD_JOB_UNKNOWN,
  PCD_JOB_NONE,
  PCD_JOB_MIGRATION_IN,
  PCD_JOB_MIGRATION_OUT,
  PCD_JOB_OTHER,
  PCD_N_JOBS,
} PcdJob;

/**
 * pcd_job_from_operation:
 * @operation: virDomainJobOperation
 */
PcdJob pcd_job_from_operation (int operation);

/**
 * PcdSight: a domain's state and job, translated.
 * @seen: what it means
 * @role_known: whether it says which side this host is
 * @role: meaningful if @role_known
 */
typedef struct {
  PcdSeen seen;
  gboolean role_known;
  PcdRole role;
} PcdSight;

/**
 * pcd_seen_needs_job:
 * @state: virDomainState
 * @reason: its virDomain…Reason
 *
 * Returns: %TRUE if only the job tells whether the domain is migrating. %FALSE in post-copy, where
 *   the reason says it all and the destination would not answer.
 */
gboolean pcd_seen_needs_job (int state, int reason);

/**
 * pcd_seen_translate:
 * @state: virDomainState
 * @reason: its virDomain…Reason
 * @job: ignored unless pcd_seen_needs_job ()
 */
PcdSight pcd_seen_translate (int state, int reason, PcdJob job);

G_END_DECLS
