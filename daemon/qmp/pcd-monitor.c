/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds the control monitor's pty in a QEMU process by what /proc shows of it.
 * Must not know the QMP protocol or libvirt's API. */
#include "qmp/pcd-monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PTS_DIR "/dev/pts/"

/* Any quoted mention counts: libvirt writes path='/dev/pts/3' and tty='/dev/pts/3'. A mention in
 * a tenant's metadata can only hide the monitor, never make us open another pty. */
static gboolean
is_mentioned (const char *xml, guint index)
{
  for (const char *p = xml; (p = strstr (p, PTS_DIR)); p++) {
    char *end = NULL;
    guint64 number;

    if (!g_ascii_isdigit (p[strlen (PTS_DIR)]))
      continue;
    number = g_ascii_strtoull (p + strlen (PTS_DIR), &end, 10);
    if (number == index && (*end == '\'' || *end == '"' || *end == '<'))
      return TRUE;
  }
  return FALSE;
}

int
pcd_monitor_pick (const guint *indices, gsize n, const char *domain_xml, GError **error)
{
  int found = -1;

  for (gsize i = 0; i < n; i++) {
    if (domain_xml && is_mentioned (domain_xml, indices[i]))
      continue;
    if (found >= 0) {
      g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                   "cannot tell the control monitor: both %s%d and %s%u may be it", PTS_DIR, found,
                   PTS_DIR, indices[i]);
      return -1;
    }
    found = indices[i];
  }
  if (found < 0)
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "QEMU has no pty of its own");
  return found;
}

/* `-chardev` directly followed by our value: a mention elsewhere (a guest's name) does not count.
 */
static gboolean
was_asked_for_a_monitor (pid_t pid, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/cmdline", (int)pid);
  g_autofree char *text = NULL;
  gboolean after_chardev = FALSE;
  gsize length = 0;

  if (!g_file_get_contents (path, &text, &length, error))
    return FALSE;
  for (const char *arg = text; arg < text + length; arg += strlen (arg) + 1) {
    if (after_chardev && g_str_equal (arg, PCD_MONITOR_CHARDEV))
      return TRUE;
    after_chardev = g_str_equal (arg, "-chardev");
  }
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "process %d has no control monitor",
               (int)pid);
  return FALSE;
}

/* fdinfo of a pty's master has `tty-index:` (Linux >= 4.14); nothing else has it. */
static gboolean
read_tty_index (pid_t pid, const char *fd, guint *ret_index)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fdinfo/%s", (int)pid, fd);
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return FALSE;
  line = strstr (text, "tty-index:");
  if (!line)
    return FALSE;
  *ret_index = g_ascii_strtoull (line + strlen ("tty-index:") + 1, NULL, 10);
  return TRUE;
}

static gboolean
has (GArray *indices, guint index)
{
  for (guint i = 0; i < indices->len; i++)
    if (g_array_index (indices, guint, i) == index)
      return TRUE;
  return FALSE;
}

char *
pcd_monitor_find (pid_t pid, const char *domain_xml, GError **error)
{
  g_autofree char *fds = g_strdup_printf ("/proc/%d/fd", (int)pid);
  g_autoptr (GArray) indices = g_array_new (FALSE, FALSE, sizeof (guint));
  g_autoptr (GDir) dir = NULL;
  const char *fd;
  int index;

  if (!was_asked_for_a_monitor (pid, error))
    return NULL;
  dir = g_dir_open (fds, 0, error);
  if (!dir)
    return NULL;
  while ((fd = g_dir_read_name (dir))) {
    g_autofree char *link = g_build_filename (fds, fd, NULL);
    g_autofree char *target = g_file_read_link (link, NULL);
    guint tty;

    if (target && g_str_has_suffix (target, "ptmx") && read_tty_index (pid, fd, &tty) &&
        !has (indices, tty))
      g_array_append_val (indices, tty);
  }
  index = pcd_monitor_pick ((const guint *)(void *)indices->data, indices->len, domain_xml, error);
  return index < 0 ? NULL : g_strdup_printf ("/proc/%d/root" PTS_DIR "%d", (int)pid, index);
}

static gboolean
is_private (const struct stat *st)
{
  return st->st_uid == 0 && (st->st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

gboolean
pcd_monitor_make_private (const char *path, GError **error)
{
  /* O_PATH: opening a pty's slave side would look like a client to QEMU. */
  int fd = open (path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  g_autofree char *self = g_strdup_printf ("/proc/self/fd/%d", fd);
  struct stat st;
  gboolean ok = fd >= 0 && fstat (fd, &st) == 0;

  if (ok && !S_ISCHR (st.st_mode)) {
    errno = ENOTTY;
    ok = FALSE;
  }
  if (ok && !is_private (&st))
    ok = chown (self, 0, 0) == 0 && chmod (self, 0600) == 0;
  if (!ok) {
    int saved = errno;
    g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (saved),
                 "%s cannot be made root's alone: %s", path, g_strerror (saved));
  }
  if (fd >= 0)
    close (fd);
  return ok;
}
