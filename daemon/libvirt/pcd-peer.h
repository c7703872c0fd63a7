/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether the destination's libvirt answers: a cheap knock at its door, once or again and again.
 * Must not know what the answer is wanted for. */
#pragma once

#include "core/pcd-action.h"
#include "engine/pcd-peers.h"

G_BEGIN_DECLS

/* A round trip between hosts is far below; a SYN that was lost is not worth waiting for, as the
 * kernel repeats it only after 1 s: a fresh one finds a healed network sooner. */
#define PCD_PEER_TIMEOUT_USEC ((gint64)500 * 1000)

/**
 * pcd_peer_knock:
 * @route: whose door, see pcd_route_get_door ()
 * @error: return location
 *
 * Opens a TCP connection and closes it. It is the peer's kernel that answers: a libvirtd that hangs
 * is not told from one that works. A route whose door is not known counts as answering. Blocks for
 * at most @timeout_usec; not for the main thread.
 *
 * Returns: %FALSE with %G_IO_ERROR_TIMED_OUT, %G_IO_ERROR_CONNECTION_REFUSED (the network works,
 *   libvirt does not listen), %G_IO_ERROR_NETWORK_UNREACHABLE …
 */
gboolean pcd_peer_knock (const PcdRoute *route, gint64 timeout_usec, GError **error);

/**
 * PcdPeerWatch: knocks at all routes again and again, for as long as it lives.
 */
typedef struct _PcdPeerWatch PcdPeerWatch;

/**
 * PcdPeerCallback:
 * @answers: %PCD_FACT_YES if any route answers
 * @route: (nullable): the first that does
 *
 * Called when either changes, on the main thread; must not free the watch.
 */
typedef void (*PcdPeerCallback) (PcdFact answers, const PcdRoute *route, gpointer data);

/**
 * pcd_peer_watch_new:
 * @routes: (element-type PcdRoute): copied
 *
 * Knocks now, every 200 ms for 10 s, then every 500 ms, without waiting for the knocks before;
 * every 5 s while somebody answers, as each knock that succeeds is a line in the log of a libvirtd
 * that expects TLS, or of sshd. Live only while a source is paused.
 *
 * Returns: (transfer full): free with pcd_peer_watch_free ()
 */
PcdPeerWatch *pcd_peer_watch_new (GPtrArray *routes, PcdPeerCallback callback, gpointer data);
void pcd_peer_watch_free (PcdPeerWatch *watch);

/**
 * pcd_peer_watch_kick: knocks at once and is quick again for 10 s: the network changed, or a
 * recovery failed although somebody answered.
 */
void pcd_peer_watch_kick (PcdPeerWatch *watch);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdPeerWatch, pcd_peer_watch_free)

G_END_DECLS
