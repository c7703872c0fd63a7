/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Temporary name, fsync, rename. What the manifest's members mean is others' business. */
#include "snapshot/pcd-bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define TEMPORARY ".partial-"
#define NOTE      "note"
#define MIB       (1024.0 * 1024.0)
#define NOTE_MAX  256
#define READ_SIZE (1u << 20)

struct _PcdBundlePart {
  PcdBundle *bundle;
  char *name;
  int fd;
  guint64 size;
  GChecksum *checksum;
};

struct _PcdBundle {
  char *directory;
  char *name;
  char *temporary;
  int parent_fd;
  int fd; /* of the temporary folder, locked */
  guint64 needed;
  GPtrArray *parts;
};

static gboolean
failed (GError **error, const char *path, const char *what)
{
  int number = errno;

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (number), "%s: %s: %s", path, what,
               g_strerror (number));
  return FALSE;
}

static void
part_free (PcdBundlePart *part)
{
  if (part->fd >= 0)
    close (part->fd);
  g_clear_pointer (&part->checksum, g_checksum_free);
  g_free (part->name);
  g_free (part);
}

/* Folders of bundles have no folders in them. */
static gboolean
remove_folder (int parent_fd, const char *name)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d/%s", parent_fd, name);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  int fd = openat (parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  const char *entry;

  while (fd >= 0 && dir && (entry = g_dir_read_name (dir)))
    unlinkat (fd, entry, 0);
  if (fd >= 0)
    close (fd);
  return unlinkat (parent_fd, name, AT_REMOVEDIR) == 0;
}

/* Component by component, as who may write in one of them could put a symbolic link there: opens
 * the folder that @path is in. (openat2 () would do, from Linux 5.6 on.) */
static int
open_parent (const char *path, GError **error)
{
  g_autofree char *parent = g_path_get_dirname (path);
  g_auto (GStrv) parts = g_strsplit (parent + 1, "/", -1);
  int fd = open ("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

  for (guint i = 0; fd >= 0 && parts[i] && *parts[i]; i++) {
    int next = openat (fd, parts[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int number = errno;

    close (fd);
    fd = next;
    if (fd < 0) {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (number),
                   "%s: at '%s': %s; expected folders all the way, no symbolic link", path,
                   parts[i], g_strerror (number));
      return -1;
    }
  }
  return fd;
}

/* Nobody else may move things about in it. */
static int
open_directory (const char *directory, gboolean make, GError **error)
{
  g_autofree char *base = g_path_get_basename (directory);
  struct stat status;
  int parent, fd;

  if (!g_path_is_absolute (directory)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 "%s: expected an absolute path of a folder", directory);
    return -1;
  }
  parent = open_parent (directory, error);
  if (parent < 0)
    return -1;
  if (make && mkdirat (parent, base, 0700) < 0 && errno != EEXIST) {
    failed (error, directory, "the folder cannot be made");
    close (parent);
    return -1;
  }
  fd = openat (parent, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int number = errno;
  close (parent);
  errno = number;
  if (fd < 0 || fstat (fd, &status) < 0) {
    failed (error, directory, "the folder cannot be opened");
  } else if (status.st_uid != geteuid () || status.st_mode & 022) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                 "%s: others may write there, expected a folder of this user's own, mode 0700",
                 directory);
  } else {
    return fd;
  }
  if (fd >= 0)
    close (fd);
  return -1;
}

static gboolean
check_space (PcdBundle *self, guint64 needed, GError **error)
{
  struct statvfs status;

  if (fstatvfs (self->parent_fd, &status) < 0)
    return failed (error, self->directory, "statvfs");
  guint64 there = (guint64)status.f_bavail * status.f_frsize;
  if (there >= needed)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
               "%s: it may take %.1f MiB, and %.1f MiB are free; make room, or choose another "
               "folder",
               self->directory, (double)needed / MIB, (double)there / MIB);
  return FALSE;
}

gboolean
pcd_bundle_check_space (PcdBundle *self, guint64 more, GError **error)
{
  return check_space (self, self->needed + more, error);
}

PcdBundle *
pcd_bundle_new (const char *directory, const char *name, guint64 needed, GError **error)
{
  g_autoptr (PcdBundle) self = g_new0 (PcdBundle, 1);

  self->fd = -1;
  self->needed = needed;
  self->directory = g_strdup (directory);
  self->name = g_strcanon (g_strdup (name), G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-", '_');
  self->parts = g_ptr_array_new_with_free_func ((GDestroyNotify)part_free);
  self->parent_fd = open_directory (directory, TRUE, error);
  if (self->parent_fd < 0 || !check_space (self, needed, error))
    return NULL;
  pcd_bundle_sweep (directory, NULL, NULL);
  self->temporary = g_strconcat (TEMPORARY, self->name, NULL);
  if (mkdirat (self->parent_fd, self->temporary, 0700) < 0) {
    g_clear_pointer (&self->temporary, g_free); /* not ours to remove */
    failed (error, directory, "a new folder cannot be made");
    return NULL;
  }
  self->fd =
      openat (self->parent_fd, self->temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (self->fd < 0 || flock (self->fd, LOCK_EX | LOCK_NB) < 0) {
    failed (error, directory, "a new folder cannot be locked");
    return NULL;
  }
  return g_steal_pointer (&self);
}

void
pcd_bundle_free (PcdBundle *self)
{
  if (!self)
    return;
  g_ptr_array_unref (self->parts);
  if (self->temporary)
    remove_folder (self->parent_fd, self->temporary);
  if (self->fd >= 0)
    close (self->fd);
  if (self->parent_fd >= 0)
    close (self->parent_fd);
  g_free (self->temporary);
  g_free (self->directory);
  g_free (self->name);
  g_free (self);
}

PcdBundlePart *
pcd_bundle_begin_part (PcdBundle *self, const char *name, GError **error)
{
  PcdBundlePart *part;
  int fd = openat (self->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0) {
    failed (error, self->directory, name);
    return NULL;
  }
  part = g_new0 (PcdBundlePart, 1);
  part->bundle = self;
  part->name = g_strdup (name);
  part->fd = fd;
  part->checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_ptr_array_add (self->parts, part);
  return part;
}

gboolean
pcd_bundle_part_write (PcdBundlePart *part, gconstpointer data, gsize size, GError **error)
{
  const guint8 *at = data;

  g_checksum_update (part->checksum, data, (gssize)size);
  part->size += size;
  while (size > 0) {
    ssize_t written = write (part->fd, at, size);

    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return failed (error, part->bundle->directory, part->name);
    at += written;
    size -= (gsize)written;
  }
  return TRUE;
}

gboolean
pcd_bundle_part_end (PcdBundlePart *part, GError **error)
{
  gboolean good = fsync (part->fd) == 0;

  if (!good)
    failed (error, part->bundle->directory, part->name);
  if (close (part->fd) < 0 && good)
    good = failed (error, part->bundle->directory, part->name);
  part->fd = -1;
  return good;
}

int
pcd_bundle_part_get_fd (const PcdBundlePart *part)
{
  return part->fd;
}

static gboolean
read_all (PcdBundlePart *part, guint64 total, PcdBundleGoOn go_on, gpointer data, GError **error)
{
  g_autofree guint8 *buffer = g_malloc (READ_SIZE);
  ssize_t n;

  while ((n = pread (part->fd, buffer, READ_SIZE, (off_t)part->size)) > 0) {
    g_checksum_update (part->checksum, buffer, n);
    part->size += (guint64)n;
    if (go_on && !go_on (part->size, total, data)) {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was called off");
      return FALSE;
    }
  }
  return n == 0 || failed (error, part->bundle->directory, part->name);
}

gboolean
pcd_bundle_part_end_read (PcdBundlePart *part, PcdBundleGoOn go_on, gpointer data, GError **error)
{
  struct stat status;

  if (fstat (part->fd, &status) < 0)
    return failed (error, part->bundle->directory, part->name);
  g_checksum_reset (part->checksum);
  part->size = 0;
  return read_all (part, (guint64)status.st_size, go_on, data, error) &&
         pcd_bundle_part_end (part, error);
}

void
pcd_bundle_drop_part (PcdBundlePart *part)
{
  PcdBundle *self = part->bundle;

  unlinkat (self->fd, part->name, 0);
  g_ptr_array_remove (self->parts, part);
}

guint64
pcd_bundle_part_get_size (const PcdBundlePart *part)
{
  return part->size;
}

gboolean
pcd_bundle_add_text (PcdBundle *self, const char *name, const char *text, GError **error)
{
  PcdBundlePart *part = pcd_bundle_begin_part (self, name, error);

  return part && pcd_bundle_part_write (part, text, strlen (text), error) &&
         pcd_bundle_part_end (part, error);
}

static gboolean
set_note (PcdBundle *self, const char *name, const char *text, GError **error)
{
  ssize_t length = text ? (ssize_t)strlen (text) : 0;
  gboolean good;
  int fd;

  unlinkat (self->fd, name, 0);
  if (!text)
    return TRUE;
  fd = openat (self->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  good = fd >= 0 && write (fd, text, (gsize)length) == length && fsync (fd) == 0 &&
         fsync (self->fd) == 0;
  if (!good)
    failed (error, self->directory, name);
  if (fd >= 0)
    close (fd);
  return good;
}

gboolean
pcd_bundle_set_note (PcdBundle *self, const char *text, GError **error)
{
  return set_note (self, NOTE, text, error);
}

gboolean
pcd_bundle_set_note_of (PcdBundle *self, const char *what, const char *text, GError **error)
{
  g_autofree char *name = g_strconcat (NOTE "-", what, NULL);

  return set_note (self, name, text, error);
}

static JsonArray *
list_parts (PcdBundle *self)
{
  JsonArray *list = json_array_new ();

  for (guint i = 0; i < self->parts->len; i++) {
    PcdBundlePart *part = g_ptr_array_index (self->parts, i);
    JsonObject *object = json_object_new ();

    g_assert (part->fd < 0);
    json_object_set_string_member (object, "name", part->name);
    json_object_set_int_member (object, "size", (gint64)part->size);
    json_object_set_string_member (object, "sha256", g_checksum_get_string (part->checksum));
    json_array_add_object_element (list, object);
  }
  return list;
}

/* (transfer full) (nullable) */
static char *
read_note (int folder_fd, const char *name)
{
  char text[NOTE_MAX + 1];
  int fd = openat (folder_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read (fd, text, NOTE_MAX) : -1;

  if (fd >= 0)
    close (fd);
  return n > 0 ? g_strndup (text, (gsize)n) : NULL;
}

typedef void (*EachNote) (int folder_fd, const char *name, gpointer data);

static guint
each_note (int folder_fd, EachNote each, gpointer data)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", folder_fd);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;
  guint n = 0;

  while (dir && (name = g_dir_read_name (dir)))
    if (g_str_equal (name, NOTE) || g_str_has_prefix (name, NOTE "-")) {
      each (folder_fd, name, data);
      n++;
    }
  return n;
}

static void
remove_note (int folder_fd, const char *name, gpointer data)
{
  unlinkat (folder_fd, name, 0);
}

gboolean
pcd_bundle_commit (PcdBundle *self, JsonObject *manifest, char **ret_path, GError **error)
{
  g_autoptr (JsonNode) root = json_node_alloc ();
  g_autofree char *text = NULL;

  each_note (self->fd, remove_note, NULL);
  json_object_set_array_member (manifest, "parts", list_parts (self));
  json_node_init_object (root, manifest);
  text = json_to_string (root, TRUE);
  if (!pcd_bundle_add_text (self, PCD_BUNDLE_MANIFEST, text, error))
    return FALSE;
  if (fsync (self->fd) < 0)
    return failed (error, self->directory, "fsync");
  if (renameat2 (self->parent_fd, self->temporary, self->parent_fd, self->name, RENAME_NOREPLACE) <
      0)
    return failed (error, self->directory, self->name);
  g_clear_pointer (&self->temporary, g_free);
  *ret_path = g_build_filename (self->directory, self->name, NULL);
  /* It is complete, whatever happens to the name now. */
  if (fsync (self->parent_fd) < 0)
    g_debug ("%s: fsync: %s", self->directory, g_strerror (errno));
  return TRUE;
}

typedef struct {
  PcdBundleFound found;
  gpointer data;
} Finder;

static void
tell_note (int folder_fd, const char *name, gpointer data)
{
  const Finder *finder = data;
  g_autofree char *note = read_note (folder_fd, name);

  finder->found (note, finder->data);
}

/* Locked by its writer as long as that lives. */
static gboolean
sweep_one (int parent_fd, const char *name, PcdBundleFound found, gpointer data)
{
  int fd = openat (parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  gboolean is_abandoned = fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) == 0;
  Finder finder = { found, data };
  gboolean removed = FALSE;

  if (is_abandoned && found && each_note (fd, tell_note, &finder) == 0)
    found (NULL, data);
  if (is_abandoned)
    removed = remove_folder (parent_fd, name);
  if (fd >= 0)
    close (fd);
  return removed;
}

guint
pcd_bundle_sweep (const char *directory, PcdBundleFound found, gpointer data)
{
  int fd = open_directory (directory, FALSE, NULL);
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  g_autoptr (GDir) dir = fd >= 0 ? g_dir_open (path, 0, NULL) : NULL;
  const char *name;
  guint n = 0;

  while (dir && (name = g_dir_read_name (dir)))
    if (g_str_has_prefix (name, TEMPORARY))
      n += sweep_one (fd, name, found, data);
  if (fd >= 0)
    close (fd);
  return n;
}
