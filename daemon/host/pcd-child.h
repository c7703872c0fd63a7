/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What programs of others have in common that are run for a moment, hooks and vetoes: a session of
 * their own, no blocked signals, gone with us. Must not know what they are run for. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * pcd_child_prepare:
 * @our_pid: GINT_TO_POINTER () of the daemon's own pid
 *
 * A #GSpawnChildSetupFunc: runs between fork () and exec (), async-signal-safe calls only.
 */
void pcd_child_prepare (gpointer our_pid);

/**
 * pcd_child_input:
 * @name: for /proc
 *
 * A file and not a pipe: nothing waits for a program that does not read.
 *
 * Returns: a descriptor of @text followed by @end, at its beginning; -1 with errno set
 */
int pcd_child_input (const char *name, const char *text, const char *end);

G_END_DECLS
