/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thread's registers in gdb's order and words. Must not read them. Pure. */
#pragma once

#include <glib.h>
#include <sys/procfs.h>

G_BEGIN_DECLS

#if defined(__x86_64__) || defined(__aarch64__)
#define PCD_GDB_REGISTERS_KNOWN TRUE
#else
#define PCD_GDB_REGISTERS_KNOWN FALSE
#endif

/* Returns: (transfer full): gdb's target description, XML */
char *pcd_gdb_registers_describe (void);

/* Appends all, as the answer to `g`; floating point ones as unavailable. */
void pcd_gdb_registers_add_all (GString *answer, const elf_gregset_t registers);

/* The same of one, as the answer to `p`. */
void pcd_gdb_registers_add (GString *answer, guint number, const elf_gregset_t registers);

G_END_DECLS
