/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What QEMU, libvirt, the kernel and the journal have to say for a snapshot, beside the memory.
 * Must not change anything. */
#pragma once

#include "actions/pcd-action-util.h"
#include "snapshot/pcd-snapshot.h"

G_BEGIN_DECLS

/**
 * PcdSnapshotSide:
 * @monitor: (nullable): the control monitor
 * @why_no_monitor: (nullable): why there is none
 */
typedef struct {
  const PostcopydMigration *migration;
  const PostcopydJob *job;
  PcdMonitorKeeper *monitor;
  char *why_no_monitor;
} PcdSnapshotSide;

/* A #PcdRamAsk of a #PcdSnapshotSide: only commands that are answered always. */
char *pcd_snapshot_ask (const char *line, gpointer side, GError **error);

#define PCD_SNAPSHOT_N_TEXTS 7

/**
 * pcd_snapshot_get_texts:
 * @is_stopped: no vCPU runs: registers may be asked for
 * @texts: (out): %PCD_SNAPSHOT_N_TEXTS
 * @ret_began_usec: (out): see #PcdSnapshot
 */
void pcd_snapshot_get_texts (PcdSnapshotSide *side,
                             gboolean is_stopped,
                             PcdSnapshotText *texts,
                             gint64 *ret_began_usec);

void pcd_snapshot_clear_texts (PcdSnapshotText *texts);

G_END_DECLS
