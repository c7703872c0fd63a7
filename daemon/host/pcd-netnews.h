/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tells when this host's network changed: links, addresses, routes.
 * Must not know what changed: whoever cares looks for himself. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdNetnews: an rtnetlink listener on the thread-default main context, of the network namespace in
 * which it was made. Nothing wakes while nothing changes.
 */
typedef struct _PcdNetnews PcdNetnews;

typedef void (*PcdNetnewsCallback) (gpointer data);

/**
 * pcd_netnews_new:
 * @callback: called 50 ms after the first of a burst of changes; may free the listener
 *
 * rtnetlink(7), groups RTMGRP_LINK, _IPV4_IFADDR, _IPV6_IFADDR, _IPV4_ROUTE, _IPV6_ROUTE; needs no
 * privilege. A queue that ran over (ENOBUFS) is news, too. Hosts whose router repeats its IPv6
 * advertisements get news from that: keep it only while somebody waits for the network.
 *
 * Returns: (transfer full) (nullable): free with pcd_netnews_free ()
 */
PcdNetnews *pcd_netnews_new (PcdNetnewsCallback callback, gpointer data, GError **error);
void pcd_netnews_free (PcdNetnews *news);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdNetnews, pcd_netnews_free)

G_END_DECLS
