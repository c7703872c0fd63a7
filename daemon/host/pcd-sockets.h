/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looks at the sockets and threads of a QEMU process and hands out its migration connections.
 * Must not decide which they are; that is core/pcd-socket-match. */
#pragma once

#include "host/pcd-socket.h"

G_BEGIN_DECLS

/**
 * PcdSockets: a QEMU process whose sockets are looked at. Use from one thread at a time.
 */
typedef struct _PcdSockets PcdSockets;

/**
 * pcd_sockets_open:
 *
 * Returns: (transfer full) (nullable): %NULL if the process is gone, or without CAP_SYS_PTRACE
 */
PcdSockets *pcd_sockets_open (pid_t pid, GError **error);
void pcd_sockets_free (PcdSockets *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdSockets, pcd_sockets_free)

/**
 * pcd_sockets_get_pidfd:
 *
 * Returns: polls readable when the process has exited: free all its #PcdSocket then, so that the
 *   peer gets its FIN or RST
 */
int pcd_sockets_get_pidfd (const PcdSockets *self);

/**
 * pcd_sockets_scan:
 * @exclusions: (array length=n_exclusions) (nullable): addresses known to be something else
 * @eliminate: scans without a migration thread on a socket have gone on for 1 s or so: adopt what
 *   is left if it is unambiguous
 * @ret_note: (out) (optional) (transfer full) (nullable): if nothing matched: every TCP connection
 *   and why not, for a person
 *
 * A few ms. A thread may just be busy between two system calls: try again every 50 ms or so.
 *
 * Returns: (transfer full) (element-type PcdSocket): the migration connections, maybe none; or
 * %NULL
 */
GPtrArray *pcd_sockets_scan (PcdSockets *self,
                             PcdRole role,
                             const PcdSocketExclusion *exclusions,
                             gsize n_exclusions,
                             gboolean eliminate,
                             char **ret_note,
                             GError **error);

/**
 * pcd_sockets_is_connecting:
 * @ret_connecting: (out): whether a TCP socket of the process waits for an answer to its SYN
 */
gboolean pcd_sockets_is_connecting (PcdSockets *self, gboolean *ret_connecting, GError **error);

G_END_DECLS
