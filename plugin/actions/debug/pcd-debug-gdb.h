/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Modes core and backtrace: a core of QEMU, and what gdb reads in it.
 * Must not decide whether QEMU may be held. */
#pragma once

#include "actions/debug/pcd-debug-gate.h"

G_BEGIN_DECLS

/* To be called right after the gate has let it pass. QEMU, its monitors too, stands still while its
 * own memory is copied: gdb never meets it. */
PostcopydOutcome pcd_debug_gdb_core (const PcdDebugWork *work);
PostcopydOutcome pcd_debug_gdb_backtrace (const PcdDebugWork *work);

G_END_DECLS
