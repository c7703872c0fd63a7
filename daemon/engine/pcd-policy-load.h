/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loading policies from directories: all of them, or none.
 * Knows files; what a policy may say is the core's. */
#pragma once

#include "core/pcd-policy-set.h"

G_BEGIN_DECLS

/**
 * pcd_policy_load_file:
 * @path: a file
 *
 * Returns: (transfer full): the policy, or %NULL; @error names file, place and what was expected
 */
PcdPolicy *pcd_policy_load_file (const char *path, GError **error);

/**
 * pcd_policy_load_directories:
 * @directories: (array zero-terminated=1): `*.json` of each, but *.schema.json; a later directory's
 *   policy replaces an earlier one's of the same name; one that does not exist is passed over
 *
 * All or nothing: one bad file fails the whole, so that a host never runs half of what its owner
 * wrote. Reads files: worker or start-up.
 *
 * Returns: (transfer full): the set, or %NULL with @error set
 */
PcdPolicySet *pcd_policy_load_directories (const char *const *directories, GError **error);

/**
 * pcd_policy_default_directories:
 * @extra: (nullable): --policy-dir; replaces the built-in list
 *
 * The shipped policies, then /etc/postcopyd/policies.
 *
 * Returns: (transfer full)
 */
char **pcd_policy_default_directories (const char *extra);

G_END_DECLS
