/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bundle of one side: its name, its manifest, and what is left of one that was never finished.
 * Must not know how its contents are come by. */
#include "snapshot/pcd-snapshot.h"

#include "core/pcd-record.h"
#include "host/pcd-freezer.h"
#include "snapshot/pcd-disk-clean.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Beside the memory: texts, indices, the file system's own. */
#define SLACK (16u << 20)

/* In the daemon's folder: other folders in which snapshots were begun since it was started. */
#define ELSEWHERE "snapshots.elsewhere"

/* Field 22 of /proc/PID/stat, in clock ticks after boot; the second field may hold blanks. */
static guint64
start_ticks (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", (int)pid);
  g_autofree char *text = NULL;
  const char *at;

  if (!g_file_get_contents (path, &text, NULL, NULL) || !(at = strrchr (text, ')')))
    return 0;
  for (guint i = 0; at && i < 20; i++)
    at = strchr (at + 1, ' ');
  return at ? g_ascii_strtoull (at + 1, NULL, 10) : 0;
}

gint64
pcd_snapshot_process_began (pid_t pid)
{
  guint64 ticks = start_ticks (pid);
  struct timespec now = { 0 };

  if (ticks == 0 || clock_gettime (CLOCK_BOOTTIME, &now) < 0)
    return 0;
  return g_get_real_time () - (now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000) +
         (gint64)(ticks * G_USEC_PER_SEC / (guint64)sysconf (_SC_CLK_TCK));
}

/* What is resident or swapped, in bytes: an upper bound, as the guest's RAM is only part of it. */
static guint64
memory_of (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/status", (int)pid);
  g_autofree char *text = NULL;
  guint64 kib = 0;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return 0;
  static const char *const keys[] = { "\nVmRSS:", "\nVmSwap:" };
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++) {
    const char *at = strstr (text, keys[i]);
    kib += at ? g_ascii_strtoull (at + strlen (keys[i]), NULL, 10) : 0;
  }
  return kib * 1024;
}

char *
pcd_snapshot_home (const char *state_dir)
{
  g_autofree char *real = realpath (state_dir, NULL);

  return g_build_filename (real ? real : state_dir, PCD_BUNDLE_FOLDER, NULL);
}

/* A path per line. */
static char *
read_elsewhere (const char *state_dir, char **ret_file)
{
  char *text = NULL;

  *ret_file = g_build_filename (state_dir, ELSEWHERE, NULL);
  g_file_get_contents (*ret_file, &text, NULL, NULL);
  return text ? text : g_strdup ("");
}

/* Before anything is written there. Appended, as two may do so at a time. */
static gboolean
remember (const char *state_dir, const char *directory, GError **error)
{
  g_autofree char *home = pcd_snapshot_home (state_dir), *file = NULL;
  g_autofree char *text = read_elsewhere (state_dir, &file);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  g_autofree char *line = g_strconcat (directory, "\n", NULL);
  ssize_t length = (ssize_t)strlen (line);
  int fd;

  if (g_str_equal (directory, home) || g_strv_contains ((const char *const *)lines, directory))
    return TRUE;
  fd = open (file, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  gboolean good = fd >= 0 && write (fd, line, (gsize)length) == length && fsync (fd) == 0;
  int number = errno;
  if (fd >= 0)
    close (fd);
  if (!good)
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (number), "%s: %s", file,
                 g_strerror (number));
  return good;
}

guint
pcd_snapshot_sweep_all (const char *state_dir)
{
  g_autofree char *home = pcd_snapshot_home (state_dir), *file = NULL;
  g_autofree char *text = read_elsewhere (state_dir, &file);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  guint n = pcd_snapshot_sweep (home);

  for (guint i = 0; lines[i]; i++)
    if (*lines[i])
      n += pcd_snapshot_sweep (lines[i]);
  unlink (file);
  return n;
}

PcdBundle *
pcd_snapshot_begin (
    const char *state_dir, const char *directory, const char *name, pid_t pid, GError **error)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *time = g_date_time_format (now, "%Y%m%dT%H%M%SZ");
  /* 255 bytes are a file name's limit, and libvirt's names have none. */
  g_autofree char *folder = g_strdup_printf ("%.150s-%s", name, time);

  pcd_snapshot_sweep (directory);
  if (state_dir && !remember (state_dir, directory, error))
    return NULL;
  return pcd_bundle_new (directory, folder, memory_of (pid) + SLACK, error);
}

gboolean
pcd_snapshot_note_frozen (PcdBundle *bundle, pid_t pid, GError **error)
{
  g_autofree char *text =
      g_strdup_printf ("frozen %d %" G_GUINT64_FORMAT, (int)pid, start_ticks (pid));

  return pcd_bundle_set_note (bundle, text, error);
}

gboolean
pcd_snapshot_note_disks (
    PcdBundle *bundle, pid_t pid, guint16 port, const char *name, GError **error)
{
  g_autofree char *text = g_strdup_printf ("disks %d %" G_GUINT64_FORMAT " %u %.150s", (int)pid,
                                           start_ticks (pid), port, name);

  return pcd_bundle_set_note_of (bundle, "disks", text, error);
}

static gboolean
is_same (int pid, guint64 ticks)
{
  return pid > 0 && ticks != 0 && start_ticks (pid) == ticks;
}

static void
on_found (const char *note, gpointer data)
{
  guint64 ticks;
  guint n_thawed = 0, port;
  int pid, name_at = 0;

  if (note && sscanf (note, "frozen %d %" G_GUINT64_FORMAT, &pid, &ticks) == 2 &&
      is_same (pid, ticks)) {
    pcd_freezer_thaw (pid, &n_thawed, NULL);
    g_message ("a snapshot of QEMU %d was cut short: %u vCPUs that it had frozen are thawed", pid,
               n_thawed);
  } else if (note &&
             sscanf (note, "disks %d %" G_GUINT64_FORMAT " %u %n", &pid, &ticks, &port, &name_at) ==
                 3 &&
             name_at > 0 && port <= G_MAXUINT16 && is_same (pid, ticks)) {
    g_message ("a snapshot of QEMU %d was cut short: its copies of disks are ended", pid);
    pcd_disk_clean_after_death (pid, (guint16)port, note + name_at);
  }
}

guint
pcd_snapshot_sweep (const char *directory)
{
  return pcd_bundle_sweep (directory, on_found, NULL);
}

static void
add_text (JsonObject *object, const char *name, const char *text)
{
  g_autofree char *valid = text ? g_utf8_make_valid (text, -1) : NULL;

  if (valid)
    json_object_set_string_member (object, name, valid);
  else
    json_object_set_null_member (object, name);
}

static void
add_time (JsonObject *object, const char *name, gint64 usec)
{
  g_autofree char *text = usec ? pcd_time_to_rfc3339 (usec) : NULL;

  add_text (object, name, text);
}

static JsonObject *
describe_memory (const PcdSnapshot *snapshot)
{
  JsonObject *memory = json_object_new ();

  add_text (memory, "note", snapshot->layout_note);
  json_object_set_int_member (memory, "page-size", PCD_GUEST_PAGE);
  json_object_set_int_member (memory, "present", (gint64)snapshot->count.present);
  json_object_set_int_member (memory, "missing", (gint64)snapshot->count.missing);
  json_object_set_int_member (memory, "zero", (gint64)snapshot->count.zero);
  json_object_set_int_member (memory, "took-usec", snapshot->took_usec);
  pcd_ram_layout_to_json (snapshot->layout, memory);
  return memory;
}

static JsonObject *
describe (const PcdSnapshot *snapshot, JsonArray *absent)
{
  g_autoptr (JsonObject) manifest = json_object_new ();
  JsonObject *domain = json_object_new (), *migration = json_object_new (),
             *guest = json_object_new ();

  json_object_set_int_member (manifest, "schema", PCD_SNAPSHOT_SCHEMA);
  add_text (manifest, "postcopyd", PCD_VERSION);
  add_text (manifest, "host", g_get_host_name ());
  add_time (manifest, "taken", g_get_real_time ());
  add_text (domain, "name", snapshot->name);
  add_text (domain, "uuid", snapshot->uuid);
  json_object_set_object_member (manifest, "domain", domain);
  add_text (manifest, "role", snapshot->role);
  add_text (migration, "phase", snapshot->phase);
  add_text (migration, "cause", snapshot->cause);
  add_text (migration, "connection", snapshot->connection);
  add_time (migration, "began", snapshot->began_usec);
  json_object_set_object_member (manifest, "migration", migration);
  if (snapshot->incident)
    json_object_set_int_member (manifest, "incident", snapshot->incident);
  else
    json_object_set_null_member (manifest, "incident");
  add_text (guest, "held", snapshot->held);
  json_object_set_boolean_member (guest, "consistent", snapshot->is_consistent);
  add_text (guest, "note", snapshot->held_note);
  json_object_set_object_member (manifest, "guest", guest);
  json_object_set_object_member (manifest, "memory", describe_memory (snapshot));
  json_object_set_array_member (
      manifest, "disks", snapshot->disks ? json_array_ref (snapshot->disks) : json_array_new ());
  add_text (manifest, "disks-note", snapshot->disks_note);
  json_object_set_array_member (manifest, "absent", json_array_ref (absent));
  return g_steal_pointer (&manifest);
}

gboolean
pcd_snapshot_commit (PcdBundle *bundle,
                     const PcdSnapshot *snapshot,
                     char **ret_path,
                     GError **error)
{
  g_autoptr (JsonArray) absent = json_array_new ();
  g_autoptr (JsonObject) manifest = NULL;

  for (guint i = 0; i < snapshot->n_texts; i++) {
    const PcdSnapshotText *part = &snapshot->texts[i];
    JsonObject *one;

    if (part->text) {
      if (!pcd_bundle_add_text (bundle, part->name, part->text, error))
        return FALSE;
      continue;
    }
    one = json_object_new ();
    add_text (one, "name", part->name);
    add_text (one, "reason", part->why_not);
    json_array_add_object_element (absent, one);
  }
  manifest = describe (snapshot, absent);
  return pcd_bundle_commit (bundle, manifest, ret_path, error);
}
