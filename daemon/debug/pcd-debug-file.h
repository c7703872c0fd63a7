/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where what a debugger said is kept: STATE-DIR/debug, for root only.
 * Must not know what is written there. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * pcd_debug_file_create:
 * @state_dir: the daemon's own
 * @incident: what it belongs to
 * @mode: of action debug, part of the name
 * @suffix: the name's end, such as "txt"
 * @time: microseconds since the epoch
 * @ret_path: (out) (transfer full): STATE-DIR/debug/INCIDENT-TIME-MODE.SUFFIX
 *
 * The folder is made if it is not there (0700), the file is new (0600); neither is reached through
 * a symbolic link in STATE-DIR.
 *
 * Returns: a descriptor to write to, close-on-exec, or -1
 */
int pcd_debug_file_create (const char *state_dir,
                           gint64 incident,
                           const char *mode,
                           const char *suffix,
                           gint64 time,
                           char **ret_path,
                           GError **error);

/**
 * pcd_debug_file_open_last:
 * @ret_name: (out) (transfer full): its name in the folder
 *
 * Returns: a read-only descriptor of the newest file of @incident, or -1 with %G_FILE_ERROR_NOENT
 */
int
pcd_debug_file_open_last (const char *state_dir, gint64 incident, char **ret_name, GError **error);

G_END_DECLS
