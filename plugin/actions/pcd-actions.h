/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of built-in actions. */
#pragma once

#include "postcopyd-plugin.h"

/**
 * pcd_actions_find:
 * @name: as in a policy
 *
 * Returns: static, NULL if this build has no such action
 */
const PostcopydPlugin *pcd_actions_find (const char *name);
