/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What postcopyctl can see of a migration by itself, beside what the daemon tells. */
#pragma once

#include "ctl/pcd-show-block.h"
#include "ctl/pcd-verb.h"

G_BEGIN_DECLS

/**
 * pcd_look:
 * @ret_look: (out): to be cleared with pcd_show_look_clear ()
 *
 * Only on the daemon's own host, and only while something waits for missing memory: it takes up to
 * a third of a second. Sends no signal.
 *
 * Returns: %FALSE if nothing could be seen: no right to, or another host
 */
gboolean pcd_look (const PcdCtl *ctl, const PcdClientMigration *migration, PcdShowLook *ret_look);

G_END_DECLS
