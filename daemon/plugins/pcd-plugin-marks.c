/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two small files for each plugin: NAME.running, there while its code runs, has the boot; NAME.died
 * the number of deaths and which file that was about. */
#include "plugins/pcd-plugin-marks.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char *
path_of (const char *directory, const char *name, const char *what)
{
  return g_strdup_printf ("%s/%s.%s", directory, name, what);
}

/* As the journal does it: of /proc the unit leaves us processes only. */
static char *
read_boot (void)
{
  char *text = g_strdup (g_getenv ("PCD_BOOT_ID"));

  if (!text && !g_file_get_contents ("/proc/sys/kernel/random/boot_id", &text, NULL, NULL))
    text = g_strdup ("unknown");
  return g_strstrip (text);
}

static gboolean
sync_path (const char *path)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
  const gboolean ok = fd >= 0 && fsync (fd) == 0;

  if (fd >= 0)
    close (fd);
  return ok;
}

gboolean
pcd_plugin_marks_begin (const char *directory, const char *name, GError **error)
{
  g_autofree char *path = path_of (directory, name, "running");
  g_autofree char *boot = read_boot ();
  const gsize length = strlen (boot);
  int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  gboolean ok = fd >= 0 && write (fd, boot, length) == (gssize)length && fsync (fd) == 0;

  ok = ok && sync_path (directory);
  if (!ok)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                 _ ("it cannot be written down that it runs: %s: %s"), path, g_strerror (errno));
  if (fd >= 0)
    close (fd);
  if (!ok)
    unlink (path);
  return ok;
}

void
pcd_plugin_marks_end (const char *directory, const char *name)
{
  g_autofree char *path = path_of (directory, name, "running");

  unlink (path);
}

guint
pcd_plugin_marks_deaths (const char *directory, const char *name, const struct stat *file)
{
  g_autofree char *path = path_of (directory, name, "died");
  g_autofree char *text = NULL;
  unsigned long long inode = 0;
  long long mtime = 0, nsec = 0, size = 0;
  unsigned deaths = 0;

  if (!g_file_get_contents (path, &text, NULL, NULL) ||
      sscanf (text, "%u %llu %lld.%lld %lld", &deaths, &inode, &mtime, &nsec, &size) != 5)
    return 0;
  if (inode != file->st_ino || mtime != file->st_mtim.tv_sec || nsec != file->st_mtim.tv_nsec ||
      size != file->st_size)
    return 0;
  return deaths;
}

static void
write_deaths (const char *directory, const char *name, const struct stat *file, guint deaths)
{
  g_autofree char *path = path_of (directory, name, "died");
  g_autofree char *text = g_strdup_printf (
      "%u %llu %lld.%lld %lld\n", deaths, (unsigned long long)file->st_ino,
      (long long)file->st_mtim.tv_sec, (long long)file->st_mtim.tv_nsec, (long long)file->st_size);
  g_autoptr (GError) error = NULL;

  if (!g_file_set_contents_full (path, text, -1,
                                 G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600,
                                 &error))
    g_warning ("plugin %s: its deaths cannot be counted: %s", name, error->message);
}

static gboolean
was_running (const char *directory, const char *name)
{
  g_autofree char *path = path_of (directory, name, "running");
  g_autofree char *boot = read_boot ();
  g_autofree char *then = NULL;

  /* A machine that lost its power says nothing about the plugin. */
  return g_file_get_contents (path, &then, NULL, NULL) && strcmp (g_strstrip (then), boot) == 0;
}

guint
pcd_plugin_marks_count (const char *directory,
                        const char *name,
                        const struct stat *file,
                        gboolean *ret_news)
{
  guint deaths = pcd_plugin_marks_deaths (directory, name, file);
  const gboolean news = was_running (directory, name);

  if (news)
    write_deaths (directory, name, file, ++deaths);
  pcd_plugin_marks_end (directory, name);
  *ret_news = news;
  return deaths;
}

void
pcd_plugin_marks_forget (const char *directory, const char *name)
{
  g_autofree char *path = path_of (directory, name, "died");

  unlink (path);
}
