/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The database file of the journal: its schema, whether it is fit for use, and setting it aside.
 * Private to daemon/journal. Must not know what an incident means. */
#pragma once

#include <sqlite3.h>

#include "journal/pcd-journal.h"

G_BEGIN_DECLS

#define PCD_JOURNAL_FILE    "journal.sqlite"
#define PCD_JOURNAL_VERSION 2

G_DEFINE_AUTOPTR_CLEANUP_FUNC (sqlite3, sqlite3_close)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (sqlite3_stmt, sqlite3_finalize)

/**
 * pcd_journal_file_is_damage:
 * @rc: SQLite's result, extended or not
 *
 * Returns: whether the content is at fault, not the disk
 */
gboolean pcd_journal_file_is_damage (int rc);

/* Sets @error of %PCD_JOURNAL_ERROR: "PATH: what: why". Returns: %FALSE always. */
gboolean pcd_journal_file_fail (sqlite3 *db, int rc, const char *path, GError **error);

/**
 * pcd_journal_file_lock:
 *
 * Makes @state_dir if it is not there, and keeps a second daemon away from it.
 *
 * Returns: a file descriptor that holds the lock, or -1
 */
int pcd_journal_file_lock (const char *state_dir, GError **error);

/**
 * pcd_journal_file_set_aside:
 * @path: of the database, not open any more
 * @suffix: "damaged", "version-2"
 *
 * Renames it, -wal and -shm.
 *
 * Returns: (transfer full): where it is now, %NULL if it could not be renamed
 */
char *pcd_journal_file_set_aside (const char *path, const char *suffix, GError **error);

/**
 * pcd_journal_file_open:
 * @ret_notice: (out) (transfer full) (nullable): what was set aside, why, and where it is
 *
 * Opens for writing; a damaged or newer one is set aside before, an older one brought up to date.
 *
 * Returns: (transfer full): for one thread at a time
 */
sqlite3 *pcd_journal_file_open (const char *path, char **ret_notice, GError **error);

/**
 * pcd_journal_file_open_read:
 *
 * For `incident`: beside a daemon, without one, and on a disk that cannot be written.
 *
 * Returns: (transfer full)
 */
sqlite3 *pcd_journal_file_open_read (const char *path, GError **error);

/**
 * pcd_journal_file_first_id:
 * @ret_id: an id that no incident ever had, those of databases set aside included
 */
gboolean pcd_journal_file_first_id (sqlite3 *db, const char *path, gint64 *ret_id, GError **error);

/* Deletes what is beyond these numbers, oldest first; never what is open. Returns: SQLite's. */
int pcd_journal_file_prune (sqlite3 *db, guint keep_incidents, guint keep_records);

G_END_DECLS
