/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where postcopyd is found: which bus, which name, which path. For both ends of it.
 * Connects to nothing. */
#pragma once

#include "core/pcd-types.h"

#include <gio/gio.h>

G_BEGIN_DECLS

#define PCD_BUS_NAME "org.postcopyd"
#define PCD_BUS_PATH "/org/postcopyd"

/**
 * pcd_bus_resolve:
 * @bus: (nullable): `system`, `session` or a D-Bus address; %NULL is `system`
 *
 * Returns: (transfer full): the address, or %NULL if @bus is none
 */
char *pcd_bus_resolve (const char *bus, GError **error);

/**
 * pcd_bus_migration_path:
 *
 * Returns: (transfer full): the object path of a migration
 */
char *pcd_bus_migration_path (const char *uuid, PcdRole role);

G_END_DECLS
