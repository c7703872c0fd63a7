/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names that sort by time, and openat () all the way down from the state directory.
 * Must not know what is written there. */
#include "debug/pcd-debug-file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "debug"

static int
fail (const char *what, const char *state_dir, const char *name, GError **error)
{
  int saved_errno = errno;

  g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (saved_errno), "cannot %s %s/%s: %s",
               what, state_dir, name, g_strerror (saved_errno));
  return -1;
}

/* Root's own folder and nobody else's, or none. */
static int
open_folder (const char *state_dir, gboolean make, GError **error)
{
  int top = open (state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  struct stat st;

  if (top < 0)
    return fail ("open", state_dir, "", error);
  if (make && mkdirat (top, FOLDER, 0700) < 0 && errno != EEXIST) {
    fail ("make", state_dir, FOLDER, error);
    close (top);
    return -1;
  }
  int folder = openat (top, FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder < 0)
    fail ("open", state_dir, FOLDER, error);
  close (top);
  if (folder < 0)
    return -1;
  if (fstat (folder, &st) < 0 || st.st_uid != geteuid () || (st.st_mode & 077) != 0) {
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_PERM,
                 "%s/" FOLDER " belongs to another user or is open to others, expected mode 0700",
                 state_dir);
    close (folder);
    return -1;
  }
  return folder;
}

static char *
time_of (gint64 time)
{
  g_autoptr (GDateTime) when = g_date_time_new_from_unix_utc (time / G_USEC_PER_SEC);

  return g_date_time_format (when, "%Y%m%dT%H%M%S");
}

int
pcd_debug_file_create (const char *state_dir,
                       gint64 incident,
                       const char *mode,
                       const char *suffix,
                       gint64 time,
                       char **ret_path,
                       GError **error)
{
  g_autofree char *when = time_of (time);
  g_autofree char *name = g_strdup_printf ("%" G_GINT64_FORMAT "-%s.%06d-%s.%s", incident, when,
                                           (int)(time % G_USEC_PER_SEC), mode, suffix);
  int folder = open_folder (state_dir, TRUE, error);

  if (folder < 0)
    return -1;
  int fd = openat (folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    fail ("make", state_dir, name, error);
  else
    *ret_path = g_build_filename (state_dir, FOLDER, name, NULL);
  close (folder);
  return fd;
}

/* %NULL if there is none. */
static char *
find_last (int folder, gint64 incident)
{
  g_autofree char *prefix = g_strdup_printf ("%" G_GINT64_FORMAT "-", incident);
  g_autofree char *last = NULL;
  DIR *dir = fdopendir (dup (folder));
  struct dirent *entry;

  while (dir && (entry = readdir (dir)))
    if (g_str_has_prefix (entry->d_name, prefix) && g_strcmp0 (entry->d_name, last) > 0) {
      g_free (last);
      last = g_strdup (entry->d_name);
    }
  if (dir)
    closedir (dir);
  return g_steal_pointer (&last);
}

int
pcd_debug_file_open_last (const char *state_dir, gint64 incident, char **ret_name, GError **error)
{
  int folder = open_folder (state_dir, FALSE, error);
  g_autofree char *name = folder >= 0 ? find_last (folder, incident) : NULL;
  int fd = -1;

  if (folder < 0)
    return -1;
  if (!name)
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT,
                 "%s/" FOLDER " has nothing of incident %" G_GINT64_FORMAT, state_dir, incident);
  else if ((fd = openat (folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)) < 0)
    fail ("open", state_dir, name, error);
  else
    *ret_name = g_steal_pointer (&name);
  close (folder);
  return fd;
}
