/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opens the journal's database: checks it, sets it aside if it cannot be used, makes a fresh one.
 */
#include "journal/pcd-journal-file.h"
#include "journal/pcd-note-write.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "PCDJ" */
#define APPLICATION_ID 1346585674

/* A reader never holds a lock that a writer needs in WAL; a backup tool might, for a moment. */
#define BUSY_MSEC 1000

#define CHECK_USEC (2 * G_USEC_PER_SEC)

/* Words instead of numbers throughout: the file must mean the same to every version. The timeline
 * only ever grows at its end, so that its order is that of what happened, whatever the clock did;
 * an intent without a result is unfinished. */
static const char schema[] =
    "CREATE TABLE incidents ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " uuid TEXT NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL, boot TEXT NOT NULL,"
    " began INTEGER NOT NULL, ended INTEGER, how TEXT, ladder TEXT) STRICT;"
    "CREATE INDEX incidents_open ON incidents (id) WHERE ended IS NULL;"
    "CREATE TABLE timeline ("
    " id INTEGER PRIMARY KEY,"
    " incident INTEGER REFERENCES incidents (id) ON DELETE CASCADE,"
    " time INTEGER NOT NULL,"
    " kind TEXT NOT NULL CHECK (kind IN ('record', 'intent', 'result')),"
    " ticket INTEGER, action TEXT, who TEXT, outcome TEXT, reason TEXT, record TEXT,"
    " CHECK (kind = 'record' OR (incident IS NOT NULL AND ticket IS NOT NULL))) STRICT;"
    "CREATE INDEX timeline_incident ON timeline (incident);"
    "CREATE UNIQUE INDEX timeline_ticket ON timeline (incident, ticket, kind)"
    " WHERE ticket IS NOT NULL;"
    "CREATE TABLE flags ("
    " uuid TEXT NOT NULL, flag TEXT NOT NULL, value TEXT NOT NULL,"
    " PRIMARY KEY (uuid, flag)) STRICT, WITHOUT ROWID;";

/* Prepared to see that the tables are what this version expects; never run. */
static const struct {
  int since; /* version */
  const char *sql;
} probes[] = {
  { 1, "SELECT id, uuid, name, role, boot, began, ended, how, ladder FROM incidents" },
  { 1, "SELECT id, incident, time, kind, ticket, action, who, outcome, reason, record "
       "FROM timeline" },
  { 1, "SELECT uuid, flag, value FROM flags" },
  { 2, "SELECT uuid FROM queue" },
  { 2, "SELECT id, stream, kind, time, json, size, total FROM notes" },
  { 2,
    "SELECT name, position, delivered, refused, dropped, untold, untold_first, untold_last, acks "
    "FROM sinks" },
};

/* The cache is small: a daemon that waits for months shall not hold what it never reads. */
static const char pragmas[] = "PRAGMA cache_size = -256;"
                              "PRAGMA foreign_keys = ON;"
                              "PRAGMA temp_store = MEMORY;"
                              "PRAGMA trusted_schema = OFF;"
                              "PRAGMA wal_autocheckpoint = 256;"
                              "PRAGMA journal_size_limit = 1048576;"
                              "PRAGMA synchronous = FULL;";

static gboolean
refuse (const char *path, PcdJournalError code, GError **error, const char *what)
{
  g_set_error (error, PCD_JOURNAL_ERROR, code, "%s: %s", path, what);
  return FALSE;
}

static gboolean
exec (sqlite3 *db, const char *sql, const char *path, GError **error)
{
  int rc = sqlite3_exec (db, sql, NULL, NULL, NULL);

  return rc == SQLITE_OK || pcd_journal_file_fail (db, rc, path, error);
}

static gboolean
get_int (sqlite3 *db, const char *sql, const char *path, int *ret_value, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = NULL;
  int rc = sqlite3_prepare_v2 (db, sql, -1, &statement, NULL);

  if (rc == SQLITE_OK)
    rc = sqlite3_step (statement);
  if (rc != SQLITE_ROW)
    return pcd_journal_file_fail (db, rc, path, error);
  *ret_value = sqlite3_column_int (statement, 0);
  return TRUE;
}

/* Whether this version can use it. @ret_version: 0 for one that has just been made. */
static gboolean
check_identity (sqlite3 *db, const char *path, int *ret_version, GError **error)
{
  int version, id, tables;

  if (!get_int (db, "PRAGMA user_version", path, &version, error) ||
      !get_int (db, "PRAGMA application_id", path, &id, error) ||
      !get_int (db, "SELECT count(*) FROM sqlite_schema", path, &tables, error))
    return FALSE;
  *ret_version = version;
  if (version == 0 && id == 0 && tables == 0)
    return TRUE;
  if (id != APPLICATION_ID || version < 1)
    return refuse (path, PCD_JOURNAL_ERROR_DAMAGED, error, _ ("is a database, but not a journal"));
  if (version > PCD_JOURNAL_VERSION) {
    g_set_error (error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NEWER,
                 _ ("%s: has version %d, of a newer postcopyd; expected no more than %d"), path,
                 version, PCD_JOURNAL_VERSION);
    return FALSE;
  }
  return TRUE;
}

static gboolean
check_tables (sqlite3 *db, int version, const char *path, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (probes); i++) {
    g_autoptr (sqlite3_stmt) statement = NULL;
    int rc = probes[i].since <= version
                 ? sqlite3_prepare_v2 (db, probes[i].sql, -1, &statement, NULL)
                 : SQLITE_OK;

    if (rc == SQLITE_ERROR)
      return refuse (path, PCD_JOURNAL_ERROR_DAMAGED, error, sqlite3_errmsg (db));
    if (rc != SQLITE_OK)
      return pcd_journal_file_fail (db, rc, path, error);
  }
  return TRUE;
}

static int
is_late (void *data)
{
  return g_get_monotonic_time () > *(const gint64 *)data;
}

/* A file too large to be checked in time is used: damage shows when it is met. */
static gboolean
check_content (sqlite3 *db, const char *path, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = NULL;
  gint64 until = g_get_monotonic_time () + CHECK_USEC;
  gboolean good = TRUE;

  int rc = sqlite3_prepare_v2 (db, "PRAGMA quick_check(1)", -1, &statement, NULL);
  sqlite3_progress_handler (db, 10000, is_late, &until);
  if (rc == SQLITE_OK)
    rc = sqlite3_step (statement);
  sqlite3_progress_handler (db, 0, NULL, NULL);
  if (rc == SQLITE_ROW) {
    const char *finding = (const char *)sqlite3_column_text (statement, 0);
    if (g_strcmp0 (finding, "ok") != 0)
      good = refuse (path, PCD_JOURNAL_ERROR_DAMAGED, error, finding ?: _ ("quick_check failed"));
  } else if ((rc & 0xff) != SQLITE_INTERRUPT) {
    good = pcd_journal_file_fail (db, rc, path, error);
  }
  return good;
}

static gboolean
make_tables (sqlite3 *db, const char *path, GError **error)
{
  g_autofree char *sql =
      g_strdup_printf ("BEGIN IMMEDIATE; %s %s PRAGMA application_id = %d; "
                       "PRAGMA user_version = %d; COMMIT;",
                       schema, pcd_note_schema, APPLICATION_ID, PCD_JOURNAL_VERSION);
  g_autofree char *folder = g_path_get_dirname (path);

  if (!exec (db, sql, path, error))
    return FALSE;
  /* SQLite syncs the files; that they have a name is for the folder to remember. */
  int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gboolean synced = fd >= 0 && fsync (fd) == 0;
  if (fd >= 0)
    close (fd);
  return synced || refuse (path, PCD_JOURNAL_ERROR_DISK, error, _ ("its folder cannot be synced"));
}

/* Version 2 has the queue of notes beside what version 1 had. All or nothing, as the version is in
 * the file, too: a daemon that is killed here finds the old one again. */
static gboolean
bring_up_to_date (sqlite3 *db, const char *path, GError **error)
{
  g_autofree char *sql = g_strdup_printf ("BEGIN IMMEDIATE; %s PRAGMA user_version = %d; COMMIT;",
                                          pcd_note_schema, PCD_JOURNAL_VERSION);

  return exec (db, sql, path, error);
}

/* SQLite makes -wal and -shm with the mode of the database: for root only. */
static gboolean
make_file (const char *path, GError **error)
{
  struct stat st;

  if (lstat (path, &st) == 0) {
    if (!S_ISREG (st.st_mode))
      return refuse (path, PCD_JOURNAL_ERROR_DAMAGED, error, _ ("is not a file"));
    return st.st_size > 0 || refuse (path, PCD_JOURNAL_ERROR_DAMAGED, error, _ ("is empty"));
  }
  int fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {
    g_autofree char *what = g_strdup_printf (_ ("cannot be made: %s"), g_strerror (errno));
    return refuse (path, errno == EACCES ? PCD_JOURNAL_ERROR_PERMISSION : PCD_JOURNAL_ERROR_DISK,
                   error, what);
  }
  close (fd);
  return TRUE;
}

/* Some file systems cannot: then SQLite says so by naming the mode that stays. */
static gboolean
set_wal (sqlite3 *db, const char *path, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = NULL;
  int rc = sqlite3_prepare_v2 (db, "PRAGMA journal_mode = WAL", -1, &statement, NULL);

  if (rc == SQLITE_OK)
    rc = sqlite3_step (statement);
  if (rc != SQLITE_ROW)
    return pcd_journal_file_fail (db, rc, path, error);
  return g_strcmp0 ((const char *)sqlite3_column_text (statement, 0), "wal") == 0 ||
         refuse (path, PCD_JOURNAL_ERROR_DISK, error,
                 _ ("its file system cannot share memory (WAL)"));
}

/* With an error %PCD_JOURNAL_ERROR_DAMAGED or _NEWER if setting it aside helps. */
static sqlite3 *
try_open (const char *path, int *ret_version, GError **error)
{
  g_autoptr (sqlite3) db = NULL;

  if (!make_file (path, error))
    return NULL;
  int rc = sqlite3_open_v2 (path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
  if (rc != SQLITE_OK) {
    pcd_journal_file_fail (db, rc, path, error);
    return NULL;
  }
  sqlite3_extended_result_codes (db, 1);
  sqlite3_busy_timeout (db, BUSY_MSEC);
  if (!exec (db, pragmas, path, error) || !check_identity (db, path, ret_version, error))
    return NULL;
  if (*ret_version > 0 &&
      (!check_content (db, path, error) || !check_tables (db, *ret_version, path, error)))
    return NULL;
  if (!set_wal (db, path, error))
    return NULL;
  if (*ret_version == 0 && !make_tables (db, path, error))
    return NULL;
  if (*ret_version == 1 && !bring_up_to_date (db, path, error))
    return NULL;
  if (!exec (db, "BEGIN IMMEDIATE; ROLLBACK;", path, error))
    return NULL;
  return g_steal_pointer (&db);
}

sqlite3 *
pcd_journal_file_open (const char *path, char **ret_notice, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autofree char *suffix = NULL, *aside = NULL;
  int version = 0;

  sqlite3 *db = try_open (path, &version, &local_error);
  if (db) {
    *ret_notice = NULL;
    return db;
  }
  if (g_error_matches (local_error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NEWER)) {
    suffix = g_strdup_printf ("version-%d", version);
  } else if (g_error_matches (local_error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_DAMAGED)) {
    suffix = g_strdup ("damaged");
  } else {
    g_propagate_error (error, g_steal_pointer (&local_error));
    return NULL;
  }
  aside = pcd_journal_file_set_aside (path, suffix, error);
  db = aside ? try_open (path, &version, error) : NULL;
  if (db)
    *ret_notice = g_strdup_printf (_ ("%s; it was set aside as %s and a fresh journal begun"),
                                   local_error->message, aside);
  return db;
}

static gboolean
check_readable (const char *path, GError **error)
{
  if (access (path, R_OK) == 0)
    return TRUE;
  if (errno == ENOENT)
    return refuse (path, PCD_JOURNAL_ERROR_NONE_YET, error,
                   _ ("there is no journal yet: postcopyd makes it when it first starts; "
                      "--state-dir DIR looks elsewhere"));
  if (errno == EACCES)
    return refuse (path, PCD_JOURNAL_ERROR_PERMISSION, error,
                   _ ("permission denied; only root may read it, so try again with sudo"));
  return refuse (path, PCD_JOURNAL_ERROR_DISK, error, g_strerror (errno));
}

static sqlite3 *
open_read (const char *path, const char *query, GError **error)
{
  g_autoptr (sqlite3) db = NULL;
  g_autofree char *escaped = g_uri_escape_string (path, "/", TRUE);
  g_autofree char *uri = g_strconcat ("file:", escaped, "?", query, NULL);
  int version;

  int rc = sqlite3_open_v2 (uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI,
                            NULL);
  if (rc != SQLITE_OK) {
    pcd_journal_file_fail (db, rc, path, error);
    return NULL;
  }
  sqlite3_extended_result_codes (db, 1);
  sqlite3_busy_timeout (db, BUSY_MSEC);
  if (!exec (db, "PRAGMA trusted_schema = OFF", path, error) ||
      !check_identity (db, path, &version, error))
    return NULL;
  if (version == 0) {
    refuse (
        path, PCD_JOURNAL_ERROR_NONE_YET, error,
        _ ("there is nothing in it yet: postcopyd was ended while it made it, and goes on when it "
           "starts"));
    return NULL;
  }
  return check_tables (db, version, path, error) ? g_steal_pointer (&db) : NULL;
}

sqlite3 *
pcd_journal_file_open_read (const char *path, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  if (!check_readable (path, error))
    return NULL;
  sqlite3 *db = open_read (path, "mode=ro", &local_error);
  /* A WAL needs a -shm to be read, which a read-only disk does not take: a copy in a rescue system.
   * Nobody can be writing there. */
  if (!db && g_error_matches (local_error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_DISK) &&
      access (path, W_OK) < 0 && errno == EROFS) {
    g_clear_error (&local_error);
    db = open_read (path, "mode=ro&immutable=1", &local_error);
  }
  if (!db)
    g_propagate_error (error, g_steal_pointer (&local_error));
  return db;
}
