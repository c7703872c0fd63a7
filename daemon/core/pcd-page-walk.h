/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An x86 guest's page tables: from the address that it uses to the one that its hardware would.
 * Pure: whoever calls reads the tables. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdPageWalk: control registers.
 */
typedef struct {
  guint64 cr0;
  guint64 cr3;
  guint64 cr4;
  guint64 efer;
} PcdPageWalk;

/**
 * PcdPageRead:
 * @gpa: guest-physical, a multiple of 8
 *
 * Returns: %FALSE if it is not there
 */
typedef gboolean (*PcdPageRead) (guint64 gpa, guint64 *ret_value, gpointer data);

/**
 * pcd_page_walk:
 * @address: as the guest uses it
 * @ret_gpa: (out): guest-physical
 *
 * Without paging they are the same; long mode has 4 levels, or 5 (CR4.LA57). 32-bit paging is not
 * known here. Intel SDM, volume 3, 4.5.
 *
 * Returns: %FALSE if it is not mapped, or a table is not there
 */
gboolean pcd_page_walk (
    const PcdPageWalk *walk, guint64 address, PcdPageRead read, gpointer data, guint64 *ret_gpa);

G_END_DECLS
