/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One attempt to recover a paused post-copy migration through libvirt, over one route after the
 * other. Must not know when it is due, nor how often: that is the ladder's business. */
#pragma once

#include <libvirt/libvirt.h>

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
 * PcdRecoverSign: what a look at the source tells, after a recovery was asked for.
 * @PCD_RECOVER_WAITS: QEMU is paused still, or did not say
 * @PCD_RECOVER_BEGAN: it recovers, has recovered, or its migration has completed
 * @PCD_RECOVER_ENDED: there is no QEMU any more, and nothing tells whether its migration completed
 */
typedef enum {
  PCD_RECOVER_WAITS,
  PCD_RECOVER_BEGAN,
  PCD_RECOVER_ENDED,
} PcdRecoverSign;

/**
 * pcd_recover_judge_sign:
 * @status: QEMU's, on the source; ignored if @is_gone
 * @is_gone: there is no such QEMU any more
 * @state: virDomainState of what is left of the domain, -1 if nothing is (a transient one)
 * @reason: its virDomainShutoffReason
 */
PcdRecoverSign
pcd_recover_judge_sign (PcdQemuStatus status, gboolean is_gone, int state, int reason);

/* %PCD_RECOVER_ENDED for people: a short rest of memory may have completed between two looks. */
#define PCD_RECOVER_ENDED_WORDS                                                                    \
  "its QEMU was ended, or the recovery was over at once: its libvirt does not say which"

/* Asks @domain, the source's. Blocks. */
PcdRecoverSign pcd_recover_look (virDomainPtr domain);

/**
 * pcd_recover_is_paused:
 * @domain: the source's
 * @ret_outcome: (out): written if %FALSE
 * @ret_reason: (out) (transfer full): likewise
 *
 * Asks QEMU there, then as pcd_recover_judge_status (); a domain that is gone is refused, whatever
 * became of it. Blocks.
 */
gboolean pcd_recover_is_paused (virDomainPtr domain, PcdOutcome *ret_outcome, char **ret_reason);

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
