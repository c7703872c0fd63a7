/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A folder that is there as a whole or not at all: parts with checksums, then a manifest.
 * Must not know what the parts are. */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

#define PCD_BUNDLE_MANIFEST "manifest.json"

/* Of the daemon's state directory: where bundles are unless somebody says otherwise. */
#define PCD_BUNDLE_FOLDER "snapshots"

/**
 * PcdBundle: one being written, under a temporary name, locked with flock () while it is.
 * Everything is root's alone (0700, 0600); no symbolic link is followed below the folder it is made
 * in. Not for two threads at once.
 */
typedef struct _PcdBundle PcdBundle;

/* A part being written. */
typedef struct _PcdBundlePart PcdBundlePart;

/**
 * pcd_bundle_new:
 * @directory: absolute, no component of it a symbolic link; made (0700) if only the last one is
 *   missing. Must belong to this user and be writable by nobody else
 * @name: of the folder; what is not a letter, a digit or one of ._- becomes _
 * @needed: bytes that must be free there, or it is %G_IO_ERROR_NO_SPACE
 *
 * Returns: (transfer full): %NULL with #GIOError
 */
PcdBundle *pcd_bundle_new (const char *directory, const char *name, guint64 needed, GError **error);

/* Removes what was not committed. */
void pcd_bundle_free (PcdBundle *bundle);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdBundle, pcd_bundle_free)

/**
 * pcd_bundle_begin_part:
 * @name: a file name
 *
 * Returns: (transfer none): to be ended with pcd_bundle_part_end () before the commit
 */
PcdBundlePart *pcd_bundle_begin_part (PcdBundle *bundle, const char *name, GError **error);

gboolean
pcd_bundle_part_write (PcdBundlePart *part, gconstpointer data, gsize size, GError **error);

/* Flushes to disk. */
gboolean pcd_bundle_part_end (PcdBundlePart *part, GError **error);

/**
 * pcd_bundle_part_get_fd:
 *
 * For a part that is not written from its beginning to its end: open for reading and writing. Such
 * a part is ended with pcd_bundle_part_end_read ().
 *
 * Returns: still the part's; good until it is ended or dropped
 */
int pcd_bundle_part_get_fd (const PcdBundlePart *part);

/**
 * PcdBundleGoOn:
 *
 * Returns: %FALSE to call it off
 */
typedef gboolean (*PcdBundleGoOn) (guint64 done, guint64 total, gpointer data);

/**
 * pcd_bundle_part_end_read:
 *
 * Flushes to disk, and reads all of it for size and checksum.
 */
gboolean
pcd_bundle_part_end_read (PcdBundlePart *part, PcdBundleGoOn go_on, gpointer data, GError **error);

/* Removes the part, in whatever state it is. */
void pcd_bundle_drop_part (PcdBundlePart *part);

/* Whether so much is free besides what pcd_bundle_new () was told. */
gboolean pcd_bundle_check_space (PcdBundle *bundle, guint64 more, GError **error);

/* Bytes so far. */
guint64 pcd_bundle_part_get_size (const PcdBundlePart *part);

/* One whole part of text. */
gboolean
pcd_bundle_add_text (PcdBundle *bundle, const char *name, const char *text, GError **error);

/**
 * pcd_bundle_set_note:
 * @text: (nullable): %NULL removes it
 *
 * Leaves a word to who finds the folder after this process died; see pcd_bundle_sweep (). On disk
 * on return. Removed by the commit.
 */
gboolean pcd_bundle_set_note (PcdBundle *bundle, const char *text, GError **error);

/**
 * pcd_bundle_set_note_of:
 * @what: a word; each has a note of its own
 *
 * As pcd_bundle_set_note ().
 */
gboolean
pcd_bundle_set_note_of (PcdBundle *bundle, const char *what, const char *text, GError **error);

/**
 * pcd_bundle_commit:
 * @manifest: an object; gets a member "parts": [{"name", "size", "sha256"}]
 * @ret_path: (out) (transfer full): the finished folder
 *
 * Writes the manifest, flushes everything and gives the folder its name. Fails if the name is
 * taken.
 */
gboolean
pcd_bundle_commit (PcdBundle *bundle, JsonObject *manifest, char **ret_path, GError **error);

/* @note: (nullable): see pcd_bundle_set_note (); called for each note, once without any. */
typedef void (*PcdBundleFound) (const char *note, gpointer data);

/**
 * pcd_bundle_sweep:
 * @directory: where bundles are made
 * @found: (nullable): called before one is removed
 *
 * Removes what a writer that died left behind: temporary folders that nobody has locked.
 *
 * Returns: how many
 */
guint pcd_bundle_sweep (const char *directory, PcdBundleFound found, gpointer data);

/**
 * pcd_bundle_read_manifest:
 * @path: a bundle
 *
 * Returns: (transfer full): its manifest, of this version's schema
 */
JsonObject *pcd_bundle_read_manifest (const char *path, GError **error);

/**
 * pcd_bundle_open_part:
 * @path: a bundle
 *
 * Returns: a descriptor, -1 with @error set; of a plain file directly in the bundle only
 */
int pcd_bundle_open_part (const char *path, const char *name, GError **error);

/**
 * pcd_bundle_list:
 * @directory: where bundles are; need not exist
 *
 * Returns: (transfer full): the names of what is finished there, in order
 */
GStrv pcd_bundle_list (const char *directory);

/**
 * pcd_bundle_open_in:
 * @directory: where bundles are
 * @bundle: a name of pcd_bundle_list ()
 * @name: of a part, or the manifest
 *
 * The same as pcd_bundle_open_part () for names that strangers give: neither may be a path, and no
 * symbolic link is followed, at @directory neither.
 */
int
pcd_bundle_open_in (const char *directory, const char *bundle, const char *name, GError **error);

/**
 * pcd_bundle_verify:
 * @path: a bundle
 * @manifest: its manifest
 * @go_on: (nullable): told how many bytes were read; called off is %G_IO_ERROR_CANCELLED
 *
 * Reads every part and compares size and SHA-256 with the manifest.
 */
gboolean pcd_bundle_verify (
    const char *path, JsonObject *manifest, PcdBundleGoOn go_on, gpointer data, GError **error);

G_END_DECLS
