/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where what a debugger said is kept: STATE-DIR/debug, for root only.
 * Must not know what is written there. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* So many files are kept, of so many bytes on the disk altogether: the oldest go when another is
 * made. A core of QEMU has some 20 MiB. */
#define PCD_DEBUG_KEEP_FILES 200u
#define PCD_DEBUG_KEEP_BYTES ((guint64)2 << 30)

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

/**
 * pcd_debug_socket_listen:
 * @mode: of action debug, part of the name
 * @ret_path: (out) (transfer full): STATE-DIR/debug/INCIDENT-MODE.sock
 *
 * Mode 0600 from its first moment. One for an incident at a time: %G_FILE_ERROR_EXIST.
 *
 * Returns: a listening stream socket, or -1; the file is the caller's to remove
 */
int pcd_debug_socket_listen (
    const char *state_dir, gint64 incident, const char *mode, char **ret_path, GError **error);

/* Whether one for that incident is there. */
gboolean pcd_debug_socket_is_open (const char *state_dir, gint64 incident);

/**
 * pcd_debug_file_mark:
 * @on: whether a guest is stopped for a debugger from now on, or no longer
 *
 * On the disk when this returns: see pcd_debug_file_is_marked().
 */
gboolean pcd_debug_file_mark (const char *state_dir, gint64 incident, gboolean on, GError **error);

/* Whether a debugger of ours stopped the guest and has not let it go on: it may have been killed.
 */
gboolean pcd_debug_file_is_marked (const char *state_dir, gint64 incident);

/**
 * pcd_debug_tidy:
 * @state_dir: of a daemon that begins, and that no other one uses
 *
 * Removes the sockets of one that was killed, and prunes.
 */
void pcd_debug_tidy (const char *state_dir);

G_END_DECLS
