/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What surrounds the database: the lock, names of files set aside, errors, and its size.
 * Opening and checking it is pcd-journal-open.c. */
#include "journal/pcd-journal-file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Each database that was set aside may have had so many incidents: ids stay unique for ever. */
#define IDS_PER_FILE 1000000

G_DEFINE_QUARK (pcd - journal - error - quark, pcd_journal_error)

gboolean
pcd_journal_file_is_damage (int rc)
{
  return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

gboolean
pcd_journal_file_fail (sqlite3 *db, int rc, const char *path, GError **error)
{
  PcdJournalError code = PCD_JOURNAL_ERROR_DISK;
  int system_errno = db ? sqlite3_system_errno (db) : 0;
  const char *why = db ? sqlite3_errmsg (db) : sqlite3_errstr (rc);

  if (pcd_journal_file_is_damage (rc))
    code = PCD_JOURNAL_ERROR_DAMAGED;
  else if ((rc & 0xff) == SQLITE_PERM || system_errno == EACCES || system_errno == EPERM)
    code = PCD_JOURNAL_ERROR_PERMISSION;
  /* SQLite says "disk I/O error"; the kernel knows more. */
  if (((rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN) && system_errno != 0)
    g_set_error (error, PCD_JOURNAL_ERROR, code, "%s: %s: %s", path, why,
                 g_strerror (system_errno));
  else
    g_set_error (error, PCD_JOURNAL_ERROR, code, "%s: %s", path, why);
  return FALSE;
}

static gboolean
fail_errno (const char *path, const char *what, int saved_errno, GError **error)
{
  gboolean permission = saved_errno == EACCES || saved_errno == EPERM;

  g_set_error (error, PCD_JOURNAL_ERROR,
               permission ? PCD_JOURNAL_ERROR_PERMISSION : PCD_JOURNAL_ERROR_DISK, "%s: %s: %s",
               path, what, g_strerror (saved_errno));
  return FALSE;
}

int
pcd_journal_file_lock (const char *state_dir, GError **error)
{
  g_autofree char *path = g_build_filename (state_dir, "journal.lock", NULL);

  if (g_mkdir_with_parents (state_dir, 0700) < 0) {
    fail_errno (state_dir, _ ("cannot make the folder"), errno, error);
    return -1;
  }
  int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    fail_errno (path, _ ("cannot open"), errno, error);
    return -1;
  }
  if (flock (fd, LOCK_EX | LOCK_NB) < 0) {
    if (errno == EWOULDBLOCK)
      g_set_error (error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_IN_USE,
                   _ ("%s: another postcopyd uses this folder, expected one of its own"),
                   state_dir);
    else
      fail_errno (path, _ ("cannot lock"), errno, error);
    close (fd);
    return -1;
  }
  return fd;
}

/* @path.suffix-TIME, and a number if there is one of this second. */
static char *
free_name (const char *path, const char *suffix)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *time = g_date_time_format (now, "%Y%m%dT%H%M%SZ");
  char *name = g_strdup_printf ("%s.%s-%s", path, suffix, time);

  for (guint i = 2; g_file_test (name, G_FILE_TEST_EXISTS); i++) {
    g_free (name);
    name = g_strdup_printf ("%s.%s-%s-%u", path, suffix, time, i);
  }
  return name;
}

char *
pcd_journal_file_set_aside (const char *path, const char *suffix, GError **error)
{
  static const char *const companions[] = { "-wal", "-shm" };
  g_autofree char *name = free_name (path, suffix);

  /* This one first: SQLite deletes a -wal that stands beside no database, and would read one that
   * is not its own. */
  if (g_rename (path, name) < 0) {
    fail_errno (path, _ ("cannot be set aside"), errno, error);
    return NULL;
  }
  for (guint i = 0; i < G_N_ELEMENTS (companions); i++) {
    g_autofree char *from = g_strconcat (path, companions[i], NULL);
    g_autofree char *to = g_strconcat (name, companions[i], NULL);
    if (g_rename (from, to) < 0 && errno != ENOENT) {
      fail_errno (from, _ ("cannot be set aside"), errno, error);
      return NULL;
    }
  }
  return g_steal_pointer (&name);
}

static guint
count_set_aside (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;
  guint n = 0;

  while (dir && (name = g_dir_read_name (dir)))
    n += g_str_has_prefix (name, PCD_JOURNAL_FILE ".") && !g_str_has_suffix (name, "-wal") &&
         !g_str_has_suffix (name, "-shm");
  return n;
}

gboolean
pcd_journal_file_first_id (sqlite3 *db, const char *path, gint64 *ret_id, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = NULL;
  gint64 used = 0;

  /* AUTOINCREMENT remembers the ids of what was pruned, too. */
  int rc = sqlite3_prepare_v2 (db, "SELECT seq FROM sqlite_sequence WHERE name='incidents'", -1,
                               &statement, NULL);
  if (rc == SQLITE_OK)
    rc = sqlite3_step (statement);
  if (rc == SQLITE_ROW)
    used = sqlite3_column_int64 (statement, 0);
  else if (rc != SQLITE_DONE)
    return pcd_journal_file_fail (db, rc, path, error);
  *ret_id = MAX (used, (gint64)count_set_aside (path) * IDS_PER_FILE) + 1;
  return TRUE;
}

int
pcd_journal_file_prune (sqlite3 *db, guint keep_incidents, guint keep_records)
{
  g_autofree char *sql = g_strdup_printf (
      "DELETE FROM incidents WHERE ended IS NOT NULL AND id <= (SELECT id FROM incidents "
      "WHERE ended IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET %u);"
      "DELETE FROM timeline WHERE kind = 'record' AND id <= (SELECT id FROM timeline "
      "WHERE kind = 'record' ORDER BY id DESC LIMIT 1 OFFSET %u);",
      keep_incidents, keep_records);

  return sqlite3_exec (db, sql, NULL, NULL, NULL);
}
