/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl snapshot verify, info, merge: work on finished bundles, without the daemon. */
#pragma once

#include "ctl/pcd-verb.h"

G_BEGIN_DECLS

/* Options of those words. */
typedef struct {
  gboolean json;
  gboolean mark_missing;
  char *output;
} PcdSnapshotWords;

extern const PcdSubverb pcd_snapshot_subverbs[];

/* Whether the arguments are of one of them, and not a domain to be snapshot: a domain of that name
 * is given by its UUID. */
gboolean pcd_snapshot_is_word (int argc, char **argv);

/* Returns: the exit code */
int pcd_snapshot_words (const PcdCtl *ctl, const PcdSnapshotWords *words, int argc, char **argv);

G_END_DECLS
