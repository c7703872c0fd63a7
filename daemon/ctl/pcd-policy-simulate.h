/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl policy simulate: reads a trace and the user's assumptions, prints what would have
 * been done. How a policy acts is the core's. */
#pragma once

#include "core/pcd-policy.h"

G_BEGIN_DECLS

/**
 * PcdPolicySimulate: the options as typed.
 * @outcomes: (nullable): "failed", "stop=refused"
 * @facts: (nullable): "kickable=yes"
 * @allow_destroy: see #PcdSimulateOptions
 * @go_on: (nullable): a duration
 */
typedef struct {
  char **outcomes;
  char **facts;
  gboolean allow_destroy;
  char *go_on;
  gboolean quiet; /* no progress on the terminal */
} PcdPolicySimulate;

/**
 * pcd_policy_simulate:
 *
 * Returns: an exit code of pcd-verb.h
 */
int pcd_policy_simulate (PcdPolicy *policy,
                         const char *trace,
                         const PcdPolicySimulate *options,
                         gboolean json);

G_END_DECLS
