/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words for the values of pcd-event.h, for logs and the table of phases. */
#include "core/pcd-event.h"

const char *
pcd_lifecycle_to_string (PcdLifecycle lifecycle)
{
  static const char *const words[PCD_N_LIFECYCLES] = {
    [PCD_LIFECYCLE_UNKNOWN] = "unknown",
    [PCD_LIFECYCLE_OTHER] = "other",
    [PCD_LIFECYCLE_INCOMING] = "started-migrated",
    [PCD_LIFECYCLE_POSTCOPY] = "postcopy",
    [PCD_LIFECYCLE_POSTCOPY_FAILED] = "postcopy-failed",
    [PCD_LIFECYCLE_RESUMED_MIGRATED] = "resumed-migrated",
    [PCD_LIFECYCLE_STOPPED_MIGRATED] = "stopped-migrated",
    [PCD_LIFECYCLE_STOPPED] = "stopped",
  };

  return (guint)lifecycle < PCD_N_LIFECYCLES ? words[lifecycle] : "?";
}

const char *
pcd_seen_to_string (PcdSeen seen)
{
  static const char *const words[PCD_N_SEEN] = {
    [PCD_SEEN_UNKNOWN] = "unknown",
    [PCD_SEEN_ABSENT] = "absent",
    [PCD_SEEN_IDLE] = "idle",
    [PCD_SEEN_MIGRATED_IN] = "migrated-in",
    [PCD_SEEN_PRECOPY] = "precopy",
    [PCD_SEEN_POSTCOPY] = "postcopy",
    [PCD_SEEN_POSTCOPY_FAILED] = "postcopy-failed",
  };

  return (guint)seen < PCD_N_SEEN ? words[seen] : "?";
}
