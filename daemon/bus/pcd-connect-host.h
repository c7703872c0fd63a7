/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A connection to a message bus of another host, by ssh, as systemctl --host has it.
 * Must not know what the bus is wanted for. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * pcd_host_check:
 * @host: `[USER@]HOST` as a user gave it
 *
 * Returns: %FALSE if that is none, such as what ssh would take for an option
 */
gboolean pcd_host_check (const char *host, GError **error);

/**
 * pcd_bus_connect_host:
 * @host: `[USER@]HOST`, checked
 * @bus: (nullable): of that host: `system`, the default, `session`, or an address as it is there
 * @deadline_msec: somebody may have to type a password
 * @error: return location; the message is for people, what ssh itself says goes to standard error
 *
 * Runs `ssh -xT -- HOST systemd-stdio-bridge`, which speaks that host's bus on its standard input
 * and output, as that host's user; $POSTCOPYCTL_SSH may have other words for `ssh`. ssh ends with
 * the connection. No file descriptors go through it. Runs the default main context while it waits.
 *
 * Returns: (transfer full): the connection, or %NULL
 */
GDBusConnection *
pcd_bus_connect_host (const char *host, const char *bus, guint deadline_msec, GError **error);

G_END_DECLS
