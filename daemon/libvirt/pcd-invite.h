/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The destination's half of a recovery past a QEMU that hangs: the source is told where to connect.
 * Must not know how QEMU is made to listen, nor when it is due. */
#pragma once

#include "core/pcd-invitation.h"
#include "core/pcd-ladder.h"

G_BEGIN_DECLS

/**
 * PcdInviteRequest:
 * @uuid: domain
 * @routes: (element-type PcdRoute): to the source, in the order in which to try
 * @listen: makes QEMU here listen at @endpoint's address and writes its port there
 * @deadline: CLOCK_MONOTONIC µs
 * @cancelled: (nullable): whether to end soon
 * @data: for @listen and @cancelled
 */
typedef struct {
  const char *uuid;
  GPtrArray *routes;
  gboolean (*listen) (PcdEndpoint *endpoint, gpointer data, GError **error);
  gint64 deadline;
  gboolean (*cancelled) (gpointer data);
  gpointer data;
} PcdInviteRequest;

/**
 * pcd_invite_run:
 * @ret_reason: (out) (transfer full): one clause, always set
 *
 * Looks by the source's libvirt whether the migration is paused there too, makes QEMU here listen
 * at the address that leads to the source, and leaves an invitation (core/pcd-invitation.h). It is
 * the source's postcopyd that takes it, as only it knows whether a recovery by libvirt is under
 * way: see pcd-recover-accept.c for what happens otherwise. Waits for 10 s; the invitation stands
 * beyond.
 *
 * Done means that QEMU on the source is no longer in postcopy-paused. Blocks; not for the main
 * thread. Can overstay the deadline if the source's libvirt takes a connection and hangs.
 */
PcdOutcome pcd_invite_run (const PcdInviteRequest *request, char **ret_reason);

G_END_DECLS
