/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Level by level, each entry read by the caller.
 * Must not touch memory itself. */
#include "core/pcd-page-walk.h"

#define CR0_PG   (G_GUINT64_CONSTANT (1) << 31)
#define CR4_LA57 (G_GUINT64_CONSTANT (1) << 12)
#define EFER_LMA (G_GUINT64_CONSTANT (1) << 10)
#define PRESENT  G_GUINT64_CONSTANT (1)
#define LARGE    (G_GUINT64_CONSTANT (1) << 7)
#define FRAME    G_GUINT64_CONSTANT (0x000ffffffffff000)

gboolean
pcd_page_walk (
    const PcdPageWalk *walk, guint64 address, PcdPageRead read, gpointer data, guint64 *ret_gpa)
{
  guint level = walk->cr4 & CR4_LA57 ? 5 : 4;
  guint64 entry = walk->cr3;

  if (!(walk->cr0 & CR0_PG)) {
    *ret_gpa = address;
    return TRUE;
  }
  if (!(walk->efer & EFER_LMA))
    return FALSE;
  for (; level >= 1; level--) {
    const guint shift = 12 + 9 * (level - 1);
    const guint64 table = entry & FRAME;

    if (!read (table + (address >> shift & 511) * 8, &entry, data) || !(entry & PRESENT))
      return FALSE;
    if (level == 1 || (level <= 3 && entry & LARGE)) {
      const guint64 inside = (G_GUINT64_CONSTANT (1) << shift) - 1;

      *ret_gpa = (entry & FRAME & ~inside) | (address & inside);
      return TRUE;
    }
  }
  return FALSE;
}
