/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mode backtrace: gdb in batch. */
#pragma once

#include "actions/debug/pcd-debug-gate.h"

G_BEGIN_DECLS

/**
 * pcd_debug_gdb_backtrace:
 *
 * To be called right after the gate has let it pass. QEMU stands still meanwhile, its monitors too.
 * However it ends, no debugger is left, and SIGCONT has taken away what one may have left in QEMU.
 */
PostcopydOutcome pcd_debug_gdb_backtrace (const PcdDebugWork *work);

G_END_DECLS
