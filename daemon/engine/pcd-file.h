/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading the small files that users name: configuration, policies, traces.
 * Knows nothing of what is in them. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * pcd_file_read:
 * @path: a file; a FIFO or a directory is an error, a device is read up to @max_bytes
 * @max_bytes: a larger file is an error
 * @expected: what the file should be, for messages: "a configuration file"
 * @text: (inout): appended to
 *
 * Errors are of %G_FILE_ERROR and name @path. Any thread.
 */
gboolean pcd_file_read (
    const char *path, gsize max_bytes, const char *expected, GString *text, GError **error);

G_END_DECLS
