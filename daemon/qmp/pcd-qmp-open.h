/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opens the file behind a control monitor.
 * Must not know the QMP protocol. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * pcd_qmp_open:
 * @path: a pty's slave side or a unix socket
 *
 * Never blocks. A pty is locked with flock(2) while the descriptor is open, so that two clients of
 * ours do not mix their commands, and made raw.
 *
 * Returns: a non-blocking descriptor, or -1 with @error set: #GIOError, or %PCD_QMP_ERROR_BUSY
 *   when another client holds it
 */
int pcd_qmp_open (const char *path, GError **error);

G_END_DECLS
