/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks getifaddrs(3): by rtnetlink, so an interface is there even without an address. */
#include "host/pcd-interface.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

static gboolean
has_address (const struct ifaddrs *interface, const char *address)
{
  const struct sockaddr *end = interface->ifa_addr;
  char text[INET6_ADDRSTRLEN] = "";

  if (end && end->sa_family == AF_INET)
    inet_ntop (AF_INET, &((const struct sockaddr_in *)end)->sin_addr, text, sizeof text);
  else if (end && end->sa_family == AF_INET6)
    inet_ntop (AF_INET6, &((const struct sockaddr_in6 *)end)->sin6_addr, text, sizeof text);
  return *text && g_str_equal (text, address);
}

char *
pcd_interface_of (const char *endpoint)
{
  const char *colon = strrchr (endpoint, ':');
  const gboolean in_brackets = *endpoint == '[' && colon && colon > endpoint + 1;
  g_autofree char *address =
      in_brackets ? g_strndup (endpoint + 1, (gsize)(colon - endpoint) - 2)
                  : g_strndup (endpoint, colon ? (gsize)(colon - endpoint) : strlen (endpoint));
  struct ifaddrs *all = NULL;
  char *found = NULL;

  if (getifaddrs (&all) < 0)
    return NULL;
  for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next)
    if (has_address (i, address))
      found = g_strdup (i->ifa_name);
  freeifaddrs (all);
  return found;
}

PcdLink
pcd_interface_link (const char *name)
{
  PcdLink link = PCD_LINK_GONE;
  struct ifaddrs *all = NULL;

  if (getifaddrs (&all) < 0)
    return PCD_LINK_UNKNOWN;
  for (const struct ifaddrs *i = all; i; i = i->ifa_next)
    if (g_str_equal (i->ifa_name, name))
      link = !(i->ifa_flags & IFF_UP)        ? PCD_LINK_DOWN
             : !(i->ifa_flags & IFF_RUNNING) ? PCD_LINK_NO_CARRIER
                                             : PCD_LINK_UP;
  freeifaddrs (all);
  return link;
}
