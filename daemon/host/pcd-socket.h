/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One migration connection of a QEMU, held by a duplicate of QEMU's own socket: sample it, arm it,
 * probe it, shut it down. Must not judge; that is core/pcd-net. */
#pragma once

#include <glib.h>

#include "core/pcd-net.h"
#include "core/pcd-socket-match.h"

G_BEGIN_DECLS

/**
 * PcdSocket: a duplicate (pidfd_getfd(2), Linux 5.6) of a TCP socket of another process.
 *
 * Both descriptors are the same socket: options, shutdown(2) and TCP_INFO act on QEMU's own.
 * The duplicate also keeps the connection open when QEMU dies, or closes without shutdown(2) as it
 * does after a completed migration: the peer gets no FIN before the duplicate is closed too. So
 * free it at once when the process exits (pcd_sockets_get_pidfd()) or pcd_socket_is_held() says no.
 *
 * Use each from one thread at a time. No call blocks, except that pcd_socket_close_evidence() reads
 * a file in /proc.
 */
typedef struct _PcdSocket PcdSocket;

/**
 * pcd_socket_new_take:
 * @fd: (transfer full): the duplicate, of a TCP socket; closed also on failure
 * @pid: whose socket it is
 * @remote_fd: its number there
 *
 * Returns: (transfer full) (nullable): %NULL if @fd is not a TCP socket
 */
PcdSocket *pcd_socket_new_take (int fd, pid_t pid, int remote_fd, GError **error);

/**
 * pcd_socket_free: closes the duplicate. Does not disarm: what is armed outlives the daemon.
 */
void pcd_socket_free (PcdSocket *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdSocket, pcd_socket_free)

/**
 * pcd_socket_get_fd:
 *
 * Returns: for poll(): POLLRDHUP, POLLHUP or POLLERR mean that the connection has ended on one
 * side. Never read from it, never read SO_ERROR: that would take QEMU's data and errors away.
 */
int pcd_socket_get_fd (const PcdSocket *self);

/* (transfer none): addresses, state and traffic when it was found; inode is its identity. */
const PcdSocketCandidate *pcd_socket_get_candidate (const PcdSocket *self);

/* (transfer full): "address:port", IPv6 in brackets. */
char *pcd_socket_endpoint_to_string (const PcdEndpoint *endpoint);

/* (transfer none): how the scan matched it; set by pcd_sockets_scan(). */
PcdSocketMatch *pcd_socket_get_match (PcdSocket *self);

/**
 * pcd_socket_is_held:
 *
 * Returns: whether the process still has the socket; if not, free the duplicate at once
 */
gboolean pcd_socket_is_held (const PcdSocket *self);

/**
 * pcd_socket_sample: TCP_INFO (Linux 5.4 or newer) and SIOCOUTQ, now.
 */
gboolean pcd_socket_sample (PcdSocket *self, PcdNetSample *ret_sample, GError **error);

/**
 * pcd_socket_arm:
 * @network_timeout: µs
 * @backstop: µs; raised to twice @network_timeout if less
 *
 * Keepalive, so that an idle side notices, and TCP_USER_TIMEOUT as a backstop for when nobody
 * samples. All values are read back. The first call keeps the former ones for pcd_socket_disarm().
 */
gboolean pcd_socket_arm (PcdSocket *self, gint64 network_timeout, gint64 backstop, GError **error);

/**
 * pcd_socket_set_backstop:
 * @on: %FALSE while #PcdNetVerdict.lift_backstop
 *
 * The kernel's user time-out counts window probing and a hole behind a deep queue as an outage
 * (tcp_probe_timer(), tcp_write_timeout()). Does nothing if nothing changes or it is not armed.
 */
gboolean pcd_socket_set_backstop (PcdSocket *self, gboolean on, GError **error);

gboolean pcd_socket_is_armed (const PcdSocket *self);

/**
 * pcd_socket_disarm: puts the former values back.
 */
gboolean pcd_socket_disarm (PcdSocket *self, GError **error);

/**
 * pcd_socket_can_probe: tries it once. It needs CAP_NET_ADMIN over the socket's network namespace.
 */
gboolean pcd_socket_can_probe (PcdSocket *self);

/**
 * pcd_socket_probe:
 *
 * Sends one zero-length segment with an old sequence number, which the peer's kernel answers with
 * an ACK: an echo request over this very connection, also at zero window and behind lost data. It
 * is the window probe that TCP_REPAIR_OFF ends with (do_tcp_setsockopt(), tcp_send_window_probe());
 * the socket is never put into repair mode. The kernel also clears SO_REUSEADDR there, which would
 * keep QEMU from listening on the port again, so that is put back.
 *
 * Returns: whether it was sent
 */
gboolean pcd_socket_probe (PcdSocket *self);

/**
 * pcd_socket_shutdown:
 *
 * shutdown(2) both ways: QEMU's threads return from their calls and it goes to postcopy-paused.
 * Also sets SO_LINGER to 0, so that the last close sends a RST: a FIN would wait behind a full send
 * queue for minutes after the network healed.
 */
gboolean pcd_socket_shutdown (PcdSocket *self, GError **error);

/**
 * pcd_socket_close_evidence:
 *
 * What is to be seen of how it ended; call as soon as poll() tells or a sample is not established.
 */
gboolean pcd_socket_close_evidence (PcdSocket *self, PcdNetClose *ret_evidence, GError **error);

G_END_DECLS
