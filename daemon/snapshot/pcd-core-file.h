/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An ELF core of a guest's physical memory, being written. Must not know where pages come from. */
#pragma once

#include "snapshot/pcd-ram-layout.h"

G_BEGIN_DECLS

typedef struct _PcdCoreFile PcdCoreFile;

/**
 * pcd_core_file_new:
 * @path: to become; must not exist
 * @ranges: one PT_LOAD each, in this order
 * @registers: (nullable): what QEMU's `info registers -a` said
 *
 * Returns: (transfer full): all zero yet
 */
PcdCoreFile *pcd_core_file_new (const char *path,
                                const PcdRamRange *ranges,
                                guint n_ranges,
                                const char *registers,
                                GError **error);

/* Puts bytes at @offset of range @segment; zeros become a hole. */
gboolean pcd_core_file_put (PcdCoreFile *core,
                            guint segment,
                            guint64 offset,
                            gconstpointer data,
                            gsize size,
                            GError **error);

/* Flushes it and gives it its name. */
gboolean pcd_core_file_commit (PcdCoreFile *core, GError **error);

/* Removes what was not committed. */
void pcd_core_file_free (PcdCoreFile *core);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdCoreFile, pcd_core_file_free)

/**
 * pcd_core_notes:
 * @registers: (nullable): likewise
 *
 * Returns: (transfer full): the PT_NOTE's bytes: a thread for each vCPU, at least one. Pure
 */
GByteArray *pcd_core_notes (const char *registers);

G_END_DECLS
