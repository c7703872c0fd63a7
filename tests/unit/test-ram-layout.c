/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a guest's memory lies, as QEMU's monitor says and as a bundle keeps it; what cannot be is
 * refused. */
#include "snapshot/pcd-ram-layout.h"

#include <gio/gio.h>

/* QEMU 7.2, -M pc -m 64. */
static const char mtree[] =
    "FlatView #0\n AS \"I/O\", root: io\n Root memory region: io\n"
    "  0000000000000000-0000000000000fff (prio 0, ram): decoy\n\n"
    "FlatView #1\n AS \"memory\", root: system\n AS \"cpu-memory-0\", root: system\n"
    " Root memory region: system\n"
    "  0000000000000000-000000000009ffff (prio 0, ram): pc.ram KVM\n"
    "  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem\n"
    "  00000000000c0000-00000000000dffff (prio 1, rom): pc.rom\n"
    "  00000000000e0000-00000000000fffff (prio 0, rom): pc.bios @0000000000020000\n"
    "  0000000000100000-0000000003ffffff (prio 0, ram): pc.ram @0000000000100000 KVM\n"
    "  00000000e0000000-00000000e00fffff (prio 1, ramd): 0000:03:00.0 BAR 0 mmaps[0]\n"
    "  00000000fd000000-00000000fdffffff (prio 1, ram): vga.vram\n"
    "  00000000fec00000-00000000fec00fff (prio 0, i/o): ioapic\n"
    "  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios\n";
static const char ramblock[] =
    "              Block Name    PSize              Offset               Used              Total\n"
    "                  pc.ram    4 KiB  0x0000000000000000 0x0000000004000000 0x0000000004000000\n"
    "   0000:00:02.0/vga.vram    4 KiB  0x0000000004080000 0x0000000001000000 0x0000000001000000\n"
    "                 pc.bios    4 KiB  0x0000000004000000 0x0000000000040000 0x0000000000040000\n"
    "                  pc.rom    4 KiB  0x0000000004040000 0x0000000000020000 0x0000000000020000\n";

static char *
answer (const char *line, gpointer data, GError **error)
{
  static const struct {
    const char *line;
    const char *answer;
  } known[] = {
    { "info mtree -f", mtree },
    { "info ramblock", ramblock },
    { "gpa2hva 0x0", "Host virtual address for 0x0 (pc.ram) is 0x7f0000000000\r\n" },
    { "gpa2hva 0x100000", "Host virtual address for 0x100000 (pc.ram) is 0x7f0000100000" },
    { "gpa2hva 0xc0000", "Host virtual address for 0xc0000 (pc.rom) is 0x7e0000000000" },
    { "gpa2hva 0xe0000", "Host virtual address for 0xe0000 (pc.bios) is 0x7d0000020000" },
    { "gpa2hva 0xfffc0000", "Host virtual address for 0xfffc0000 (pc.bios) is 0x7d0000000000" },
    { "gpa2hva 0xfd000000", "Host virtual address for 0xfd000000 (vga.vram) is 0x7c0000000000" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (known); i++)
    if (g_str_equal (known[i].line, line) && g_strcmp0 (line, data) != 0)
      return g_strdup (known[i].answer);
  return g_strdup ("No memory is mapped at address 0x0");
}

static void
test_ask (void)
{
  static const struct {
    const char *name;
    guint64 address, size;
  } expected[] = { { "pc.ram", 0x7f0000000000, 0x4000000 },
                   { "pc.rom", 0x7e0000000000, 0x20000 },
                   { "pc.bios", 0x7d0000000000, 0x40000 },
                   { "vga.vram", 0x7c0000000000, 0x1000000 } };
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdRamLayout) layout = pcd_ram_layout_ask (answer, NULL, &error), again = NULL;
  g_autoptr (JsonObject) json = json_object_new ();
  g_autoptr (GArray) blocks = NULL;

  g_assert_no_error (error);
  g_assert_cmpuint (layout->blocks->len, ==, G_N_ELEMENTS (expected));
  g_assert_cmpuint (layout->ranges->len, ==, 6);
  for (guint i = 0; i < layout->blocks->len; i++) {
    const PcdRamBlock *block = &g_array_index (layout->blocks, PcdRamBlock, i);

    g_assert_cmpstr (block->name, ==, expected[i].name);
    g_assert_cmphex (block->address, ==, expected[i].address);
    g_assert_cmphex (block->size, ==, expected[i].size);
  }
  pcd_ram_layout_to_json (layout, json);
  again = pcd_ram_layout_from_json (json, &error);
  g_assert_no_error (error);
  g_assert_true (pcd_ram_layout_match (layout, again, &blocks, &error));
  g_assert_cmpuint (g_array_index (blocks, guint, 3), ==, 3);
  /* Without names: by size, as long as that leaves no choice. */
  for (guint i = 0; i < again->blocks->len; i++)
    g_clear_pointer (&g_array_index (again->blocks, PcdRamBlock, i).name, g_free);
  g_clear_pointer (&blocks, g_array_unref);
  g_assert_true (pcd_ram_layout_match (layout, again, &blocks, &error));
  g_array_index (again->blocks, PcdRamBlock, 1).size = 0x40000;
  g_clear_pointer (&blocks, g_array_unref);
  g_assert_false (pcd_ram_layout_match (layout, again, &blocks, &error));
  g_clear_error (&error);
  g_assert_null (pcd_ram_layout_ask (answer, (gpointer) "gpa2hva 0xc0000", &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
}

/* What no bundle of ours says: never to be believed. */
static void
test_bad (void)
{
  static const char *const bad[] = {
    "{}",
    "{\"blocks\":[]}",
    "{\"blocks\":[{\"name\":\"a\",\"size\":1}]}",
    "{\"blocks\":[{\"name\":\"a\",\"size\":-4096}]}",
    "{\"blocks\":[{\"name\":\"a\",\"size\":4096}],\"ranges\":[{\"address\":0,\"size\":4096,"
    "\"block\":1,\"offset\":0}]}",
    "{\"blocks\":[{\"name\":\"a\",\"size\":4096}],\"ranges\":[{\"address\":0,\"size\":4096,"
    "\"block\":0,\"offset\":4096}]}",
    "{\"blocks\":[{\"name\":\"a\",\"size\":4096}],\"ranges\":[{\"address\":0,\"size\":8192,"
    "\"block\":0}]}",
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (JsonNode) node = json_from_string (bad[i], NULL);

    g_assert_null (pcd_ram_layout_from_json (json_node_get_object (node), &error));
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ram-layout/ask", test_ask);
  g_test_add_func ("/ram-layout/bad", test_bad);
  return g_test_run ();
}
