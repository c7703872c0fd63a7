/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a file may be loaded as a plugin at all: whose it is, what it is, what it says of itself.
 * Runs none of its code. */
#pragma once

#include <glib.h>
#include <sys/stat.h>

#include "postcopyd-plugin.h"

G_BEGIN_DECLS

/**
 * PcdPluginFile: an open file that passed.
 * @fd: the very file that was checked: to be loaded by /proc/self/fd
 * @status: its own
 * @abi_major: and the next three: the first words of its `postcopyd_plugin`
 * @kind: (nullable): "action" or "sink"; %NULL if the file does not tell without being loaded
 */
typedef struct {
  int fd;
  struct stat status;
  guint abi_major;
  guint abi_minor;
  guint struct_size;
  guint flags;
  char *kind;
} PcdPluginFile;

/**
 * pcd_plugin_file_open:
 * @name: as in the configuration
 * @path: (nullable): %NULL for NAME.so in %PCD_PLUGINDIR
 * @error: of %G_IO_ERROR: "PATH: what, expected what"
 *
 * The file must be regular, not a symbolic link, and, as every folder on its way, root's (or who we
 * are) and writable by nobody else; a shared object for this machine with a `postcopyd_plugin` of
 * this ABI.
 *
 * Returns: (transfer full) (nullable)
 */
PcdPluginFile *pcd_plugin_file_open (const char *name, const char *path, GError **error);

/* Closes it, unless @fd is -1. */
void pcd_plugin_file_free (PcdPluginFile *file);

/* (transfer full) */
char *pcd_plugin_file_path (const char *name, const char *path);

/**
 * pcd_plugin_check_table:
 * @name: as in the configuration
 * @table: of a module that is loaded, completed: what its version lacks is 0
 *
 * Returns: %FALSE if what it says cannot work; @error "has ..., expected ..."
 */
gboolean pcd_plugin_check_table (const char *name, const PostcopydPlugin *table, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdPluginFile, pcd_plugin_file_free)

G_END_DECLS
