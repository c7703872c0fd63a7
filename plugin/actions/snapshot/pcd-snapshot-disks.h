/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's disks, as they are at one moment, as parts of a bundle: QEMU copies them.
 * Must not know how the guest is held, nor what else the bundle has. */
#pragma once

#include "actions/snapshot/pcd-snapshot-state.h"

G_BEGIN_DECLS

typedef struct _PcdSnapshotDisks PcdSnapshotDisks;

/**
 * pcd_snapshot_disks_begin:
 * @side: must outlive it
 * @bundle: likewise
 *
 * On return the copies are of this moment, whatever the guest writes from now on. What cannot be
 * copied is no error: the manifest says why.
 */
PcdSnapshotDisks *pcd_snapshot_disks_begin (PcdSnapshotSide *side, PcdBundle *bundle);

/**
 * pcd_snapshot_disks_finish:
 *
 * Waits for the copies, and takes everything of ours out of QEMU. When the job is called off, or
 * its deadline comes near, the copies that are not complete are left out.
 */
void pcd_snapshot_disks_finish (PcdSnapshotDisks *disks);

/* Calls off what was not finished. */
void pcd_snapshot_disks_free (PcdSnapshotDisks *disks);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdSnapshotDisks, pcd_snapshot_disks_free)

/* (transfer full): for the manifest; of finished ones */
JsonArray *pcd_snapshot_disks_describe (const PcdSnapshotDisks *disks);

/* (nullable): why there are none */
const char *pcd_snapshot_disks_get_note (const PcdSnapshotDisks *disks);

/* How many were copied. */
guint pcd_snapshot_disks_get_n (const PcdSnapshotDisks *disks);

G_END_DECLS
