/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads a finished bundle back: its manifest, its parts, and whether they are what they were.
 * Trusts nothing in it. */
#include "snapshot/pcd-bundle.h"

#include "snapshot/pcd-snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST_MAX (16u << 20)
#define BUFFER_SIZE  (1u << 20)

/* @folder is closed in any case. */
static int
open_plain (int folder, const char *path, const char *name, GError **error)
{
  struct stat status;
  int fd = -1, number;

  if (folder < 0) {
    number = errno;
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (number), "%s: %s", path,
                 g_strerror (number));
    return -1;
  }
  if (!strchr (name, '/'))
    fd = openat (folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  number = errno;
  close (folder);
  if (fd >= 0 && fstat (fd, &status) == 0 && S_ISREG (status.st_mode))
    return fd;
  if (fd < 0)
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (number), "%s: %s: %s", path, name,
                 strchr (name, '/') ? _ ("expected the name of a file") : g_strerror (number));
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE,
                 _ ("%s: %s: expected a plain file"), path, name);
  if (fd >= 0)
    close (fd);
  return -1;
}

int
pcd_bundle_open_part (const char *path, const char *name, GError **error)
{
  return open_plain (open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), path, name, error);
}

/* Those with a dot in front are being written. */
static gboolean
is_name (const char *name)
{
  return *name && *name != '.' && !strchr (name, '/');
}

int
pcd_bundle_open_in (const char *directory, const char *bundle, const char *name, GError **error)
{
  int parent, folder;

  if (!is_name (bundle) || !is_name (name)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 _ ("expected the name of a snapshot and of a part of it, not a path"));
    return -1;
  }
  parent = open (directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  folder =
      parent >= 0 ? openat (parent, bundle, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
  if (parent >= 0)
    close (parent);
  return open_plain (folder, bundle, name, error);
}

static int
compare (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

GStrv
pcd_bundle_list (const char *directory)
{
  g_autoptr (GDir) dir = g_dir_open (directory, 0, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (directory, name, NULL);

    if (is_name (name) && g_utf8_validate (name, -1, NULL) &&
        !g_file_test (path, G_FILE_TEST_IS_SYMLINK) && g_file_test (path, G_FILE_TEST_IS_DIR))
      g_ptr_array_add (names, g_strdup (name));
  }
  g_ptr_array_sort (names, compare);
  g_ptr_array_add (names, NULL);
  return (GStrv)g_ptr_array_free (g_steal_pointer (&names), FALSE);
}

static char *
read_text (int fd)
{
  g_autoptr (GString) text = g_string_new (NULL);
  char buffer[64 * 1024];
  ssize_t n;

  while ((n = read (fd, buffer, sizeof buffer)) > 0 && text->len < MANIFEST_MAX)
    g_string_append_len (text, buffer, n);
  return n == 0 ? g_string_free (g_steal_pointer (&text), FALSE) : NULL;
}

JsonObject *
pcd_bundle_read_manifest (const char *path, GError **error)
{
  int fd = pcd_bundle_open_part (path, PCD_BUNDLE_MANIFEST, error);
  g_autofree char *text = NULL;
  g_autoptr (JsonNode) root = NULL;
  JsonObject *object;

  if (fd < 0) {
    g_prefix_error (error, _ ("this is no snapshot: "));
    return NULL;
  }
  text = read_text (fd);
  close (fd);
  root = text ? json_from_string (text, NULL) : NULL;
  object = root && JSON_NODE_HOLDS_OBJECT (root) ? json_node_get_object (root) : NULL;
  if (!object ||
      json_object_get_int_member_with_default (object, "schema", 0) != PCD_SNAPSHOT_SCHEMA) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _ ("%s/%s: expected a manifest of schema %d"), path, PCD_BUNDLE_MANIFEST,
                 PCD_SNAPSHOT_SCHEMA);
    return NULL;
  }
  return json_object_ref (object);
}

typedef struct {
  const char *path;
  PcdBundleGoOn go_on;
  gpointer data;
  guint64 total; /* bytes of all parts, as the manifest has them */
} Check;

static guint64
sum_sizes (JsonArray *parts)
{
  guint64 sum = 0;

  for (guint i = 0; i < json_array_get_length (parts); i++) {
    JsonNode *part = json_array_get_element (parts, i);
    if (JSON_NODE_HOLDS_OBJECT (part))
      sum += (guint64)MAX (
          json_object_get_int_member_with_default (json_node_get_object (part), "size", 0), 0);
  }
  return sum;
}

static gboolean
check_part (const Check *check, JsonObject *part, guint8 *buffer, guint64 *done, GError **error)
{
  const char *path = check->path;
  const char *name = json_object_get_string_member_with_default (part, "name", "");
  const char *expected = json_object_get_string_member_with_default (part, "sha256", "");
  gint64 size = json_object_get_int_member_with_default (part, "size", -1), sum = 0;
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  int fd = pcd_bundle_open_part (path, name, error);
  ssize_t n;

  if (fd < 0)
    return FALSE;
  while ((n = read (fd, buffer, BUFFER_SIZE)) > 0) {
    g_checksum_update (checksum, buffer, n);
    sum += n;
    *done += (guint64)n;
    if (check->go_on && !check->go_on (*done, check->total, check->data)) {
      close (fd);
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, _ ("%s: interrupted"), path);
      return FALSE;
    }
  }
  close (fd);
  if (n == 0 && sum == size && g_str_equal (g_checksum_get_string (checksum), expected))
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, _ ("%s: %s is damaged: its %s differs"),
               path, name, sum == size ? _ ("SHA-256") : _ ("size"));
  return FALSE;
}

gboolean
pcd_bundle_verify (
    const char *path, JsonObject *manifest, PcdBundleGoOn go_on, gpointer data, GError **error)
{
  g_autofree guint8 *buffer = g_malloc (BUFFER_SIZE);
  JsonNode *node = json_object_get_member (manifest, "parts");
  JsonArray *parts = node && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;

  guint64 done = 0;

  if (!parts) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, _ ("%s: its manifest lists no parts"),
                 path);
    return FALSE;
  }
  const Check check = { path, go_on, data, sum_sizes (parts) };
  for (guint i = 0; i < json_array_get_length (parts); i++) {
    JsonNode *part = json_array_get_element (parts, i);

    if (!JSON_NODE_HOLDS_OBJECT (part)) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, _ ("%s: part %u is no object"), path,
                   i);
      return FALSE;
    }
    if (!check_part (&check, json_node_get_object (part), buffer, &done, error))
      return FALSE;
  }
  return TRUE;
}
