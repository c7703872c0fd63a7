/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Turns what --bus says into a D-Bus address. */
#include "bus/pcd-address.h"

#include <glib/gi18n.h>

char *
pcd_bus_resolve (const char *bus, GError **error)
{
  if (!bus || g_str_equal (bus, "system"))
    return g_dbus_address_get_for_bus_sync (G_BUS_TYPE_SYSTEM, NULL, error);
  if (g_str_equal (bus, "session"))
    return g_dbus_address_get_for_bus_sync (G_BUS_TYPE_SESSION, NULL, error);
  if (!g_dbus_is_supported_address (bus, NULL)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 _ ("got \"%s\", expected system, session or a D-Bus address such as "
                    "unix:path=/run/dbus/system_bus_socket"),
                 bus);
    return NULL;
  }
  return g_strdup (bus);
}

char *
pcd_bus_migration_path (const char *uuid, PcdRole role)
{
  g_autofree char *path =
      g_strdup_printf (PCD_BUS_PATH "/migration/%s_%s", uuid, pcd_role_to_string (role));

  g_strdelimit (path, "-", '_');
  return g_steal_pointer (&path);
}
