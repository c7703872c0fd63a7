/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clusters are put one behind the other as they come; the tables that say where each is are written
 * at the end. Must not know who writes. */
#include "snapshot/pcd-disk-image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MIN_CLUSTER_BITS 16
#define MAX_CLUSTER_BITS 21 /* the format's own limit */
#define MAX_CLUSTERS     (G_GUINT64_CONSTANT (1) << 24)
#define COPIED           (G_GUINT64_CONSTANT (1) << 63) /* refcount is exactly one */
#define HEADER_SIZE      104

struct _PcdDiskImage {
  int fd;
  guint64 size;
  guint cluster_bits;
  guint64 n_clusters; /* of the disk */
  GMutex lock;
  guint32 *map;   /* of the disk's clusters: the file's, 0 for none */
  guint32 n_file; /* clusters of the file so far; the first is the header */
  int failed;     /* errno, 0 for none */
};

static guint64
cluster_size (const PcdDiskImage *self)
{
  return G_GUINT64_CONSTANT (1) << self->cluster_bits;
}

static guint64
count (guint64 amount, guint64 unit)
{
  return (amount + unit - 1) / unit;
}

PcdDiskImage *
pcd_disk_image_new (int fd, guint64 size)
{
  PcdDiskImage *self = g_new0 (PcdDiskImage, 1);

  self->fd = fd;
  self->size = size;
  self->cluster_bits = MIN_CLUSTER_BITS;
  while (self->cluster_bits < MAX_CLUSTER_BITS && size >> self->cluster_bits > MAX_CLUSTERS)
    self->cluster_bits++;
  self->n_clusters = count (size, cluster_size (self));
  self->map = g_new0 (guint32, self->n_clusters + 1);
  self->n_file = 1;
  g_mutex_init (&self->lock);
  return self;
}

void
pcd_disk_image_free (PcdDiskImage *self)
{
  if (!self)
    return;
  g_mutex_clear (&self->lock);
  g_free (self->map);
  g_free (self);
}

guint64
pcd_disk_image_get_size (const PcdDiskImage *self)
{
  return self->size;
}

static gboolean
put (PcdDiskImage *self, guint64 at, gconstpointer data, gsize size)
{
  const guint8 *next = data;

  while (size > 0 && !self->failed) {
    ssize_t n = pwrite (self->fd, next, size, (off_t)at);

    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0) {
      self->failed = n < 0 ? errno : EIO;
      break;
    }
    next += n;
    at += (guint64)n;
    size -= (gsize)n;
  }
  return !self->failed;
}

static gboolean
is_zero (const guint8 *data, gsize size)
{
  return size == 0 || (data[0] == 0 && memcmp (data, data + 1, size - 1) == 0);
}

/* Where the part of a request that lies in one cluster is in the file; 0 if nowhere. */
static guint64
place (PcdDiskImage *self, guint64 offset, guint64 size, gsize *ret_size)
{
  const guint64 within = offset & (cluster_size (self) - 1);
  const guint32 cluster = self->map[offset >> self->cluster_bits];

  *ret_size = (gsize)MIN (size, cluster_size (self) - within);
  return cluster ? ((guint64)cluster << self->cluster_bits) + within : 0;
}

static gboolean
is_inside (const PcdDiskImage *self, guint64 offset, guint64 size)
{
  return offset <= self->size && size <= self->size - offset;
}

void
pcd_disk_image_write (PcdDiskImage *self, guint64 offset, gconstpointer data, gsize size)
{
  const guint8 *next = data;
  gsize part;

  g_mutex_lock (&self->lock);
  if (!is_inside (self, offset, size) && !self->failed)
    self->failed = EINVAL;
  for (; size > 0 && !self->failed; offset += part, next += part, size -= part) {
    guint64 at = place (self, offset, size, &part);

    if (!at && is_zero (next, part))
      continue;
    if (!at) {
      /* What else is in it is a hole of the file: zeros. */
      self->map[offset >> self->cluster_bits] = self->n_file++;
      at = place (self, offset, size, &part);
    }
    put (self, at, next, part);
  }
  g_mutex_unlock (&self->lock);
}

void
pcd_disk_image_write_zeros (PcdDiskImage *self, guint64 offset, guint64 size)
{
  gsize part;

  g_mutex_lock (&self->lock);
  if (!is_inside (self, offset, size) && !self->failed)
    self->failed = EINVAL;
  for (; size > 0 && !self->failed; offset += part, size -= part) {
    const guint64 at = place (self, offset, size, &part);

    /* May lie behind the file's end, where a hole is all the same. */
    if (at && fallocate (self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
                         (off_t)part) < 0) {
      g_autofree guint8 *zeros = g_malloc0 (part);
      put (self, at, zeros, part);
    }
  }
  g_mutex_unlock (&self->lock);
}

void
pcd_disk_image_read (PcdDiskImage *self, guint64 offset, gpointer data, gsize size)
{
  guint8 *next = data;
  gsize part;

  memset (data, 0, size);
  g_mutex_lock (&self->lock);
  if (!is_inside (self, offset, size))
    size = 0;
  for (; size > 0; offset += part, next += part, size -= part) {
    const guint64 at = place (self, offset, size, &part);
    gsize done = 0;
    ssize_t n = 1;

    while (at && done < part && n > 0) {
      n = pread (self->fd, next + done, part - done, (off_t)(at + done));
      done += n > 0 ? (gsize)n : 0;
    }
  }
  g_mutex_unlock (&self->lock);
}

void
pcd_disk_image_abandon (PcdDiskImage *self)
{
  g_mutex_lock (&self->lock);
  self->failed = ECANCELED;
  self->fd = -1;
  g_mutex_unlock (&self->lock);
}

static gboolean
tell (PcdDiskImage *self, GError **error)
{
  if (self->failed)
    g_set_error (error, G_IO_ERROR, (gint)g_io_error_from_errno (self->failed),
                 "the copy cannot be written: %s", g_strerror (self->failed));
  return !self->failed;
}

gboolean
pcd_disk_image_check (PcdDiskImage *self, GError **error)
{
  gboolean good;

  g_mutex_lock (&self->lock);
  good = tell (self, error);
  g_mutex_unlock (&self->lock);
  return good;
}

/* ---- the tables ---- */

typedef struct {
  guint64 per_l2;      /* clusters that one L2 table tells of */
  guint64 n_l1;        /* entries */
  guint64 l1_at;       /* byte */
  guint64 refcount_at; /* of the table */
  guint64 n_refcount;  /* clusters of the table */
} Tables;

static guint64
take (PcdDiskImage *self, guint64 n_clusters)
{
  const guint64 at = (guint64)self->n_file << self->cluster_bits;

  self->n_file += (guint32)n_clusters;
  return at;
}

/* 0 if the disk's clusters of that table are all zeros. */
static guint64
write_l2 (PcdDiskImage *self, const Tables *tables, guint64 index)
{
  g_autofree guint64 *entries = g_new0 (guint64, tables->per_l2);
  const guint64 first = index * tables->per_l2;
  const guint64 n = MIN (tables->per_l2, self->n_clusters - first);
  gboolean any = FALSE;
  guint64 at;

  for (guint64 i = 0; i < n; i++) {
    const guint64 cluster = self->map[first + i];

    any |= cluster != 0;
    entries[i] = cluster ? GUINT64_TO_BE ((cluster << self->cluster_bits) | COPIED) : 0;
  }
  if (!any)
    return 0;
  at = take (self, 1);
  put (self, at, entries, cluster_size (self));
  return at;
}

static void
write_l1 (PcdDiskImage *self, Tables *tables)
{
  const guint64 n_clusters = count (tables->n_l1 * 8, cluster_size (self));
  g_autofree guint64 *entries = g_malloc0 (n_clusters << self->cluster_bits);

  for (guint64 i = 0; i < tables->n_l1 && !self->failed; i++) {
    const guint64 at = write_l2 (self, tables, i);
    entries[i] = at ? GUINT64_TO_BE (at | COPIED) : 0;
  }
  tables->l1_at = take (self, n_clusters);
  put (self, tables->l1_at, entries, n_clusters << self->cluster_bits);
}

/* Every cluster of the file counts one, those of the counts themselves, too. */
static void
write_refcounts (PcdDiskImage *self, Tables *tables)
{
  const guint64 per_block = cluster_size (self) / sizeof (guint16);
  const guint64 per_table = cluster_size (self) / sizeof (guint64);
  guint64 n_blocks = 0, n_table = 0, n_all, wanted;
  g_autofree guint64 *table = NULL;
  g_autofree guint16 *block = g_malloc (cluster_size (self));

  do {
    n_all = self->n_file + n_blocks + n_table;
    wanted = count (n_all, per_block);
    n_table = count (MAX (wanted, 1), per_table);
  } while (wanted != n_blocks && (n_blocks = wanted, TRUE));
  n_all = self->n_file + n_blocks + n_table;
  table = g_malloc0 (n_table << self->cluster_bits);
  for (guint64 i = 0; i < n_blocks && !self->failed; i++) {
    const guint64 at = take (self, 1);

    table[i] = GUINT64_TO_BE (at);
    for (guint64 k = 0; k < per_block; k++)
      block[k] = i * per_block + k < n_all ? GUINT16_TO_BE (1) : 0;
    put (self, at, block, cluster_size (self));
  }
  tables->n_refcount = n_table;
  tables->refcount_at = take (self, n_table);
  put (self, tables->refcount_at, table, n_table << self->cluster_bits);
}

static void
put32 (guint8 *header, gsize at, guint64 value)
{
  const guint32 big = GUINT32_TO_BE ((guint32)value);

  memcpy (header + at, &big, sizeof big);
}

static void
put64 (guint8 *header, gsize at, guint64 value)
{
  const guint64 big = GUINT64_TO_BE (value);

  memcpy (header + at, &big, sizeof big);
}

static void
write_header (PcdDiskImage *self, const Tables *tables)
{
  guint8 header[HEADER_SIZE + 8] = { 'Q', 'F', 'I', 0xfb }; /* the rest: the end of extensions */

  put32 (header, 4, 3);
  put32 (header, 20, self->cluster_bits);
  put64 (header, 24, self->size);
  put32 (header, 36, tables->n_l1);
  put64 (header, 40, tables->l1_at);
  put64 (header, 48, tables->refcount_at);
  put32 (header, 56, tables->n_refcount);
  put32 (header, 96, 4); /* refcounts of 1 << 4 bits */
  put32 (header, 100, HEADER_SIZE);
  put (self, 0, header, sizeof header);
}

gboolean
pcd_disk_image_finish (PcdDiskImage *self, GError **error)
{
  Tables tables = { .per_l2 = cluster_size (self) / sizeof (guint64) };
  gboolean good;

  g_mutex_lock (&self->lock);
  tables.n_l1 = count (self->n_clusters, tables.per_l2);
  write_l1 (self, &tables);
  write_refcounts (self, &tables);
  if (!self->failed)
    write_header (self, &tables);
  /* The last cluster may end in a hole. */
  if (!self->failed &&
      ftruncate (self->fd, (off_t)((guint64)self->n_file << self->cluster_bits)) < 0)
    self->failed = errno;
  good = tell (self, error);
  g_mutex_unlock (&self->lock);
  return good;
}
