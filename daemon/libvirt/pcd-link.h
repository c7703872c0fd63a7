/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One connection to libvirt with its event subscriptions, from opening to closing.
 * Must not know when to connect, nor what the events mean for a migration. */
#pragma once

#include "core/pcd-event.h"
#include "libvirt/pcd-vir-worker.h"
#include "libvirt/pcd-vir.h"

G_BEGIN_DECLS

typedef struct _PcdLink PcdLink;

/**
 * PcdLinkEvent:
 * @uuid: domain
 * @name: domain
 * @role_known: see #PcdDomainRef
 * @role: likewise
 * @look: libvirt says only that something about a migration changed: @event is not set, ask
 * @metadata: only that what the metadata says to postcopyd may have changed: likewise
 * @event: what happened
 * @raw: the foreign word or numbers
 */
typedef struct {
  char *uuid;
  char *name;
  gboolean role_known;
  PcdRole role;
  gboolean look;
  gboolean metadata;
  PcdEvent event;
  char *raw;
} PcdLinkEvent;

typedef void (*PcdLinkEventFunc) (const PcdLinkEvent *event, gpointer data);
typedef void (*PcdLinkClosedFunc) (const char *reason, gpointer data);

/**
 * pcd_link_open: in a worker
 *
 * Opens a connection, makes it keep itself alive and subscribes to events, which are kept from now
 * on until pcd_link_listen (). That QEMU's own events are refused (another driver, no permission)
 * is not an error: see pcd_link_monitor_refusal ().
 *
 * Returns: (transfer full): give back by pcd_link_retire ()
 */
PcdLink *pcd_link_open (const char *uri, PcdVirJob *job, GError **error);

/**
 * pcd_link_open_plain: in a worker
 *
 * Returns: (transfer full): a connection that keeps itself alive and has no subscriptions
 */
virConnectPtr pcd_link_open_plain (const char *uri, PcdVirJob *job, GError **error);

/**
 * pcd_link_retire:
 * @link: (transfer full): no function of it is called any more
 *
 * Unsubscribes and closes in threads of its own, whatever libvirt does meanwhile. Any thread.
 */
void pcd_link_retire (PcdLink *link);

/* (transfer full): for one worker's use; it may be closed only in a worker. Any thread. */
virConnectPtr pcd_link_ref_conn (PcdLink *link);
const char *pcd_link_uri (PcdLink *link);
/* (nullable): why QEMU's MIGRATION events cannot be had. */
const char *pcd_link_monitor_refusal (PcdLink *link);

/**
 * pcd_link_watch: main thread
 * @closed: called once when the connection is lost; not before this function returned
 *
 * Returns: (nullable): why it has been lost already
 */
const char *pcd_link_watch (PcdLink *link, PcdLinkClosedFunc closed, gpointer data);

/**
 * pcd_link_listen: main thread
 * @func: called at once with each event kept so far, then with each to come
 */
void pcd_link_listen (PcdLink *link, PcdLinkEventFunc func, gpointer data);

G_END_DECLS
