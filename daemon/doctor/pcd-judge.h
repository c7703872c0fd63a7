/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Facts of a host in, findings out. Pure: no I/O, no clock. */
#pragma once

#include "doctor/pcd-facts.h"
#include "doctor/pcd-finding.h"

G_BEGIN_DECLS

/**
 * pcd_judge:
 *
 * Every check says something, if only that it is ok. What follows from another finding is not told
 * again.
 *
 * Returns: (transfer full) (element-type PcdFinding)
 */
GPtrArray *pcd_judge (const PcdFacts *facts);

/* Its parts. */
void pcd_judge_host (const PcdFacts *facts, GPtrArray *findings);
void pcd_judge_libvirt (const PcdFacts *facts, GPtrArray *findings);
void pcd_judge_daemon (const PcdFacts *facts, GPtrArray *findings);

/**
 * pcd_judge_tcp_timeout_usec:
 * @retries: tcp_retries2
 *
 * How long the kernel tries to send without an answer: the RTO begins at 200 ms here, doubles, and
 * stays at 120 s (Linux, net/ipv4/tcp_timer.c, tcp_model_timeout()): 924.6 s for the default of 15.
 */
gint64 pcd_judge_tcp_timeout_usec (int retries);

G_END_DECLS
