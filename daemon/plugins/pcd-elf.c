/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A small reader of ELF: just enough to find one exported variable and the strings it points to.
 * Takes every number in the file for a lie until it was checked. */
#include "plugins/pcd-elf.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <inttypes.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYMBOL "postcopyd_plugin"

/* Far more than a module of any size has. */
#define MAX_TABLE  (64 * 1024 * 1024)
#define MAX_STRING 256

#if __ELF_NATIVE_CLASS == 64
#define NATIVE_CLASS  ELFCLASS64
#define ST_TYPE(info) ELF64_ST_TYPE (info)
#define ST_BIND(info) ELF64_ST_BIND (info)
#define R_TYPE(info)  ELF64_R_TYPE (info)
#else
#define NATIVE_CLASS  ELFCLASS32
#define ST_TYPE(info) ELF32_ST_TYPE (info)
#define ST_BIND(info) ELF32_ST_BIND (info)
#define R_TYPE(info)  ELF32_R_TYPE (info)
#endif
#define NATIVE_DATA (G_BYTE_ORDER == G_LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB)

typedef struct {
  int fd;
  guint64 size;
  ElfW (Ehdr) header;
  ElfW (Phdr) * segments;
  ElfW (Shdr) * sections; /* NULL if there are none */
} Elf;

static void
elf_clear (Elf *elf)
{
  g_free (elf->segments);
  g_free (elf->sections);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Elf, elf_clear)

static gboolean refuse (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Always %FALSE. */
static gboolean
refuse (GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, text);
  return FALSE;
}

static gboolean
read_at (const Elf *elf, guint64 offset, gpointer buffer, gsize size)
{
  gsize have = 0;

  if (offset > elf->size || size > elf->size - offset)
    return FALSE;
  while (have < size) {
    const gssize n = pread (elf->fd, (char *)buffer + have, size - have, (off_t)(offset + have));
    if (n <= 0)
      return FALSE;
    have += (gsize)n;
  }
  return TRUE;
}

/* (transfer full): @size bytes and a NUL behind them. */
static gpointer
read_table (const Elf *elf, guint64 offset, guint64 size)
{
  g_autofree char *table = NULL;

  if (size > MAX_TABLE || size > elf->size)
    return NULL;
  table = g_malloc0 (size + 1);
  return read_at (elf, offset, table, size) ? g_steal_pointer (&table) : NULL;
}

/* This very program's. */
static guint
native_machine (void)
{
  ElfW (Ehdr) header = { 0 };
  int fd = open ("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  const gboolean ok = fd >= 0 && pread (fd, &header, sizeof header, 0) == sizeof header;

  if (fd >= 0)
    close (fd);
  return ok ? header.e_machine : EM_NONE;
}

static gboolean
read_header (Elf *elf, GError **error)
{
  ElfW (Ehdr) *header = &elf->header;
  const guint machine = native_machine ();

  if (!read_at (elf, 0, header->e_ident, EI_NIDENT) ||
      memcmp (header->e_ident, ELFMAG, SELFMAG) != 0)
    return refuse (error, _ ("is not an ELF file, expected a shared object"));
  if (header->e_ident[EI_CLASS] != NATIVE_CLASS || header->e_ident[EI_DATA] != NATIVE_DATA)
    return refuse (
        error,
        _ ("is for another architecture: its word size or byte order is not this machine's"));
  if (!read_at (elf, 0, header, sizeof *header))
    return refuse (error, _ ("is cut off: %" PRIu64 " bytes, expected a whole ELF header"),
                   elf->size);
  if (header->e_machine != machine)
    return refuse (error, _ ("is for another architecture: ELF machine %u, expected %u"),
                   header->e_machine, machine);
  if (header->e_type != ET_DYN)
    return refuse (error, _ ("is of ELF type %u, expected %u, a shared object"), header->e_type,
                   ET_DYN);
  return TRUE;
}

static gboolean
read_segments (Elf *elf, GError **error)
{
  const ElfW (Ehdr) *header = &elf->header;

  if (header->e_phentsize != sizeof (ElfW (Phdr)) || header->e_phnum == 0 ||
      header->e_phnum == PN_XNUM)
    return refuse (error, _ ("has no segments, expected a shared object"));
  elf->segments =
      read_table (elf, header->e_phoff, (guint64)header->e_phnum * sizeof (ElfW (Phdr)));
  if (!elf->segments)
    return refuse (error, _ ("is cut off in its segment table"));
  for (guint i = 0; i < header->e_phnum; i++) {
    const ElfW (Phdr) *segment = &elf->segments[i];
    if (segment->p_type == PT_LOAD &&
        (segment->p_offset > elf->size || segment->p_filesz > elf->size - segment->p_offset))
      return refuse (error,
                     _ ("is cut off: it has %" PRIu64 " bytes, and its segment %u ends behind"),
                     elf->size, i);
  }
  return TRUE;
}

static gboolean
read_sections (Elf *elf, GError **error)
{
  const ElfW (Ehdr) *header = &elf->header;

  if (header->e_shoff == 0 || header->e_shnum == 0 || header->e_shentsize != sizeof (ElfW (Shdr)))
    return refuse (error, _ ("has no section table, in which its symbols could be found"));
  elf->sections =
      read_table (elf, header->e_shoff, (guint64)header->e_shnum * sizeof (ElfW (Shdr)));
  return elf->sections || refuse (error, _ ("is cut off in its section table"));
}

/* Where in the file the bytes at a virtual address are. */
static gboolean
offset_of (const Elf *elf, guint64 address, guint64 size, guint64 *ret_offset)
{
  for (guint i = 0; i < elf->header.e_phnum; i++) {
    const ElfW (Phdr) *segment = &elf->segments[i];
    if (segment->p_type != PT_LOAD || address < segment->p_vaddr)
      continue;
    const guint64 into = address - segment->p_vaddr;
    if (into <= segment->p_filesz && size <= segment->p_filesz - into) {
      *ret_offset = segment->p_offset + into;
      return TRUE;
    }
  }
  return FALSE;
}

static gboolean
find_in (const Elf *elf, const ElfW (Shdr) * table, ElfW (Sym) * ret_symbol)
{
  const gsize n = table->sh_size / sizeof (ElfW (Sym));

  if (table->sh_link >= elf->header.e_shnum)
    return FALSE;
  const ElfW (Shdr) *names = &elf->sections[table->sh_link];
  g_autofree ElfW (Sym) *symbols = read_table (elf, table->sh_offset, table->sh_size);
  g_autofree char *strings = read_table (elf, names->sh_offset, names->sh_size);
  for (gsize i = 0; symbols && strings && i < n; i++) {
    if (symbols[i].st_name >= names->sh_size || symbols[i].st_shndx == SHN_UNDEF ||
        ST_BIND (symbols[i].st_info) == STB_LOCAL ||
        strcmp (strings + symbols[i].st_name, SYMBOL) != 0)
      continue;
    *ret_symbol = symbols[i];
    return TRUE;
  }
  return FALSE;
}

static gboolean
find_symbol (const Elf *elf, ElfW (Sym) * ret_symbol, GError **error)
{
  for (guint i = 0; i < elf->header.e_shnum; i++) {
    if (elf->sections[i].sh_type != SHT_DYNSYM || !find_in (elf, &elf->sections[i], ret_symbol))
      continue;
    if (ST_TYPE (ret_symbol->st_info) == STT_OBJECT)
      return TRUE;
    return refuse (error,
                   ST_TYPE (ret_symbol->st_info) == STT_FUNC
                       ? _ ("exports a function called %s, expected a variable")
                       : _ ("exports a symbol called %s, expected a variable"),
                   SYMBOL);
  }
  return refuse (error, _ ("does not export %s, which every plugin must"), SYMBOL);
}

/* R_*_RELATIVE of the machines that postcopyd is built for: the pointer is what the entry adds. */
static gboolean
is_relative (const Elf *elf, guint type)
{
  switch (elf->header.e_machine) {
  case EM_X86_64:
    return type == R_X86_64_RELATIVE;
  case EM_AARCH64:
    return type == R_AARCH64_RELATIVE;
  case EM_PPC64:
    return type == R_PPC64_RELATIVE;
  case EM_S390:
    return type == R_390_RELATIVE;
  case EM_RISCV:
    return type == R_RISCV_RELATIVE;
  default:
    return FALSE;
  }
}

/* What a pointer will be, unmoved: relocations without a place of their own (SHT_RELR) and 32 bits
 * keep it in place. */
static guint64
pointer_at (const Elf *elf, guint64 address)
{
  guint64 offset;
  ElfW (Addr) in_place = 0;

  for (guint i = 0; i < elf->header.e_shnum; i++) {
    const ElfW (Shdr) *section = &elf->sections[i];
    if (section->sh_type != SHT_RELA)
      continue;
    g_autofree ElfW (Rela) *entries = read_table (elf, section->sh_offset, section->sh_size);
    for (gsize k = 0; entries && k < section->sh_size / sizeof *entries; k++)
      if (entries[k].r_offset == address && is_relative (elf, R_TYPE (entries[k].r_info)))
        return (guint64)entries[k].r_addend;
  }
  if (!offset_of (elf, address, sizeof in_place, &offset) ||
      !read_at (elf, offset, &in_place, sizeof in_place))
    return 0;
  return in_place;
}

static char *
string_at (const Elf *elf, guint64 address)
{
  const guint64 target = pointer_at (elf, address);
  g_autofree char *text = g_malloc0 (MAX_STRING + 1);
  guint64 offset;

  if (target == 0 || !offset_of (elf, target, 1, &offset))
    return NULL;
  if (!read_at (elf, offset, text, MIN (MAX_STRING, elf->size - offset)))
    return NULL;
  return strlen (text) < MAX_STRING && g_utf8_validate (text, -1, NULL) ? g_steal_pointer (&text)
                                                                        : NULL;
}

gboolean
pcd_elf_read_plugin (
    int fd, gsize name_offset, gsize kind_offset, PcdElfPlugin *ret_plugin, GError **error)
{
  g_auto (Elf) elf = { .fd = fd };
  PcdElfPlugin plugin = { 0 };
  ElfW (Sym) symbol = { 0 };
  struct stat st;
  guint64 offset;

  if (fstat (fd, &st) < 0)
    return refuse (error, _ ("cannot be looked at: %s"), g_strerror (errno));
  elf.size = (guint64)st.st_size;
  if (!read_header (&elf, error) || !read_segments (&elf, error) || !read_sections (&elf, error) ||
      !find_symbol (&elf, &symbol, error))
    return FALSE;
  plugin.symbol_size = symbol.st_size;
  if (symbol.st_size < sizeof plugin.words)
    return refuse (error, _ ("has a %s of %" PRIu64 " bytes, expected a PostcopydPlugin"), SYMBOL,
                   plugin.symbol_size);
  if (!offset_of (&elf, symbol.st_value, sizeof plugin.words, &offset) ||
      !read_at (&elf, offset, plugin.words, sizeof plugin.words))
    return refuse (error, _ ("has a %s that is not in the file, expected an initialised one"),
                   SYMBOL);
  if (symbol.st_size >= name_offset + sizeof (gpointer))
    plugin.name = string_at (&elf, symbol.st_value + name_offset);
  if (symbol.st_size >= kind_offset + sizeof (gpointer))
    plugin.kind = string_at (&elf, symbol.st_value + kind_offset);
  *ret_plugin = plugin;
  return TRUE;
}

void
pcd_elf_plugin_clear (PcdElfPlugin *plugin)
{
  g_clear_pointer (&plugin->name, g_free);
  g_clear_pointer (&plugin->kind, g_free);
}
