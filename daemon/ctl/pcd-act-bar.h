/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An action that says how far it is, waited for with a bar on the terminal.
 * Must not know which action it is. */
#pragma once

#include "ctl/pcd-client-state.h"
#include "ctl/pcd-client.h"

G_BEGIN_DECLS

/**
 * pcd_act_with_bar:
 * @question: Act (), on @migration
 * @action: the first of its arguments
 * @ret_reply: (out) (transfer full): (ss)
 *
 * As pcd_client_call () of Act (), with a line on standard error meanwhile, if that is a terminal:
 * what is done, a bar if the daemon says how far it is, and the time.
 *
 * Returns: the exit code
 */
int pcd_act_with_bar (PcdClient *client,
                      const PcdClientMigration *migration,
                      const PcdClientQuestion *question,
                      const char *action,
                      GVariant **ret_reply);

G_END_DECLS
