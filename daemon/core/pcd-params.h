/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parameters of an action: read from a step's `with`, checked, and told again.
 * Must not know what an action makes of them, nor what else a policy says. */
#pragma once

#include "core/pcd-action.h"
#include "core/pcd-node.h"

G_BEGIN_DECLS

/**
 * pcd_params_read:
 * @step: an object; without a member "with" the defaults hold, as far as nothing is required
 * @file: for the message
 * @params: (inout): the defaults of @action; what @step says is written over them. Its @own is a
 *   reference of the caller's then, also on failure
 *
 * Returns: whether all of it is good; if not, @error as by pcd_node_refuse ()
 */
gboolean pcd_params_read (
    const PcdNode *step, PcdActionKind action, const char *file, PcdParams *params, GError **error);

/**
 * PcdParamFunc:
 * @name: as in `with`
 * @type: see #PcdParamType
 * @value: checked; a default if it was not given
 * @text: the same as it is written in a policy
 */
typedef void (*PcdParamFunc) (
    const char *name, PcdParamType type, double value, const char *text, gpointer data);

/**
 * pcd_params_foreach:
 *
 * Calls @func for every parameter that @action takes, those of #PcdRetry first.
 */
void pcd_params_foreach (const PcdParams *params,
                         PcdActionKind action,
                         PcdParamFunc func,
                         gpointer data);

/**
 * pcd_params_to_string:
 *
 * Returns: (transfer full): "first 200ms, factor 2, ceiling 10s, attempts 0, …"
 */
char *pcd_params_to_string (const PcdParams *params, PcdActionKind action);

G_END_DECLS
