/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a daemon that stops leaves behind it: says so, changes nothing.
 * Must not know why it stops. */
#pragma once

#include "engine/pcd-engine.h"

G_BEGIN_DECLS

/**
 * pcd_farewell:
 *
 * Logs a warning for each guest here that is held still by us: it stays so, and somebody must know.
 * Reads /proc and the cgroups of the QEMUs of migrations under way; asks no monitor.
 *
 * Returns: how many guests
 */
guint pcd_farewell (PcdEngine *engine);

G_END_DECLS
