/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an operator may still have done to a migration that has ended.
 * Pure; must not know whether anything is left of it. */
#pragma once

#include "core/pcd-action.h"

G_BEGIN_DECLS

/**
 * pcd_ended_why_not:
 * @phase: any; %NULL is the answer for one that has not ended
 *
 * No rule of a policy is left to undo what is done to a guest now, and none of it is of use any
 * more. What undoes is always allowed, and what only shows: `debug` looks, and lets go by itself.
 *
 * Returns: (nullable): why @action is refused, with the way to go; static
 */
const char *pcd_ended_why_not (PcdActionKind action, PcdRole role, PcdPhase phase);

G_END_DECLS
