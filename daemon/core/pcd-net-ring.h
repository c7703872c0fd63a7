/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The recent past of one connection in constant memory: dense close to now, thin before.
 * Pure; must not know how samples are taken. */
#pragma once

#include "core/pcd-net.h"

G_BEGIN_DECLS

/* What is kept: every sample of so long, as long as there are no more than so many ... */
#define PCD_NET_RING_DENSE_USEC (10 * G_USEC_PER_SEC)
#define PCD_NET_RING_N_DENSE    128
/* ... and before that one per second, so far back. */
#define PCD_NET_RING_THIN_USEC (600 * (gint64)G_USEC_PER_SEC)
#define PCD_NET_RING_STEP_USEC G_USEC_PER_SEC
#define PCD_NET_RING_N_THIN    600

typedef struct _PcdNetRing PcdNetRing;

/* Returns: (transfer full): all the memory it ever takes, some 100 KiB */
PcdNetRing *pcd_net_ring_new (void);
void pcd_net_ring_free (PcdNetRing *ring);

/**
 * pcd_net_ring_add:
 * @sample: not older than the one before
 */
void pcd_net_ring_add (PcdNetRing *ring, const PcdNetSample *sample);

/* How many samples are kept. */
guint pcd_net_ring_count (const PcdNetRing *ring);

/**
 * pcd_net_ring_get:
 * @i: from 0, the oldest, up to pcd_net_ring_count ()
 *
 * Returns: (transfer none): valid until the next is added
 */
const PcdNetSample *pcd_net_ring_get (const PcdNetRing *ring, guint i);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdNetRing, pcd_net_ring_free)

G_END_DECLS
