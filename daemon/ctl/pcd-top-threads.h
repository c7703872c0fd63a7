/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `postcopyctl inspect` tells, for a page of `postcopyctl top`: fit to its width, what waits
 * first, in colours. Pure: looks at no process. */
#pragma once

#include "ctl/pcd-terminal.h"
#include "host/pcd-threads.h"

G_BEGIN_DECLS

/**
 * pcd_top_threads_to_text:
 * @terminal: its width decides which columns there are
 *
 * Returns: (transfer full): lines: what it comes to, the table, what its words mean
 */
char *pcd_top_threads_to_text (const PcdThreadReport *report, const PcdTerminal *terminal);

G_END_DECLS
