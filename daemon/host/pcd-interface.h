/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network interfaces of this process's network namespace. Must not know what goes over them. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdLink:
 * @PCD_LINK_GONE: there is no such interface
 * @PCD_LINK_DOWN: switched off (no IFF_UP)
 * @PCD_LINK_NO_CARRIER: on, but without a link or not running (no IFF_RUNNING: the kernel's
 *   operstate, netdevice(7))
 */
typedef enum {
  PCD_LINK_UNKNOWN,
  PCD_LINK_GONE,
  PCD_LINK_DOWN,
  PCD_LINK_NO_CARRIER,
  PCD_LINK_UP,
} PcdLink;

/**
 * pcd_interface_of:
 * @endpoint: "address:port", IPv6 in brackets
 *
 * Returns: (transfer full) (nullable): the name of the one that has the address
 */
char *pcd_interface_of (const char *endpoint);

/* How that interface is now; %PCD_LINK_UNKNOWN if the host does not say. */
PcdLink pcd_interface_link (const char *name);

G_END_DECLS
