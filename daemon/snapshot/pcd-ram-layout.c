/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From the monitor's answers to a layout. Pure, but for what its callback does. */
#include "snapshot/pcd-ram-layout.h"

#include <gio/gio.h>
#include <glib/gi18n.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A guest has some ten; more is not a QEMU that speaks the truth. */
#define MAX_RANGES 4096

static void
block_clear (gpointer data)
{
  g_free (((PcdRamBlock *)data)->name);
}

static PcdRamLayout *
layout_new (void)
{
  PcdRamLayout *layout = g_new0 (PcdRamLayout, 1);

  layout->blocks = g_array_new (FALSE, TRUE, sizeof (PcdRamBlock));
  g_array_set_clear_func (layout->blocks, block_clear);
  layout->ranges = g_array_new (FALSE, TRUE, sizeof (PcdRamRange));
  return layout;
}

void
pcd_ram_layout_free (PcdRamLayout *layout)
{
  if (!layout)
    return;
  g_array_unref (layout->blocks);
  g_array_unref (layout->ranges);
  g_free (layout);
}

#define BLOCK(layout, i) (&g_array_index ((layout)->blocks, PcdRamBlock, i))
#define RANGE(layout, i) (&g_array_index ((layout)->ranges, PcdRamRange, i))

static gboolean
bad (GError **error, const char *what)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, _ ("QEMU's answer about its RAM: %s"),
               what);
  return FALSE;
}

/* "Host virtual address for 0x0 (pc.ram) is 0x7f5e4be00000" */
static gboolean
ask_address (PcdRamAsk ask, gpointer data, guint64 gpa, guint64 *ret_address, GError **error)
{
  g_autofree char *line = g_strdup_printf ("gpa2hva 0x%" G_GINT64_MODIFIER "x", gpa);
  g_autofree char *text = ask (line, data, error);
  const char *at = text ? strstr (text, ") is 0x") : NULL;

  if (!text)
    return FALSE;
  *ret_address = at ? g_ascii_strtoull (at + strlen (") is "), NULL, 16) : 0;
  return *ret_address > 0 || bad (error, line);
}

/* The block that begins at @address; a new one gets its size later. */
static guint
find_block (PcdRamLayout *layout, guint64 address, const char *name)
{
  PcdRamBlock block = { .address = address };

  for (guint i = 0; i < layout->blocks->len; i++)
    if (BLOCK (layout, i)->address == address)
      return i;
  block.name = g_strdup (name);
  g_array_append_val (layout->blocks, block);
  return layout->blocks->len - 1;
}

static guint64
hex_of (GMatchInfo *match, int group)
{
  g_autofree char *text = g_match_info_fetch (match, group);

  return text ? g_ascii_strtoull (text, NULL, 16) : 0;
}

static gboolean
take_range (PcdRamLayout *layout, GMatchInfo *match, PcdRamAsk ask, gpointer data, GError **error)
{
  g_autofree char *name = g_match_info_fetch (match, 4);
  PcdRamRange range = { .gpa = hex_of (match, 1), .offset = hex_of (match, 5) };
  guint64 last = hex_of (match, 2), address;
  PcdRamBlock *block;

  range.size = last - range.gpa + 1;
  if (last < range.gpa || layout->ranges->len >= MAX_RANGES)
    return bad (error, "info mtree -f");
  /* Parts of pages are device tricks of old firmware; no core needs them. */
  if ((range.gpa | range.size | range.offset) % PCD_GUEST_PAGE)
    return TRUE;
  if (!ask_address (ask, data, range.gpa, &address, error))
    return FALSE;
  range.block = find_block (layout, address - range.offset, name);
  block = BLOCK (layout, range.block);
  block->size = MAX (block->size, range.offset + range.size);
  g_array_append_val (layout->ranges, range);
  return TRUE;
}

/* softmmu/memory.c, mtree_print_flatview (): the flat view that address space "memory" uses. */
static gboolean
take_flat_view (
    PcdRamLayout *layout, const char *mtree, PcdRamAsk ask, gpointer data, GError **error)
{
  g_autoptr (GRegex) regex = g_regex_new ("^\\s+([0-9a-f]{16})-([0-9a-f]{16}) \\(prio -?[0-9]+, "
                                          "(ram|rom|nv-ram|romd)\\): (.+?)(?: @([0-9a-f]{16}))?"
                                          "(?: KVM)?\\s*$",
                                          G_REGEX_OPTIMIZE, 0, NULL);
  g_auto (GStrv) lines = g_strsplit (mtree, "\n", -1);
  gboolean inside = FALSE;

  for (guint i = 0; lines[i]; i++) {
    g_autoptr (GMatchInfo) match = NULL;

    if (g_str_has_prefix (lines[i], "FlatView"))
      inside = FALSE;
    else if (strstr (lines[i], "AS \"memory\","))
      inside = TRUE;
    else if (inside && g_regex_match (regex, lines[i], 0, &match) &&
             !take_range (layout, match, ask, data, error))
      return FALSE;
  }
  return layout->ranges->len > 0 || bad (error, _ ("info mtree -f shows no RAM"));
}

/* "pc.ram" and "0000:00:02.0/vga.vram": the region's name with or without its device. */
static gboolean
is_name_of (const char *idstr, const char *name)
{
  g_autofree char *tail = g_strconcat ("/", name, NULL);

  return g_str_equal (idstr, name) || g_str_has_suffix (idstr, tail);
}

/* The guest need not see all of a block at once: what VGA covers of the first MiB is RAM all the
 * same. Columns: name, page size, its unit, offset, used, total. */
static void
take_sizes (PcdRamLayout *layout, const char *ramblock)
{
  g_auto (GStrv) lines = g_strsplit (ramblock, "\n", -1);

  for (guint i = 0; i < layout->blocks->len; i++) {
    PcdRamBlock *block = BLOCK (layout, i);
    guint64 used = 0;
    guint found = 0;

    for (guint j = 0; lines[j]; j++) {
      char name[256], unit[8];
      guint64 page, offset, size;

      if (sscanf (lines[j],
                  "%255s %" G_GUINT64_FORMAT " %7s 0x%" G_GINT64_MODIFIER "x 0x%" G_GINT64_MODIFIER
                  "x",
                  name, &page, unit, &offset, &size) == 5 &&
          is_name_of (name, block->name)) {
        used = size;
        found++;
      }
    }
    if (found == 1 && used % PCD_GUEST_PAGE == 0)
      block->size = MAX (block->size, used);
  }
}

PcdRamLayout *
pcd_ram_layout_ask (PcdRamAsk ask, gpointer data, GError **error)
{
  g_autoptr (PcdRamLayout) layout = layout_new ();
  g_autofree char *mtree = ask ("info mtree -f", data, error);
  g_autofree char *ramblock = mtree ? ask ("info ramblock", data, error) : NULL;

  if (!ramblock || !take_flat_view (layout, mtree, ask, data, error))
    return NULL;
  take_sizes (layout, ramblock);
  return g_steal_pointer (&layout);
}

PcdRamLayout *
pcd_ram_layout_from_areas (GArray *areas)
{
  PcdRamLayout *layout = layout_new ();

  for (guint i = 0; i < areas->len; i++) {
    const PcdGuestArea *area = &g_array_index (areas, PcdGuestArea, i);
    const PcdRamBlock block = { .address = area->start,
                                .size = area->end - area->start,
                                .has_missing = TRUE };
    if (area->has_missing)
      g_array_append_val (layout->blocks, block);
  }
  return layout;
}

gboolean
pcd_ram_layout_locate (PcdRamLayout *layout, PcdGuestMemory *memory, GError **error)
{
  for (guint i = 0; i < layout->blocks->len; i++) {
    PcdRamBlock *block = BLOCK (layout, i);
    const PcdGuestArea *area = pcd_guest_memory_find_area (memory, block->address);

    if (!area || area->end - block->address < block->size)
      return bad (error, _ ("a block is not mapped where it says"));
    block->has_missing = area->has_missing;
  }
  return TRUE;
}

guint64
pcd_ram_layout_get_size (const PcdRamLayout *layout)
{
  guint64 size = 0;

  for (guint i = 0; i < layout->blocks->len; i++)
    size += BLOCK (layout, i)->size;
  return size;
}

void
pcd_ram_layout_to_json (const PcdRamLayout *layout, JsonObject *object)
{
  JsonArray *blocks = json_array_new (), *ranges = json_array_new ();

  for (guint i = 0; i < layout->blocks->len; i++) {
    const PcdRamBlock *block = BLOCK (layout, i);
    JsonObject *one = json_object_new ();

    if (block->name)
      json_object_set_string_member (one, "name", block->name);
    else
      json_object_set_null_member (one, "name");
    json_object_set_int_member (one, "size", (gint64)block->size);
    json_object_set_boolean_member (one, "has-missing", block->has_missing);
    json_array_add_object_element (blocks, one);
  }
  for (guint i = 0; i < layout->ranges->len; i++) {
    const PcdRamRange *range = RANGE (layout, i);
    JsonObject *one = json_object_new ();

    json_object_set_int_member (one, "address", (gint64)range->gpa);
    json_object_set_int_member (one, "size", (gint64)range->size);
    json_object_set_int_member (one, "block", range->block);
    json_object_set_int_member (one, "offset", (gint64)range->offset);
    json_array_add_object_element (ranges, one);
  }
  json_object_set_array_member (object, "blocks", blocks);
  json_object_set_array_member (object, "ranges", ranges);
}

/* (nullable): element @i of member @name, if that is an object. */
static JsonObject *
element_of (JsonObject *object, const char *name, guint i)
{
  JsonNode *node = json_object_get_member (object, name);
  JsonArray *array = node && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  JsonNode *one =
      array && i < json_array_get_length (array) ? json_array_get_element (array, i) : NULL;

  return one && JSON_NODE_HOLDS_OBJECT (one) ? json_node_get_object (one) : NULL;
}

static guint64
number_of (JsonObject *object, const char *name)
{
  return (guint64)json_object_get_int_member_with_default (object, name, -1);
}

/* So that sums cannot overflow: no machine has more. */
#define LARGEST (G_GUINT64_CONSTANT (1) << 52)

PcdRamLayout *
pcd_ram_layout_from_json (JsonObject *object, GError **error)
{
  g_autoptr (PcdRamLayout) layout = layout_new ();
  JsonObject *one;

  for (guint i = 0; (one = element_of (object, "blocks", i)); i++) {
    const char *name = json_object_get_string_member_with_default (one, "name", NULL);
    const PcdRamBlock block = {
      .name = g_strdup (name),
      .size = number_of (one, "size"),
      .has_missing = json_object_get_boolean_member_with_default (one, "has-missing", TRUE),
    };
    g_array_append_val (layout->blocks, block);
    if (block.size == 0 || block.size > LARGEST || block.size % PCD_GUEST_PAGE || i > MAX_RANGES)
      return bad (error, "blocks"), NULL;
  }
  for (guint i = 0; (one = element_of (object, "ranges", i)); i++) {
    const PcdRamRange range = { number_of (one, "address"), number_of (one, "size"),
                                (guint)number_of (one, "block"), number_of (one, "offset") };
    if (range.block >= layout->blocks->len || range.size == 0 || range.size > LARGEST ||
        range.offset > LARGEST || (range.gpa | range.size | range.offset) % PCD_GUEST_PAGE ||
        range.offset + range.size > BLOCK (layout, range.block)->size || i > MAX_RANGES)
      return bad (error, "ranges"), NULL;
    g_array_append_val (layout->ranges, range);
  }
  if (layout->blocks->len == 0)
    return bad (error, _ ("no blocks")), NULL;
  return g_steal_pointer (&layout);
}

static gboolean
may_be (const PcdRamBlock *a, const PcdRamBlock *b)
{
  return a->size == b->size && (!a->name || !b->name || g_str_equal (a->name, b->name));
}

gboolean
pcd_ram_layout_match (const PcdRamLayout *layout,
                      const PcdRamLayout *other,
                      GArray **ret_blocks,
                      GError **error)
{
  g_autoptr (GArray) blocks = g_array_new (FALSE, TRUE, sizeof (guint));

  for (guint i = 0; i < layout->blocks->len; i++) {
    const PcdRamBlock *block = BLOCK (layout, i);
    guint found = 0, which = 0;

    for (guint j = 0; j < other->blocks->len; j++)
      if (may_be (block, BLOCK (other, j))) {
        which = j;
        found++;
      }
    if (found != 1) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                   _ ("their RAM differs: block %s of %" PRIu64 " bytes is %s in the other half"),
                   block->name ? block->name : _ ("without a name"), block->size,
                   found ? _ ("there more than once") : _ ("not there"));
      return FALSE;
    }
    g_array_append_val (blocks, which);
  }
  *ret_blocks = g_steal_pointer (&blocks);
  return TRUE;
}
