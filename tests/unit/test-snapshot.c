/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bundles are whole or not there, memory comes back as it was, and halves that do not belong
 * together stay apart. The memory is that of a child process. */
#include "snapshot/pcd-core-file.h"
#include "snapshot/pcd-merge.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_PAGES 1500u /* a whole chunk and a part of one */

/* ---- a folder of its own, and a "QEMU" ---- */

static char *
make_directory (void)
{
  char *path = g_dir_make_tmp ("pcd-snapshot-XXXXXX", NULL);

  g_assert_nonnull (path);
  return path;
}

static void
remove_all (const char *path)
{
  const char *const argv[] = { "rm", "-rf", path, NULL };

  g_assert_true (g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               NULL, NULL, NULL));
}

static guint
count_entries (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir))
    n++;
  return n;
}

/* A third of the pages is there; each says which one it is. */
static guint8 *
make_memory (pid_t *ret_pid)
{
  guint8 *base = mmap (NULL, N_PAGES * PCD_GUEST_PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  GRand *random = g_rand_new_with_seed (1);

  g_assert_true (base != MAP_FAILED);
  for (guint i = 0; i < N_PAGES; i += 3)
    for (guint j = 0; j < PCD_GUEST_PAGE; j += 4)
      *(guint32 *)(gpointer)(base + i * PCD_GUEST_PAGE + j) = g_rand_int (random);
  g_rand_free (random);
  *ret_pid = fork ();
  if (*ret_pid == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
      pause ();
  }
  return base;
}

static PcdRamLayout *
make_layout (const char *name, guint64 address, gboolean has_missing)
{
  g_autofree char *json =
      g_strdup_printf ("{\"blocks\":[{\"name\":\"%s\",\"size\":%u,\"has-missing\":%s}],"
                       "\"ranges\":[{\"address\":65536,\"size\":%u,\"block\":0,\"offset\":0}]}",
                       name, N_PAGES * 4096, has_missing ? "true" : "false", N_PAGES * 4096);
  g_autoptr (JsonNode) node = json_from_string (json, NULL);
  PcdRamLayout *layout = pcd_ram_layout_from_json (json_node_get_object (node), NULL);

  g_assert_nonnull (layout);
  g_array_index (layout->blocks, PcdRamBlock, 0).address = address;
  return layout;
}

static gboolean
go_on (guint64 done, guint64 total, gpointer data)
{
  return data == NULL || done < 4u << 20;
}

static char *
make_bundle (const char *directory,
             const char *role,
             const char *uuid,
             const char *connection,
             pid_t pid,
             PcdRamLayout *layout)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdGuestMemory) memory = pcd_guest_memory_open (pid, &error);
  g_autoptr (PcdBundle) bundle = pcd_bundle_new (directory, role, 0, &error);
  PcdSnapshot snapshot = { .uuid = uuid,
                           .name = "g",
                           .role = role,
                           .phase = "paused",
                           .cause = "network",
                           .connection = connection,
                           .layout = layout,
                           .held = "frozen" };
  char *path = NULL;

  g_assert_no_error (error);
  g_assert_true (
      pcd_memory_part_write (bundle, memory, layout, go_on, NULL, &snapshot.count, &error));
  g_assert_true (pcd_snapshot_commit (bundle, &snapshot, &path, &error));
  g_assert_no_error (error);
  return path;
}

/* ---- bundles ---- */

static void
test_whole (void)
{
  g_autofree char *directory = make_directory (), *path = NULL, *victim = NULL, *part = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) manifest = json_object_new (), read = NULL;
  PcdBundle *bundle = pcd_bundle_new (directory, "../a b/c", 0, &error);
  struct stat status;

  g_assert_no_error (error);
  g_assert_true (pcd_bundle_set_note (bundle, "x", &error));
  g_assert_true (pcd_bundle_add_text (bundle, "one.txt", "one", &error));
  g_assert_false (pcd_bundle_add_text (bundle, "one.txt", "two", NULL));
  g_assert_cmpuint (pcd_bundle_sweep (directory, NULL, NULL), ==, 0); /* its writer lives */
  json_object_set_int_member (manifest, "schema", PCD_SNAPSHOT_SCHEMA);
  g_assert_true (pcd_bundle_commit (bundle, manifest, &path, &error));
  g_assert_no_error (error);
  pcd_bundle_free (bundle);
  g_assert_true (g_str_has_suffix (path, "/.._a_b_c"));
  g_assert_cmpuint (count_entries (directory), ==, 1);
  g_assert_cmpuint (count_entries (path), ==, 2);
  g_assert_cmpint (stat (path, &status), ==, 0);
  g_assert_cmpint (status.st_mode & 0777, ==, 0700);
  part = g_build_filename (path, "one.txt", NULL);
  g_assert_cmpint (stat (part, &status), ==, 0);
  g_assert_cmpint (status.st_mode & 0777, ==, 0600);
  read = pcd_bundle_read_manifest (path, &error);
  g_assert_no_error (error);
  g_assert_true (pcd_bundle_verify (path, read, NULL, NULL, &error));
  /* Its name is taken now. */
  bundle = pcd_bundle_new (directory, "../a b/c", 0, &error);
  g_assert_false (pcd_bundle_commit (bundle, manifest, &victim, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS);
  g_clear_error (&error);
  pcd_bundle_free (bundle);
  g_assert_cmpuint (count_entries (directory), ==, 1);
  /* Same size, other bytes; then a link. */
  g_assert_true (g_file_set_contents (part, "onE", -1, NULL));
  g_assert_false (pcd_bundle_verify (path, read, NULL, NULL, &error));
  g_assert_nonnull (strstr (error->message, "one.txt is damaged: its SHA-256 differs"));
  g_clear_error (&error);
  g_assert_cmpint (unlink (part), ==, 0);
  g_assert_cmpint (symlink ("/etc/passwd", part), ==, 0);
  g_assert_false (pcd_bundle_verify (path, read, NULL, NULL, &error));
  g_clear_error (&error);
  g_assert_cmpint (pcd_bundle_open_part (path, "../x", NULL), ==, -1);
  remove_all (directory);
}

static void
test_directory (void)
{
  g_autofree char *directory = make_directory (), *link = NULL, *open_one = NULL, *fresh = NULL;
  g_autofree char *by_link = g_build_filename (directory, "link", "new", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdBundle) bundle = NULL;

  link = g_build_filename (directory, "link", NULL);
  open_one = g_build_filename (directory, "open", NULL);
  fresh = g_build_filename (directory, "fresh", NULL);
  g_assert_cmpint (symlink (directory, link), ==, 0);
  g_assert_cmpint (g_mkdir (open_one, 0700) | chmod (open_one, 0777), ==, 0);
  g_assert_null (pcd_bundle_new (link, "x", 0, &error));
  g_assert_nonnull (error);
  g_clear_error (&error);
  g_assert_null (pcd_bundle_new (by_link, "x", 0, &error));
  g_assert_nonnull (strstr (error->message, "at 'link'"));
  g_assert_cmpuint (count_entries (directory), ==, 2); /* and nothing was made at its end */
  g_clear_error (&error);
  g_assert_null (pcd_bundle_new (open_one, "x", 0, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_clear_error (&error);
  g_assert_null (pcd_bundle_new ("relative", "x", 0, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_null (pcd_bundle_new (fresh, "x", G_MAXUINT64, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_cmpuint (count_entries (fresh), ==, 0);
  g_clear_error (&error);
  bundle = pcd_bundle_new (fresh, "x", 1, &error);
  g_assert_no_error (error);
  remove_all (directory);
}

static void
take_note (const char *note, gpointer data)
{
  *(char **)data = g_strdup (note);
}

/* Its writer is killed in the middle. */
static void
test_killed (void)
{
  g_autofree char *directory = make_directory (), *note = NULL;
  pid_t pid = fork ();

  if (pid == 0) {
    PcdBundle *bundle = pcd_bundle_new (directory, "x", 0, NULL);

    if (bundle && pcd_bundle_add_text (bundle, "a", "b", NULL) &&
        pcd_bundle_set_note (bundle, "frozen 0 0", NULL))
      raise (SIGKILL);
    _exit (1);
  }
  int status;
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFSIGNALED (status));
  g_assert_cmpuint (count_entries (directory), ==, 1);
  g_assert_cmpuint (pcd_bundle_sweep (directory, take_note, &note), ==, 1);
  g_assert_cmpstr (note, ==, "frozen 0 0");
  g_assert_cmpuint (count_entries (directory), ==, 0);
  remove_all (directory);
}

/* The same in a folder that an operator or a policy named: the next daemon must know of it. */
static void
test_killed_elsewhere (void)
{
  g_autofree char *state = make_directory (), *elsewhere = make_directory ();
  pid_t pid = fork ();

  if (pid == 0) {
    PcdBundle *bundle = pcd_snapshot_begin (state, elsewhere, "g", getpid (), NULL);

    if (bundle && pcd_bundle_add_text (bundle, "a", "b", NULL))
      raise (SIGKILL);
    _exit (1);
  }
  int status;
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFSIGNALED (status));
  g_assert_cmpuint (count_entries (elsewhere), ==, 1);
  g_assert_cmpuint (pcd_snapshot_sweep_all (state), ==, 1);
  g_assert_cmpuint (count_entries (elsewhere), ==, 0);
  g_assert_cmpuint (count_entries (state), ==, 0);
  remove_all (state);
  remove_all (elsewhere);
}

/* The disk becomes full on the way: nothing is left. In a mount namespace of its own. */
static void
test_full (void)
{
  g_autofree char *directory = make_directory ();
  pid_t qemu, pid = fork ();
  guint8 *base;
  int status;

  if (pid == 0) {
    g_autoptr (GError) error = NULL;
    PcdMemoryCount count;

    if (unshare (CLONE_NEWNS) < 0 || mount ("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount ("none", directory, "tmpfs", 0, "size=1m,mode=700") < 0)
      _exit (2);
    base = make_memory (&qemu);
    PcdGuestMemory *memory = pcd_guest_memory_open (qemu, NULL);
    PcdRamLayout *layout = make_layout ("pc.ram", (guint64)(gsize)base, TRUE);
    PcdBundle *bundle = pcd_bundle_new (directory, "x", 0, NULL);
    gboolean written = pcd_memory_part_write (bundle, memory, layout, go_on, NULL, &count, &error);
    pcd_bundle_free (bundle);
    kill (qemu, SIGKILL);
    if (written || !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE))
      _exit (3);
    _exit (count_entries (directory) == 0 ? 0 : 4);
  }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (WIFEXITED (status) ? WEXITSTATUS (status) : -1, ==, 0);
  remove_all (directory);
}

/* ---- memory ---- */

static void
test_memory (void)
{
  g_autofree char *directory = make_directory (), *path = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdRamLayout) layout = NULL;
  g_autoptr (PcdMemoryReader) reader = NULL;
  const guint8 *page;
  pid_t pid;
  guint8 *base = make_memory (&pid);

  layout = make_layout ("pc.ram", (guint64)(gsize)base, FALSE);
  path = make_bundle (directory, "source", "u", NULL, pid, layout);
  reader = pcd_memory_reader_open (path, layout, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < N_PAGES; i++) {
    guint at = i * 7 % N_PAGES; /* not in order */

    g_assert_true (pcd_memory_reader_get (reader, 0, at * PCD_GUEST_PAGE, &page, &error));
    g_assert_cmpint (page != NULL, ==, at % 3 == 0);
    if (page)
      g_assert_cmpmem (page, PCD_GUEST_PAGE, base + at * PCD_GUEST_PAGE, PCD_GUEST_PAGE);
  }
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
  munmap (base, N_PAGES * PCD_GUEST_PAGE);
  remove_all (directory);
}

/* Called off, and the process gone: an error, and nothing left. */
static void
test_cut_short (void)
{
  g_autofree char *directory = make_directory ();
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdGuestMemory) memory = NULL;
  g_autoptr (PcdRamLayout) layout = NULL;
  PcdBundle *bundle;
  PcdMemoryCount count;
  pid_t pid;
  guint8 *base = make_memory (&pid);

  layout = make_layout ("pc.ram", (guint64)(gsize)base, FALSE);
  memory = pcd_guest_memory_open (pid, &error);
  bundle = pcd_bundle_new (directory, "x", 0, &error);
  g_assert_false (pcd_memory_part_write (bundle, memory, layout, go_on, &error, &count, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  pcd_bundle_free (bundle);
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
  bundle = pcd_bundle_new (directory, "x", 0, &error);
  g_assert_false (pcd_memory_part_write (bundle, memory, layout, go_on, NULL, &count, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  g_clear_error (&error);
  pcd_bundle_free (bundle);
  g_assert_cmpuint (count_entries (directory), ==, 0);
  munmap (base, N_PAGES * PCD_GUEST_PAGE);
  remove_all (directory);
}

/* ---- merge ---- */

static const char *const steps[] = { "checking the source's snapshot",
                                     "checking the destination's snapshot", "writing the core" };

typedef struct {
  guint steps; /* that are allowed */
  guint begun;
  char what[64];
} CallOff;

static gboolean
call_it_off (const char *what, guint64 done, guint64 total, gpointer data)
{
  CallOff *call_off = data;

  g_assert_cmpuint (done, <=, total);
  if (!g_str_equal (what, call_off->what))
    call_off->begun++;
  g_strlcpy (call_off->what, what, sizeof call_off->what);
  return call_off->begun <= call_off->steps;
}

/* Nothing is left of a core. */
static void
assert_only_bundles (const char *directory)
{
  g_autoptr (GDir) dir = g_dir_open (directory, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)))
    g_assert_false (g_str_has_prefix (name, "core"));
}

static void
test_merge (void)
{
  g_autofree char *directory = make_directory (), *source = NULL, *half = NULL, *other = NULL,
                  *elsewhere = NULL, *larger = NULL, *core = NULL, *bytes = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdRamLayout) zero = NULL, missing = NULL, vga = NULL;
  PcdMergeCount count;
  gsize size;
  pid_t pid;
  guint8 *base = make_memory (&pid);

  core = g_build_filename (directory, "core", NULL);
  zero = make_layout ("pc.ram", (guint64)(gsize)base, FALSE);
  missing = make_layout ("pc.ram", (guint64)(gsize)base, TRUE);
  vga = make_layout ("vga.vram", (guint64)(gsize)base, TRUE);
  source = make_bundle (directory, "source", "u", "a b", pid, zero);
  half = make_bundle (directory, "destination", "u", "a b", pid, missing);
  {
    g_autofree char *one = g_build_filename (directory, "1", NULL);
    g_autofree char *two = g_build_filename (directory, "2", NULL);
    g_autofree char *three = g_build_filename (directory, "3", NULL);

    other = make_bundle (one, "destination", "v", "a b", pid, missing);
    elsewhere = make_bundle (two, "destination", "u", "a c", pid, missing);
    larger = make_bundle (three, "destination", "u", "a b", pid, vga);
  }
  g_assert_true (pcd_merge (source, half, core, FALSE, NULL, NULL, &count, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (count.destination, ==, N_PAGES / 3);
  g_assert_cmpuint (count.source + count.missing, ==, 0);
  g_assert_cmpuint (count.zero, ==, N_PAGES - N_PAGES / 3);
  g_assert_true (g_file_get_contents (core, &bytes, &size, NULL));
  g_assert_cmpuint (size, ==, N_PAGES * PCD_GUEST_PAGE + PCD_GUEST_PAGE);
  g_assert_cmpmem (bytes + PCD_GUEST_PAGE, size - PCD_GUEST_PAGE, base, size - PCD_GUEST_PAGE);
  g_assert_false (pcd_merge (source, half, core, FALSE, NULL, NULL, &count, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS);
  unlink (core);
  for (guint n = 0; n < 3; n++) {
    CallOff call_off = { .steps = n };
    g_clear_error (&error);
    g_assert_false (pcd_merge (source, half, core, FALSE, call_it_off, &call_off, &count, &error));
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_cmpstr (call_off.what, ==, steps[n]);
    assert_only_bundles (directory);
  }
  const struct {
    const char *source, *destination, *why;
  } bad[] = { { half, source, "expected the snapshot of a source" },
              { source, other, "different domains" },
              { source, elsewhere, "different migrations" },
              { source, larger, "their RAM differs" } };
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_clear_error (&error);
    g_assert_false (
        pcd_merge (bad[i].source, bad[i].destination, core, TRUE, NULL, NULL, &count, &error));
    g_assert_nonnull (strstr (error->message, bad[i].why));
  }
  g_assert_false (g_file_test (core, G_FILE_TEST_EXISTS));
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
  munmap (base, N_PAGES * PCD_GUEST_PAGE);
  remove_all (directory);
}

/* A source whose own memory is still to come (it was moved twice) has holes too. */
static void
test_missing (void)
{
  g_autofree char *directory = make_directory (), *source = NULL, *half = NULL, *core = NULL,
                  *bytes = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdRamLayout) layout = NULL;
  PcdMergeCount count;
  gsize size;
  pid_t pid;
  guint8 *base = make_memory (&pid);

  core = g_build_filename (directory, "core", NULL);
  layout = make_layout ("pc.ram", (guint64)(gsize)base, TRUE);
  source = make_bundle (directory, "source", "u", "a b", pid, layout);
  half = make_bundle (directory, "destination", "u", "a b", pid, layout);
  g_assert_false (pcd_merge (source, half, core, FALSE, NULL, NULL, &count, &error));
  g_assert_nonnull (strstr (error->message, "1000 pages are on neither side"));
  g_assert_false (g_file_test (core, G_FILE_TEST_EXISTS));
  g_clear_error (&error);
  g_assert_true (pcd_merge (source, half, core, TRUE, NULL, NULL, &count, &error));
  g_assert_cmpuint (count.missing, ==, 1000);
  g_assert_true (g_file_get_contents (core, &bytes, &size, NULL));
  g_assert_cmpmem (bytes + 2 * PCD_GUEST_PAGE, 16, PCD_MERGE_MARK PCD_MERGE_MARK, 16);
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
  munmap (base, N_PAGES * PCD_GUEST_PAGE);
  remove_all (directory);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  alarm (60);
  g_test_add_func ("/snapshot/whole", test_whole);
  g_test_add_func ("/snapshot/directory", test_directory);
  g_test_add_func ("/snapshot/killed", test_killed);
  g_test_add_func ("/snapshot/killed-elsewhere", test_killed_elsewhere);
  if (geteuid () == 0)
    g_test_add_func ("/snapshot/full", test_full);
  g_test_add_func ("/snapshot/memory", test_memory);
  g_test_add_func ("/snapshot/cut-short", test_cut_short);
  g_test_add_func ("/snapshot/merge", test_merge);
  g_test_add_func ("/snapshot/missing", test_missing);
  return g_test_run ();
}
