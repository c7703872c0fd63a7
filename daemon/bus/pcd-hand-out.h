/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finished snapshots for who may not open them by path: descriptors of their parts.
 * Must not know what is in them. */
#pragma once

#include "engine/pcd-engine.h"
#include "pcd-dbus-generated.h"

G_BEGIN_DECLS

typedef struct _PcdHandOut PcdHandOut;

/**
 * pcd_hand_out_new:
 * @engine: (transfer none): must outlive it; says where snapshots are
 * @manager: (transfer none): whose ListSnapshots and OpenSnapshotPart are answered from now on
 */
PcdHandOut *pcd_hand_out_new (PcdEngine *engine, PcdDbusManager1 *manager);

/* Who waits for polkit's word is told that postcopyd is ending. */
void pcd_hand_out_free (PcdHandOut *self);

G_END_DECLS
