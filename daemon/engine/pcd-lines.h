/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The migration connections of one QEMU, from found to closed: which there are, how they do.
 * Belongs to one watch thread; must not know phases, nor talk to the main thread. */
#pragma once

#include "core/pcd-event.h"
#include "engine/pcd-config.h"
#include "engine/pcd-tcp-log.h"
#include "engine/pcd-watch.h"
#include "host/pcd-sockets.h"

#include <poll.h>

G_BEGIN_DECLS

typedef struct _PcdLines PcdLines;

/**
 * pcd_lines_new:
 * @process: (transfer none): must outlive the lines
 * @config: (transfer none): copied
 * @log: (transfer none): gets every sample
 */
PcdLines *
pcd_lines_new (PcdSockets *process, PcdRole role, const PcdConfig *config, PcdTcpLog *log);

/**
 * pcd_lines_free:
 *
 * Closes the duplicates. What is armed stays armed.
 */
void pcd_lines_free (PcdLines *lines);

/**
 * pcd_lines_arm:
 * @ret_note: (inout) (transfer full) (nullable): replaced if one could not be armed
 *
 * Arms what is not armed yet. Not to be called before postcopy runs, nor while it recovers: a
 * connection that ends in `postcopy-recover` takes QEMU 7.2 on the destination with it, and the
 * guest (seen in the lab, 15 s after a cut, by our own TCP_USER_TIMEOUT). There a dead network is
 * better waited out.
 *
 * Returns: how many were armed now
 */
guint pcd_lines_arm (PcdLines *lines, char **ret_note);

/**
 * pcd_lines_scan:
 * @eliminate: see pcd_sockets_scan ()
 * @ret_note: (out) (transfer full) (nullable): why nothing was found
 *
 * Looks for connections.
 *
 * Returns: how many new ones there are
 */
guint pcd_lines_scan (PcdLines *lines, gboolean eliminate, char **ret_note);

/* How many connections are open. */
guint pcd_lines_count (const PcdLines *lines);

/**
 * pcd_lines_add_polls:
 * @polls: (element-type struct pollfd): gets an entry per connection that wakes at its end
 */
void pcd_lines_add_polls (const PcdLines *lines, GArray *polls);

/* When the judge wants the next sample at the latest, %G_MAXINT64 without a connection. */
gint64 pcd_lines_next_sample (const PcdLines *lines);

/**
 * pcd_lines_sample:
 * @measure: gets a view per connection, and the evidence
 * @ret_flow: (out): of the worst of them
 * @ret_dead: (out): whether the network between the two hosts is dead
 * @ret_closed: (out): why connections ended since the last call, %PCD_CAUSE_NONE if none did
 *
 * Samples and judges all connections, probes where the judge wants to know more, drops those that
 * ended or that QEMU let go of.
 *
 * Returns: %TRUE if a connection was judged
 */
gboolean pcd_lines_sample (PcdLines *lines,
                           PcdMeasure *measure,
                           PcdFlow *ret_flow,
                           gboolean *ret_dead,
                           PcdCause *ret_closed);

/**
 * pcd_lines_shutdown:
 *
 * Shuts all connections down, both ways. Their end comes with the next sample, cause network.
 */
void pcd_lines_shutdown (PcdLines *lines);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdLines, pcd_lines_free)

G_END_DECLS
