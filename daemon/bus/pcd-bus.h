/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The D-Bus service: shows what the engine tells, and passes on what operators ask, on a bus that
 * may come and go. Decides nothing, and must not know libvirt. */
#pragma once

#include "bus/pcd-address.h"
#include "engine/pcd-engine.h"

G_BEGIN_DECLS

typedef struct _PcdBus PcdBus;

/**
 * PcdBusCallbacks: all on the main thread, never from inside pcd_bus_new ().
 * @settled: the first attempt to get onto the bus is over, well or not; called once
 * @refused: the bus is there, but will not give us the name: another postcopyd has it, or the
 *   bus's policy is against it. Nothing will be tried again
 * @reload: someone who may asked to read the configuration again; %FALSE if it is bad
 * @sinks: a JSON object per receiver of events; (transfer full)
 */
typedef struct {
  void (*settled) (gpointer data);
  void (*refused) (const GError *error, gpointer data);
  gboolean (*reload) (gpointer data, GError **error);
  GStrv (*sinks) (gpointer data);
} PcdBusCallbacks;

/**
 * pcd_bus_new:
 * @engine: (transfer none): followed from now on; must be freed before the result is
 * @address: from pcd_bus_resolve ()
 * @uri: (nullable): the libvirt URI to show
 * @callbacks: (transfer none): must outlive the result
 *
 * Starts getting onto the bus. A bus that is missing or goes away is tried again for ever, with
 * back-off, and found as it was left: migrations and records do not depend on it.
 *
 * Returns: (transfer full): free with pcd_bus_free ()
 */
PcdBus *pcd_bus_new (PcdEngine *engine,
                     const char *address,
                     const char *uri,
                     const PcdBusCallbacks *callbacks,
                     gpointer data);
void pcd_bus_free (PcdBus *bus);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdBus, pcd_bus_free)

G_END_DECLS
