/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Watches one migration's QEMU from the host's side: its sockets, its threads, its life.
 * A thread of its own, since /proc can be slow; must not know phases or libvirt. */
#pragma once

#include "core/pcd-event.h"
#include "core/pcd-thread-class.h"
#include "engine/pcd-config.h"
#include "engine/pcd-engine.h"
#include "engine/pcd-tcp-log.h"

G_BEGIN_DECLS

typedef struct _PcdWatch PcdWatch;

/**
 * PcdBlockedView: a vCPU that waits for a missing page.
 * @vcpu: its index, -1 if not known
 * @blocked_usec: for how long, -1 if the kernel does not tell
 */
typedef struct {
  gint tid;
  gint vcpu;
  PcdFaultPath path;
  gint64 blocked_usec;
} PcdBlockedView;

/**
 * PcdMeasure: the last look at a QEMU.
 * @pid: QEMU, 0 if not found
 * @n_vcpus: vCPU threads
 * @n_blocked_vcpus: those that wait for a missing page
 * @n_blocked_others: other threads that do
 * @kickable: whether QMP `stop` would get past every thread; only measured without a connection
 * @traceable: whether a debugger could attach to every thread; likewise
 * @blocked: (element-type PcdBlockedView): the vCPUs of @n_blocked_vcpus
 * @sockets: (element-type PcdSocketView): migration connections
 * @lost: (nullable): of the connections that were seen to end with this look the telling one
 * @evidence: (nullable): on what the judgement about the network rests
 * @note: (nullable): what could not be done, and why
 */
typedef struct {
  gint pid;
  guint n_vcpus;
  guint n_blocked_vcpus;
  guint n_blocked_others;
  PcdAnswer kickable;
  PcdAnswer traceable;
  GPtrArray *blocked;
  GPtrArray *sockets;
  PcdLost *lost;
  char *evidence;
  char *note;
} PcdMeasure;

PcdMeasure *pcd_measure_new (void);
PcdMeasure *pcd_measure_copy (const PcdMeasure *measure);
void pcd_measure_free (PcdMeasure *measure);

/**
 * PcdWatchCallbacks: called on the main thread, never after pcd_watch_stop ().
 * @event: something happened; @measure is the look at which it was seen
 * @measured: another look, without an event
 * @armed: the set of armed connections changed; @measure has it
 */
typedef struct {
  void (*event) (const PcdEvent *event, const PcdMeasure *measure, gpointer data);
  void (*measured) (const PcdMeasure *measure, gpointer data);
  void (*armed) (const PcdMeasure *measure, gpointer data);
} PcdWatchCallbacks;

/**
 * pcd_watch_start:
 * @uuid: whose QEMU
 * @name: its domain name
 * @role: this side
 * @config: (transfer none): copied
 * @log: (transfer none): of the connections; outlives the watch
 *
 * Finds QEMU and looks at it every `sample-interval`, at once when a connection closes or QEMU
 * exits. Duplicates of QEMU's sockets are closed the moment it exits: a duplicate held any longer
 * would hide its end from the peer.
 *
 * Returns: (transfer full): to be given to pcd_watch_stop ()
 */
PcdWatch *pcd_watch_start (const char *uuid,
                           const char *name,
                           PcdRole role,
                           const PcdConfig *config,
                           PcdTcpLog *log,
                           const PcdWatchCallbacks *callbacks,
                           gpointer data);

/**
 * pcd_watch_set_arming:
 * @on: whether connections may be armed; off at first. See pcd_lines_arm ()
 */
void pcd_watch_set_arming (PcdWatch *watch, gboolean on);

/**
 * pcd_watch_stop:
 * @watch: (transfer full):
 *
 * Does not wait: the thread ends by itself and closes what it holds. The sockets stay armed: their
 * kernel time-outs are meant to outlive us.
 */
void pcd_watch_stop (PcdWatch *watch);

/**
 * pcd_watch_look:
 *
 * Look now: a new connection is expected, or a doubt is to be settled.
 */
void pcd_watch_look (PcdWatch *watch);

/**
 * pcd_watch_shutdown:
 *
 * Shuts the migration connections down, so that QEMU goes to postcopy-paused at once.
 */
void pcd_watch_shutdown (PcdWatch *watch);

G_END_DECLS
