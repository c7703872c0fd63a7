/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.postcopyd.Migration1.GetProgress: from the engine's figures to D-Bus's.
 * Measures nothing; everyone may ask. */
#pragma once

#include "bus/pcd-dbus-generated.h"
#include "engine/pcd-engine.h"

G_BEGIN_DECLS

/**
 * pcd_tell_progress_of:
 * @skeleton: (transfer none): its GetProgress () is answered from now on
 * @engine: (transfer none): must live as long as calls arrive at @skeleton
 */
void pcd_tell_progress_of (PcdDbusMigration1 *skeleton,
                           PcdEngine *engine,
                           const char *uuid,
                           PcdRole role);

G_END_DECLS
