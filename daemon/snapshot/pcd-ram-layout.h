/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a QEMU keeps its guest's RAM, and where the guest sees it.
 * Must not know how QEMU is asked. */
#pragma once

#include "host/pcd-guest-memory.h"

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/**
 * PcdRamBlock: one of QEMU's RAM blocks.
 * @name: (nullable): QEMU's name of the memory region; %NULL if QEMU could not be asked
 * @address: in QEMU; 0 in a layout that was read from a manifest
 * @size: bytes, whole pages
 * @has_missing: what is not there has still to come; else it is zero
 */
typedef struct {
  char *name;
  guint64 address;
  guint64 size;
  gboolean has_missing;
} PcdRamBlock;

/**
 * PcdRamRange: guest-physical addresses that are RAM or ROM.
 * @gpa: the first
 * @size: bytes
 * @block: index
 * @offset: of @gpa in the block
 */
typedef struct {
  guint64 gpa;
  guint64 size;
  guint block;
  guint64 offset;
} PcdRamRange;

/**
 * PcdRamLayout:
 * @blocks: (element-type PcdRamBlock): those that the guest sees, by their first guest-physical
 *   address; or, without names, by address in QEMU
 * @ranges: (element-type PcdRamRange): by address; none if QEMU could not be asked
 */
typedef struct {
  GArray *blocks;
  GArray *ranges;
} PcdRamLayout;

void pcd_ram_layout_free (PcdRamLayout *layout);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdRamLayout, pcd_ram_layout_free)

/**
 * PcdRamAsk: asks QEMU's human monitor.
 *
 * Returns: (transfer full): its answer
 */
typedef char *(*PcdRamAsk) (const char *line, gpointer data, GError **error);

/**
 * pcd_ram_layout_ask:
 *
 * By `info mtree -f`, `info ramblock` and `gpa2hva`: all answered also while a vCPU waits for a
 * missing page (seen with QEMU 7.2). Which addresses they are in QEMU is asked address by address,
 * as `info ramblock` shows that only in newer QEMUs. A block that the guest cannot see anywhere
 * (the ROM of a card that is not mapped) is not found, and device memory ("ramd") is left out.
 *
 * Returns: (transfer full):
 */
PcdRamLayout *pcd_ram_layout_ask (PcdRamAsk ask, gpointer data, GError **error);

/**
 * pcd_ram_layout_from_areas:
 * @areas: (element-type PcdGuestArea): of a destination in postcopy
 *
 * What the process shows without QEMU being asked: the blocks, without names, without ranges.
 *
 * Returns: (transfer full):
 */
PcdRamLayout *pcd_ram_layout_from_areas (GArray *areas);

/* Fills in @has_missing; FALSE if a block is not mapped there. */
gboolean pcd_ram_layout_locate (PcdRamLayout *layout, PcdGuestMemory *memory, GError **error);

guint64 pcd_ram_layout_get_size (const PcdRamLayout *layout);

/* Members "blocks" and "ranges". */
void pcd_ram_layout_to_json (const PcdRamLayout *layout, JsonObject *object);
PcdRamLayout *pcd_ram_layout_from_json (JsonObject *object, GError **error);

/**
 * pcd_ram_layout_match:
 * @layout: of one half
 * @other: of the other; its blocks may be without names
 * @ret_blocks: (out) (transfer full) (element-type guint): for each block of @layout that of @other
 *
 * Blocks belong together by name and size, or where there is no name by size alone, if that leaves
 * no choice.
 *
 * Returns: %FALSE with the reason if these are not layouts of the same guest
 */
gboolean pcd_ram_layout_match (const PcdRamLayout *layout,
                               const PcdRamLayout *other,
                               GArray **ret_blocks,
                               GError **error);

G_END_DECLS
