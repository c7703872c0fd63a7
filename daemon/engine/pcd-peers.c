/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses in, routes out.
 * Must not know whether anybody answers there. */
#include "engine/pcd-peers.h"

#include <gio/gio.h>
#include <glib/gi18n.h>
#include <string.h>

#define ADDRESS_MARK "{address}"

static char *
in_uri (const char *address)
{
  return strchr (address, ':') ? g_strdup_printf ("[%s]", address) : g_strdup (address);
}

static char *
fill_in (const char *template, const char *address)
{
  g_autoptr (GString) text = g_string_new (template);
  g_autofree char *host = in_uri (address);

  g_string_replace (text, ADDRESS_MARK, host, 0);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

PcdRoute *
pcd_route_new (const char *address, const char *libvirt_uri)
{
  PcdRoute *route = g_new0 (PcdRoute, 1);
  g_autofree char *host = in_uri (address);

  route->address = g_strdup (address);
  route->libvirt_uri = fill_in (libvirt_uri, address);
  route->stream_uri = g_strdup_printf ("tcp://%s", host);
  return route;
}

PcdRoute *
pcd_route_copy (const PcdRoute *route)
{
  return pcd_route_new (route->address, route->libvirt_uri);
}

void
pcd_route_free (PcdRoute *route)
{
  g_free (route->address);
  g_free (route->libvirt_uri);
  g_free (route->stream_uri);
  g_free (route);
}

char *
pcd_routes_to_string (const GPtrArray *routes)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < routes->len; i++) {
    const PcdRoute *route = g_ptr_array_index (routes, i);

    g_string_append_printf (text, i == 0 ? _ ("over %s (%s)") : _ (", then over %s (%s)"),
                            route->address, route->libvirt_uri);
  }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* libvirt's remote driver: LIBVIRTD_TLS_PORT, LIBVIRTD_TCP_PORT; no transport means TLS
 * (https://libvirt.org/uri.html). */
static int
usual_port (const char *scheme)
{
  const char *plus = strchr (scheme, '+');
  const char *transport = plus ? plus + 1 : "tls";

  if (g_str_equal (transport, "tls"))
    return 16514;
  if (g_str_equal (transport, "tcp"))
    return 16509;
  if (g_str_equal (transport, "ssh") || g_str_equal (transport, "libssh") ||
      g_str_equal (transport, "libssh2"))
    return 22;
  return 0;
}

gboolean
pcd_route_get_door (const PcdRoute *route, char **ret_host, guint16 *ret_port)
{
  g_autoptr (GUri) uri = g_uri_parse (route->libvirt_uri, G_URI_FLAGS_NON_DNS, NULL);
  const char *host = uri ? g_uri_get_host (uri) : NULL;
  int port = uri && g_uri_get_port (uri) > 0 ? g_uri_get_port (uri)
             : uri                           ? usual_port (g_uri_get_scheme (uri))
                                             : 0;

  if (!host || !host[0] || port <= 0)
    return FALSE;
  *ret_host = g_strdup (host);
  *ret_port = (guint16)port;
  return TRUE;
}

static void
peer_free (PcdPeer *peer)
{
  g_free (peer->name);
  g_strfreev (peer->addresses);
  g_free (peer->libvirt_uri);
  g_free (peer);
}

PcdPeers *
pcd_peers_new (void)
{
  PcdPeers *peers = g_new0 (PcdPeers, 1);

  g_atomic_ref_count_init (&peers->refs);
  peers->libvirt_uri = g_strdup (PCD_PEERS_DEFAULT_URI);
  peers->peers = g_ptr_array_new_with_free_func ((GDestroyNotify)peer_free);
  return peers;
}

PcdPeers *
pcd_peers_ref (PcdPeers *peers)
{
  g_atomic_ref_count_inc (&peers->refs);
  return peers;
}

void
pcd_peers_unref (PcdPeers *peers)
{
  if (!g_atomic_ref_count_dec (&peers->refs))
    return;
  g_free (peers->libvirt_uri);
  g_ptr_array_unref (peers->peers);
  g_free (peers);
}

PcdPeer *
pcd_peers_add (PcdPeers *peers, const char *name)
{
  PcdPeer *peer = g_new0 (PcdPeer, 1);

  peer->name = g_strdup (name);
  g_ptr_array_add (peers->peers, peer);
  return peer;
}

const PcdPeer *
pcd_peers_find (const PcdPeers *peers, const char *address)
{
  for (guint i = 0; i < peers->peers->len; i++) {
    const PcdPeer *peer = g_ptr_array_index (peers->peers, i);

    if (peer->addresses && g_strv_contains ((const char *const *)peer->addresses, address))
      return peer;
  }
  return NULL;
}

gboolean
pcd_peers_check_uri (const char *text)
{
  g_autofree char *filled = fill_in (text, "192.0.2.1");
  g_autoptr (GUri) uri = g_uri_parse (filled, G_URI_FLAGS_NON_DNS, NULL);

  return uri && g_str_has_prefix (g_uri_get_scheme (uri), "qemu") && g_uri_get_host (uri) &&
         g_uri_get_host (uri)[0] && strlen (g_uri_get_path (uri)) > 1 &&
         (g_str_equal (g_uri_get_scheme (uri), "qemu") || g_uri_get_scheme (uri)[4] == '+');
}

GStrv
pcd_peers_parse_addresses (const char *text)
{
  g_auto (GStrv) words = g_strsplit_set (text, " \t,", -1);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (guint i = 0; words[i]; i++) {
    if (!words[i][0])
      continue;
    g_autoptr (GInetAddress) address = g_inet_address_new_from_string (words[i]);
    g_autofree char *normal = address ? g_inet_address_to_string (address) : NULL;
    if (!normal || g_hash_table_contains (seen, normal))
      return NULL;
    g_strv_builder_add (builder, normal);
    g_hash_table_add (seen, g_steal_pointer (&normal));
  }
  return g_hash_table_size (seen) ? g_strv_builder_end (builder) : NULL;
}

static void
add_route (GPtrArray *routes, GInetAddressMask *mask, const char *address, const char *uri)
{
  g_autoptr (GInetAddress) parsed = g_inet_address_new_from_string (address);

  if (!mask ||
      (parsed && g_inet_address_get_family (parsed) == g_inet_address_mask_get_family (mask) &&
       g_inet_address_mask_matches (mask, parsed)))
    g_ptr_array_add (routes, pcd_route_new (address, uri));
}

GPtrArray *
pcd_peers_routes (const PcdPeers *peers,
                  const char *peer_address,
                  const char *network,
                  const char *uri,
                  GError **error)
{
  g_autoptr (GPtrArray) routes = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_route_free);
  g_autoptr (GInetAddressMask) mask = NULL;

  if (network && !(mask = g_inet_address_mask_new_from_string (network, error)))
    return NULL;
  if (!peer_address) {
    g_set_error_literal (
        error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
        _ ("the other host's address is not known, as its connection was never seen"));
    return NULL;
  }
  const PcdPeer *peer = pcd_peers_find (peers, peer_address);
  const char *template = uri                         ? uri
                         : peer && peer->libvirt_uri ? peer->libvirt_uri
                                                     : peers->libvirt_uri;
  add_route (routes, mask, peer_address, template);
  for (guint i = 0; peer && peer->addresses[i]; i++)
    if (!g_str_equal (peer->addresses[i], peer_address))
      add_route (routes, mask, peer->addresses[i], template);
  if (routes->len == 0) {
    g_autofree char *known = peer ? g_strjoinv (", ", peer->addresses) : g_strdup (peer_address);

    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 _ ("no known address of the peer in %s: it has %s; add one to [peer] "
                    "(addresses = ...), or name the libvirt with --uri"),
                 network, known);
    return NULL;
  }
  return g_steal_pointer (&routes);
}
