/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/pcd-ended.h"

static gboolean
is_of_use (PcdActionKind action)
{
  return action == PCD_ACTION_RESUME || action == PCD_ACTION_NOTIFY || action == PCD_ACTION_DEBUG ||
         action >= PCD_N_ACTIONS;
}

static const char *
explain_completed (PcdActionKind action, PcdRole role)
{
  if (role == PCD_ROLE_SOURCE)
    return "the migration has completed: the guest runs on the destination";
  switch (action) {
  case PCD_ACTION_STOP:
  case PCD_ACTION_FREEZE:
    return "the migration has completed, and nothing would let the guest go on again; "
           "'virsh suspend' holds it";
  case PCD_ACTION_SNAPSHOT:
    return "the migration has completed, and all of the guest is on this host; "
           "'virsh dump' or 'virsh snapshot-create' keeps it";
  case PCD_ACTION_DESTROY:
    return "the migration has completed; 'virsh destroy' ends the guest";
  default:
    return "the migration has completed";
  }
}

const char *
pcd_ended_why_not (PcdActionKind action, PcdRole role, PcdPhase phase)
{
  if (!pcd_phase_has_ended (phase) || is_of_use (action))
    return NULL;
  switch (phase) {
  case PCD_PHASE_COMPLETED:
    return explain_completed (action, role);
  case PCD_PHASE_FAILED:
    return "the migration has failed: the guest is where it was before";
  default:
    return "the migration is over: QEMU ended here";
  }
}
