/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reader of ELF files against this very program, whole, cut and spoiled; what the core knows of
 * the actions of modules. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/pcd-ladder-json.h"
#include "plugins/pcd-elf.h"
#include "postcopyd-plugin.h"

#define N_SPOILED 3000

/* Exported, so that this program looks like a plugin to the reader. */
const PostcopydPlugin postcopyd_plugin = {
  .abi_major = 7,
  .abi_minor = 8,
  .struct_size = 9,
  .flags = 10,
  .name = "test.self",
  .kind = "oracle",
};

static gboolean
look (int fd, PcdElfPlugin *ret_plugin)
{
  g_autoptr (GError) error = NULL;
  const gboolean ok = pcd_elf_read_plugin (fd, offsetof (PostcopydPlugin, name),
                                           offsetof (PostcopydPlugin, kind), ret_plugin, &error);

  g_assert_true (ok == (error == NULL));
  return ok;
}

static int
copy_of_self (gsize *ret_size)
{
  int self = open ("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  int copy = memfd_create ("copy", MFD_CLOEXEC);
  struct stat st;

  g_assert_true (self >= 0 && copy >= 0 && fstat (self, &st) == 0);
  for (gsize have = 0; have < (gsize)st.st_size;) {
    const gssize n = sendfile (copy, self, NULL, (gsize)st.st_size - have);
    g_assert_cmpint (n, >, 0);
    have += (gsize)n;
  }
  close (self);
  *ret_size = (gsize)st.st_size;
  return copy;
}

static void
test_whole (void)
{
  g_auto (PcdElfPlugin) plugin = { 0 };
  gsize size;
  int fd = copy_of_self (&size);

  g_assert_true (look (fd, &plugin));
  g_assert_cmpuint (plugin.symbol_size, ==, sizeof (PostcopydPlugin));
  for (guint i = 0; i < 4; i++)
    g_assert_cmpuint (plugin.words[i], ==, 7 + i);
  g_assert_cmpstr (plugin.name, ==, "test.self");
  g_assert_cmpstr (plugin.kind, ==, "oracle");
  close (fd);
}

/* Wherever it is cut, the section table at its end is gone. */
static void
test_cut (void)
{
  gsize size;
  int fd = copy_of_self (&size);

  for (gsize length = size - 1; length > 0; length -= MIN (length, size / 200 + 1)) {
    PcdElfPlugin plugin = { 0 };

    g_assert_cmpint (ftruncate (fd, (off_t)length), ==, 0);
    g_assert_false (look (fd, &plugin));
  }
  close (fd);
}

/* Where the tables are, random bytes: any answer will do, if there is one. */
static void
test_spoiled (void)
{
  gsize size;
  int fd = copy_of_self (&size);
  guint n_refused = 0;

  for (guint i = 0; i < N_SPOILED; i++) {
    const off_t at = i % 3 == 0   ? g_test_rand_int_range (0, 1024)
                     : i % 3 == 1 ? (off_t)size - g_test_rand_int_range (8, 3000)
                                  : g_test_rand_int_range (0, (gint)MIN (size - 8, 65536));
    const guint32 values[] = { 0, 1, 0x7fffffff, 0xffffffff, (guint32)g_test_rand_int () };
    g_auto (PcdElfPlugin) plugin = { 0 };
    char before[4];

    g_assert_cmpint (pread (fd, before, 4, at), ==, 4);
    g_assert_cmpint (pwrite (fd, &values[i % G_N_ELEMENTS (values)], 4, at), ==, 4);
    n_refused += !look (fd, &plugin);
    g_assert_cmpint (pwrite (fd, before, 4, at), ==, 4);
  }
  close (fd);
  g_test_message ("%u of %d refused", n_refused, N_SPOILED);
  g_assert_cmpuint (n_refused, >, 0);
}

static void
test_names (void)
{
  static const struct {
    const char *name;
    gboolean good;
  } rows[] = {
    { "example.beacon", TRUE },
    { "a.b", TRUE },
    { "a-1.b-2.c3", TRUE },
    { "a.1", TRUE },
    { "beacon", FALSE },
    { "", FALSE },
    { ".", FALSE },
    { ".b", FALSE },
    { "a.", FALSE },
    { "a..b", FALSE },
    { "1.b", FALSE },
    { "-a.b", FALSE },
    { "A.b", FALSE },
    { "a.b c", FALSE },
    { "a.b/c", FALSE },
    { "a.\xc3\xa4", FALSE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    g_assert_cmpint (pcd_action_name_is_loaded (rows[i].name), ==, rows[i].good);
  for (PcdActionKind action = 0; action < PCD_N_ACTIONS; action++)
    g_assert_false (pcd_action_name_is_loaded (pcd_action_to_string (action)));
}

/* Rule 4 and 10, whatever a module says. */
static void
test_declared (void)
{
  const PcdActionSpec plain = { .name = "test.plain" };
  const PcdActionSpec guest = { .name = "test.guest", .handles_guest = TRUE };
  const PcdActionSpec deadly = { .name = "test.deadly", .destructive = TRUE };
  const guint slow = 1u << PCD_WHEN_SLOW;
  PcdActionKind action, again;

  g_assert_true (pcd_action_declare (&plain, &action));
  g_assert_true (pcd_action_declare (&plain, &again));
  g_assert_cmpint (action, ==, again);
  g_assert_cmpstr (pcd_action_to_string (action), ==, "test.plain");
  g_assert_false (pcd_action_is_usable (action));
  pcd_action_set_usable (action, TRUE);
  g_assert_true (pcd_action_is_usable (action));
  g_assert_true (pcd_action_get_spec (action)->whens & slow);
  g_assert_true (pcd_action_declare (&guest, &action));
  g_assert_false (pcd_action_get_spec (action)->whens & slow);
  g_assert_true (pcd_action_declare (&deadly, &action));
  g_assert_cmpuint (pcd_action_get_spec (action)->whens, ==, 1u << PCD_WHEN_PAUSED);
  g_assert_true (pcd_action_get_spec (action)->once && pcd_action_get_spec (action)->yields);
}

/* An earlier daemon had a module that this one has not. */
static void
test_journal (void)
{
  const PcdActionSpec spec = { .name = "test.gone" };
  PcdLadder ladder = pcd_ladder_init (PCD_ROLE_SOURCE), read;
  g_autoptr (GError) error = NULL;
  PcdActionKind action;

  g_assert_true (pcd_action_declare (&spec, &action));
  ladder.n_records = 1;
  ladder.records[0].action = ladder.records[0].chosen = action;
  g_autofree char *text = pcd_ladder_to_json (&ladder);
  g_autoptr (GString) other = g_string_new (text);
  g_assert_cmpuint (g_string_replace (other, "test.gone", "test.unheard-of", 0), ==, 2);
  g_assert_true (pcd_ladder_from_json (other->str, "journal", &read, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (pcd_action_to_string (read.records[0].chosen), ==, "test.unheard-of");
  g_assert_false (pcd_action_is_usable (read.records[0].chosen));
  g_string_replace (other, "test.unheard-of", "nonsense", 0);
  g_assert_false (pcd_ladder_from_json (other->str, "journal", &read, &error));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plugin/elf/whole", test_whole);
  g_test_add_func ("/plugin/elf/cut", test_cut);
  g_test_add_func ("/plugin/elf/spoiled", test_spoiled);
  g_test_add_func ("/plugin/names", test_names);
  g_test_add_func ("/plugin/declared", test_declared);
  g_test_add_func ("/plugin/journal", test_journal);
  return g_test_run ();
}
