/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The errors that postcopyd answers with on D-Bus, for both ends of it. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * PcdBusError: on the bus they are called org.postcopyd.Error.NotFound and so on.
 * @PCD_BUS_ERROR_NOT_FOUND: no such migration any more
 * @PCD_BUS_ERROR_REFUSED: understood and allowed, but not possible or not safe
 * @PCD_BUS_ERROR_FAILED: tried
 * @PCD_BUS_ERROR_NOT_AUTHORIZED: this user may not
 * @PCD_BUS_ERROR_BAD_ARGUMENT: names the argument and what was expected
 */
typedef enum {
  PCD_BUS_ERROR_NOT_FOUND,
  PCD_BUS_ERROR_REFUSED,
  PCD_BUS_ERROR_FAILED,
  PCD_BUS_ERROR_NOT_AUTHORIZED,
  PCD_BUS_ERROR_BAD_ARGUMENT,
  PCD_N_BUS_ERRORS,
} PcdBusError;

#define PCD_BUS_ERROR (pcd_bus_error_quark ())

/* Also registers the names: call it before an answer is looked at. */
GQuark pcd_bus_error_quark (void);

G_END_DECLS
