/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables: gdb's register, and where in the kernel's.
 * Must not know the protocol beyond that. */
#include "debug/pcd-gdb-registers.h"

#include "debug/pcd-rsp.h"

#include <sys/user.h>

/* Not asked for: vectors and floating point do not tell where a thread is. */
#define NONE (-1)

typedef struct {
  const char *feature; /* of this and those that follow; %NULL: as before */
  const char *name;
  guint bits;
  const char *type;
  int index; /* in elf_gregset_t, 8 bytes each */
} Register;

#if defined(__x86_64__)
#define ARCHITECTURE "i386:x86-64"
#define AT(member)   ((int)(G_STRUCT_OFFSET (struct user_regs_struct, member) / 8))
#define ST(name)                                                                                   \
  {                                                                                                \
    NULL, name, 80, "i387_ext", NONE                                                               \
  }
#define F(name)                                                                                    \
  {                                                                                                \
    NULL, name, 32, "int", NONE                                                                    \
  }

/* gdb/features/i386/64bit-core.xml, 64bit-linux.xml and 64bit-segments.xml */
static const Register table[] = {
  { "org.gnu.gdb.i386.core", "rax", 64, "int64", AT (rax) },
  { NULL, "rbx", 64, "int64", AT (rbx) },
  { NULL, "rcx", 64, "int64", AT (rcx) },
  { NULL, "rdx", 64, "int64", AT (rdx) },
  { NULL, "rsi", 64, "int64", AT (rsi) },
  { NULL, "rdi", 64, "int64", AT (rdi) },
  { NULL, "rbp", 64, "data_ptr", AT (rbp) },
  { NULL, "rsp", 64, "data_ptr", AT (rsp) },
  { NULL, "r8", 64, "int64", AT (r8) },
  { NULL, "r9", 64, "int64", AT (r9) },
  { NULL, "r10", 64, "int64", AT (r10) },
  { NULL, "r11", 64, "int64", AT (r11) },
  { NULL, "r12", 64, "int64", AT (r12) },
  { NULL, "r13", 64, "int64", AT (r13) },
  { NULL, "r14", 64, "int64", AT (r14) },
  { NULL, "r15", 64, "int64", AT (r15) },
  { NULL, "rip", 64, "code_ptr", AT (rip) },
  { NULL, "eflags", 32, "int32", AT (eflags) },
  { NULL, "cs", 32, "int32", AT (cs) },
  { NULL, "ss", 32, "int32", AT (ss) },
  { NULL, "ds", 32, "int32", AT (ds) },
  { NULL, "es", 32, "int32", AT (es) },
  { NULL, "fs", 32, "int32", AT (fs) },
  { NULL, "gs", 32, "int32", AT (gs) },
  ST ("st0"),
  ST ("st1"),
  ST ("st2"),
  ST ("st3"),
  ST ("st4"),
  ST ("st5"),
  ST ("st6"),
  ST ("st7"),
  F ("fctrl"),
  F ("fstat"),
  F ("ftag"),
  F ("fiseg"),
  F ("fioff"),
  F ("foseg"),
  F ("fooff"),
  F ("fop"),
  { "org.gnu.gdb.i386.linux", "orig_rax", 64, "int", AT (orig_rax) },
  { "org.gnu.gdb.i386.segments", "fs_base", 64, "int", AT (fs_base) },
  { NULL, "gs_base", 64, "int", AT (gs_base) },
};
#elif defined(__aarch64__)
#define ARCHITECTURE "aarch64"
#define X(n)                                                                                       \
  {                                                                                                \
    NULL, "x" #n, 64, "int", n                                                                     \
  }

/* gdb/features/aarch64-core.xml */
static const Register table[] = {
  { "org.gnu.gdb.aarch64.core", "x0", 64, "int", 0 },
  X (1),
  X (2),
  X (3),
  X (4),
  X (5),
  X (6),
  X (7),
  X (8),
  X (9),
  X (10),
  X (11),
  X (12),
  X (13),
  X (14),
  X (15),
  X (16),
  X (17),
  X (18),
  X (19),
  X (20),
  X (21),
  X (22),
  X (23),
  X (24),
  X (25),
  X (26),
  X (27),
  X (28),
  X (29),
  X (30),
  { NULL, "sp", 64, "data_ptr", 31 },
  { NULL, "pc", 64, "code_ptr", 32 },
  { NULL, "cpsr", 32, "int", 33 },
};
#else
#define ARCHITECTURE ""

/* %PCD_GDB_REGISTERS_KNOWN says so. */
static const Register table[] = { { "unknown", "unknown", 8, "int8", NONE } };
#endif

char *
pcd_gdb_registers_describe (void)
{
  GString *xml = g_string_new ("<?xml version=\"1.0\"?>\n"
                               "<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
                               "<target version=\"1.0\">\n"
                               "<architecture>" ARCHITECTURE "</architecture>\n"
                               "<osabi>GNU/Linux</osabi>\n");

  for (guint i = 0; i < G_N_ELEMENTS (table); i++) {
    if (table[i].feature)
      g_string_append_printf (xml, "%s<feature name=\"%s\">\n", i > 0 ? "</feature>\n" : "",
                              table[i].feature);
    g_string_append_printf (xml, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"/>\n",
                            table[i].name, table[i].bits, table[i].type, i);
  }
  g_string_append (xml, "</feature>\n</target>\n");
  return g_string_free (xml, FALSE);
}

void
pcd_gdb_registers_add (GString *answer, guint number, const elf_gregset_t registers)
{
  if (number >= G_N_ELEMENTS (table)) {
    g_string_append (answer, "E01");
    return;
  }
  const Register *one = &table[number];
  /* Little-endian, both: a shorter register is where the longer one begins. */
  if (one->index != NONE)
    pcd_rsp_add_hex (answer, (const guint8 *)registers + one->index * 8, one->bits / 8);
  else
    for (guint i = 0; i < one->bits / 8; i++)
      g_string_append (answer, "xx");
}

void
pcd_gdb_registers_add_all (GString *answer, const elf_gregset_t registers)
{
  for (guint i = 0; i < G_N_ELEMENTS (table); i++)
    pcd_gdb_registers_add (answer, i, registers);
}
