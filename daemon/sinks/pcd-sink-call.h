/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One call of a sink, in a thread of its own, which may never come back.
 * Knows no queue, and does not say what is done about the outcome. */
#pragma once

#include "journal/pcd-journal-notes.h"
#include "plugins/pcd-plugins.h"
#include "sinks/pcd-sink-type.h"

G_BEGIN_DECLS

/* A sink made of its configuration; freed with its last reference, in any thread. */
typedef struct _PcdSinkInstance PcdSinkInstance;

/**
 * pcd_sink_instance_new:
 * @type: (nullable): the built-in kind
 * @plugin: (transfer none) (nullable): else; used or not, a sink or not: @error says so
 * @keys: of its section, without those that all sinks have
 *
 * Any thread. Runs no code of a plugin.
 */
PcdSinkInstance *pcd_sink_instance_new (const PcdSinkType *type,
                                        PcdPlugin *plugin,
                                        GHashTable *keys,
                                        GError **error);
PcdSinkInstance *pcd_sink_instance_ref (PcdSinkInstance *instance);
void pcd_sink_instance_unref (PcdSinkInstance *instance);

/* How long a call may take if the sink's `timeout` is @timeout_usec. */
gint64 pcd_sink_instance_get_budget (PcdSinkInstance *instance, gint64 timeout_usec);

/* Most notes in a call: at least 1. */
guint pcd_sink_instance_get_max_batch (PcdSinkInstance *instance);

typedef struct _PcdSinkCall PcdSinkCall;

/**
 * PcdSinkCallFunc: in the call's thread, when it is over; may free @data: it is not used again.
 */
typedef void (*PcdSinkCallFunc) (gpointer data);

/**
 * pcd_sink_call_start:
 * @notes: (transfer none) (element-type PcdNote): not empty; a reference is taken
 * @deadline_usec: CLOCK_MONOTONIC
 * @func: always called once if there is no error
 *
 * Returns: (transfer full): %NULL if there are no threads to be had
 */
PcdSinkCall *pcd_sink_call_start (PcdSinkInstance *instance,
                                  GPtrArray *notes,
                                  gint64 deadline_usec,
                                  PcdSinkCallFunc func,
                                  gpointer data,
                                  GError **error);

/* It is not waited for: if it is not over, its thread goes on alone, asked to end. */
void pcd_sink_call_free (PcdSinkCall *call);

void pcd_sink_call_cancel (PcdSinkCall *call);

/* Nobody waits for it any more: of a plugin, it counts as overdue until it comes back. Once. */
void pcd_sink_call_abandon (PcdSinkCall *call);

gboolean pcd_sink_call_is_over (PcdSinkCall *call);

/**
 * PcdSinkResult: what a call came to, checked: a sink that claims what cannot be has failed.
 * @reason: printable; empty if done
 */
typedef struct {
  PostcopydOutcome outcome;
  guint n_delivered;
  gint64 retry_after_usec;
  char reason[256];
} PcdSinkResult;

/**
 * pcd_sink_result_check:
 * @n_notes: how many were given
 * @outcome: as the sink says
 *
 * Pure.
 */
PcdSinkResult pcd_sink_result_check (guint n_notes,
                                     PostcopydOutcome outcome,
                                     const PostcopydDelivery *delivery,
                                     const char *reason);

/* Only when it is over. */
PcdSinkResult pcd_sink_call_get_result (PcdSinkCall *call);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdSinkCall, pcd_sink_call_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdSinkInstance, pcd_sink_instance_unref)

G_END_DECLS
