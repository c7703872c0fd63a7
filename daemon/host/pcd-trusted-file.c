/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stat () from the root folder down to the file.
 * Runs nothing. */
#include "host/pcd-trusted-file.h"

#include <errno.h>
#include <glib/gi18n.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static gboolean
refuse (const char *path, const char *why, GError **error)
{
  g_autofree char *name = g_filename_display_name (path);

  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_PERM, "%s %s", name, why);
  return FALSE;
}

static gboolean
refuse_errno (const char *path, int number, GError **error)
{
  g_autofree char *name = g_filename_display_name (path);

  g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (number), "%s: %s", name,
               g_strerror (number));
  return FALSE;
}

/* @above: it is a folder on the way to the file, not the file itself */
static gboolean
check_one (const char *path, gboolean above, struct stat *ret_status, GError **error)
{
  struct stat st;

  if (stat (path, &st) < 0)
    return refuse_errno (path, errno, error);
  if (st.st_uid != 0 && st.st_uid != geteuid ())
    return refuse (path, _ ("does not belong to root"), error);
  if (st.st_mode & S_IWOTH && !(above && st.st_mode & S_ISVTX))
    return refuse (path, _ ("is writable by everyone, expected by root only"), error);
  if (st.st_mode & S_IWGRP && st.st_gid != 0 && !(above && st.st_mode & S_ISVTX))
    return refuse (path, _ ("is writable by its group, expected by root only"), error);
  *ret_status = st;
  return TRUE;
}

static gboolean
check_above (const char *path, GError **error)
{
  g_autofree char *folder = g_strdup (path);
  struct stat st;

  while (strcmp (folder, "/") != 0) {
    char *up = g_path_get_dirname (folder);

    g_free (folder);
    folder = up;
    if (!check_one (folder, TRUE, &st, error))
      return FALSE;
  }
  return TRUE;
}

gboolean
pcd_trusted_file_check (const char *path, gboolean executable, GError **error)
{
  g_autofree char *real = NULL;
  struct stat st;

  if (!g_path_is_absolute (path))
    return refuse (path, _ ("is not an absolute path"), error);
  char *resolved = realpath (path, NULL);
  if (!resolved)
    return refuse_errno (path, errno, error);
  real = g_strdup (resolved);
  free (resolved);
  /* Who can write a folder on either way can lead us elsewhere. */
  if (!check_one (real, FALSE, &st, error) || !check_above (real, error) ||
      !check_above (path, error))
    return FALSE;
  if (!executable)
    return S_ISREG (st.st_mode) || S_ISDIR (st.st_mode) ||
           refuse (path, _ ("is neither a file nor a folder"), error);
  if (!S_ISREG (st.st_mode))
    return refuse (path, _ ("is not a file"), error);
  return (st.st_mode & 0111) != 0 ||
         refuse (path, _ ("is not executable, expected a program: chmod +x it"), error);
}

static gboolean
refuse_config (const char *path, const char *what, const char *mend, GError **error)
{
  g_autofree char *name = g_filename_display_name (path), *quoted = g_shell_quote (name);
  const gboolean plain = strpbrk (name, " \t'\"\\$`*?[](){}<>|&;!#~") == NULL;

  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_PERM,
               _ ("%s: %s, expected a file that only root can write: %s %s"), name, what, mend,
               plain ? name : quoted);
  return FALSE;
}

gboolean
pcd_trusted_config_check (const char *path, GError **error)
{
  struct stat st;
  char what[160];

  if (geteuid () != 0 || stat (path, &st) < 0 || !S_ISREG (st.st_mode))
    return TRUE;
  if (st.st_uid != 0) {
    g_snprintf (what, sizeof what, _ ("belongs to user %u"), st.st_uid);
    return refuse_config (path, what, "chown root", error);
  }
  if (!(st.st_mode & S_IWOTH) && !(st.st_mode & S_IWGRP && st.st_gid != 0))
    return TRUE;
  g_snprintf (what, sizeof what,
              st.st_mode & S_IWOTH ? _ ("is writable by everyone (mode %04o)")
                                   : _ ("is writable by its group (mode %04o)"),
              st.st_mode & 07777);
  return refuse_config (path, what, "chmod go-w", error);
}
