/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The libvirt daemon that owns a QEMU, and its connection to the other host's libvirt if that is
 * dead. Must not use libvirt. */
#pragma once

#include <glib.h>
#include <sys/types.h>

#include "core/pcd-net.h"

G_BEGIN_DECLS

/**
 * pcd_owner_find:
 * @qemu: a QEMU process
 *
 * The libvirt daemon is who connected to QEMU's monitor: SO_PEERCRED of QEMU's end. Works for
 * libvirtd and virtqemud, however they were started. A few ms; never waits.
 *
 * Returns: its pid, or -1 with @error set
 */
pid_t pcd_owner_find (pid_t qemu, GError **error);

/**
 * PcdOwnerEvidence: why a connection between two libvirt daemons may be taken for lost.
 * @addresses: (array zero-terminated=1): numeric, of the destination
 * @unreachable: (array zero-terminated=1) (nullable): those of @addresses whose libvirt did not
 *   answer just now
 * @port: of the destination's libvirt
 * @call_is_over: the destination says that it no longer waits for the migration: its answer was
 *   lost. Taken for evidence only about a single connection, as others may be of other migrations
 * @only_one: act only if there is a single such connection: another migration may need its own
 */
typedef struct {
  const char *const *addresses;
  const char *const *unreachable;
  guint16 port;
  gboolean call_is_over;
  gboolean only_one;
} PcdOwnerEvidence;

/**
 * pcd_owner_connection_is_dead:
 * @sample: of a connection between two libvirt daemons
 * @unreachable: nobody answers at its other end any more
 * @call_is_over: see #PcdOwnerEvidence
 *
 * Pure. In a migration with PEER2PEER the source's daemon waits in a call (Finish) to the
 * destination's all through post-copy. When the network dies that call ends by libvirt's own
 * keepalive, 5 x 5 s and a few later, and until then nobody can recover the migration: "is being
 * actively monitored by another thread" (measured, libvirt 9.0: 25 s from the pause on; over a
 * network that came back, until TCP's next retransmission).
 *
 * Returns: %TRUE if the peer has been silent for 2 s and either something was repeated in vain or
 *   nobody answers there; or if the call is over
 */
gboolean pcd_owner_connection_is_dead (const PcdNetSample *sample,
                                       gboolean unreachable,
                                       gboolean call_is_over);

/**
 * PcdOwnerRelease:
 * @n_connections: connections of the daemon to a libvirt port of the addresses
 * @n_shut: of these were dead, and were shut down
 */
typedef struct {
  guint n_connections;
  guint n_shut;
} PcdOwnerRelease;

/**
 * pcd_owner_release:
 * @qemu: a QEMU process whose migration is paused
 *
 * Shuts down the dead connections of @qemu's libvirt daemon to the destination's, by duplicates of
 * its sockets, so that the call that waits there fails now and not when libvirt's keepalive says
 * so. What lives is left alone. Connections by ssh belong to a child of the daemon and are not
 * seen.
 */
gboolean pcd_owner_release (pid_t qemu,
                            const PcdOwnerEvidence *evidence,
                            PcdOwnerRelease *ret_release,
                            GError **error);

G_END_DECLS
