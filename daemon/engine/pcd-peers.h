/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The other hosts, as `[peer NAME]` and `[recover]` tell of them, and the routes to one.
 * Pure; must not know whether anybody answers there. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PCD_PEERS_DEFAULT_URI: where a peer's libvirt is when nobody said. TLS, as it is the one
 * transport that libvirt offers between hosts which is authenticated and needs no person and no
 * shell account.
 */
#define PCD_PEERS_DEFAULT_URI "qemu+tls://{address}/system"

/**
 * PcdRoute: one way to the destination.
 * @address: numeric, of the network that the pages shall take
 * @libvirt_uri: the destination's libvirt, as the source's libvirt opens it
 * @stream_uri: QEMU's: tcp://@address
 */
typedef struct {
  char *address;
  char *libvirt_uri;
  char *stream_uri;
} PcdRoute;

/* @libvirt_uri: a template, see pcd_peers_check_uri () */
PcdRoute *pcd_route_new (const char *address, const char *libvirt_uri);
PcdRoute *pcd_route_copy (const PcdRoute *route);
void pcd_route_free (PcdRoute *route);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdRoute, pcd_route_free)

/**
 * pcd_routes_to_string:
 * @routes: (element-type PcdRoute): at least one
 *
 * Returns: (transfer full): for people, in order: "over ADDRESS (LIBVIRT URI), then over …"
 */
char *pcd_routes_to_string (const GPtrArray *routes);

/**
 * pcd_route_get_door:
 * @ret_host: (out) (transfer full): host name or address in the libvirt URI
 * @ret_port: (out): its port, or the usual one of its transport: tls 16514, tcp 16509, ssh 22
 *
 * Returns: %FALSE if the URI has no host, or its transport no port that we know
 */
gboolean pcd_route_get_door (const PcdRoute *route, char **ret_host, guint16 *ret_port);

/**
 * PcdPeer: one `[peer NAME]`.
 * @addresses: numeric, all of the same host, the preferred one first
 * @libvirt_uri: (nullable): template
 */
typedef struct {
  char *name;
  GStrv addresses;
  char *libvirt_uri;
} PcdPeer;

/**
 * PcdPeers: all of them. Not changed any more once it is shared; the count of references is atomic.
 * @libvirt_uri: template for peers without one of their own
 * @peers: (element-type PcdPeer)
 */
typedef struct {
  gatomicrefcount refs;
  char *libvirt_uri;
  GPtrArray *peers;
} PcdPeers;

PcdPeers *pcd_peers_new (void);
PcdPeers *pcd_peers_ref (PcdPeers *peers);
void pcd_peers_unref (PcdPeers *peers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdPeers, pcd_peers_unref)

/* Returns: (transfer none): a new peer of that name at the end */
PcdPeer *pcd_peers_add (PcdPeers *peers, const char *name);

/* Returns: (transfer none) (nullable) */
const PcdPeer *pcd_peers_find (const PcdPeers *peers, const char *address);

/**
 * pcd_peers_check_uri:
 *
 * Returns: whether @text is a libvirt URI of QEMU on another host; `{address}` in it stands for the
 * route's address
 */
gboolean pcd_peers_check_uri (const char *text);

/**
 * pcd_peers_parse_addresses:
 *
 * Returns: (transfer full) (nullable): numeric addresses, normalised, at least one and each once,
 * or %NULL if @text is anything but those, separated by blanks or commas
 */
GStrv pcd_peers_parse_addresses (const char *text);

/**
 * pcd_peers_routes:
 * @peer_address: (nullable): where the migration's connection went
 * @network: (nullable): an operator's `--network`: only addresses in this CIDR
 * @uri: (nullable): an operator's `--uri`: the only libvirt URI; a template too
 *
 * The address of the connection comes first, then the others of the peer that has it. There is no
 * way but these: where @network excludes them all, none is guessed.
 *
 * Returns: (transfer full) (element-type PcdRoute) (nullable): at least one, or %NULL with
 *   %G_IO_ERROR_NOT_FOUND or %G_IO_ERROR_INVALID_ARGUMENT
 */
GPtrArray *pcd_peers_routes (const PcdPeers *peers,
                             const char *peer_address,
                             const char *network,
                             const char *uri,
                             GError **error);

G_END_DECLS
