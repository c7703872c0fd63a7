/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A connection to a message bus, or the news that there is none in time.
 * Must not know what the bus is wanted for. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * pcd_bus_connect:
 * @address: of the bus, see pcd_bus_resolve ()
 * @deadline_msec: a bus that accepts and says nothing is given this long
 * @error: return location; %G_IO_ERROR_CANCELLED past the deadline
 *
 * Runs the default main context while it waits: for programs that do nothing else meanwhile.
 *
 * Returns: (transfer full): the connection, or %NULL
 */
GDBusConnection *pcd_bus_connect (const char *address, guint deadline_msec, GError **error);

/**
 * PcdBusConnected:
 * @connection: (transfer full) (nullable): %NULL and @error, as of pcd_bus_connect ()
 */
typedef void (*PcdBusConnected) (GDBusConnection *connection, const GError *error, gpointer data);

/**
 * pcd_bus_connect_async:
 * @cancellable: once it is cancelled, @connected is not called any more
 * @connected: called once, from the default main context
 *
 * As pcd_bus_connect (), without waiting.
 */
void pcd_bus_connect_async (const char *address,
                            guint deadline_msec,
                            GCancellable *cancellable,
                            PcdBusConnected connected,
                            gpointer data);

G_END_DECLS
