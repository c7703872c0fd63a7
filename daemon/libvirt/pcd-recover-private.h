/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside of one attempt to recover: what the files of pcd-recover share. Nobody else's business.
 * Must not know when a recovery is due. */
#pragma once

#include <libvirt/libvirt.h>

#include "core/pcd-socket-match.h"
#include "libvirt/pcd-recover.h"

G_BEGIN_DECLS

#define PCD_RECOVER_POLL_USEC (25 * 1000)
/* A connection of libvirt's daemon here was or may have to be shut down: so long until it is over.
 */
#define PCD_RECOVER_RELEASE_USEC ((gint64)2 * G_USEC_PER_SEC)
#define PCD_RECOVER_GONE         "the domain does not run on the source any more"

/**
 * PcdRecoverAttempt:
 * @route: the one that is being tried
 * @released: a dead connection of the daemon's was shut down
 * @there_is_over: the destination's libvirt no longer waits for the migration
 * @unreachable: addresses that did not answer, ended by a %NULL
 * @tried: what each route said
 * @invitation: (nullable): its id: the destination cannot answer libvirt, see pcd_recover_accept ()
 * @listens: of @invitation
 */
typedef struct {
  const PcdRecoverRequest *request;
  virConnectPtr connection;
  virDomainPtr domain;
  gulong here;
  unsigned int extra_flags;
  const PcdRoute *route;
  gboolean released;
  gboolean there_is_over;
  GPtrArray *unreachable;
  GString *tried;
  char *invitation;
  PcdEndpoint listens;
} PcdRecoverAttempt;

gboolean pcd_recover_must_end (PcdRecoverAttempt *attempt);

/* Whether there is an invitation, which it then has. */
gboolean pcd_recover_look_for_invitation (PcdRecoverAttempt *attempt);

/**
 * pcd_recover_call:
 * @ret_message: (out) (transfer full): why not
 *
 * By libvirt, whose dead connection is shut down if that is in the way. Ends early when an
 * invitation comes.
 *
 * Returns: %TRUE once QEMU recovers
 */
gboolean pcd_recover_call (PcdRecoverAttempt *attempt, char **ret_message);

/**
 * pcd_recover_make_idle:
 * @ret_message: (out) (transfer full): why not
 *
 * Ends whatever resume of this migration libvirt here still waits in, by shutting down its
 * connection to the destination, and proves that none is left.
 */
gboolean pcd_recover_make_idle (PcdRecoverAttempt *attempt, char **ret_message);

/**
 * pcd_recover_accept:
 * @ret_message: (out) (transfer full): why not
 *
 * The destination's QEMU hangs and cannot answer its libvirt, but it listens where @invitation
 * says: makes libvirt here let go, then QEMU connect. An invitation is good for one attempt.
 *
 * Returns: %TRUE once QEMU recovers
 */
gboolean pcd_recover_accept (PcdRecoverAttempt *attempt, char **ret_message);

G_END_DECLS
