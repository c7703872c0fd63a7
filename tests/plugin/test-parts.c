/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reader of ELF files against this very program, whole, cut and spoiled; what the core knows of
 * the actions of modules. */
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/pcd-ladder-json.h"
#include "plugins/pcd-elf.h"
#include "plugins/pcd-plugin-file.h"
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

/* The symbol's entry in .dynsym of @fd, as the loader would find it. */
static off_t
find_symbol (int fd, ElfW (Sym) * ret_symbol)
{
  ElfW (Ehdr) header;

  g_assert_cmpint (pread (fd, &header, sizeof header, 0), ==, sizeof header);
  for (guint i = 0; i < header.e_shnum; i++) {
    ElfW (Shdr) section, strings;

    g_assert_cmpint (
        pread (fd, &section, sizeof section, (off_t)(header.e_shoff + i * sizeof section)), ==,
        sizeof section);
    if (section.sh_type != SHT_DYNSYM)
      continue;
    g_assert_cmpint (pread (fd, &strings, sizeof strings,
                            (off_t)(header.e_shoff + section.sh_link * sizeof strings)),
                     ==, sizeof strings);
    for (off_t at = (off_t)section.sh_offset;; at += (off_t)sizeof *ret_symbol) {
      char name[sizeof "postcopyd_plugin"] = "";

      g_assert_cmpint (at, <, (off_t)(section.sh_offset + section.sh_size));
      g_assert_cmpint (pread (fd, ret_symbol, sizeof *ret_symbol, at), ==, sizeof *ret_symbol);
      g_assert_cmpint (
          pread (fd, name, sizeof name, (off_t)(strings.sh_offset + ret_symbol->st_name)), >=, 0);
      if (memcmp (name, "postcopyd_plugin", sizeof name) == 0)
        return at;
    }
  }
  g_assert_not_reached ();
}

static void
assert_refused (int fd, const char *why)
{
  g_auto (PcdElfPlugin) plugin = { 0 };
  g_autoptr (GError) error = NULL;

  g_assert_false (pcd_elf_read_plugin (fd, offsetof (PostcopydPlugin, name),
                                       offsetof (PostcopydPlugin, kind), &plugin, &error));
  g_assert_nonnull (strstr (error->message, why));
}

static void
test_what_is_exported (void)
{
  static const struct {
    int type;
    guint size;
    const char *why;
  } rows[] = {
    { STT_FUNC, 0, "exports a function called postcopyd_plugin, expected a variable" },
    { STT_NOTYPE, 0, "exports a symbol called postcopyd_plugin, expected a variable" },
    { STT_OBJECT, 12, "has a postcopyd_plugin of 12 bytes, expected a PostcopydPlugin" },
  };
  gsize size;
  int fd = copy_of_self (&size);
  ElfW (Sym) symbol;
  const off_t at = find_symbol (fd, &symbol);

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    symbol.st_info = ELF64_ST_INFO (STB_GLOBAL, rows[i].type); /* as that of 32 bits */
    symbol.st_size = rows[i].size;
    g_assert_cmpint (pwrite (fd, &symbol, sizeof symbol, at), ==, sizeof symbol);
    assert_refused (fd, rows[i].why);
  }
  g_assert_cmpint (ftruncate (fd, 40), ==, 0);
  assert_refused (fd, "is cut off: 40 bytes, expected a whole ELF header");
  close (fd);
  assert_refused (fd, "cannot be looked at: Bad file descriptor");
}

/* Where the file has what is at postcopyd_plugin when it runs. */
static gsize
offset_of_table (const char *bytes)
{
  const ElfW (Ehdr) *header = (gconstpointer)bytes;
  gsize size;
  int fd = copy_of_self (&size);
  ElfW (Sym) symbol;

  find_symbol (fd, &symbol);
  close (fd);
  for (guint i = 0; i < header->e_phnum; i++) {
    ElfW (Phdr) segment;

    memcpy (&segment, bytes + header->e_phoff + i * sizeof segment, sizeof segment);
    if (segment.p_type == PT_LOAD && symbol.st_value >= segment.p_vaddr &&
        symbol.st_value < segment.p_vaddr + segment.p_filesz)
      return symbol.st_value - segment.p_vaddr + segment.p_offset;
  }
  g_assert_not_reached ();
}

/* Copies of this program that say something else of themselves. */
static void
test_words (void)
{
  static const struct {
    guint32 words[4];
    const char *name;
    const char *why;
  } rows[] = {
    { { 7, 8, 9, 10 }, "test.self", "is made for version 7.8 of the interface, expected 1: build" },
    { { 1, 0, 4, 0 }, "test.self", "says that its PostcopydPlugin has 4 bytes, expected at least" },
    { { 1, 0, 900, 0 }, "test.self", "says that its PostcopydPlugin has 900 bytes, and it has " },
    { { 1, 0, sizeof (PostcopydPlugin), 0x7f00 }, "test.self", "has flags 0x7f00, of which" },
    { { 1, 0, sizeof (PostcopydPlugin), 0 },
      "test.other",
      "calls itself \"test.self\", expected \"test.other\"" },
    { { 1, 0, sizeof (PostcopydPlugin), 0 },
      "test.self",
      "is of kind \"oracle\", expected action or sink" },
  };
  g_autofree char *dir = g_dir_make_tmp ("pcd-parts-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (dir, "self.so", NULL);
  g_autofree char *bytes = NULL;
  gsize size;

  g_assert_true (g_file_get_contents ("/proc/self/exe", &bytes, &size, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;

    memcpy (bytes + offset_of_table (bytes), rows[i].words, sizeof rows[i].words);
    g_assert_true (
        g_file_set_contents_full (path, bytes, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    g_assert_null (pcd_plugin_file_open (rows[i].name, path, &error));
    g_assert_nonnull (strstr (error->message, rows[i].why));
  }
  unlink (path);
  rmdir (dir);
}

/* What only shows when it is loaded. */
static void
test_tables (void)
{
  const PostcopydAction small = { .struct_size = 3 },
                        slow = { .struct_size = sizeof slow, .limit_usec = -1 },
                        idle = { .struct_size = sizeof idle };
  const PostcopydSink deaf = { .struct_size = sizeof deaf }, tiny = { .struct_size = 3 };
  const struct {
    PostcopydPlugin table;
    const char *why;
  } rows[] = {
    { { .name = "test.y", .kind = "action" }, "calls itself \"test.y\", expected \"test.x\"" },
    { { .name = "test.x", .kind = "oracle" }, "is of kind \"oracle\", expected action or sink" },
    { { .name = "test.x", .kind = "action" }, "is of kind action and has none" },
    { { .name = "test.x", .kind = "action", .action = &small },
      "says that its PostcopydAction has 3" },
    { { .name = "test.x", .kind = "action", .action = &slow }, "for a call, expected 0 to 30 min" },
    { { .name = "test.x", .kind = "action", .action = &idle }, "has an action without run" },
    { { .name = "test.x", .kind = "sink" }, "is of kind sink and has none" },
    { { .name = "test.x", .kind = "sink", .sink = &tiny }, "says that its PostcopydSink has 3" },
    { { .name = "test.x", .kind = "sink", .sink = &deaf }, "has a sink without deliver" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_false (pcd_plugin_check_table ("test.x", &rows[i].table, &error));
    g_assert_nonnull (strstr (error->message, rows[i].why));
  }
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
  g_test_add_func ("/plugin/elf/exported", test_what_is_exported);
  g_test_add_func ("/plugin/words", test_words);
  g_test_add_func ("/plugin/tables", test_tables);
  g_test_add_func ("/plugin/names", test_names);
  g_test_add_func ("/plugin/declared", test_declared);
  g_test_add_func ("/plugin/journal", test_journal);
  return g_test_run ();
}
