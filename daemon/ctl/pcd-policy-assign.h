/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl policy set: gives a domain its policy, by the daemon or by libvirt. */
#pragma once

#include "ctl/pcd-verb.h"

G_BEGIN_DECLS

/**
 * pcd_policy_assign:
 * @domain: name, UUID or id
 * @role: (nullable): of the migration under way, if the domain has one of each
 * @policy: (nullable): a good name; %NULL for what is configured
 *
 * A migration under way is the daemon's: libvirt takes no metadata then. Else it is written into
 * the domain's metadata, where the daemon, if there is one, reads it. Prints what it did.
 *
 * Returns: an exit code
 */
int pcd_policy_assign (const PcdCtl *ctl, const char *domain, const char *role, const char *policy);

G_END_DECLS
