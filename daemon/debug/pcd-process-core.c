/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ELF: a header, a program header per area, notes with registers and auxv, and the pages.
 * Must not touch a page that is missing. */
#include "debug/pcd-process-core.h"

#include "core/pcd-elf.h"
#include "debug/pcd-hold.h"
#include "host/pcd-guest-memory.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

#define STAND_USEC (2 * G_USEC_PER_SEC)

typedef struct {
  pid_t pid;
  int fd;
  gint64 until;
  PcdGuestMemory *memory;
  GByteArray *notes;
  GArray *headers; /* Elf64_Phdr, the notes' first */
  PcdCoreFigures figures;
} Core;

static void
add_notes (Core *self, const GArray *threads)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/auxv", (int)self->pid);
  g_autofree char *auxv = NULL;
  gsize size = 0;

  for (guint i = 0; i < threads->len; i++) {
    const PcdHeldThread *thread = &g_array_index (threads, PcdHeldThread, i);
    struct elf_prstatus status = { .pr_pid = thread->tid };

    memcpy (&status.pr_reg, &thread->regs, sizeof thread->regs);
    pcd_elf_add_note (self->notes, NT_PRSTATUS, &status, sizeof status);
    if (i == 0 && g_file_get_contents (path, &auxv, &size, NULL)) /* where a debugger expects it */
      pcd_elf_add_note (self->notes, NT_AUXV, auxv, size);
  }
  self->figures.n_threads = threads->len;
}

static gboolean
is_kept (const PcdGuestArea *area)
{
  return !area->has_missing && !area->shared;
}

static void
add_headers (Core *self, const GArray *areas)
{
  guint64 at = sizeof (Elf64_Ehdr) + (areas->len + 1) * sizeof (Elf64_Phdr);
  Elf64_Phdr header = { .p_type = PT_NOTE, .p_offset = at, .p_filesz = self->notes->len };

  g_array_append_val (self->headers, header);
  at = (at + self->notes->len + PCD_GUEST_PAGE - 1) / PCD_GUEST_PAGE * PCD_GUEST_PAGE;
  for (guint i = 0; i < areas->len; i++) {
    const PcdGuestArea *area = &g_array_index (areas, PcdGuestArea, i);

    header = (Elf64_Phdr){ .p_type = PT_LOAD,
                           .p_flags = PF_R,
                           .p_offset = at,
                           .p_vaddr = area->start,
                           .p_filesz = is_kept (area) ? area->end - area->start : 0,
                           .p_memsz = area->end - area->start,
                           .p_align = PCD_GUEST_PAGE };
    g_array_append_val (self->headers, header);
    at += header.p_filesz;
  }
}

static gboolean
put (Core *self, const void *data, gsize size, guint64 offset, GError **error)
{
  const guint8 *at = data;

  while (size > 0) {
    gssize n = pwrite (self->fd, at, size, (off_t)offset);
    if (n < 0 && errno != EINTR) {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "cannot write the core: %s",
                   g_strerror (errno));
      return FALSE;
    }
    if (n > 0) {
      at += n;
      offset += (guint64)n;
      size -= (gsize)n;
    }
  }
  return TRUE;
}

static gboolean
put_head (Core *self, GError **error)
{
  const Elf64_Phdr *headers = (const Elf64_Phdr *)(gpointer)self->headers->data;
  const Elf64_Ehdr head = pcd_elf_core_header (self->headers->len);

  return put (self, &head, sizeof head, 0, error) &&
         put (self, headers, self->headers->len * sizeof *headers, sizeof head, error) &&
         put (self, self->notes->data, self->notes->len, headers[0].p_offset, error);
}

/* The pages that are there lie one after the other in @buffer. */
static gboolean
put_pages (Core *self,
           const guint8 *buffer,
           const guint64 *bitmap,
           guint n,
           guint64 offset,
           GError **error)
{
  for (guint i = 0; i < n; i++) {
    guint run = 0;

    while (i + run < n && bitmap[(i + run) / 64] >> ((i + run) % 64) & 1)
      run++;
    if (run == 0)
      continue;
    if (!put (self, buffer, run * PCD_GUEST_PAGE, offset + i * PCD_GUEST_PAGE, error))
      return FALSE;
    buffer += run * PCD_GUEST_PAGE;
    self->figures.n_bytes += run * PCD_GUEST_PAGE;
    i += run;
  }
  return TRUE;
}

static gboolean
put_area (Core *self, const Elf64_Phdr *header, guint8 *buffer, GError **error)
{
  guint64 bitmap[PCD_GUEST_CHUNK_WORDS];
  guint present;

  for (guint64 done = 0; done < header->p_filesz; done += PCD_GUEST_CHUNK) {
    guint n = (guint)(MIN (header->p_filesz - done, PCD_GUEST_CHUNK) / PCD_GUEST_PAGE);

    if (g_get_monotonic_time () >= self->until) {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                           "the core was not written within the limit");
      return FALSE;
    }
    if (!pcd_guest_memory_read (self->memory, header->p_vaddr + done, n, buffer, bitmap, &present,
                                error) ||
        !put_pages (self, buffer, bitmap, n, header->p_offset + done, error))
      return FALSE;
  }
  return TRUE;
}

/* While the process stands still. */
static gboolean
write_core (GArray *threads, gpointer data, GError **error)
{
  Core *self = data;
  g_autofree guint8 *buffer = g_malloc (PCD_GUEST_CHUNK);

  self->memory = pcd_guest_memory_open (self->pid, error);
  if (!self->memory)
    return FALSE;
  add_notes (self, threads);
  add_headers (self, pcd_guest_memory_get_areas (self->memory));
  if (!put_head (self, error))
    return FALSE;
  const Elf64_Phdr *headers = (const Elf64_Phdr *)(gpointer)self->headers->data;
  for (guint i = 1; i < self->headers->len; i++)
    if (!put_area (self, &headers[i], buffer, error))
      return FALSE;
  /* The last hole. */
  const Elf64_Phdr *last = &headers[self->headers->len - 1];
  if (ftruncate (self->fd, (off_t)(last->p_offset + last->p_filesz)) < 0) {
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "cannot write the core: %s",
                 g_strerror (errno));
    return FALSE;
  }
  return TRUE;
}

gboolean
pcd_process_core_write (
    pid_t pid, int fd, gint64 until, PcdCoreFigures *ret_figures, GError **error)
{
  g_autoptr (GByteArray) notes = g_byte_array_new ();
  g_autoptr (GArray) headers = g_array_new (FALSE, TRUE, sizeof (Elf64_Phdr));
  Core core = { .pid = pid, .fd = fd, .until = until, .notes = notes, .headers = headers };
  gint64 stand_until = MIN (until, g_get_monotonic_time () + STAND_USEC);
  gboolean ok = pcd_hold_run (pid, stand_until, write_core, &core, &core.figures.held_usec, error);

  g_clear_pointer (&core.memory, pcd_guest_memory_free);
  if (ok)
    *ret_figures = core.figures;
  return ok;
}
