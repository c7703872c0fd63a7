/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a QEMU may be traced now: safety rule 2.
 * Must not know what for. */
#pragma once

#include "actions/pcd-action-util.h"

G_BEGIN_DECLS

/**
 * PcdDebugWork: what each mode gets.
 * @fd: gets the output
 * @path: of @fd, for people
 */
typedef struct {
  const PostcopydMigration *migration;
  const PostcopydJob *job;
  const PcdReason *reason;
  int fd;
  const char *path;
} PcdDebugWork;

/**
 * pcd_debug_gate_refuses:
 * @need: %PCD_NEED_TRACEABLE to hold QEMU, %PCD_NEED_KICKABLE to stop the guest
 * @ret_outcome: (out): set when the answer is %TRUE, with the reason
 *
 * A no takes one pass over /proc, a yes a thorough look at every thread (60 to 120 ms). Refused:
 * a thread that ptrace () does not reach, or of which that is not known; and, but for an operator's
 * --force, a migration that flows, as QEMU stands still for a moment.
 */
gboolean pcd_debug_gate_refuses (const PostcopydMigration *migration,
                                 PcdActionNeed need,
                                 const PcdReason *reason,
                                 PostcopydOutcome *ret_outcome);

/**
 * pcd_debug_gate_why_not:
 *
 * The part of it that is about threads.
 *
 * Returns: (transfer full) (nullable): why @pid may not be traced now
 */
char *pcd_debug_gate_why_not (pid_t pid);

G_END_DECLS
