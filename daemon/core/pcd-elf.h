/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What two kinds of ELF cores have in common: of a process, and of a guest's memory.
 * Pure: no I/O. */
#pragma once

#include <elf.h>
#include <glib.h>

G_BEGIN_DECLS

/**
 * pcd_elf_core_header:
 * @n_segments: program headers, which follow it at once
 *
 * Returns: the header of a core of this machine's kind
 */
Elf64_Ehdr pcd_elf_core_header (guint n_segments);

/**
 * pcd_elf_add_note:
 * @notes: a PT_NOTE's content
 * @type: `NT_PRSTATUS`, ...
 *
 * Appends a note of name "CORE", padded to 4 bytes.
 */
void pcd_elf_add_note (GByteArray *notes, guint32 type, gconstpointer data, gsize size);

G_END_DECLS
