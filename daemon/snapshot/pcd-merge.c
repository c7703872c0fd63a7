/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether two halves belong together, and page by page which of them is right.
 * Must not know the format of the core: pcd-core-file.h. */
#include "snapshot/pcd-merge.h"

#include "core/pcd-json.h"
#include "core/pcd-record.h"
#include "snapshot/pcd-core-file.h"

#include <gio/gio.h>
#include <glib/gi18n.h>
#include <inttypes.h>
#include <string.h>

/* The destination's QEMU is started seconds before the source's counts its time; clocks of hosts
 * that know of no common time may differ more, then the connection has to do. */
#define BEGAN_APART (60 * G_USEC_PER_SEC)

/* Asked once for so many bytes of the core. */
#define STEP (1024 * 1024)

typedef struct {
  PcdMergeGoOn go_on; /* (nullable) */
  gpointer data;
  const char *what;
} News;

typedef struct {
  const char *path;
  JsonObject *manifest;
  PcdRamLayout *layout;
  PcdMemoryReader *reader;
} Half;

static void
half_clear (Half *half)
{
  g_clear_pointer (&half->manifest, json_object_unref);
  g_clear_pointer (&half->layout, pcd_ram_layout_free);
  g_clear_pointer (&half->reader, pcd_memory_reader_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Half, half_clear)

static gboolean G_GNUC_PRINTF (2, 3) refuse (GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  if (error)
    *error = g_error_new_valist (G_IO_ERROR, G_IO_ERROR_INVALID_DATA, format, args);
  va_end (args);
  return FALSE;
}

static gboolean
on_read (guint64 done, guint64 total, gpointer data)
{
  const News *news = data;

  return !news->go_on || news->go_on (news->what, done, total, news->data);
}

static gboolean
open_half (Half *half, const char *path, const char *role, News *news, GError **error)
{
  JsonObject *memory;

  half->path = path;
  half->manifest = pcd_bundle_read_manifest (path, error);
  if (!half->manifest)
    return FALSE;
  if (g_strcmp0 (pcd_json_get_string (half->manifest, "role"), role) != 0)
    return refuse (error, _ ("%s: expected the snapshot of a %s, this is one of a %s"), path, role,
                   pcd_json_get_string (half->manifest, "role"));
  news->what = g_str_equal (role, "source") ? _ ("checking the source's snapshot")
                                            : _ ("checking the destination's snapshot");
  if (!pcd_bundle_verify (path, half->manifest, on_read, news, error))
    return FALSE;
  memory = pcd_json_get_object (half->manifest, "memory");
  half->layout = memory ? pcd_ram_layout_from_json (memory, error) : NULL;
  if (!memory)
    return refuse (error, _ ("%s: it has no memory"), path);
  if (half->layout)
    half->reader = pcd_memory_reader_open (path, half->layout, error);
  return half->reader != NULL;
}

static gboolean
are_of_one_migration (const Half *source, const Half *destination, GError **error)
{
  JsonObject *a = pcd_json_get_object (source->manifest, "migration"),
             *b = pcd_json_get_object (destination->manifest, "migration");
  const char *one = pcd_json_get_string (a, "connection"),
             *other = pcd_json_get_string (b, "connection");
  const gint64 began = pcd_time_from_rfc3339 (pcd_json_get_string (a, "began"));
  const gint64 started = pcd_time_from_rfc3339 (pcd_json_get_string (b, "began"));

  if (g_strcmp0 (
          pcd_json_get_string (pcd_json_get_object (source->manifest, "domain"), "uuid"),
          pcd_json_get_string (pcd_json_get_object (destination->manifest, "domain"), "uuid")) != 0)
    return refuse (error, _ ("they are of different domains"));
  if (one && other)
    return g_str_equal (one, other) ||
           refuse (error, _ ("they are of different migrations: connections %s and %s"), one,
                   other);
  if (began < 0 || started < 0)
    return refuse (error, _ ("nothing tells that they are of the same migration: neither knows the "
                             "other's connection or begin"));
  return ABS (began - started) <= BEGAN_APART ||
         refuse (error, _ ("they are of different migrations: begun %.0f s apart"),
                 (double)ABS (began - started) / G_USEC_PER_SEC);
}

typedef struct {
  Half *source;
  Half *destination;
  const PcdRamLayout *ranges; /* the layout with the ranges */
  gboolean ranges_are_destination;
  GArray *blocks; /* block of @ranges -> block of the other half */
  gboolean mark_missing;
  News *news;
  guint64 written; /* of the core, in bytes of the guest */
  guint64 total;
  PcdCoreFile *core;
  PcdMergeCount count;
} Merge;

/* (nullable): the right bytes; not if they are zero or missing. */
static gboolean
choose (Merge *merge,
        guint block,
        guint64 offset,
        const guint8 **ret_page,
        guint64 **ret_counter,
        GError **error)
{
  guint other = g_array_index (merge->blocks, guint, block);
  guint in_source = merge->ranges_are_destination ? other : block;
  guint in_destination = merge->ranges_are_destination ? block : other;

  *ret_counter = &merge->count.destination;
  if (!pcd_memory_reader_get (merge->destination->reader, in_destination, offset, ret_page, error))
    return FALSE;
  if (*ret_page)
    return TRUE;
  *ret_counter = &merge->count.zero;
  if (!g_array_index (merge->destination->layout->blocks, PcdRamBlock, in_destination).has_missing)
    return TRUE;
  if (!pcd_memory_reader_get (merge->source->reader, in_source, offset, ret_page, error))
    return FALSE;
  if (*ret_page)
    *ret_counter = &merge->count.source;
  else if (g_array_index (merge->source->layout->blocks, PcdRamBlock, in_source).has_missing)
    *ret_counter = &merge->count.missing;
  return TRUE;
}

static gboolean
write_range (Merge *merge, const PcdRamRange *range, guint segment, GError **error)
{
  guint8 mark[PCD_GUEST_PAGE];

  for (gsize i = 0; i < sizeof mark; i += strlen (PCD_MERGE_MARK))
    memcpy (mark + i, PCD_MERGE_MARK, strlen (PCD_MERGE_MARK));
  for (guint64 at = 0; at < range->size; at += PCD_GUEST_PAGE) {
    const guint8 *page = NULL;
    guint64 *counter = NULL;

    if (merge->written % STEP == 0 && !on_read (merge->written, merge->total, merge->news)) {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, _ ("interrupted"));
      return FALSE;
    }
    merge->written += PCD_GUEST_PAGE;
    if (!choose (merge, range->block, range->offset + at, &page, &counter, error))
      return FALSE;
    ++*counter;
    if (counter == &merge->count.missing)
      page = mark;
    if (page && !pcd_core_file_put (merge->core, segment, at, page, PCD_GUEST_PAGE, error))
      return FALSE;
  }
  return TRUE;
}

/* (transfer full) (nullable): the vCPUs' registers at the moment of the destination's half. */
static char *
read_registers (const Half *destination)
{
  g_autofree char *path = g_build_filename (destination->path, "registers.txt", NULL);
  char *text = NULL;

  g_file_get_contents (path, &text, NULL, NULL);
  return text;
}

static gboolean
write_core (Merge *merge, const char *output, GError **error)
{
  GArray *ranges = merge->ranges->ranges;
  g_autofree char *registers = read_registers (merge->destination);
  g_autoptr (PcdCoreFile) core = pcd_core_file_new (
      output, (const PcdRamRange *)(gpointer)ranges->data, ranges->len, registers, error);

  merge->core = core;
  if (!core)
    return FALSE;
  merge->news->what = _ ("writing the core");
  for (guint i = 0; i < ranges->len; i++)
    merge->total += g_array_index (ranges, PcdRamRange, i).size;
  for (guint i = 0; i < ranges->len; i++)
    if (!write_range (merge, &g_array_index (ranges, PcdRamRange, i), i, error))
      return FALSE;
  if (merge->count.missing > 0 && !merge->mark_missing)
    return refuse (
        error,
        ngettext ("%" PRIu64 " page is on neither side; --mark-missing fills it with \"%s\"",
                  "%" PRIu64 " pages are on neither side; --mark-missing fills them with \"%s\"",
                  (gulong)merge->count.missing),
        merge->count.missing, PCD_MERGE_MARK);
  return pcd_core_file_commit (core, error);
}

gboolean
pcd_merge (const char *source_path,
           const char *destination_path,
           const char *output,
           gboolean mark_missing,
           PcdMergeGoOn go_on,
           gpointer data,
           PcdMergeCount *ret_count,
           GError **error)
{
  g_auto (Half) source = { 0 }, destination = { 0 };
  g_autoptr (GArray) blocks = NULL;
  News news = { go_on, data, NULL };
  Merge merge = {
    .source = &source, .destination = &destination, .mark_missing = mark_missing, .news = &news
  };
  JsonObject *guest;

  if (!open_half (&source, source_path, "source", &news, error) ||
      !open_half (&destination, destination_path, "destination", &news, error) ||
      !are_of_one_migration (&source, &destination, error))
    return FALSE;
  merge.ranges_are_destination = destination.layout->ranges->len > 0;
  merge.ranges = merge.ranges_are_destination ? destination.layout : source.layout;
  if (merge.ranges->ranges->len == 0)
    return refuse (error, _ ("neither half knows where the guest sees its RAM"));
  if (!pcd_ram_layout_match (merge.ranges,
                             merge.ranges_are_destination ? source.layout : destination.layout,
                             &blocks, error))
    return FALSE;
  merge.blocks = blocks;
  if (!write_core (&merge, output, error))
    return FALSE;
  guest = pcd_json_get_object (destination.manifest, "guest");
  merge.count.is_consistent = pcd_json_get_boolean (guest, "consistent");
  *ret_count = merge.count;
  return TRUE;
}
