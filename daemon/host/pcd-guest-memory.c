/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /proc/PID/{smaps,pagemap,mem,map_files}: which guest pages are there, and what is in them.
 * Must not touch a page that is not there: every read is by way of a descriptor of /proc. */
#include "host/pcd-guest-memory.h"

#include "host/pcd-fd.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_THERE (G_GUINT64_CONSTANT (3) << 62)

struct _PcdGuestMemory {
  pid_t pid;
  int dir_fd;
  int mem_fd;
  int pagemap_fd;
  GArray *areas;
  /* The file of the shared mapping looked at last. */
  int file_fd;
  guint64 file_start;
};

static gboolean
has_flag (const char *flags, const char *flag)
{
  for (const char *at = flags; (at = strstr (at, flag)); at++)
    if ((at == flags || at[-1] == ' ') && (at[2] == ' ' || at[2] == '\0'))
      return TRUE;
  return FALSE;
}

static gboolean
is_alike (const PcdGuestArea *a, const PcdGuestArea *b)
{
  /* Shared mappings stay apart: each has its own file and offset. */
  return a->end == b->start && a->has_missing == b->has_missing && !a->shared && !b->shared &&
         a->huge == b->huge;
}

static void
add_area (GArray *areas, const PcdGuestArea *area)
{
  PcdGuestArea *last = areas->len ? &g_array_index (areas, PcdGuestArea, areas->len - 1) : NULL;

  if (last && is_alike (last, area))
    last->end = area->end;
  else
    g_array_append_vals (areas, area, 1);
}

/* "7f5e4be00000-7f5e4fe00000 rw-p 00000000 00:00 0 ", and behind it lines "Key: value". */
static gboolean
parse_head (const char *line, PcdGuestArea *ret_area, gboolean *ret_readable)
{
  char flags[5];
  guint64 start, end, offset;

  if (sscanf (line, "%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x %4s %" G_GINT64_MODIFIER "x",
              &start, &end, flags, &offset) != 4)
    return FALSE;
  *ret_area = (PcdGuestArea){ .start = start,
                              .end = end,
                              .shared = flags[3] == 's',
                              .map_start = start,
                              .map_end = end,
                              .offset = offset };
  *ret_readable = flags[0] == 'r';
  return TRUE;
}

typedef struct {
  GArray *areas;
  PcdGuestArea area;
  gboolean readable;
} Parser;

static void
parse_line (Parser *parser, const char *line)
{
  if (g_str_has_prefix (line, "VmFlags: ")) {
    parser->area.has_missing = has_flag (line + 9, "um");
    parser->area.huge = has_flag (line + 9, "ht");
    if (parser->readable)
      add_area (parser->areas, &parser->area);
    parser->readable = FALSE;
  } else if (!g_ascii_isupper (line[0])) {
    parse_head (line, &parser->area, &parser->readable);
  }
}

GArray *
pcd_guest_areas_parse (const char *smaps)
{
  Parser parser = { .areas = g_array_new (FALSE, TRUE, sizeof (PcdGuestArea)) };
  g_auto (GStrv) lines = g_strsplit (smaps, "\n", -1);

  for (guint i = 0; lines[i]; i++)
    parse_line (&parser, lines[i]);
  return parser.areas;
}

/* A QEMU has some hundred mappings, each 25 lines: line by line, so that it is not all in memory.
 */
static GArray *
read_areas (int dir_fd, GError **error)
{
  Parser parser = { 0 };
  char *line = NULL;
  size_t size = 0;
  ssize_t length;
  int fd = openat (dir_fd, "smaps", O_RDONLY | O_CLOEXEC);
  FILE *file = fd >= 0 ? fdopen (fd, "r") : NULL;

  if (!file) {
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "smaps: %s", g_strerror (errno));
    return NULL;
  }
  parser.areas = g_array_new (FALSE, TRUE, sizeof (PcdGuestArea));
  while ((length = getline (&line, &size, file)) > 0) {
    line[length - (line[length - 1] == '\n')] = '\0';
    parse_line (&parser, line);
  }
  free (line);
  fclose (file);
  return parser.areas;
}

PcdGuestMemory *
pcd_guest_memory_open (pid_t pid, GError **error)
{
  g_autoptr (PcdGuestMemory) self = g_new0 (PcdGuestMemory, 1);
  g_autofree char *path = g_strdup_printf ("/proc/%d", (int)pid);

  self->pid = pid;
  self->mem_fd = self->pagemap_fd = self->file_fd = -1;
  self->dir_fd = open (path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (self->dir_fd >= 0)
    self->mem_fd = openat (self->dir_fd, "mem", O_RDONLY | O_CLOEXEC);
  if (self->mem_fd >= 0)
    self->pagemap_fd = openat (self->dir_fd, "pagemap", O_RDONLY | O_CLOEXEC);
  if (self->pagemap_fd < 0) {
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno),
                 "the memory of process %d cannot be read: %s", (int)pid, g_strerror (errno));
    return NULL;
  }
  self->areas = read_areas (self->dir_fd, error);
  if (!self->areas) {
    g_prefix_error (error, "the memory of process %d cannot be read: ", (int)pid);
    return NULL;
  }
  if (self->areas->len == 0) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED, "process %d has ended", (int)pid);
    return NULL;
  }
  return g_steal_pointer (&self);
}

void
pcd_guest_memory_free (PcdGuestMemory *self)
{
  if (!self)
    return;
  pcd_close_if_open (self->dir_fd);
  pcd_close_if_open (self->mem_fd);
  pcd_close_if_open (self->pagemap_fd);
  pcd_close_if_open (self->file_fd);
  g_clear_pointer (&self->areas, g_array_unref);
  g_free (self);
}

GArray *
pcd_guest_memory_get_areas (PcdGuestMemory *self)
{
  return self->areas;
}

const PcdGuestArea *
pcd_guest_memory_find_area (PcdGuestMemory *self, guint64 address)
{
  guint low = 0, high = self->areas->len;

  while (low < high) {
    guint middle = (low + high) / 2;
    const PcdGuestArea *area = &g_array_index (self->areas, PcdGuestArea, middle);

    if (address < area->start)
      high = middle;
    else if (address >= area->end)
      low = middle + 1;
    else
      return area;
  }
  return NULL;
}

static gboolean
ended (PcdGuestMemory *self, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED, "process %d has ended", (int)self->pid);
  return FALSE;
}

static gboolean
failed (PcdGuestMemory *self, const char *what, GError **error)
{
  int number = errno;

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (number), "%s of process %d: %s", what,
               (int)self->pid, g_strerror (number));
  return FALSE;
}

static void
set_bit (guint64 *bitmap, guint i)
{
  bitmap[i / 64] |= G_GUINT64_CONSTANT (1) << (i % 64);
}

static void
clear_bit (guint64 *bitmap, guint i)
{
  bitmap[i / 64] &= ~(G_GUINT64_CONSTANT (1) << (i % 64));
}

static gboolean
test_bit (const guint64 *bitmap, guint i)
{
  return bitmap[i / 64] >> (i % 64) & 1;
}

static gboolean
look_in_pagemap (
    PcdGuestMemory *self, guint64 address, guint n_pages, guint64 *bitmap, GError **error)
{
  guint64 entries[PCD_GUEST_CHUNK_PAGES];
  gsize size = n_pages * sizeof entries[0];
  ssize_t n_read = pread (self->pagemap_fd, entries, size,
                          (off_t)(address / PCD_GUEST_PAGE * sizeof entries[0]));

  if (n_read < 0)
    return failed (self, "pagemap", error);
  if ((gsize)n_read != size)
    return ended (self, error);
  for (guint i = 0; i < n_pages; i++)
    if (entries[i] & PAGEMAP_THERE)
      set_bit (bitmap, i);
  return TRUE;
}

/* The link stands for the mapping, whatever became of the file's name; CAP_SYS_ADMIN or
 * CAP_CHECKPOINT_RESTORE (fs/proc/base.c, proc_map_files_get_link ()). */
static gboolean
open_file (PcdGuestMemory *self, const PcdGuestArea *area, GError **error)
{
  g_autofree char *name = g_strdup_printf (
      "map_files/%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x", area->map_start, area->map_end);

  if (self->file_fd >= 0 && self->file_start == area->map_start)
    return TRUE;
  pcd_close_if_open (self->file_fd);
  self->file_fd = openat (self->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  self->file_start = area->map_start;
  if (self->file_fd < 0 && errno == ENOENT)
    return ended (self, error);
  return self->file_fd >= 0 || failed (self, name, error);
}

/* What a shared mapping has need not be mapped here: swapped out, or written by another process
 * (vhost-user). What is in its file is there. */
static gboolean
look_in_file (PcdGuestMemory *self,
              const PcdGuestArea *area,
              guint64 address,
              guint n_pages,
              guint64 *bitmap,
              GError **error)
{
  off_t base, end, at;

  if (!open_file (self, area, error))
    return FALSE;
  base = at = (off_t)(area->offset + (address - area->map_start));
  end = base + (off_t)(n_pages * PCD_GUEST_PAGE);
  while (at < end) {
    off_t data = lseek (self->file_fd, at, SEEK_DATA), hole;

    if (data < 0 && errno != ENXIO) /* ENXIO: no more data */
      return failed (self, "SEEK_DATA in a shared mapping", error);
    if (data < 0 || data >= end)
      break;
    hole = lseek (self->file_fd, data, SEEK_HOLE);
    if (hole < 0)
      return failed (self, "SEEK_HOLE in a shared mapping", error);
    for (at = data; at < MIN (hole, end); at += (off_t)PCD_GUEST_PAGE)
      set_bit (bitmap, (guint)((guint64)(at - base) / PCD_GUEST_PAGE));
    at = hole;
  }
  return TRUE;
}

/* Reads pages FIRST to LAST, and forgets those that are not there after all. */
static gboolean
read_run (PcdGuestMemory *self,
          guint64 address,
          guint first,
          guint last,
          guint8 *buffer,
          guint64 *bitmap,
          guint *present,
          GError **error)
{
  while (first <= last) {
    gsize size = (last - first + 1) * PCD_GUEST_PAGE;
    ssize_t n_read = pread (self->mem_fd, buffer + *present * PCD_GUEST_PAGE, size,
                            (off_t)(address + first * PCD_GUEST_PAGE));
    guint n = n_read > 0 ? (guint)((gsize)n_read / PCD_GUEST_PAGE) : 0;

    if (n_read == 0)
      return ended (self, error);
    if (n_read < 0 && errno == EINTR)
      continue;
    if (n_read < 0 && errno != EIO && errno != EFAULT)
      return failed (self, "mem", error);
    *present += n;
    first += n;
    /* What stopped a short read is asked for again, alone at the front; a no is final. */
    if (n == 0)
      clear_bit (bitmap, first++);
  }
  return TRUE;
}

gboolean
pcd_guest_memory_read (PcdGuestMemory *self,
                       guint64 address,
                       guint n_pages,
                       guint8 *buffer,
                       guint64 *bitmap,
                       guint *ret_present,
                       GError **error)
{
  const PcdGuestArea *area = pcd_guest_memory_find_area (self, address);
  guint present = 0, first, last;

  g_assert (n_pages >= 1 && n_pages <= PCD_GUEST_CHUNK_PAGES);
  memset (bitmap, 0, PCD_GUEST_CHUNK_WORDS * sizeof *bitmap);
  if (!area || area->end - address < n_pages * PCD_GUEST_PAGE) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 "process %d has no such mapping: %u pages at 0x%" G_GINT64_MODIFIER "x",
                 (int)self->pid, n_pages, address);
    return FALSE;
  }
  /* hugetlbfs knows no SEEK_DATA, and does not swap. */
  if (!(area->shared && !area->huge ? look_in_file (self, area, address, n_pages, bitmap, error)
                                    : look_in_pagemap (self, address, n_pages, bitmap, error)))
    return FALSE;
  for (first = 0; first < n_pages; first = last + 1) {
    last = first;
    if (!test_bit (bitmap, first))
      continue;
    while (last + 1 < n_pages && test_bit (bitmap, last + 1))
      last++;
    if (!read_run (self, address, first, last, buffer, bitmap, &present, error))
      return FALSE;
  }
  *ret_present = present;
  return TRUE;
}
