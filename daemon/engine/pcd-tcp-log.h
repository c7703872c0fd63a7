/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the migration connections of one QEMU did of late, also those that have ended: a snapshot is
 * taken in a pause, when there is none. For any thread; must not judge. */
#pragma once

#include "core/pcd-net.h"

G_BEGIN_DECLS

typedef struct _PcdTcpLog PcdTcpLog;

/* The last so many connections are kept, see core/pcd-net-ring.h for how much of each. */
#define PCD_TCP_LOG_N_CONNECTIONS 8

PcdTcpLog *pcd_tcp_log_new (void);
PcdTcpLog *pcd_tcp_log_ref (PcdTcpLog *log);
void pcd_tcp_log_unref (PcdTcpLog *log);

/**
 * pcd_tcp_log_add:
 * @ends: "LOCAL -> REMOTE"; the same while the connection lives
 */
void pcd_tcp_log_add (PcdTcpLog *log, const char *ends, const PcdNetSample *sample);

/**
 * pcd_tcp_log_end:
 * @why: one clause
 *
 * The next connection between these two ends is another one.
 */
void pcd_tcp_log_end (PcdTcpLog *log, const char *ends, const char *why);

/**
 * pcd_tcp_log_to_text:
 *
 * Returns: (transfer full): %NULL if there was no connection; else lines: what begins with "#" is
 *   for people, the others are pcd_net_sample_to_string ()'s
 */
char *pcd_tcp_log_to_text (PcdTcpLog *log);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdTcpLog, pcd_tcp_log_unref)

G_END_DECLS
