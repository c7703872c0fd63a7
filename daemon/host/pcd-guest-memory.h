/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest pages that a QEMU process holds, read without ever touching one that is missing.
 * Must not know migrations, QMP or what the pages are kept for. */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

#define PCD_GUEST_PAGE ((gsize)4096)
/* Pages that are looked at at once: 4 MiB. */
#define PCD_GUEST_CHUNK_PAGES 1024u
#define PCD_GUEST_CHUNK       (PCD_GUEST_CHUNK_PAGES * PCD_GUEST_PAGE)
#define PCD_GUEST_CHUNK_WORDS (PCD_GUEST_CHUNK_PAGES / 64)

/**
 * PcdGuestArea: a part of the address space that belongs to one mapping, or to neighbours that are
 * the same in all of this.
 * @start: address in QEMU
 * @end: behind it
 * @has_missing: userfaultfd waits for missing pages here (smaps `VmFlags: um`): what is not there
 *   has still to come. Elsewhere what is not there is zero
 * @shared: a shared mapping (memfd, /dev/shm, hugetlbfs): what this process has mapped is not all
 *   that there is
 * @huge: of hugetlbfs
 * @map_start: where the mapping itself starts, @map_end: ends
 * @offset: of @map_start in its file
 */
typedef struct {
  guint64 start;
  guint64 end;
  gboolean has_missing;
  gboolean shared;
  gboolean huge;
  guint64 map_start;
  guint64 map_end;
  guint64 offset;
} PcdGuestArea;

typedef struct _PcdGuestMemory PcdGuestMemory;

/**
 * pcd_guest_memory_open:
 * @pid: a QEMU; needs CAP_SYS_PTRACE
 *
 * Reads smaps, which takes the target's mmap_lock for reading (not held by a thread that waits in
 * handle_userfault ()) and walks its page tables: 10 ms for 4 GiB. Not for the main loop. What is
 * opened stays with that very process, also when its number is given to another one.
 *
 * Returns: (transfer full): %NULL with #GIOError
 */
PcdGuestMemory *pcd_guest_memory_open (pid_t pid, GError **error);

void pcd_guest_memory_free (PcdGuestMemory *memory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdGuestMemory, pcd_guest_memory_free)

/**
 * pcd_guest_memory_get_areas:
 *
 * On the destination of a migration in postcopy the areas with @has_missing are exactly the RAM
 * blocks, neighbouring mappings of a block being one area (QEMU keeps a guard page between blocks,
 * util/mmap-alloc.c). On the source there is no such mark.
 *
 * Returns: (transfer none) (element-type PcdGuestArea): by address
 */
GArray *pcd_guest_memory_get_areas (PcdGuestMemory *memory);

/**
 * pcd_guest_memory_find_area:
 *
 * Returns: (transfer none) (nullable): the area that @address is in
 */
const PcdGuestArea *pcd_guest_memory_find_area (PcdGuestMemory *memory, guint64 address);

/**
 * pcd_guest_memory_read:
 * @address: on a page
 * @n_pages: 1 to %PCD_GUEST_CHUNK_PAGES
 * @buffer: (out): the pages that are there, one after the other; room for @n_pages
 * @bitmap: (out): %PCD_GUEST_CHUNK_WORDS words: bit I % 64 of word I / 64 is set if page I is there
 * @ret_present: (out): how many are
 *
 * Which pages are there is what pagemap says (bits 63, present, and 62, swapped), or for shared
 * mappings the file (SEEK_DATA). They are read by pread () of /proc/PID/mem, which answers EIO for
 * a missing page where process_vm_readv () would wait: so a page that went in between counts as
 * missing, and one that came in between as what it was before. Constant memory; any thread.
 *
 * Returns: %FALSE with %G_IO_ERROR_CLOSED if the process ended meanwhile,
 * %G_IO_ERROR_INVALID_ARGUMENT if nothing is mapped at @address
 */
gboolean pcd_guest_memory_read (PcdGuestMemory *memory,
                                guint64 address,
                                guint n_pages,
                                guint8 *buffer,
                                guint64 *bitmap,
                                guint *ret_present,
                                GError **error);

/**
 * pcd_guest_areas_parse:
 * @smaps: text of /proc/PID/smaps
 *
 * Only mappings that can be read are taken. Pure.
 *
 * Returns: (transfer full) (element-type PcdGuestArea): by address; neighbours that are alike
 * joined
 */
GArray *pcd_guest_areas_parse (const char *smaps);

G_END_DECLS
