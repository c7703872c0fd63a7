/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All receivers: what the engine tells goes into the queue, and each sink's runner takes it from
 * there. Nothing here waits for a receiver or for the disk. */
#pragma once

#include "engine/pcd-engine.h"
#include "sinks/pcd-sink-runner.h"

G_BEGIN_DECLS

/* Where hooks are looked for if no `[sink …]` says otherwise. */
#define PCD_SINKS_HOOKS_NAME "hooks"

typedef struct _PcdSinks PcdSinks;

/**
 * pcd_sinks_check:
 *
 * Runs no code of a plugin, and knows of one only what its file says of itself.
 *
 * Returns: %FALSE if a `[sink …]` is of a kind that there is not, or its own keys are wrong; @error
 *   has file, line, section and key, and no secrets
 */
gboolean pcd_sinks_check (const PcdConfig *config, GError **error);

/**
 * pcd_sinks_new:
 * @engine: (transfer none): followed from now on; its actions are enabled. Must be freed before the
 *   result is, and after pcd_sinks_stop ()
 *
 * Main thread only, as all of this API.
 */
PcdSinks *pcd_sinks_new (PcdEngine *engine);
void pcd_sinks_free (PcdSinks *sinks);

/**
 * pcd_sinks_set_config:
 * @config: passed pcd_sinks_check ()
 *
 * Sinks that are new begin with what comes from now on; those that are gone are forgotten with what
 * waited for them; those that have changed go on where they were.
 */
void pcd_sinks_set_config (PcdSinks *sinks, const PcdConfig *config);

/* Ends all deliveries, within 3 s: what was not delivered is for the next daemon. */
void pcd_sinks_stop (PcdSinks *sinks);

/**
 * pcd_sinks_to_json:
 *
 * Returns: (transfer full): one JSON object per sink, in the order of their names, as `postcopyctl
 *   sinks --json` prints them
 */
GStrv pcd_sinks_to_json (PcdSinks *sinks);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdSinks, pcd_sinks_free)

G_END_DECLS
