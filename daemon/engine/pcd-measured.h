/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which looks at a QEMU are worth keeping with an incident, and in what words.
 * Pure: keeps nothing itself, and looks at no clock. */
#pragma once

#include "engine/pcd-watch.h"

G_BEGIN_DECLS

/**
 * PcdMeasured: what was kept last. Start with all zero.
 * @incident: to which it belongs
 * @began, @last: of its first one and its last one, µs
 * @key: what must differ for another one to be news
 */
typedef struct {
  gint64 incident;
  gint64 began;
  gint64 last;
  char *key;
} PcdMeasured;

/**
 * pcd_measured_take:
 * @incident: the open one, 0 if there is none
 * @now: µs, of any clock that does not jump
 * @ret_to: (out) (transfer full): "1 of 2 vCPUs blocked"
 * @ret_detail: (out) (transfer full) (nullable): connections, then blocked vCPUs' threads
 *
 * The first of an incident, then changes: one per second in its first minute, one per 10 s in its
 * first ten, one per minute after that. That silence and waits last longer is no change.
 *
 * Returns: whether @measure is to be kept
 */
gboolean pcd_measured_take (PcdMeasured *self,
                            gint64 incident,
                            gint64 now,
                            const PcdMeasure *measure,
                            char **ret_to,
                            char **ret_detail);

void pcd_measured_clear (PcdMeasured *self);

G_END_DECLS
