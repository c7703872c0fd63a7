/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recover --wait and force-pause --wait: has postcopyd do it, shows how far it is, and stays until
 * it is over. Decides nothing about the migration. */
#pragma once

#include "core/pcd-action.h"
#include "ctl/pcd-client.h"

G_BEGIN_DECLS

/**
 * PcdActWait:
 * @action: recover, until the migration has ended; or force-pause, until it is paused or has ended
 * @order: the arguments of Act (), floating
 * @timeout_usec: to wait no longer; 0 to wait for ever
 * @quiet: tell only what went wrong
 * @draws: show progress on the terminal
 */
typedef struct {
  PcdActionKind action;
  GVariant *order;
  gint64 timeout_usec;
  gboolean quiet;
  gboolean draws;
} PcdActWait;

/**
 * pcd_act_wait:
 *
 * An attempt at recover that failed is told, and is not the end: where the policy goes on by
 * itself, it is left to that; else it is asked for again, ever more seldom.
 *
 * Returns: the exit code
 */
int pcd_act_wait (PcdClient *client, const PcdClientMigration *migration, const PcdActWait *wait);

/**
 * pcd_act_tell_outcome:
 * @name: printable
 * @can_freeze: whether that is a way to go where a stop is refused
 * @outcome: "done" is told on stdout, all else on stderr
 */
void pcd_act_tell_outcome (const char *name,
                           PcdActionKind action,
                           gboolean dry_run,
                           gboolean can_freeze,
                           const char *outcome,
                           const char *reason);

G_END_DECLS
