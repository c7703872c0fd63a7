/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's numbers (events, states, job operations) translated into core's words. Pure tables.
 * Must not call libvirt: numbers in, values out. */
#include "libvirt/pcd-lifecycle.h"

#include <libvirt/libvirt.h>

/* libvirt 9.2, newer than the headers that this must compile against. */
#define PCD_VIR_DOMAIN_PAUSED_API_ERROR 14

/* Anything that a domain does outside a migration. A detail outside 0..n-1 is newer than this
 * table, and unknown; the details of these events have had no gaps so far. */
static const int n_other_details[] = {
  [VIR_DOMAIN_EVENT_DEFINED] = 4,  [VIR_DOMAIN_EVENT_UNDEFINED] = 2,
  [VIR_DOMAIN_EVENT_STARTED] = 5,  [VIR_DOMAIN_EVENT_SUSPENDED] = 9,
  [VIR_DOMAIN_EVENT_RESUMED] = 5,  [VIR_DOMAIN_EVENT_STOPPED] = 7,
  [VIR_DOMAIN_EVENT_SHUTDOWN] = 3, [VIR_DOMAIN_EVENT_PMSUSPENDED] = 2,
  [VIR_DOMAIN_EVENT_CRASHED] = 2,
};

#define SOURCE      TRUE, PCD_ROLE_SOURCE
#define DESTINATION TRUE, PCD_ROLE_DESTINATION
#define EITHER      FALSE, PCD_ROLE_SOURCE

/* The moments of FACTS 3, from libvirt's qemu_process.c and qemu_migration.c. */
static const struct {
  int event;
  int detail;
  PcdTold told;
} moments[] = {
  { VIR_DOMAIN_EVENT_STARTED,
    VIR_DOMAIN_EVENT_STARTED_MIGRATED,
    { PCD_LIFECYCLE_INCOMING, DESTINATION } },
  { VIR_DOMAIN_EVENT_SUSPENDED,
    VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY,
    { PCD_LIFECYCLE_POSTCOPY, SOURCE } },
  /* Also from a destination that was paused for another reason (qemuMigrationDstPostcopyFailed). */
  { VIR_DOMAIN_EVENT_SUSPENDED,
    VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED,
    { PCD_LIFECYCLE_POSTCOPY_FAILED, EITHER } },
  { VIR_DOMAIN_EVENT_RESUMED,
    VIR_DOMAIN_EVENT_RESUMED_POSTCOPY,
    { PCD_LIFECYCLE_POSTCOPY, DESTINATION } },
  { VIR_DOMAIN_EVENT_RESUMED,
    VIR_DOMAIN_EVENT_RESUMED_POSTCOPY_FAILED,
    { PCD_LIFECYCLE_POSTCOPY_FAILED, DESTINATION } },
  /* Done on the destination, or given up and running again on the source. */
  { VIR_DOMAIN_EVENT_RESUMED,
    VIR_DOMAIN_EVENT_RESUMED_MIGRATED,
    { PCD_LIFECYCLE_RESUMED_MIGRATED, EITHER } },
  { VIR_DOMAIN_EVENT_STOPPED,
    VIR_DOMAIN_EVENT_STOPPED_MIGRATED,
    { PCD_LIFECYCLE_STOPPED_MIGRATED, SOURCE } },
};

PcdTold
pcd_lifecycle_translate (int event, int detail)
{
  for (guint i = 0; i < G_N_ELEMENTS (moments); i++)
    if (moments[i].event == event && moments[i].detail == detail)
      return moments[i].told;
  if (event < 0 || event >= (int)G_N_ELEMENTS (n_other_details) || detail < 0 ||
      detail >= n_other_details[event])
    return (PcdTold){ PCD_LIFECYCLE_UNKNOWN, EITHER };
  if (event == VIR_DOMAIN_EVENT_STOPPED)
    return (PcdTold){ PCD_LIFECYCLE_STOPPED, EITHER };
  return (PcdTold){ PCD_LIFECYCLE_OTHER, EITHER };
}

PcdJob
pcd_job_from_operation (int operation)
{
  switch (operation) {
  case VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN:
    return PCD_JOB_MIGRATION_IN;
  case VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT:
    return PCD_JOB_MIGRATION_OUT;
  case VIR_DOMAIN_JOB_OPERATION_START:
  case VIR_DOMAIN_JOB_OPERATION_SAVE:
  case VIR_DOMAIN_JOB_OPERATION_RESTORE:
  case VIR_DOMAIN_JOB_OPERATION_SNAPSHOT:
  case VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_REVERT:
  case VIR_DOMAIN_JOB_OPERATION_DUMP:
  case VIR_DOMAIN_JOB_OPERATION_BACKUP:
  case VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_DELETE:
    return PCD_JOB_OTHER;
  default:
    return PCD_JOB_UNKNOWN;
  }
}

/* In post-copy the reason alone says everything; NULL for any other state. */
static const PcdSight *
sight_by_reason (int state, int reason)
{
  static const struct {
    int state;
    int reason;
    PcdSight sight;
  } table[] = {
    { VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_POSTCOPY, { PCD_SEEN_POSTCOPY, SOURCE } },
    { VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_POSTCOPY_FAILED, { PCD_SEEN_POSTCOPY_FAILED, SOURCE } },
    { VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_POSTCOPY, { PCD_SEEN_POSTCOPY, DESTINATION } },
    { VIR_DOMAIN_RUNNING,
      VIR_DOMAIN_RUNNING_POSTCOPY_FAILED,
      { PCD_SEEN_POSTCOPY_FAILED, DESTINATION } },
  };

  for (guint i = 0; i < G_N_ELEMENTS (table); i++)
    if (table[i].state == state && table[i].reason == reason)
      return &table[i].sight;
  return NULL;
}

/* Reasons are numbered from 0 without gaps; a higher one is newer than this table. */
static gboolean
is_known (int state, int reason)
{
  static const int last_reasons[] = {
    [VIR_DOMAIN_NOSTATE] = -1, /* says nothing: not a state that can be concluded from */
    [VIR_DOMAIN_RUNNING] = VIR_DOMAIN_RUNNING_POSTCOPY_FAILED,
    [VIR_DOMAIN_BLOCKED] = VIR_DOMAIN_BLOCKED_UNKNOWN,
    [VIR_DOMAIN_PAUSED] = PCD_VIR_DOMAIN_PAUSED_API_ERROR,
    [VIR_DOMAIN_SHUTDOWN] = VIR_DOMAIN_SHUTDOWN_USER,
    [VIR_DOMAIN_SHUTOFF] = G_MAXINT, /* however it came about, the domain is not there */
    [VIR_DOMAIN_CRASHED] = VIR_DOMAIN_CRASHED_PANICKED,
    [VIR_DOMAIN_PMSUSPENDED] = VIR_DOMAIN_PMSUSPENDED_UNKNOWN,
  };

  return state >= 0 && state < (int)G_N_ELEMENTS (last_reasons) && reason >= 0 &&
         reason <= last_reasons[state];
}

gboolean
pcd_seen_needs_job (int state, int reason)
{
  return is_known (state, reason) && state != VIR_DOMAIN_SHUTOFF &&
         !sight_by_reason (state, reason);
}

/* While the job is MIGRATION_IN, PAUSED/STARTING_UP and then PAUSED/MIGRATION
 * (qemuProcessFinishStartup ()) is a QEMU that waits for its guest. Any other pause means that the
 * guest has run here, that is, post-copy: I/O error, watchdog, crash, or UNKNOWN, a `stop` past
 * libvirt, such as ours (qemuProcessHandleStop ()). libvirt keeps the reason then
 * (qemuMigrationDstPostcopyFailed ()). RUNNING/MIGRATED is the last moment of a pre-copy, all
 * memory having arrived. */
static PcdSeen
seen_incoming (int state, int reason)
{
  if (state == VIR_DOMAIN_RUNNING && reason == VIR_DOMAIN_RUNNING_MIGRATED)
    return PCD_SEEN_MIGRATED_IN;
  if (state == VIR_DOMAIN_PAUSED &&
      (reason == VIR_DOMAIN_PAUSED_MIGRATION || reason == VIR_DOMAIN_PAUSED_STARTING_UP))
    return PCD_SEEN_PRECOPY;
  return PCD_SEEN_POSTCOPY;
}

PcdSight
pcd_seen_translate (int state, int reason, PcdJob job)
{
  const PcdSight *sight = sight_by_reason (state, reason);

  if (sight)
    return *sight;
  if (!is_known (state, reason))
    return (PcdSight){ PCD_SEEN_UNKNOWN, EITHER };
  if (state == VIR_DOMAIN_SHUTOFF)
    return (PcdSight){ PCD_SEEN_ABSENT, EITHER };
  switch (job) {
  case PCD_JOB_MIGRATION_OUT:
    return (PcdSight){ PCD_SEEN_PRECOPY, SOURCE };
  case PCD_JOB_MIGRATION_IN:
    return (PcdSight){ seen_incoming (state, reason), DESTINATION };
  case PCD_JOB_NONE:
  case PCD_JOB_OTHER:
    if (state == VIR_DOMAIN_RUNNING && reason == VIR_DOMAIN_RUNNING_MIGRATED)
      return (PcdSight){ PCD_SEEN_MIGRATED_IN, DESTINATION };
    return (PcdSight){ PCD_SEEN_IDLE, EITHER };
  case PCD_JOB_UNKNOWN:
  case PCD_N_JOBS:
    break;
  }
  return (PcdSight){ PCD_SEEN_UNKNOWN, EITHER };
}
