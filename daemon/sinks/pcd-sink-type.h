/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a built-in kind of sink is to the runner: PostcopydSink with a configuration and an
 * instance. Knows no queue. */
#pragma once

#include <glib.h>

#include "postcopyd-plugin.h"

G_BEGIN_DECLS

/**
 * PcdSinkType: `type = NAME` of a `[sink …]`. One static const per kind, listed in
 * pcd-sink-types.c.
 * @name: "exec", "webhook"
 * @max_batch: most notes in a call of @deliver, at least 1
 * @create: an instance from the section's keys, without those that all sinks have (`type`,
 *   `enabled`, `timeout`, `queue-size`, `queue-bytes`); in any thread. @keys: (element-type utf8
 *   utf8): borrowed. Unknown keys are errors. @error is "KEY: got X, expected Y" and no secrets;
 * the caller puts file, line and section before it. Also called to check a configuration: may read
 *   files, must connect to nothing, start nothing and change nothing
 * @free: in any thread, never while @deliver runs; an instance whose thread was abandoned in
 *   @deliver is freed when that comes back, if ever
 * @deliver: as PostcopydSink.deliver, with the instance. Two threads are never in one instance:
 * after a call was abandoned the next one gets a new instance
 * @budget_usec: (nullable): how long @deliver may take if `timeout` is @timeout_usec; %NULL: that
 *   long
 */
typedef struct {
  const char *name;
  guint max_batch;
  gpointer (*create) (GHashTable *keys, GError **error);
  void (*free) (gpointer sink);
  PostcopydOutcome (*deliver) (gpointer sink,
                               const PostcopydNote *const *notes,
                               uint32_t n_notes,
                               const PostcopydJob *job,
                               PostcopydDelivery *ret_delivery,
                               char *reason,
                               size_t reason_size);
  gint64 (*budget_usec) (gpointer sink, gint64 timeout_usec);
} PcdSinkType;

/**
 * pcd_sink_type_find:
 *
 * Returns: (nullable): the built-in kind of that name
 */
const PcdSinkType *pcd_sink_type_find (const char *name);

/**
 * pcd_sink_type_list:
 *
 * Returns: (transfer full): their names for a message: "exec, webhook"
 */
char *pcd_sink_type_list (void);

/**
 * pcd_sink_check_keys:
 * @known: NULL-terminated
 *
 * Returns: %FALSE with "unknown key X, expected one of: ..." if @keys has another one
 */
gboolean pcd_sink_check_keys (GHashTable *keys, const char *const *known, GError **error);

G_END_DECLS
