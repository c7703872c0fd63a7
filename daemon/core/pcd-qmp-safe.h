/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which QMP commands cannot hang QEMU's monitors while threads of it wait for missing pages.
 * Pure: a table, no I/O. Safety rule 1. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdQmpSafety: under which condition a command may be sent on the ordinary (in-band) way.
 * @PCD_QMP_HANGS: not while any thread is blocked. Also what an unknown command gets
 * @PCD_QMP_SAFE_IF_KICKABLE: also while vCPUs are blocked, if a signal gets each of them out of
 *   `KVM_RUN`; not while any other thread is blocked
 * @PCD_QMP_SAFE_FROM_VCPUS: also while vCPUs are blocked, not while any other thread is (an I/O
 *   worker doing DMA into a missing page: the main loop would wait for its request)
 * @PCD_QMP_SAFE: always answered, unless QEMU's main loop hangs already
 * @PCD_QMP_SAFE_OOB: out of band it is answered even then; in band like %PCD_QMP_SAFE
 */
typedef enum {
  PCD_QMP_HANGS,
  PCD_QMP_SAFE_IF_KICKABLE,
  PCD_QMP_SAFE_FROM_VCPUS,
  PCD_QMP_SAFE,
  PCD_QMP_SAFE_OOB,
} PcdQmpSafety;

/**
 * PcdQmpBlocked: what is known of a QEMU's threads, just now.
 * @is_known: %FALSE when they could not be inspected; then everything else is ignored and the
 *   worst is assumed
 * @vcpus: how many vCPU threads wait for a page
 * @unkickable_vcpus: how many of those a signal does not get out of `KVM_RUN`
 * @others: how many other threads wait for a page, the main thread included
 * @frozen_vcpus: how many vCPU threads are frozen by a cgroup: no signal reaches them
 */
typedef struct {
  gboolean is_known;
  guint vcpus;
  guint unkickable_vcpus;
  guint others;
  guint frozen_vcpus;
} PcdQmpBlocked;

/**
 * pcd_qmp_safety:
 * @command: a QMP command's name, or `human-monitor-command` for the question about @hmp
 * @hmp: (nullable): the human monitor's command line, when @command is `human-monitor-command`
 *
 * Measured with QEMU 7.2 on a destination with blocked vCPUs (KVM in both forms, and TCG).
 *
 * Returns: the command's class; %PCD_QMP_HANGS for one that is not in the table
 */
PcdQmpSafety pcd_qmp_safety (const char *command, const char *hmp);

/**
 * pcd_qmp_may_send:
 * @command: as in pcd_qmp_safety()
 * @hmp: (nullable): likewise
 * @oob: whether it is to be sent out of band
 * @blocked: the threads' state
 * @ret_why_not: (out) (optional): a static string for people, when the answer is %FALSE
 *
 * Returns: whether sending it now cannot hang a monitor because of blocked threads
 */
gboolean pcd_qmp_may_send (const char *command,
                           const char *hmp,
                           gboolean oob,
                           const PcdQmpBlocked *blocked,
                           const char **ret_why_not);

G_END_DECLS
