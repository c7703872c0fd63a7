/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One memory image from the bundles of both sides. Must not know how bundles are made. */
#pragma once

#include "snapshot/pcd-snapshot.h"

G_BEGIN_DECLS

/**
 * PcdMergeCount: pages of the core, by where they came from.
 * @zero: on neither side, and zero by that
 * @is_consistent: the destination's guest was held while its memory was read
 */
typedef struct {
  guint64 destination;
  guint64 source;
  guint64 zero;
  guint64 missing;
  gboolean is_consistent;
} PcdMergeCount;

/**
 * PcdMergeGoOn:
 * @what: is being done
 * @done: bytes of @total
 *
 * Returns: %FALSE to call it off
 */
typedef gboolean (*PcdMergeGoOn) (const char *what, guint64 done, guint64 total, gpointer data);

/* What a missing page is full of, if it is to be marked. */
#define PCD_MERGE_MARK "MISSING "

/**
 * pcd_merge:
 * @source: bundle of the source
 * @destination: bundle of the destination
 * @output: made, 0600; must not exist
 * @mark_missing: pages that are on neither side do not matter
 * @go_on: (nullable): told now and then; called off is %G_IO_ERROR_CANCELLED
 *
 * The destination's page where there is one, else the source's, which has not changed since the
 * switch-over: that is the guest's memory at the moment the destination's half was taken. Verifies
 * both, and that they belong together: domain, migration (the same connection; where one side does
 * not know it, QEMU was started or the migration began within a minute), RAM layout.
 *
 * An ELF core (ELFCLASS64, ET_CORE) with one PT_LOAD per range of guest-physical addresses, virtual
 * and physical address the same, as QEMU's dump-guest-memory writes it, and an NT_PRSTATUS for each
 * vCPU, with its registers if the destination's bundle has them, else zeros.
 *
 * Returns: %FALSE with @error set, and then there is no @output
 */
gboolean pcd_merge (const char *source,
                    const char *destination,
                    const char *output,
                    gboolean mark_missing,
                    PcdMergeGoOn go_on,
                    gpointer data,
                    PcdMergeCount *ret_count,
                    GError **error);

G_END_DECLS
