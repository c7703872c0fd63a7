/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The vocabulary of postcopyd: what a migration is and which states it can be in.
 * Pure values; must not know where they come from (libvirt, QEMU, the kernel). */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdRole:
 * @PCD_ROLE_SOURCE: the guest left this host, which still owns missing pages
 * @PCD_ROLE_DESTINATION: the guest runs, or will run, on this host
 */
typedef enum {
  PCD_ROLE_SOURCE,
  PCD_ROLE_DESTINATION,
} PcdRole;

/**
 * PcdPhase:
 * @PCD_PHASE_NONE: nothing is known yet; never shown to users
 * @PCD_PHASE_PRECOPY: memory is copied while the guest runs on the source
 * @PCD_PHASE_DEVICE: QEMU >= 10.2 `postcopy-device`: switched over, destination not running yet
 * @PCD_PHASE_POSTCOPY: the guest runs on the destination, pages are still on the source
 * @PCD_PHASE_PAUSED: QEMU `postcopy-paused`
 * @PCD_PHASE_RECOVERING: QEMU `postcopy-recover-setup` or `postcopy-recover`
 * @PCD_PHASE_COMPLETED: all pages are on the destination
 * @PCD_PHASE_FAILED: the migration failed and the guest is where it was before
 * @PCD_PHASE_GONE: this side's QEMU ended before the migration did
 */
typedef enum {
  PCD_PHASE_NONE,
  PCD_PHASE_PRECOPY,
  PCD_PHASE_DEVICE,
  PCD_PHASE_POSTCOPY,
  PCD_PHASE_PAUSED,
  PCD_PHASE_RECOVERING,
  PCD_PHASE_COMPLETED,
  PCD_PHASE_FAILED,
  PCD_PHASE_GONE,
  PCD_N_PHASES,
} PcdPhase;

/**
 * PcdFlow:
 * @PCD_FLOW_NONE: not in phase postcopy, or not measured
 * @PCD_FLOW_FLOWING: data and acknowledgements move
 * @PCD_FLOW_SLOW: the peer is heard, but little or nothing moves (loss, a narrow link, a starved
 *   receiver); never a reason to pause anything
 * @PCD_FLOW_STALLED: something is outstanding and the peer is silent
 *
 * Sub-state of %PCD_PHASE_POSTCOPY.
 */
typedef enum {
  PCD_FLOW_NONE,
  PCD_FLOW_FLOWING,
  PCD_FLOW_SLOW,
  PCD_FLOW_STALLED,
  PCD_N_FLOWS,
} PcdFlow;

/**
 * PcdCause:
 * @PCD_CAUSE_NONE: not paused
 * @PCD_CAUSE_NETWORK: the socket timed out with data or probes unacknowledged
 * @PCD_CAUSE_PEER_CLOSED: the other end closed or reset it: paused there, died, or a box between
 * @PCD_CAUSE_OPERATOR: someone asked on this host
 * @PCD_CAUSE_UNKNOWN: no evidence; a pause alone does not prove that the network failed
 *
 * Why a migration is paused, by evidence.
 */
typedef enum {
  PCD_CAUSE_NONE,
  PCD_CAUSE_NETWORK,
  PCD_CAUSE_PEER_CLOSED,
  PCD_CAUSE_OPERATOR,
  PCD_CAUSE_UNKNOWN,
  PCD_N_CAUSES,
} PcdCause;

/**
 * PcdQemuStatus: QEMU's `MigrationStatus`, in the order of qapi/migration.json.
 * @PCD_QEMU_UNKNOWN: a status that this version does not know; the raw word is kept beside it
 */
typedef enum {
  PCD_QEMU_UNKNOWN,
  PCD_QEMU_NONE,
  PCD_QEMU_SETUP,
  PCD_QEMU_CANCELLING,
  PCD_QEMU_CANCELLED,
  PCD_QEMU_ACTIVE,
  PCD_QEMU_POSTCOPY_DEVICE,
  PCD_QEMU_POSTCOPY_ACTIVE,
  PCD_QEMU_POSTCOPY_PAUSED,
  PCD_QEMU_POSTCOPY_RECOVER_SETUP,
  PCD_QEMU_POSTCOPY_RECOVER,
  PCD_QEMU_COMPLETED,
  PCD_QEMU_FAILING,
  PCD_QEMU_FAILED,
  PCD_QEMU_COLO,
  PCD_QEMU_PRE_SWITCHOVER,
  PCD_QEMU_DEVICE,
  PCD_QEMU_WAIT_UNPLUG,
  PCD_N_QEMU_STATUSES,
} PcdQemuStatus;

/* Static strings, owned by the library; "?" for a value out of range. */
const char *pcd_role_to_string (PcdRole role);
const char *pcd_phase_to_string (PcdPhase phase);
const char *pcd_flow_to_string (PcdFlow flow);
const char *pcd_cause_to_string (PcdCause cause);
const char *pcd_qemu_status_to_string (PcdQemuStatus status);

/**
 * pcd_qemu_status_from_string:
 * @word: (nullable): QEMU's word, as in `query-migrate` or the MIGRATION event
 *
 * Returns: the status, or %PCD_QEMU_UNKNOWN
 */
PcdQemuStatus pcd_qemu_status_from_string (const char *word);

/**
 * pcd_phase_has_ended:
 *
 * Returns: %TRUE for completed, failed and gone: nothing can happen to the migration any more
 */
gboolean pcd_phase_has_ended (PcdPhase phase);

/**
 * pcd_phase_wants_watch:
 *
 * Returns: %TRUE while the migration's sockets and threads are worth sampling
 */
gboolean pcd_phase_wants_watch (PcdPhase phase);

G_END_DECLS
