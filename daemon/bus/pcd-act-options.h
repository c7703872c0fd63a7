/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The options of Migration1.Act (): checked by the same tables as a policy's `with`.
 * Pure: no connection, no engine. */
#pragma once

#include "core/pcd-action.h"

G_BEGIN_DECLS

/**
 * PcdActOptions:
 * @params: the action's parameters, defaults included
 * @address: (nullable): of recover: an IP address, a CIDR, or a libvirt URI (with "://"); of
 *   snapshot: the folder of the bundle
 * @force: see #PcdOrder
 * @dry_run: see #PcdOrder
 * @timeout_usec: how long the caller waits for the answer, 0 for as long as it takes
 */
typedef struct {
  PcdParams params;
  char *address;
  gboolean force;
  gboolean dry_run;
  gint64 timeout_usec;
} PcdActOptions;

/**
 * pcd_act_options_parse:
 * @options: an a{sv}
 * @ret_options: (out): cleared by pcd_act_options_clear ()
 *
 * Unknown options, wrong types and values out of range are %PCD_BUS_ERROR_BAD_ARGUMENT.
 */
gboolean pcd_act_options_parse (PcdActionKind action,
                                GVariant *options,
                                PcdActOptions *ret_options,
                                GError **error);
void pcd_act_options_clear (PcdActOptions *options);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PcdActOptions, pcd_act_options_clear)

G_END_DECLS
