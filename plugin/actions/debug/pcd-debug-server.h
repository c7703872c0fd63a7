/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Modes gdbserver and guest: a socket for a person's gdb, which stays when the action has ended.
 * Must not speak gdb's protocol. */
#pragma once

#include "actions/debug/pcd-debug-gate.h"

G_BEGIN_DECLS

/* QEMU is held only while a client is there, and the gate lets it pass again before each holding.
 */
PostcopydOutcome pcd_debug_server_process (const PcdDebugWork *work);

/* Likewise the guest is stopped, by QEMU's own stub. */
PostcopydOutcome pcd_debug_server_guest (const PcdDebugWork *work);

G_END_DECLS
