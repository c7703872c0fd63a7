/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Picks the migration sockets among all the TCP sockets of a QEMU process.
 * Pure; must not know how sockets and threads are looked at. */
#pragma once

#include "core/pcd-types.h"

G_BEGIN_DECLS

#define PCD_ADDRESS_MAX 46 /* INET6_ADDRSTRLEN */

/**
 * PcdEndpoint:
 * @address: numeric; IPv4-mapped IPv6 is written as IPv4; empty means any
 * @port: 0 means any
 */
typedef struct {
  char address[PCD_ADDRESS_MAX];
  guint16 port;
} PcdEndpoint;

/**
 * PcdSocketCandidate: one TCP socket of the process.
 * @fd: its number in the process
 * @inode: of the socket
 * @state: a #PcdTcpState
 * @sent: bytes that the peer has acknowledged
 * @received: bytes that came from the peer
 */
typedef struct {
  int fd;
  guint64 inode;
  guint state;
  PcdEndpoint local;
  PcdEndpoint peer;
  guint64 sent;
  guint64 received;
} PcdSocketCandidate;

/**
 * PcdThreadWait: a thread that sleeps in a system call on one file descriptor.
 * @comm: the thread's name, at most 15 characters
 * @is_main: thread id = process id
 * @polling: it polls this one descriptor; otherwise it reads or writes it
 */
typedef struct {
  int tid;
  char comm[16];
  gboolean is_main;
  gboolean polling;
  int fd;
} PcdThreadWait;

/**
 * PcdSocketExclusion: an address that is known to be something else.
 * @remote: @endpoint is the peer's, else ours
 * @what: (nullable): for the reason, e.g. "VNC"
 */
typedef struct {
  PcdEndpoint endpoint;
  gboolean remote;
  const char *what;
} PcdSocketExclusion;

/**
 * PcdSocketHow:
 * @PCD_SOCKET_NO: not a migration socket, or not known to be one
 * @PCD_SOCKET_BY_THREAD: a migration thread waits on it
 * @PCD_SOCKET_BY_SIBLING: joins the same two hosts and the same migration port as one that is
 * matched
 * @PCD_SOCKET_BY_ELIMINATION: the only one that it can be
 */
typedef enum {
  PCD_SOCKET_NO,
  PCD_SOCKET_BY_THREAD,
  PCD_SOCKET_BY_SIBLING,
  PCD_SOCKET_BY_ELIMINATION,
} PcdSocketHow;

/**
 * PcdSocketMatch: the verdict on one candidate.
 */
typedef struct {
  PcdSocketHow how;
  char reason[120];
} PcdSocketMatch;

/**
 * PcdSocketMatchInput:
 * @eliminate: threads have been looked at long enough (1 s or so): what is left may be adopted
 */
typedef struct {
  PcdRole role;
  const PcdSocketCandidate *candidates;
  gsize n_candidates;
  const PcdThreadWait *waits;
  gsize n_waits;
  const PcdSocketExclusion *exclusions;
  gsize n_exclusions;
  gboolean eliminate;
} PcdSocketMatchInput;

/**
 * pcd_socket_match:
 * @ret_matches: (out caller-allocates) (array): one per candidate
 *
 * Returns: how many are migration sockets; 0 means: touch nothing, the reasons say why
 */
gsize pcd_socket_match (const PcdSocketMatchInput *input, PcdSocketMatch *ret_matches);

/**
 * pcd_socket_thread_is_migration:
 *
 * Names since QEMU 7.2, cut to 15 characters: "live_migration", "return path", "postcopy/listen",
 * "fault-fast" (the preempt channel), "multifdsend_N", "multifdrecv_N"; since 9.1 "mig/src/…" and
 * "mig/dst/…" (migration/migration.h). A process can rename its threads: a hint.
 */
gboolean pcd_socket_thread_is_migration (const char *comm);

G_END_DECLS
