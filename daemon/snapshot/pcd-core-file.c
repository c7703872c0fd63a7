/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ELF header, program headers, a note per vCPU, memory with holes. */
#include "snapshot/pcd-core-file.h"

#include "core/pcd-elf.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <stdio.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

struct _PcdCoreFile {
  char *path;
  char *temporary;
  int fd;
  GArray *offsets; /* of the segments in the file, guint64 */
};

#if defined(__x86_64__)
/* struct user_regs_struct, by the names of `info registers` (target/i386/cpu-dump.c). */
static const char *const names[] = {
  "R15", "R14", "R13", "R12", "RBP", "RBX", "R11", "R10", "R9 ", "R8 ", "RAX", "RCX", "RDX", "RSI",
  "RDI", "",    "RIP", "CS ", "RFL", "RSP", "SS ", "",    "",    "DS ", "ES ", "FS ", "GS ",
};

G_STATIC_ASSERT (G_N_ELEMENTS (names) == ELF_NGREG);

static void
fill_registers (elf_gregset_t *registers, const char *text)
{
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *key = g_strconcat (names[i], "=", NULL);
    const char *at = *names[i] ? strstr (text, key) : NULL;

    (*registers)[i] = at ? g_ascii_strtoull (at + strlen (key), NULL, 16) : 0;
  }
}
#else
static void
fill_registers (elf_gregset_t *registers, const char *text)
{
}
#endif

static void
add_note (GByteArray *notes, guint number, const char *text)
{
  struct elf_prstatus status = { 0 };

  status.pr_pid = (pid_t)number + 1; /* as dump-guest-memory numbers them */
  if (text)
    fill_registers (&status.pr_reg, text);
  pcd_elf_add_note (notes, NT_PRSTATUS, &status, sizeof status);
}

GByteArray *
pcd_core_notes (const char *registers)
{
  GByteArray *notes = g_byte_array_new ();
  g_auto (GStrv) cpus = g_strsplit (registers ? registers : "", "CPU#", -1);

  /* The first is what stands before the first vCPU. */
  for (guint i = 1; cpus[0] && cpus[i]; i++)
    add_note (notes, i - 1, cpus[i]);
  if (notes->len == 0)
    add_note (notes, 0, NULL);
  return notes;
}

static gboolean
failed (PcdCoreFile *self, GError **error)
{
  int number = errno;

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (number), "%s: %s", self->path,
               g_strerror (number));
  return FALSE;
}

static gboolean
write_at (PcdCoreFile *self, gconstpointer data, gsize size, guint64 offset, GError **error)
{
  const guint8 *at = data;

  while (size > 0) {
    ssize_t n = pwrite (self->fd, at, size, (off_t)offset);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return failed (self, error);
    at += n;
    offset += (guint64)n;
    size -= (gsize)n;
  }
  return TRUE;
}

static guint64
round_up (guint64 size)
{
  return (size + PCD_GUEST_PAGE - 1) & ~((guint64)PCD_GUEST_PAGE - 1);
}

static gboolean
write_heads (PcdCoreFile *self,
             const PcdRamRange *ranges,
             guint n_ranges,
             const char *registers,
             GError **error)
{
  g_autoptr (GByteArray) notes = pcd_core_notes (registers);
  g_autofree Elf64_Phdr *heads = g_new0 (Elf64_Phdr, n_ranges + 1);
  const Elf64_Ehdr elf = pcd_elf_core_header (n_ranges + 1);
  guint64 notes_at = sizeof elf + (n_ranges + 1) * sizeof heads[0];
  guint64 at = round_up (notes_at + notes->len);

  heads[0] = (Elf64_Phdr){
    .p_type = PT_NOTE, .p_offset = notes_at, .p_filesz = notes->len, .p_memsz = notes->len
  };
  for (guint i = 0; i < n_ranges; i++) {
    heads[i + 1] = (Elf64_Phdr){ .p_type = PT_LOAD,
                                 .p_flags = PF_R | PF_W,
                                 .p_offset = at,
                                 .p_vaddr = ranges[i].gpa,
                                 .p_paddr = ranges[i].gpa,
                                 .p_filesz = ranges[i].size,
                                 .p_memsz = ranges[i].size };
    g_array_append_val (self->offsets, at);
    at += ranges[i].size;
  }
  return write_at (self, &elf, sizeof elf, 0, error) &&
         write_at (self, heads, (n_ranges + 1) * sizeof heads[0], sizeof elf, error) &&
         write_at (self, notes->data, notes->len, notes_at, error) &&
         (ftruncate (self->fd, (off_t)at) == 0 || failed (self, error));
}

PcdCoreFile *
pcd_core_file_new (const char *path,
                   const PcdRamRange *ranges,
                   guint n_ranges,
                   const char *registers,
                   GError **error)
{
  g_autoptr (PcdCoreFile) self = g_new0 (PcdCoreFile, 1);

  self->path = g_strdup (path);
  self->offsets = g_array_new (FALSE, FALSE, sizeof (guint64));
  self->fd = -1;
  if (access (path, F_OK) == 0) {
    errno = EEXIST;
    failed (self, error);
    return NULL;
  }
  self->temporary = g_strconcat (path, ".partial-XXXXXX", NULL);
  self->fd = g_mkstemp_full (self->temporary, O_RDWR | O_CLOEXEC, 0600);
  if (self->fd < 0) {
    failed (self, error);
    g_clear_pointer (&self->temporary, g_free);
    return NULL;
  }
  return write_heads (self, ranges, n_ranges, registers, error) ? g_steal_pointer (&self) : NULL;
}

static gboolean
is_zero (const guint8 *data, gsize size)
{
  return data[0] == 0 && memcmp (data, data + 1, size - 1) == 0;
}

gboolean
pcd_core_file_put (PcdCoreFile *self,
                   guint segment,
                   guint64 offset,
                   gconstpointer data,
                   gsize size,
                   GError **error)
{
  return is_zero (data, size) ||
         write_at (self, data, size, g_array_index (self->offsets, guint64, segment) + offset,
                   error);
}

gboolean
pcd_core_file_commit (PcdCoreFile *self, GError **error)
{
  if (fsync (self->fd) < 0 ||
      renameat2 (AT_FDCWD, self->temporary, AT_FDCWD, self->path, RENAME_NOREPLACE) < 0)
    return failed (self, error);
  g_clear_pointer (&self->temporary, g_free);
  return TRUE;
}

void
pcd_core_file_free (PcdCoreFile *self)
{
  if (!self)
    return;
  if (self->temporary)
    unlink (self->temporary);
  if (self->fd >= 0)
    close (self->fd);
  g_array_unref (self->offsets);
  g_free (self->temporary);
  g_free (self->path);
  g_free (self);
}
