/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a ladder will do next if nothing changes: for people, never for deciding.
 * Pure. */
#pragma once

#include "core/pcd-ladder.h"

G_BEGIN_DECLS

/* Not at a time, but as soon as the destination's libvirt answers. */
#define PCD_FORESEE_PEER_ANSWERS G_MAXINT64

/**
 * pcd_ladder_foresee:
 * @untouched: as in #PcdLadderInput
 * @ret_action: (out): the next action; `do`, though it may be `else` when the time comes
 * @ret_when: (out): microseconds of CLOCK_MONOTONIC, maybe in the past: then it waits for its turn;
 * or %PCD_FORESEE_PEER_ANSWERS
 *
 * Returns: %FALSE if nothing is due as things are; the out-parameters are not written then
 */
gboolean pcd_ladder_foresee (const PcdLadder *ladder,
                             const PcdPolicy *policy,
                             gboolean untouched,
                             PcdActionKind *ret_action,
                             gint64 *ret_when);

G_END_DECLS
