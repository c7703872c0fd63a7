/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can happen to a migration, translated out of libvirt's, QEMU's and the kernel's terms.
 * Pure values; must not include any of their headers. */
#pragma once

#include "core/pcd-types.h"

G_BEGIN_DECLS

/**
 * PcdLifecycle: libvirt's lifecycle events, as far as a migration cares.
 * @PCD_LIFECYCLE_UNKNOWN: an event or detail that this version does not know
 * @PCD_LIFECYCLE_OTHER: known and without meaning for a migration
 * @PCD_LIFECYCLE_INCOMING: STARTED/MIGRATED: an incoming QEMU was started (destination)
 * @PCD_LIFECYCLE_POSTCOPY: SUSPENDED/POSTCOPY (source), RESUMED/POSTCOPY (destination): post-copy
 *   began, or a recovery did
 * @PCD_LIFECYCLE_POSTCOPY_FAILED: SUSPENDED/POSTCOPY_FAILED, RESUMED/POSTCOPY_FAILED. Either QEMU
 * is `postcopy-paused`, or libvirt lost libvirt and QEMU goes on (FACTS 3: "false alarm")
 * @PCD_LIFECYCLE_RESUMED_MIGRATED: RESUMED/MIGRATED: done (destination), or failed and running
 *   again (source)
 * @PCD_LIFECYCLE_STOPPED_MIGRATED: STOPPED/MIGRATED: done (source)
 * @PCD_LIFECYCLE_STOPPED: stopped in any other way: destroyed, crashed, failed, shut down
 */
typedef enum {
  PCD_LIFECYCLE_UNKNOWN,
  PCD_LIFECYCLE_OTHER,
  PCD_LIFECYCLE_INCOMING,
  PCD_LIFECYCLE_POSTCOPY,
  PCD_LIFECYCLE_POSTCOPY_FAILED,
  PCD_LIFECYCLE_RESUMED_MIGRATED,
  PCD_LIFECYCLE_STOPPED_MIGRATED,
  PCD_LIFECYCLE_STOPPED,
  PCD_N_LIFECYCLES,
} PcdLifecycle;

/**
 * PcdSeen: what libvirt says about a domain when asked (virDomainGetState and job), for a resync.
 * @PCD_SEEN_UNKNOWN: a state or reason that this version does not know
 * @PCD_SEEN_ABSENT: libvirt has no such active domain
 * @PCD_SEEN_IDLE: active, and no migration to be seen
 * @PCD_SEEN_MIGRATED_IN: RUNNING/MIGRATED: it came here and is complete
 * @PCD_SEEN_PRECOPY: a migration job before switch-over
 * @PCD_SEEN_POSTCOPY: PAUSED/POSTCOPY (source), RUNNING/POSTCOPY (destination)
 * @PCD_SEEN_POSTCOPY_FAILED: PAUSED/POSTCOPY_FAILED, RUNNING/POSTCOPY_FAILED
 */
typedef enum {
  PCD_SEEN_UNKNOWN,
  PCD_SEEN_ABSENT,
  PCD_SEEN_IDLE,
  PCD_SEEN_MIGRATED_IN,
  PCD_SEEN_PRECOPY,
  PCD_SEEN_POSTCOPY,
  PCD_SEEN_POSTCOPY_FAILED,
  PCD_N_SEEN,
} PcdSeen;

/**
 * PcdEventKind:
 * @PCD_EVENT_QEMU_STATUS: QEMU's own word, by its MIGRATION event or by query-migrate
 * @PCD_EVENT_LIFECYCLE: a libvirt lifecycle event
 * @PCD_EVENT_SEEN: the answer to a resync
 * @PCD_EVENT_NET: a judgement on the migration sockets' last sample
 * @PCD_EVENT_SOCKET_CLOSED: a migration socket left the established state, and why
 * @PCD_EVENT_SOCKET_FOUND: QEMU has a live migration connection
 * @PCD_EVENT_NO_SOCKET: the host looked long enough: QEMU's migration threads live, and have no
 *   connection
 * @PCD_EVENT_PROCESS_EXITED: this side's QEMU is gone
 */
typedef enum {
  PCD_EVENT_QEMU_STATUS,
  PCD_EVENT_LIFECYCLE,
  PCD_EVENT_SEEN,
  PCD_EVENT_NET,
  PCD_EVENT_SOCKET_CLOSED,
  PCD_EVENT_SOCKET_FOUND,
  PCD_EVENT_NO_SOCKET,
  PCD_EVENT_PROCESS_EXITED,
  PCD_N_EVENTS,
} PcdEventKind;

/**
 * PcdEvent:
 * @kind: which of the members below is valid
 * @status: for %PCD_EVENT_QEMU_STATUS
 * @lifecycle: for %PCD_EVENT_LIFECYCLE
 * @seen: for %PCD_EVENT_SEEN
 * @net: for %PCD_EVENT_NET: the flow now, and whether the connection is dead
 * @closed: for %PCD_EVENT_SOCKET_CLOSED: the cause by evidence
 */
typedef struct {
  PcdEventKind kind;
  union {
    PcdQemuStatus status;
    PcdLifecycle lifecycle;
    PcdSeen seen;
    struct {
      PcdFlow flow;
      gboolean dead;
    } net;
    PcdCause closed;
  };
} PcdEvent;

/**
 * PcdDomainRef:
 * @uuid: canonical lower-case UUID
 * @name: domain name
 * @role_known: whether @role says anything; SUSPENDED/POSTCOPY_FAILED may come from either side
 * @role: this host's side
 *
 * Whom an event is about. Borrowed strings, valid during the call.
 */
typedef struct {
  const char *uuid;
  const char *name;
  gboolean role_known;
  PcdRole role;
} PcdDomainRef;

const char *pcd_lifecycle_to_string (PcdLifecycle lifecycle);
const char *pcd_seen_to_string (PcdSeen seen);

G_END_DECLS
