/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two queues of fixed size: what leaves the dense one enters the thin one, or is forgotten. */
#include "core/pcd-net-ring.h"

typedef struct {
  guint first;
  guint n;
} Queue;

struct _PcdNetRing {
  Queue thin;
  Queue dense;
  PcdNetSample thin_at[PCD_NET_RING_N_THIN];
  PcdNetSample dense_at[PCD_NET_RING_N_DENSE];
};

PcdNetRing *
pcd_net_ring_new (void)
{
  return g_new0 (PcdNetRing, 1);
}

void
pcd_net_ring_free (PcdNetRing *ring)
{
  g_free (ring);
}

static void
drop_oldest (Queue *queue, guint size)
{
  queue->first = (queue->first + 1) % size;
  queue->n--;
}

static void
make_thin (PcdNetRing *ring, const PcdNetSample *sample)
{
  Queue *thin = &ring->thin;
  const guint last = (thin->first + thin->n + PCD_NET_RING_N_THIN - 1) % PCD_NET_RING_N_THIN;

  if (thin->n > 0 && sample->now - ring->thin_at[last].now < PCD_NET_RING_STEP_USEC)
    return;
  if (thin->n == PCD_NET_RING_N_THIN)
    drop_oldest (thin, PCD_NET_RING_N_THIN);
  ring->thin_at[(thin->first + thin->n++) % PCD_NET_RING_N_THIN] = *sample;
}

void
pcd_net_ring_add (PcdNetRing *ring, const PcdNetSample *sample)
{
  Queue *dense = &ring->dense, *thin = &ring->thin;

  while (dense->n > 0 &&
         (dense->n == PCD_NET_RING_N_DENSE ||
          sample->now - ring->dense_at[dense->first].now > PCD_NET_RING_DENSE_USEC)) {
    make_thin (ring, &ring->dense_at[dense->first]);
    drop_oldest (dense, PCD_NET_RING_N_DENSE);
  }
  ring->dense_at[(dense->first + dense->n++) % PCD_NET_RING_N_DENSE] = *sample;
  while (thin->n > 0 && sample->now - ring->thin_at[thin->first].now > PCD_NET_RING_THIN_USEC)
    drop_oldest (thin, PCD_NET_RING_N_THIN);
}

guint
pcd_net_ring_count (const PcdNetRing *ring)
{
  return ring->thin.n + ring->dense.n;
}

const PcdNetSample *
pcd_net_ring_get (const PcdNetRing *ring, guint i)
{
  g_return_val_if_fail (i < pcd_net_ring_count (ring), NULL);
  if (i < ring->thin.n)
    return &ring->thin_at[(ring->thin.first + i) % PCD_NET_RING_N_THIN];
  return &ring->dense_at[(ring->dense.first + i - ring->thin.n) % PCD_NET_RING_N_DENSE];
}
