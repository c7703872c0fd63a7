/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks a source's QEMU once how far its migration is, in a worker with deadlines. Rule 7.
 * Must not know what is made of the answer, nor when to ask. */
#pragma once

#include "core/pcd-progress.h"

G_BEGIN_DECLS

typedef struct _PcdProgressAsk PcdProgressAsk;

/**
 * PcdProgressAskFuncs: on the main thread.
 * @answered: once; @sample is %NULL if there is none, and @problem says why. May free the ask,
 *   unless it was late
 * @ended: an ask whose answer was late has ended at last; not called if it was in time
 */
typedef struct {
  void (*answered) (const PcdProgressSample *sample,
                    gboolean late,
                    const char *problem,
                    gpointer data);
  void (*ended) (gpointer data);
} PcdProgressAskFuncs;

/**
 * pcd_progress_ask_new:
 * @uri: (nullable): libvirt, %NULL for its own choice
 * @funcs: static
 *
 * query-migrate by virDomainQemuMonitorCommand, on a connection of its own. On a source this takes
 * a query job and is answered throughout a failed post-copy (libvirt 9.0); on a destination it
 * would wait 30 s for the job: never ask one.
 *
 * Returns: (transfer full) (nullable): free with pcd_progress_ask_free (); %NULL if there is no
 *   thread to be had
 */
PcdProgressAsk *pcd_progress_ask_new (const char *uri,
                                      const char *uuid,
                                      const PcdProgressAskFuncs *funcs,
                                      gpointer data,
                                      GError **error);

/* Nothing is called any more; what waits is left behind. */
void pcd_progress_ask_free (PcdProgressAsk *ask);

G_END_DECLS
