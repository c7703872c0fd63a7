/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of errors on the bus. */
#include "bus/pcd-bus-error.h"

static const GDBusErrorEntry entries[PCD_N_BUS_ERRORS] = {
  { PCD_BUS_ERROR_NOT_FOUND, "org.postcopyd.Error.NotFound" },
  { PCD_BUS_ERROR_REFUSED, "org.postcopyd.Error.Refused" },
  { PCD_BUS_ERROR_FAILED, "org.postcopyd.Error.Failed" },
  { PCD_BUS_ERROR_NOT_AUTHORIZED, "org.postcopyd.Error.NotAuthorized" },
  { PCD_BUS_ERROR_BAD_ARGUMENT, "org.postcopyd.Error.BadArgument" },
};

GQuark
pcd_bus_error_quark (void)
{
  static gsize quark = 0;

  g_dbus_error_register_error_domain ("pcd-bus-error-quark", &quark, entries,
                                      G_N_ELEMENTS (entries));
  return (GQuark)quark;
}
