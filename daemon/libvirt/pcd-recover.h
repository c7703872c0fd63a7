/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One attempt to recover a paused post-copy migration through libvirt, over one route after the
 * other. Must not know when it is due, nor how often: that is the ladder's business. */
#pragma once

#include "core/pcd-ladder.h"
#include "engine/pcd-peers.h"

G_BEGIN_DECLS

/**
 * PcdRecoverRequest:
 * @uri: (nullable): this host's libvirt
 * @uuid: domain
 * @pid: its QEMU here, 0 if not known: then a daemon that waits on a dead connection is not helped
 * @routes: (element-type PcdRoute): in the order in which to try
 * @override: try in spite of known bugs of the destination's libvirt
 * @deadline: CLOCK_MONOTONIC µs
 * @cancelled: (nullable): whether to end soon
 * @progress: (nullable): what is being tried
 */
typedef struct {
  const char *uri;
  const char *uuid;
  pid_t pid;
  GPtrArray *routes;
  gboolean override;
  gint64 deadline;
  gboolean (*cancelled) (gpointer data);
  void (*progress) (const char *text, gpointer data);
  gpointer data;
} PcdRecoverRequest;

/**
 * pcd_recover_run:
 * @ret_reason: (out) (transfer full): one clause, always set
 *
 * Done means that QEMU here is no longer in postcopy-paused: the recovery has begun. libvirt's call
 * lasts until the migration ends; it goes on in a thread of its own, which outlives this call, and
 * in libvirt's daemon even if this process is killed (measured with libvirt 9.0).
 *
 * Blocks, on own connections only; not for the main thread. Can overstay the deadline if the local
 * libvirt hangs.
 */
PcdOutcome pcd_recover_run (const PcdRecoverRequest *request, char **ret_reason);

/**
 * pcd_recover_judge_status:
 * @status: QEMU's, on the source
 * @word: its word
 * @ret_outcome: (out): written if %FALSE
 * @ret_reason: (out) (transfer full): likewise
 *
 * Returns: %TRUE if the migration is in a state from which it can be recovered
 */
gboolean pcd_recover_judge_status (PcdQemuStatus status,
                                   const char *word,
                                   PcdOutcome *ret_outcome,
                                   char **ret_reason);

/**
 * pcd_recover_judge_version:
 * @here: virConnectGetLibVersion () of the source, 0 if not known
 * @there: of the destination, 0 if not known
 *
 * FACTS 3: up to 8.10 a failed recovery cannot be resumed ("not in post-copy phase"); in 11.2 and
 * 11.3 the destination's daemon crashes.
 *
 * Returns: (nullable): static, why not; %NULL if there is no known bug that forbids it
 */
const char *pcd_recover_judge_version (gulong here, gulong there);

G_END_DECLS
