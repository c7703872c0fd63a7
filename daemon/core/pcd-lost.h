/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The migration connection that was lost: which one, and what was last known of it.
 * A pure value, and its text for the journal. */
#pragma once

#include "core/pcd-types.h"

G_BEGIN_DECLS

/**
 * PcdLost:
 * @cause: why it ended, by the evidence of @why
 * @why: one clause
 * @local: "address:port", IPv6 in brackets
 * @remote: likewise
 * @interface: (nullable): the network interface that had @local's address
 * @heard: when the peer was last heard, microseconds since the epoch, 0 if not known
 * @acked: when something of ours last arrived there, or nothing was outstanding; likewise
 * @unacked: segments sent and not acknowledged, at the last sample
 * @retransmits: unanswered retransmissions of the oldest one, then
 */
typedef struct {
  PcdCause cause;
  char *why;
  char *local;
  char *remote;
  char *interface;
  gint64 heard;
  gint64 acked;
  guint unacked;
  guint retransmits;
} PcdLost;

PcdLost *pcd_lost_copy (const PcdLost *lost);
void pcd_lost_free (PcdLost *lost);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdLost, pcd_lost_free)

/* Returns: (transfer full): one line */
char *pcd_lost_to_text (const PcdLost *lost);

/* Returns: (transfer full) (nullable): %NULL if @text is not what pcd_lost_to_text () writes */
PcdLost *pcd_lost_from_text (const char *text);

G_END_DECLS
