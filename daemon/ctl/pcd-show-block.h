/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What status prints of a migration: what is wrong, what is being done, and what a person might do.
 * Pure: makes text, prints nothing, asks nobody. */
#pragma once

#include "core/pcd-thread-class.h"
#include "ctl/pcd-client.h"
#include "ctl/pcd-terminal.h"
#include "host/pcd-interface.h"

G_BEGIN_DECLS

/**
 * PcdShowLook: what postcopyctl saw for itself, on the daemon's host; zeroed is nothing.
 * @interface: (nullable): the network interface of the migration connection
 * @lost_link: how the interface of the lost connection is now
 * @kickable: whether a `stop` would return now
 * @obstacle: (nullable): the thread in its way, and why
 */
typedef struct {
  char *interface;
  PcdLink lost_link;
  PcdAnswer kickable;
  char *obstacle;
} PcdShowLook;

void pcd_show_look_clear (PcdShowLook *look);

/* Bad, warn, good, or faint if it has ended: what is the matter with it. */
PcdColour pcd_show_colour (const PcdClientMigration *migration);

/**
 * pcd_show_block:
 * @look: (nullable): %NULL: nothing could be seen
 * @now: microseconds since the epoch
 *
 * Returns: (transfer full): lines for people; the first says what is the matter. Ends with an empty
 *   line
 */
char *pcd_show_block (const PcdClientState *state,
                      const PcdClientMigration *migration,
                      const PcdShowLook *look,
                      const PcdTerminal *terminal,
                      gint64 now);

G_END_DECLS
