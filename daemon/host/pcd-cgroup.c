/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of the cgroup v2 file system, each read and written whole.
 * Must not know what threads do, nor decide to freeze any. */
#include "host/pcd-cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* kernfs keeps trusted.* attributes in every cgroup folder; they need CAP_SYS_ADMIN. */
#define MARK "trusted.postcopyd.frozen"

char *
pcd_cgroup_parse_mount (const char *mountinfo)
{
  g_auto (GStrv) lines = g_strsplit (mountinfo, "\n", -1);

  for (guint i = 0; lines[i]; i++) {
    g_auto (GStrv) words = g_strsplit (lines[i], " ", -1);
    guint n = g_strv_length (words), dash = 6;

    while (dash < n && !g_str_equal (words[dash], "-"))
      dash++;
    /* Octal escapes in the path: g_strcompress () undoes just those. */
    if (dash + 1 < n && g_str_equal (words[dash + 1], "cgroup2") && g_str_equal (words[3], "/"))
      return g_strcompress (words[4]);
  }
  return NULL;
}

char *
pcd_cgroup_parse_path (const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (guint i = 0; lines[i]; i++)
    if (g_str_has_prefix (lines[i], "0::/") && !g_str_has_prefix (lines[i], "0::/..") &&
        !g_str_has_suffix (lines[i], " (deleted)"))
      return g_strdup (lines[i] + strlen ("0::"));
  return NULL;
}

char *
pcd_cgroup_find_mount (GError **error)
{
  g_autofree char *text = NULL;
  char *mount;

  if (!g_file_get_contents ("/proc/self/mountinfo", &text, NULL, error))
    return NULL;
  mount = pcd_cgroup_parse_mount (text);
  if (!mount)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                 _ ("no cgroup v2 is mounted on this host"));
  return mount;
}

static gboolean
fail_errno (GError **error, const char *what, const char *path)
{
  int saved = errno;

  g_set_error (error, G_IO_ERROR, (gint)g_io_error_from_errno (saved), _ ("cannot %s %s: %s"), what,
               path, g_strerror (saved));
  return FALSE;
}

char *
pcd_cgroup_of_thread (const char *mount, pid_t pid, pid_t tid, GError **error)
{
  g_autofree char *file = g_strdup_printf ("/proc/%d/task/%d/cgroup", (int)pid, (int)tid);
  g_autofree char *text = NULL;
  g_autofree char *path = NULL;
  g_autofree char *folder = NULL;

  if (!g_file_get_contents (file, &text, NULL, error))
    return NULL;
  path = pcd_cgroup_parse_path (text);
  folder = path ? g_build_filename (mount, path, NULL) : NULL;
  if (!folder || !g_file_test (folder, G_FILE_TEST_IS_DIR)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 _ ("thread %d is in no cgroup v2 that is visible here"), (int)tid);
    return NULL;
  }
  if (g_str_has_suffix (folder, "/"))
    folder[strlen (folder) - 1] = '\0';
  return g_steal_pointer (&folder);
}

static char *
read_file (const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  char *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? g_strstrip (text) : NULL;
}

/* g_file_set_contents () would make a new file. */
static gboolean
write_file (const char *folder, const char *name, const char *text, GError **error)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  gssize n = fd < 0 ? -1 : write (fd, text, strlen (text));
  int saved = errno;

  if (fd >= 0)
    close (fd);
  errno = saved;
  return n >= 0 || fail_errno (error, "write", path);
}

static gboolean
has_line (const char *folder, const char *name, const char *line)
{
  g_autofree char *text = read_file (folder, name);
  g_auto (GStrv) lines = g_strsplit (text ? text : "", "\n", -1);

  return g_strv_contains ((const char *const *)lines, line);
}

gboolean
pcd_cgroup_is_of_one (const char *folder, pid_t tid)
{
  g_autofree char *threads = read_file (folder, "cgroup.threads");
  g_autofree char *wanted = g_strdup_printf ("%d", (int)tid);

  return has_line (folder, "cgroup.type", "threaded") && g_strcmp0 (threads, wanted) == 0;
}

gboolean
pcd_cgroup_is_ours (const char *folder)
{
  g_autofree char *name = g_path_get_basename (folder);

  return g_str_has_prefix (name, PCD_CGROUP_PREFIX);
}

/* The kernel removes no cgroup that has a thread in it: EBUSY. */
static void
remove_empty (const char *parent)
{
  g_autoptr (GDir) dir = g_dir_open (parent, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *folder = g_build_filename (parent, name, NULL);
    if (pcd_cgroup_is_ours (folder))
      rmdir (folder);
  }
}

static gboolean
move_thread (const char *folder, pid_t tid, GError **error)
{
  g_autofree char *text = g_strdup_printf ("%d", (int)tid);

  return write_file (folder, "cgroup.threads", text, error);
}

char *
pcd_cgroup_make_own (const char *parent, pid_t pid, pid_t tid, GError **error)
{
  g_autofree char *name = g_strdup_printf (PCD_CGROUP_PREFIX "%d-%d", (int)pid, (int)tid);
  g_autofree char *folder = g_build_filename (parent, name, NULL);

  remove_empty (parent);
  if (mkdir (folder, 0755) < 0) {
    fail_errno (error, "make", folder);
    return NULL;
  }
  if (write_file (folder, "cgroup.type", "threaded", error) && move_thread (folder, tid, error))
    return g_steal_pointer (&folder);
  rmdir (folder);
  return NULL;
}

gboolean
pcd_cgroup_drop_own (const char *folder, pid_t tid, GError **error)
{
  g_autofree char *parent = g_path_get_dirname (folder);

  if (!move_thread (parent, tid, error))
    return FALSE;
  return rmdir (folder) == 0 || fail_errno (error, "remove", folder);
}

gboolean
pcd_cgroup_freeze (const char *folder, gboolean freeze, GError **error)
{
  return write_file (folder, "cgroup.freeze", freeze ? "1" : "0", error);
}

gboolean
pcd_cgroup_is_freezing (const char *folder)
{
  return has_line (folder, "cgroup.freeze", "1");
}

gboolean
pcd_cgroup_is_frozen (const char *folder)
{
  return has_line (folder, "cgroup.events", "frozen 1");
}

gboolean
pcd_cgroup_mark (const char *folder, gboolean on, GError **error)
{
  if (on)
    return setxattr (folder, MARK, "1", 1, 0) == 0 || fail_errno (error, "mark", folder);
  return removexattr (folder, MARK) == 0 || errno == ENODATA ||
         fail_errno (error, "unmark", folder);
}

gboolean
pcd_cgroup_is_marked (const char *folder)
{
  char value;

  return getxattr (folder, MARK, &value, 1) == 1;
}
