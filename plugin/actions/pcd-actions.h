/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of built-in actions; daemon/plugins has them in one registry with all others. */
#pragma once

#include "postcopyd-plugin.h"

/* Calls @func with each, which is static. */
void pcd_actions_foreach (void (*func) (const PostcopydPlugin *, void *), void *data);

/* (nullable): the one of that name, as in a policy; static. */
const PostcopydPlugin *pcd_actions_find (const char *name);
