/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks postcopyd how much memory its migrations lack.
 * Prints nothing: where it cannot be had, the state says why. */
#pragma once

#include "ctl/pcd-client.h"

G_BEGIN_DECLS

/* Whether asking makes sense: it is in post-copy, whichever side this is. */
gboolean pcd_client_has_progress (const PcdClientMigration *migration);

/**
 * pcd_client_ask_progress:
 * @domain: (nullable): see pcd_show_matches ()
 *
 * Fills @asked and what follows of those migrations for which it makes sense, all at once, within
 * 5 s.
 */
void pcd_client_ask_progress (PcdClient *client, const PcdClientState *state, const char *domain);

G_END_DECLS
