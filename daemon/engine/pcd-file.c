/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads a small file that somebody named: whatever it is, this returns soon. */
#include "engine/pcd-file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n.h>
#include <sys/stat.h>
#include <unistd.h>

static gboolean
refuse_file (const char *path, int error_number, const char *expected, GError **error)
{
  g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (error_number),
               _ ("%s: %s, expected %s"), path, g_strerror (error_number), expected);
  return FALSE;
}

/* Never blocks on a FIFO and never reads a device without end. */
gboolean
pcd_file_read (
    const char *path, gsize max_bytes, const char *expected, GString *text, GError **error)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  struct stat st;
  char buffer[4096];
  gssize n = 0;

  if (fd < 0 || fstat (fd, &st) < 0) {
    int saved = errno;
    if (fd >= 0)
      close (fd);
    return refuse_file (path, saved, expected, error);
  }
  if (!S_ISREG (st.st_mode) && !S_ISCHR (st.st_mode)) {
    close (fd);
    g_set_error (error, G_FILE_ERROR,
                 S_ISDIR (st.st_mode) ? G_FILE_ERROR_ISDIR : G_FILE_ERROR_INVAL,
                 S_ISDIR (st.st_mode) ? _ ("%s: is a directory, expected a file")
                                      : _ ("%s: is a FIFO or device, expected a file"),
                 path);
    return FALSE;
  }
  while (text->len <= max_bytes && (n = read (fd, buffer, sizeof buffer)) > 0)
    g_string_append_len (text, buffer, n);
  int saved = errno;
  close (fd);
  if (n < 0)
    return refuse_file (path, saved, expected, error);
  if (text->len > max_bytes) {
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_INVAL, _ ("%s: more than %zu KiB, expected %s"),
                 path, max_bytes / 1024, expected);
    return FALSE;
  }
  return TRUE;
}
