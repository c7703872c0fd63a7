/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Header and notes of an ELF core, 64 bits wide: QEMU's KVM hosts are.
 * Must not know what is in the segments. */
#include "core/pcd-elf.h"

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#define MACHINE EM_NONE
#endif

Elf64_Ehdr
pcd_elf_core_header (guint n_segments)
{
  return (Elf64_Ehdr){
    .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
                 G_BYTE_ORDER == G_LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB, EV_CURRENT },
    .e_type = ET_CORE,
    .e_machine = MACHINE,
    .e_version = EV_CURRENT,
    .e_phoff = sizeof (Elf64_Ehdr),
    .e_ehsize = sizeof (Elf64_Ehdr),
    .e_phentsize = sizeof (Elf64_Phdr),
    .e_phnum = (Elf64_Half)n_segments,
  };
}

static void
add_padded (GByteArray *notes, gconstpointer data, gsize size)
{
  static const guint8 zeros[4] = { 0 };

  g_byte_array_append (notes, data, (guint)size);
  g_byte_array_append (notes, zeros, (guint)(-size & 3));
}

void
pcd_elf_add_note (GByteArray *notes, guint32 type, gconstpointer data, gsize size)
{
  const Elf64_Nhdr head = { .n_namesz = 5, .n_descsz = (Elf64_Word)size, .n_type = type };

  add_padded (notes, &head, sizeof head);
  add_padded (notes, "CORE", 5);
  add_padded (notes, data, size);
}
