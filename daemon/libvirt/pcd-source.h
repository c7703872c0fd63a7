/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The watcher's connection to libvirt: keeps it, follows events, answers resyncs.
 * Must not know what the events mean for a migration: that is core's business. */
#pragma once

#include "core/pcd-event.h"

G_BEGIN_DECLS

typedef struct _PcdSource PcdSource;

/**
 * PcdSourceCallbacks:
 * @event: something happened to @domain. @raw: (nullable): the foreign word or numbers, for logs,
 *   always set when the event is an unknown one. The name is "" for a domain that is absent
 * @connection: libvirt is reachable (@connected) or not, and why not (@reason). Called again with
 *   %FALSE only if the reason changes
 * @resynced: a full resync is over; every active domain had its %PCD_EVENT_SEEN, and @uuids
 *   (element-type utf8) is the set of them: who is not in it is absent. (A domain of which an event
 *   was told after the question was asked has its %PCD_EVENT_SEEN a moment later instead.)
 * @metadata: (nullable): which policy @domain's live metadata asks for. @policy: (nullable): a
 *   well-formed name that need not exist, %NULL for none. @problem: (nullable): what is wrong with
 *   what is there, one line; @policy is %NULL then. Called before each %PCD_EVENT_SEEN of a domain
 *   that migrates (pre-copy, post-copy, post-copy failed), and of any active domain after its
 *   metadata changed; often with the same again. Not called when it could not be read: what was
 *   told before stays good. The role is told if it is known
 *
 * All are called on the main thread, never from inside a pcd_source_… call, and must not free the
 * source.
 *
 * Each return of the connection is told in one turn of the main loop, in this order: a
 * %PCD_EVENT_SEEN for every active domain, @resynced, @connection (%TRUE), then events. So whoever
 * shows the state when @connection says %TRUE shows fresh state. While disconnected nothing but
 * @connection is called.
 */
typedef struct {
  void (*event) (const PcdDomainRef *domain, const PcdEvent *event, const char *raw, gpointer data);
  void (*connection) (gboolean connected, const char *reason, gpointer data);
  void (*resynced) (GHashTable *uuids, gpointer data);
  void (*metadata) (const PcdDomainRef *domain,
                    const char *policy,
                    const char *problem,
                    gpointer data);
} PcdSourceCallbacks;

/**
 * pcd_source_init_event_loop:
 *
 * Makes libvirt deliver its events through GLib's default main context, and keeps it from writing
 * to stderr. Once per process, before the first connection is opened (FACTS 3:
 * gvir_event_register () first of all).
 */
void pcd_source_init_event_loop (void);

/**
 * pcd_source_new:
 * @uri: (nullable): libvirt URI, %NULL for libvirt's default
 *
 * Starts connecting at once and keeps trying, with jittered back-off, for as long as it lives.
 * No call of this API blocks: all libvirt calls that can wait run in a worker with a deadline; a
 * worker past its deadline is abandoned and the connection replaced.
 *
 * Returns: (transfer full): free with pcd_source_free ()
 */
PcdSource *pcd_source_new (const char *uri, const PcdSourceCallbacks *callbacks, gpointer data);
void pcd_source_free (PcdSource *source);

/**
 * pcd_source_resync:
 * @uuid: (nullable): one domain, or %NULL for all
 *
 * Asks libvirt what there is now; answers come as %PCD_EVENT_SEEN (absence too, when @uuid is
 * given) and, on a source in post-copy, %PCD_EVENT_QEMU_STATUS from query-migrate. Several requests
 * made while one is under way are served by one more pass. Nothing happens while disconnected: the
 * return of the connection brings a full resync anyway.
 *
 * %PCD_SEEN_UNKNOWN also says that the domain's job could not be learned in 5 s, because libvirt or
 * QEMU hangs (@raw says so): do not answer it with another resync at once.
 */
void pcd_source_resync (PcdSource *source, const char *uuid);

/**
 * pcd_source_query:
 *
 * Asks QEMU for its migration status by query-migrate through libvirt; the answer comes as
 * %PCD_EVENT_QEMU_STATUS. Only a source is asked, and no answer comes for any other domain: on the
 * destination libvirt would hold the call 30 s (FACTS 3). libvirt marks a domain that was asked as
 * tainted (custom-monitor), in its log and in `virsh dominfo`, for as long as its QEMU lives.
 */
void pcd_source_query (PcdSource *source, const char *uuid);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdSource, pcd_source_free)

G_END_DECLS
