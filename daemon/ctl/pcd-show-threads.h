/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The threads of a QEMU for a person: what waits first, fit to a terminal's width, in colours.
 * Pure: looks at no process. */
#pragma once

#include "ctl/pcd-terminal.h"
#include "host/pcd-threads.h"

G_BEGIN_DECLS

/**
 * pcd_show_threads:
 * @terminal: its width, which is not 0, decides which columns there are
 *
 * Returns: (transfer full): lines: what it comes to, the table, what its words mean
 */
char *pcd_show_threads (const PcdThreadReport *report, const PcdTerminal *terminal);

/**
 * pcd_show_thread_cells:
 *
 * Returns: (transfer full): thread id, name, vCPU, state, blocked, since, path, kickable,
 * traceable, and the reason, which is empty where there is nothing to explain; all safe for a
 * terminal
 */
GStrv pcd_show_thread_cells (const PcdThread *thread);

G_END_DECLS
