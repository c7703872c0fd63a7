/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The action `recover` on a destination, see README.md here. */
#pragma once

#include "actions/pcd-action-util.h"

/**
 * pcd_action_invite:
 *
 * Refused where libvirt can recover: it takes a QEMU that is paused, waits for a page, and answers
 * nothing but out-of-band commands.
 */
PostcopydOutcome pcd_action_invite (const PostcopydMigration *migration,
                                    const PostcopydJob *job,
                                    const PcdReason *reason);
