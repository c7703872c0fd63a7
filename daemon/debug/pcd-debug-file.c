/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names that sort by time, and openat () all the way down from the state directory. Files and
 * sockets, and how many of them stay.
 * Must not know what is written there. */
#include "debug/pcd-debug-file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FOLDER "debug"
#define SOCKET ".sock"

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

typedef struct {
  char *name;
  gint64 time;
  guint64 bytes;
} Kept;

static void
kept_clear (gpointer data)
{
  g_free (((Kept *)data)->name);
}

static int
by_age (gconstpointer a, gconstpointer b)
{
  const Kept *one = a, *other = b;

  return (one->time < other->time) - (one->time > other->time);
}

/* (element-type Kept): files, the newest first. Stays in the folder: no link is followed. */
static GArray *
list_files (int folder)
{
  GArray *files = g_array_new (FALSE, TRUE, sizeof (Kept));
  int again = openat (folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = again >= 0 ? fdopendir (again) : NULL;
  struct dirent *entry;

  g_array_set_clear_func (files, kept_clear);
  while (dir && (entry = readdir (dir))) {
    struct stat st;

    if (entry->d_name[0] == '.' || fstatat (folder, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG (st.st_mode))
      continue;
    const Kept kept = { .name = g_strdup (entry->d_name),
                        .time =
                            st.st_mtim.tv_sec * (gint64)G_USEC_PER_SEC + st.st_mtim.tv_nsec / 1000,
                        .bytes = (guint64)st.st_blocks * 512 };
    g_array_append_val (files, kept);
  }
  if (dir)
    closedir (dir);
  else if (again >= 0)
    close (again);
  g_array_sort (files, by_age);
  return files;
}

/* Leaves room for one more. */
static void
prune (int folder, guint keep_files, guint64 keep_bytes)
{
  g_autoptr (GArray) files = list_files (folder);
  guint64 bytes = 0;

  for (guint i = 0; i < files->len; i++) {
    const Kept *kept = &g_array_index (files, Kept, i);

    bytes += kept->bytes;
    if (i + 1 >= keep_files || bytes > keep_bytes)
      unlinkat (folder, kept->name, 0);
  }
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
  prune (folder, PCD_DEBUG_KEEP_FILES, PCD_DEBUG_KEEP_BYTES);
  int fd = openat (folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    fail ("make", state_dir, name, error);
  else
    *ret_path = g_build_filename (state_dir, FOLDER, name, NULL);
  close (folder);
  return fd;
}

/* The last file, or with @sockets the last socket. %NULL if there is none. */
static char *
find_last (int folder, gint64 incident, gboolean sockets)
{
  g_autofree char *prefix = g_strdup_printf ("%" G_GINT64_FORMAT "-", incident);
  g_autofree char *last = NULL;
  int again = openat (folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = again >= 0 ? fdopendir (again) : NULL;
  struct dirent *entry;

  while (dir && (entry = readdir (dir)))
    if (g_str_has_prefix (entry->d_name, prefix) &&
        g_str_has_suffix (entry->d_name, SOCKET) == sockets &&
        g_strcmp0 (entry->d_name, last) > 0) {
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
  g_autofree char *name = folder >= 0 ? find_last (folder, incident, FALSE) : NULL;
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

/* By the folder's descriptor: the path may be longer than an address, and is not walked again. The
 * socket's mode becomes the file's: never open to others, whatever the umask. */
static int
bind_in (int folder, const char *name)
{
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int n = snprintf (address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", folder, name);

  if (fd >= 0 && n < (int)sizeof address.sun_path && fchmod (fd, 0600) == 0 &&
      bind (fd, (const struct sockaddr *)&address, sizeof address) == 0 && listen (fd, 1) == 0)
    return fd;
  if (fd >= 0) {
    int saved_errno = n < (int)sizeof address.sun_path ? errno : ENAMETOOLONG;
    close (fd);
    errno = saved_errno;
  }
  return -1;
}

int
pcd_debug_socket_listen (
    const char *state_dir, gint64 incident, const char *mode, char **ret_path, GError **error)
{
  g_autofree char *name = g_strdup_printf ("%" G_GINT64_FORMAT "-%s" SOCKET, incident, mode);
  int folder = open_folder (state_dir, TRUE, error);
  g_autofree char *open_already = folder >= 0 ? find_last (folder, incident, TRUE) : NULL;
  int fd = -1;

  if (folder < 0)
    return -1;
  if (open_already)
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_EXIST,
                 "there is one for a debugger already: %s/" FOLDER "/%s", state_dir, open_already);
  else if ((fd = bind_in (folder, name)) < 0)
    fail ("listen at", state_dir, name, error);
  else
    *ret_path = g_build_filename (state_dir, FOLDER, name, NULL);
  close (folder);
  return fd;
}

gboolean
pcd_debug_socket_is_open (const char *state_dir, gint64 incident)
{
  int folder = open_folder (state_dir, FALSE, NULL);
  g_autofree char *name = folder >= 0 ? find_last (folder, incident, TRUE) : NULL;

  if (folder >= 0)
    close (folder);
  return name != NULL;
}

static char *
name_of_mark (gint64 incident)
{
  return g_strdup_printf (".%" G_GINT64_FORMAT "-stopped", incident);
}

gboolean
pcd_debug_file_mark (const char *state_dir, gint64 incident, gboolean on, GError **error)
{
  g_autofree char *name = name_of_mark (incident);
  int folder = open_folder (state_dir, TRUE, error);
  int fd = -1;

  if (folder < 0)
    return FALSE;
  if (on)
    fd = openat (folder, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  gboolean ok = on ? fd >= 0 : unlinkat (folder, name, 0) == 0 || errno == ENOENT;
  ok = ok && fsync (folder) == 0;
  if (!ok)
    fail ("mark", state_dir, name, error);
  if (fd >= 0)
    close (fd);
  close (folder);
  return ok;
}

gboolean
pcd_debug_file_is_marked (const char *state_dir, gint64 incident)
{
  g_autofree char *name = name_of_mark (incident);
  int folder = state_dir ? open_folder (state_dir, FALSE, NULL) : -1;
  gboolean marked = folder >= 0 && faccessat (folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;

  if (folder >= 0)
    close (folder);
  return marked;
}

void
pcd_debug_tidy (const char *state_dir)
{
  int folder = open_folder (state_dir, FALSE, NULL);
  int again = folder >= 0 ? openat (folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  DIR *dir = again >= 0 ? fdopendir (again) : NULL;
  struct dirent *entry;

  while (dir && (entry = readdir (dir)))
    if (g_str_has_suffix (entry->d_name, SOCKET))
      unlinkat (folder, entry->d_name, 0);
  if (dir)
    closedir (dir);
  if (folder < 0)
    return;
  prune (folder, PCD_DEBUG_KEEP_FILES + 1, PCD_DEBUG_KEEP_BYTES);
  close (folder);
}
