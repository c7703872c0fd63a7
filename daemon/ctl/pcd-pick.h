/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which migration an operator means by DOMAIN and --role.
 * Prints why it is none; must not know what is wanted of it. */
#pragma once

#include "ctl/pcd-client.h"

G_BEGIN_DECLS

#define PCD_PICK_ANY_ROLE (~0u)

/**
 * pcd_pick_domain:
 * @domain: a name, UUID or id
 *
 * As virsh, an id comes first: libvirt is asked for it, within 3 s, --connect or else the one that
 * the daemon uses. Only a word that could be an id costs that. With --host
 * and no --connect it is no id.
 *
 * Returns: (transfer full): a UUID, or @domain as it is, for pcd_show_matches ()
 */
char *pcd_pick_domain (const PcdCtl *ctl, const PcdClientState *state, const char *domain);

/**
 * pcd_pick_check_role:
 * @role: (nullable): from --role
 *
 * Returns: %FALSE with the reason printed if it is none
 */
gboolean pcd_pick_check_role (const char *role);

/**
 * pcd_pick_hint:
 *
 * Returns: (transfer full): " (did you mean 'vm1'?)" for a @domain that is nearly the name of one
 * in @state, else ""
 */
char *pcd_pick_hint (const PcdClientState *state, const char *domain);

/**
 * pcd_pick_migration:
 * @role: (nullable): from --role
 * @roles: bits 1 << #PcdRole: where what is wanted makes sense, or %PCD_PICK_ANY_ROLE
 * @ret_exit: (out): on failure
 *
 * One of such a role before another, then one that has not ended. Where two are left, --role has
 * to say which.
 *
 * Returns: (transfer none) (nullable): one of @state; %NULL with the reason printed
 */
const PcdClientMigration *pcd_pick_migration (const PcdCtl *ctl,
                                              const PcdClientState *state,
                                              const char *domain,
                                              const char *role,
                                              guint roles,
                                              int *ret_exit);

/**
 * pcd_pick_find:
 *
 * As pcd_pick_migration (), but prints nothing if there is none: %NULL and %PCD_EXIT_NOT_FOUND.
 */
const PcdClientMigration *pcd_pick_find (const PcdCtl *ctl,
                                         const PcdClientState *state,
                                         const char *domain,
                                         const char *role,
                                         guint roles,
                                         int *ret_exit);

G_END_DECLS
