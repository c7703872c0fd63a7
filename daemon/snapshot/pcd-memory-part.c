/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pages in chunks of 4 MiB, each a zstd frame of its own, so that any of them can be read alone. */
#include "snapshot/pcd-memory-part.h"

#include "host/pcd-fd.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

/* The guest may stand still while this runs: speed before size. */
#define LEVEL 1

typedef struct {
  guint64 offset;
  guint32 length;
  guint32 n_pages;
} Entry;

G_STATIC_ASSERT (sizeof (Entry) == 16);

#define BITMAP_BYTES (PCD_GUEST_CHUNK_WORDS * sizeof (guint64))

static guint64
count_chunks (guint64 size)
{
  return (size + PCD_GUEST_CHUNK - 1) / PCD_GUEST_CHUNK;
}

typedef struct {
  PcdBundlePart *pages;
  PcdBundlePart *index;
  PcdBundlePart *data;
  ZSTD_CCtx *zstd;
  guint8 *raw;
  guint8 *packed;
  gsize packed_size;
  PcdMemoryCount count;
} Writer;

static void
writer_clear (Writer *writer)
{
  ZSTD_freeCCtx (writer->zstd);
  g_free (writer->raw);
  g_free (writer->packed);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Writer, writer_clear)

static gboolean
write_chunk (Writer *writer, guint64 *bitmap, guint n_pages, GError **error)
{
  Entry entry = { .offset = pcd_bundle_part_get_size (writer->data), .n_pages = n_pages };
  gsize size = 0;

  if (n_pages > 0) {
    size = ZSTD_compressCCtx (writer->zstd, writer->packed, writer->packed_size, writer->raw,
                              n_pages * PCD_GUEST_PAGE, LEVEL);
    if (ZSTD_isError (size)) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "zstd: %s", ZSTD_getErrorName (size));
      return FALSE;
    }
  }
  entry = (Entry){ GUINT64_TO_LE (entry.offset), GUINT32_TO_LE ((guint32)size),
                   GUINT32_TO_LE (n_pages) };
  for (guint i = 0; i < PCD_GUEST_CHUNK_WORDS; i++)
    bitmap[i] = GUINT64_TO_LE (bitmap[i]);
  return pcd_bundle_part_write (writer->data, writer->packed, size, error) &&
         pcd_bundle_part_write (writer->index, &entry, sizeof entry, error) &&
         pcd_bundle_part_write (writer->pages, bitmap, BITMAP_BYTES, error);
}

static gboolean
copy_chunk (Writer *writer,
            PcdGuestMemory *memory,
            const PcdRamBlock *block,
            guint64 offset,
            GError **error)
{
  guint n_pages = (guint)(MIN (block->size - offset, PCD_GUEST_CHUNK) / PCD_GUEST_PAGE), present;
  guint64 bitmap[PCD_GUEST_CHUNK_WORDS];

  if (!pcd_guest_memory_read (memory, block->address + offset, n_pages, writer->raw, bitmap,
                              &present, error))
    return FALSE;
  writer->count.present += present;
  *(block->has_missing ? &writer->count.missing : &writer->count.zero) += n_pages - present;
  return write_chunk (writer, bitmap, present, error);
}

static gboolean
begin (Writer *writer, PcdBundle *bundle, GError **error)
{
  writer->zstd = ZSTD_createCCtx ();
  writer->raw = g_malloc (PCD_GUEST_CHUNK);
  writer->packed_size = ZSTD_compressBound (PCD_GUEST_CHUNK);
  writer->packed = g_malloc (writer->packed_size);
  return (writer->pages = pcd_bundle_begin_part (bundle, "memory.pages", error)) &&
         (writer->index = pcd_bundle_begin_part (bundle, "memory.index", error)) &&
         (writer->data = pcd_bundle_begin_part (bundle, "memory.zst", error));
}

gboolean
pcd_memory_part_write (PcdBundle *bundle,
                       PcdGuestMemory *memory,
                       const PcdRamLayout *layout,
                       PcdMemoryProgress progress,
                       gpointer data,
                       PcdMemoryCount *ret_count,
                       GError **error)
{
  const guint64 total = pcd_ram_layout_get_size (layout);
  g_auto (Writer) writer = { 0 };
  guint64 done = 0;

  if (!begin (&writer, bundle, error))
    return FALSE;
  for (guint i = 0; i < layout->blocks->len; i++) {
    const PcdRamBlock *block = &g_array_index (layout->blocks, PcdRamBlock, i);

    for (guint64 offset = 0; offset < block->size; offset += PCD_GUEST_CHUNK) {
      if (!progress (done + offset, total, data)) {
        g_set_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, _ ("called off"));
        return FALSE;
      }
      if (!copy_chunk (&writer, memory, block, offset, error))
        return FALSE;
    }
    done += block->size;
  }
  *ret_count = writer.count;
  return pcd_bundle_part_end (writer.pages, error) && pcd_bundle_part_end (writer.index, error) &&
         pcd_bundle_part_end (writer.data, error);
}

struct _PcdMemoryReader {
  char *path;
  int pages_fd;
  int index_fd;
  int data_fd;
  GArray *sizes;        /* of blocks, guint64 */
  GArray *first_chunks; /* of blocks, guint64 */
  ZSTD_DCtx *zstd;
  guint8 *raw;
  guint8 *packed;
  gsize packed_size;
  /* The chunk that is in @raw. */
  gboolean is_loaded;
  guint64 chunk;
  guint64 bitmap[PCD_GUEST_CHUNK_WORDS];
  guint before[PCD_GUEST_CHUNK_WORDS]; /* pages kept before each word */
};

static gboolean
damaged (PcdMemoryReader *self, const char *what, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, _ ("%s: %s is damaged"), self->path,
               what);
  return FALSE;
}

PcdMemoryReader *
pcd_memory_reader_open (const char *path, const PcdRamLayout *layout, GError **error)
{
  g_autoptr (PcdMemoryReader) self = g_new0 (PcdMemoryReader, 1);
  guint64 n_chunks = 0;

  self->path = g_strdup (path);
  self->index_fd = self->data_fd = -1;
  self->sizes = g_array_new (FALSE, FALSE, sizeof (guint64));
  self->first_chunks = g_array_new (FALSE, FALSE, sizeof (guint64));
  for (guint i = 0; i < layout->blocks->len; i++) {
    guint64 size = g_array_index (layout->blocks, PcdRamBlock, i).size;

    g_array_append_val (self->sizes, size);
    g_array_append_val (self->first_chunks, n_chunks);
    n_chunks += count_chunks (size);
  }
  self->zstd = ZSTD_createDCtx ();
  self->raw = g_malloc (PCD_GUEST_CHUNK);
  self->packed_size = ZSTD_compressBound (PCD_GUEST_CHUNK);
  self->packed = g_malloc (self->packed_size);
  self->pages_fd = pcd_bundle_open_part (path, "memory.pages", error);
  if (self->pages_fd >= 0)
    self->index_fd = pcd_bundle_open_part (path, "memory.index", error);
  if (self->index_fd >= 0)
    self->data_fd = pcd_bundle_open_part (path, "memory.zst", error);
  if (self->data_fd < 0)
    return NULL;
  if (lseek (self->pages_fd, 0, SEEK_END) != (off_t)(n_chunks * BITMAP_BYTES))
    return damaged (self, "memory.pages", error), NULL;
  if (lseek (self->index_fd, 0, SEEK_END) != (off_t)(n_chunks * sizeof (Entry)))
    return damaged (self, "memory.index", error), NULL;
  return g_steal_pointer (&self);
}

void
pcd_memory_reader_free (PcdMemoryReader *self)
{
  if (!self)
    return;
  pcd_close_if_open (self->pages_fd);
  pcd_close_if_open (self->index_fd);
  pcd_close_if_open (self->data_fd);
  g_array_unref (self->sizes);
  g_array_unref (self->first_chunks);
  ZSTD_freeDCtx (self->zstd);
  g_free (self->raw);
  g_free (self->packed);
  g_free (self->path);
  g_free (self);
}

static guint
take_bitmap (PcdMemoryReader *self)
{
  guint n = 0;

  for (guint i = 0; i < PCD_GUEST_CHUNK_WORDS; i++) {
    self->bitmap[i] = GUINT64_FROM_LE (self->bitmap[i]);
    self->before[i] = n;
    n += (guint)__builtin_popcountll (self->bitmap[i]);
  }
  return n;
}

static gboolean
load (PcdMemoryReader *self, guint64 chunk, GError **error)
{
  Entry entry;
  gsize size;

  if (self->is_loaded && self->chunk == chunk)
    return TRUE;
  self->is_loaded = FALSE;
  if (pread (self->pages_fd, self->bitmap, BITMAP_BYTES, (off_t)(chunk * BITMAP_BYTES)) !=
      (ssize_t)BITMAP_BYTES)
    return damaged (self, "memory.pages", error);
  if (pread (self->index_fd, &entry, sizeof entry, (off_t)(chunk * sizeof entry)) !=
      (ssize_t)sizeof entry)
    return damaged (self, "memory.index", error);
  entry = (Entry){ GUINT64_FROM_LE (entry.offset), GUINT32_FROM_LE (entry.length),
                   GUINT32_FROM_LE (entry.n_pages) };
  if (take_bitmap (self) != entry.n_pages || entry.length > self->packed_size)
    return damaged (self, "memory.index", error);
  if (entry.n_pages > 0) {
    if (pread (self->data_fd, self->packed, entry.length, (off_t)entry.offset) !=
        (ssize_t)entry.length)
      return damaged (self, "memory.zst", error);
    size = ZSTD_decompressDCtx (self->zstd, self->raw, PCD_GUEST_CHUNK, self->packed, entry.length);
    if (ZSTD_isError (size) || size != entry.n_pages * PCD_GUEST_PAGE)
      return damaged (self, "memory.zst", error);
  }
  self->is_loaded = TRUE;
  self->chunk = chunk;
  return TRUE;
}

gboolean
pcd_memory_reader_get (
    PcdMemoryReader *self, guint block, guint64 offset, const guint8 **ret_page, GError **error)
{
  g_assert (block < self->sizes->len);
  g_assert (offset < g_array_index (self->sizes, guint64, block));
  if (!load (self, g_array_index (self->first_chunks, guint64, block) + offset / PCD_GUEST_CHUNK,
             error))
    return FALSE;
  guint page = (guint)(offset % PCD_GUEST_CHUNK / PCD_GUEST_PAGE), bit = page % 64;
  guint64 word = self->bitmap[page / 64];
  guint at = self->before[page / 64] +
             (guint)__builtin_popcountll (word & ((G_GUINT64_CONSTANT (1) << bit) - 1));
  *ret_page = word >> bit & 1 ? self->raw + at * PCD_GUEST_PAGE : NULL;
  return TRUE;
}
