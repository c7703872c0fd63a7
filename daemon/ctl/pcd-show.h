/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What list prints, and status for programs: a daemon's state as a table, as JSON.
 * Pure: makes text, prints nothing, asks nobody. */
#pragma once

#include "ctl/pcd-client.h"

G_BEGIN_DECLS

/**
 * pcd_show_matches:
 * @domain: (nullable): a domain's name or UUID; %NULL matches all
 */
gboolean pcd_show_matches (const PcdClientMigration *migration, const char *domain);

gboolean pcd_show_is_phase (const PcdClientMigration *migration, PcdPhase phase);

/* Of one in post-copy that is not paused: how pages flow. */
gboolean pcd_show_is_flow (const PcdClientMigration *migration, PcdFlow flow);

/* Whether this host is its source. */
gboolean pcd_show_is_source (const PcdClientMigration *migration);

/* Whether its phase is completed, failed or gone. */
gboolean pcd_show_has_ended (const PcdClientMigration *migration);

/**
 * pcd_show_held_still_by:
 *
 * Returns: (nullable): the action of ours by which the guest here stands still, if that is the last
 *   thing that was done; of a migration that has ended the daemon says so as long as it is true
 */
const char *pcd_show_held_still_by (const PcdClientMigration *migration);

/**
 * pcd_show_disconnected:
 *
 * Returns: (transfer full) (nullable): the line that must stand before old rows, or %NULL if the
 *   daemon is connected to libvirt
 */
char *pcd_show_disconnected (const PcdClientState *state);

/* Returns: (transfer full): text that ends with a line end. */
char *pcd_show_table (const PcdClientState *state);

/**
 * pcd_show_json:
 * @domain: (nullable): see pcd_show_matches ()
 * @pretty: over several lines
 *
 * The shape is a promise, see docs/json.md.
 */
char *pcd_show_json (const PcdClientState *state, const char *domain, gboolean pretty);

G_END_DECLS
