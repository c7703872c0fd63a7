/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether nobody but root can have written a file that we are to run or to believe.
 * Must not know what the file is for. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * pcd_trusted_file_check:
 * @path: absolute
 * @executable: must be a regular file with an x bit, too; else a directory will do
 * @error: return location; of %G_FILE_ERROR, names the file or the folder that is wrong
 *
 * The file that @path leads to and every folder above it must belong to root (or to who we are)
 * and be writable by nobody else; a sticky folder such as /tmp is fine above what root owns, as
 * nobody else can rename that. Touches the disk: not for the main thread.
 */
gboolean pcd_trusted_file_check (const char *path, gboolean executable, GError **error);

/**
 * pcd_trusted_config_check:
 * @error: of %G_FILE_ERROR: names the file, what is wrong with it and the command that mends it
 *
 * Whether root may believe @path: if we are root, it must be root's and writable by nobody else. As
 * of sudo's and ssh's own files, only what the path leads to is looked at. What is no regular
 * file, or not there, is for its reader to tell.
 *
 * Returns: %TRUE if we are not root: who else runs us has no more rights than the file's owner gave
 */
gboolean pcd_trusted_config_check (const char *path, GError **error);

G_END_DECLS
