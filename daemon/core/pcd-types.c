/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words for the values of pcd-types.h: libvirt's and QEMU's own where they have one. */
#include "core/pcd-types.h"

static const char *const phase_words[PCD_N_PHASES] = {
  [PCD_PHASE_NONE] = "none",           [PCD_PHASE_PRECOPY] = "precopy",
  [PCD_PHASE_DEVICE] = "device",       [PCD_PHASE_POSTCOPY] = "postcopy",
  [PCD_PHASE_PAUSED] = "paused",       [PCD_PHASE_RECOVERING] = "recovering",
  [PCD_PHASE_COMPLETED] = "completed", [PCD_PHASE_FAILED] = "failed",
  [PCD_PHASE_GONE] = "gone",
};

static const char *const flow_words[PCD_N_FLOWS] = {
  [PCD_FLOW_NONE] = "none",
  [PCD_FLOW_FLOWING] = "flowing",
  [PCD_FLOW_SLOW] = "slow",
  [PCD_FLOW_STALLED] = "stalled",
};

static const char *const cause_words[PCD_N_CAUSES] = {
  [PCD_CAUSE_NONE] = "none",
  [PCD_CAUSE_NETWORK] = "network",
  [PCD_CAUSE_PEER_CLOSED] = "peer-closed",
  [PCD_CAUSE_OPERATOR] = "operator",
  [PCD_CAUSE_UNKNOWN] = "unknown",
};

/* qapi/migration.json, MigrationStatus; `failing` is new in QEMU 10.2. */
static const char *const qemu_words[PCD_N_QEMU_STATUSES] = {
  [PCD_QEMU_UNKNOWN] = "unknown",
  [PCD_QEMU_NONE] = "none",
  [PCD_QEMU_SETUP] = "setup",
  [PCD_QEMU_CANCELLING] = "cancelling",
  [PCD_QEMU_CANCELLED] = "cancelled",
  [PCD_QEMU_ACTIVE] = "active",
  [PCD_QEMU_POSTCOPY_DEVICE] = "postcopy-device",
  [PCD_QEMU_POSTCOPY_ACTIVE] = "postcopy-active",
  [PCD_QEMU_POSTCOPY_PAUSED] = "postcopy-paused",
  [PCD_QEMU_POSTCOPY_RECOVER_SETUP] = "postcopy-recover-setup",
  [PCD_QEMU_POSTCOPY_RECOVER] = "postcopy-recover",
  [PCD_QEMU_COMPLETED] = "completed",
  [PCD_QEMU_FAILING] = "failing",
  [PCD_QEMU_FAILED] = "failed",
  [PCD_QEMU_COLO] = "colo",
  [PCD_QEMU_PRE_SWITCHOVER] = "pre-switchover",
  [PCD_QEMU_DEVICE] = "device",
  [PCD_QEMU_WAIT_UNPLUG] = "wait-unplug",
};

static const char *
word_of (const char *const *words, guint n_words, guint value)
{
  return value < n_words ? words[value] : "?";
}

const char *
pcd_role_to_string (PcdRole role)
{
  return role == PCD_ROLE_SOURCE ? "source" : "destination";
}

const char *
pcd_phase_to_string (PcdPhase phase)
{
  return word_of (phase_words, PCD_N_PHASES, phase);
}

const char *
pcd_flow_to_string (PcdFlow flow)
{
  return word_of (flow_words, PCD_N_FLOWS, flow);
}

const char *
pcd_cause_to_string (PcdCause cause)
{
  return word_of (cause_words, PCD_N_CAUSES, cause);
}

const char *
pcd_qemu_status_to_string (PcdQemuStatus status)
{
  return word_of (qemu_words, PCD_N_QEMU_STATUSES, status);
}

PcdQemuStatus
pcd_qemu_status_from_string (const char *word)
{
  for (guint i = PCD_QEMU_NONE; word && i < PCD_N_QEMU_STATUSES; i++)
    if (g_str_equal (word, qemu_words[i]))
      return i;
  return PCD_QEMU_UNKNOWN;
}

gboolean
pcd_phase_has_ended (PcdPhase phase)
{
  return phase == PCD_PHASE_COMPLETED || phase == PCD_PHASE_FAILED || phase == PCD_PHASE_GONE;
}

gboolean
pcd_phase_wants_watch (PcdPhase phase)
{
  return phase == PCD_PHASE_DEVICE || phase == PCD_PHASE_POSTCOPY || phase == PCD_PHASE_PAUSED ||
         phase == PCD_PHASE_RECOVERING;
}
