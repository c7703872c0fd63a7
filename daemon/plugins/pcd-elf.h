/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The data symbol `postcopyd_plugin` of a shared object, read from the file: nothing is mapped, and
 * none of its code runs. Must not know what may be in it. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdElfPlugin: as it is in the file.
 * @symbol_size: of the symbol, as the linker wrote it down
 * @words: the first four of the symbol
 * @name: (nullable): what its pointer at @name_offset leads to, if that can be told
 * @kind: (nullable): likewise
 */
typedef struct {
  guint64 symbol_size;
  guint32 words[4];
  char *name;
  char *kind;
} PcdElfPlugin;

/**
 * pcd_elf_read_plugin:
 * @fd: a regular file, read by pread () only
 * @name_offset: of a pointer to a string in the symbol; likewise @kind_offset
 * @ret_plugin: (out): release with pcd_elf_plugin_clear ()
 *
 * Every offset and size of the file is checked against its end, those of its segments, too: what is
 * cut off would kill the process when it is mapped. Source of the format: elf(5), and the System V
 * ABI, chapters 4 and 5.
 *
 * Returns: %FALSE with @error "is ..., expected ...", of %G_IO_ERROR, without the file's name
 */
gboolean pcd_elf_read_plugin (
    int fd, gsize name_offset, gsize kind_offset, PcdElfPlugin *ret_plugin, GError **error);

void pcd_elf_plugin_clear (PcdElfPlugin *plugin);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PcdElfPlugin, pcd_elf_plugin_clear)

G_END_DECLS
