/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The memory in a bundle: three parts, written and read chunk by chunk.
 * Must not know where the pages come from or go to.
 *
 * Every block of the layout, in its order, is cut into chunks of 4 MiB; the last may be shorter.
 * - memory.pages: 128 bytes per chunk: bit I % 8 of byte I / 8 is set if page I is kept
 * - memory.index: 16 bytes per chunk, little-endian: u64 offset and u32 length of its frame in
 *   memory.zst, u32 number of pages kept; a chunk without any has no frame and length 0
 * - memory.zst: one zstd frame per chunk: the kept pages one after the other */
#pragma once

#include "host/pcd-guest-memory.h"
#include "snapshot/pcd-bundle.h"
#include "snapshot/pcd-ram-layout.h"

G_BEGIN_DECLS

typedef struct {
  guint64 present; /* pages kept */
  guint64 missing; /* pages that were not there and have still to come */
  guint64 zero;    /* pages that were not there and are zero by that */
} PcdMemoryCount;

/**
 * PcdMemoryProgress:
 *
 * Returns: %FALSE to call it off
 */
typedef gboolean (*PcdMemoryProgress) (guint64 done, guint64 total, gpointer data);

/**
 * pcd_memory_part_write:
 * @layout: located
 * @progress: in bytes of the layout
 *
 * Adds the three parts; memory use does not depend on the guest's.
 */
gboolean pcd_memory_part_write (PcdBundle *bundle,
                                PcdGuestMemory *memory,
                                const PcdRamLayout *layout,
                                PcdMemoryProgress progress,
                                gpointer data,
                                PcdMemoryCount *ret_count,
                                GError **error);

/* The memory of a finished bundle. */
typedef struct _PcdMemoryReader PcdMemoryReader;

PcdMemoryReader *
pcd_memory_reader_open (const char *path, const PcdRamLayout *layout, GError **error);
void pcd_memory_reader_free (PcdMemoryReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdMemoryReader, pcd_memory_reader_free)

/**
 * pcd_memory_reader_get:
 * @block: index in the layout
 * @offset: on a page
 * @ret_page: (out) (transfer none) (nullable): its bytes, until the next call; %NULL if not kept
 */
gboolean pcd_memory_reader_get (
    PcdMemoryReader *reader, guint block, guint64 offset, const guint8 **ret_page, GError **error);

G_END_DECLS
