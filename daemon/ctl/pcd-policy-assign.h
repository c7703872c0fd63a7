/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl policy set: gives a domain its policy, by the daemon or by libvirt. */
#pragma once

#include "ctl/pcd-verb.h"

G_BEGIN_DECLS

/**
 * pcd_policy_assign_migration:
 * @domain: name, UUID or id
 * @role: (nullable): if the domain has a migration of each
 * @policy: (nullable): a name, which the daemon knows or not; %NULL for what is configured
 *
 * A migration under way is the daemon's: libvirt takes no metadata then. Prints what it did.
 *
 * Returns: an exit code, or -1 if there is no daemon or no such migration under way
 */
int pcd_policy_assign_migration (const PcdCtl *ctl,
                                 const char *domain,
                                 const char *role,
                                 const char *policy);

/**
 * pcd_policy_assign_domain:
 * @domain: name, UUID or id
 * @policy: (nullable): a good name; %NULL for what is configured
 *
 * Writes it into the domain's metadata, where the daemon, if there is one, reads it. Prints what it
 * did.
 *
 * Returns: an exit code
 */
int pcd_policy_assign_domain (const PcdCtl *ctl, const char *domain, const char *policy);

G_END_DECLS
