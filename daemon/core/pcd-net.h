/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Judges a migration's TCP connection: flowing, slow, stalled or dead, and why it ended.
 * Pure; must not know how samples are taken nor what is done about the verdict. */
#pragma once

#include "core/pcd-types.h"

G_BEGIN_DECLS

/* Linux's TCP states (include/net/tcp_states.h, ABI through TCP_INFO and /proc/net/tcp). */
typedef enum {
  PCD_TCP_ESTABLISHED = 1,
  PCD_TCP_SYN_SENT,
  PCD_TCP_SYN_RECV,
  PCD_TCP_FIN_WAIT1,
  PCD_TCP_FIN_WAIT2,
  PCD_TCP_TIME_WAIT,
  PCD_TCP_CLOSE,
  PCD_TCP_CLOSE_WAIT,
  PCD_TCP_LAST_ACK,
  PCD_TCP_LISTEN,
  PCD_TCP_CLOSING,
} PcdTcpState;

/**
 * PcdNetSample: what TCP_INFO said about one connection at one moment.
 * @now: when, µs of CLOCK_MONOTONIC
 * @state: a #PcdTcpState
 * @unacked: segments sent and not acknowledged
 * @notsent: bytes written and not sent yet
 * @retransmits: time-outs in a row without progress of the acknowledged sequence
 * @backoff: doublings of the retransmission or window probe timer
 * @probes: keepalive or window probes without an answer
 * @rto: µs
 * @rtt: smoothed, µs
 * @rttvar: µs
 * @last_ack_recv: ms since tcp_ack() last accepted a segment
 * @last_data_recv: ms since new data came
 * @bytes_acked: the peer has these (counts the active opener's SYN, and a FIN)
 * @bytes_received: in order from the peer
 * @bytes_sent: data bytes put on the wire, with retransmissions
 * @bytes_retrans: of these, sent again
 * @delivered: segments that arrived there, also out of order (SACK)
 * @total_retrans: segments sent again, ever
 * @segs_out: segments sent, ever
 * @snd_wnd: the peer's receive window, bytes
 * @snd_mss: bytes
 * @outq: SIOCOUTQ: written and not acknowledged, bytes, a FIN counts as one
 *
 * All fields exist since Linux 5.4. A plain value.
 */
typedef struct {
  gint64 now;
  guint state;
  guint unacked;
  guint notsent;
  guint retransmits;
  guint backoff;
  guint probes;
  guint rto;
  guint rtt;
  guint rttvar;
  guint last_ack_recv;
  guint last_data_recv;
  guint64 bytes_acked;
  guint64 bytes_received;
  guint64 bytes_sent;
  guint64 bytes_retrans;
  guint delivered;
  guint total_retrans;
  guint segs_out;
  guint snd_wnd;
  guint snd_mss;
  guint outq;
} PcdNetSample;

/**
 * PcdNetConfig:
 * @network_timeout: µs of silence that mean a dead network
 * @can_probe: our own probes (pcd_socket_probe()) work on this connection
 */
typedef struct {
  gint64 network_timeout;
  gboolean can_probe;
} PcdNetConfig;

/**
 * PcdNetHistory: what the judge remembers between samples. Start with all zero.
 * @heard_at: when the peer was last heard
 * @asked_at: first sight of an unanswered try since then, or 0
 * @probe_at: our latest probe
 * @probes: our probes since @heard_at
 * @progress_at: when something of ours last arrived, or nothing was outstanding
 * @backlog_at: since when there has always been unsent data, or 0
 * @backlog_acked: bytes_acked then
 * @window_at: start of the current loss window
 * @lossy_until: the link is known to lose packets; be patient until then
 * @sample: the sample before
 */
typedef struct {
  gboolean started;
  gint64 heard_at;
  gint64 asked_at;
  gint64 probe_at;
  guint probes;
  gint64 progress_at;
  gint64 backlog_at;
  guint64 backlog_acked;
  gint64 window_at;
  guint window_retrans;
  guint window_segs;
  gint64 lossy_until;
  PcdNetSample sample;
} PcdNetHistory;

/**
 * PcdNetVerdict:
 * @flow: for people and policies
 * @dead: the network between the two is dead: shut the connection down
 * @starved: the peer lives and does not read (zero window); never a reason to pause
 * @closed: the connection has left the established state: ask pcd_net_cause()
 * @probe: send one probe now (pcd_socket_probe())
 * @lift_backstop: the kernel's user time-out would misjudge this: take it away for now
 * @next: when to take the next sample at the latest, µs of CLOCK_MONOTONIC
 * @silent: µs since the peer was heard
 * @reason: one clause, empty while nothing is remarkable
 */
typedef struct {
  PcdFlow flow;
  gboolean dead;
  gboolean starved;
  gboolean closed;
  gboolean probe;
  gboolean lift_backstop;
  gint64 next;
  gint64 silent;
  char reason[160];
} PcdNetVerdict;

/**
 * pcd_net_judge:
 * @before: (nullable): what was known; %NULL is the same as all zero
 * @sample: the latest sample
 * @config: limits
 * @ret_after: (out): what is known now; may be the same as @before
 * @ret_verdict: (out): what to do
 *
 * Meant for a sample every 200 ms or when @next says. When @ret_verdict asks for a probe, the
 * history already counts it as sent.
 */
void pcd_net_judge (const PcdNetHistory *before,
                    const PcdNetSample *sample,
                    const PcdNetConfig *config,
                    PcdNetHistory *ret_after,
                    PcdNetVerdict *ret_verdict);

/**
 * pcd_net_sample_to_string:
 *
 * Returns: (transfer full): one line of numbers, for journals and test traces
 */
char *pcd_net_sample_to_string (const PcdNetSample *sample);

/* What the numbers of pcd_net_sample_to_string () are: the names of #PcdNetSample's members. */
const char *pcd_net_sample_columns (void);

/**
 * pcd_net_sample_from_string:
 *
 * Returns: %FALSE if @line is not what pcd_net_sample_to_string() writes
 */
gboolean pcd_net_sample_from_string (const char *line, PcdNetSample *ret_sample);

/**
 * PcdNetClose: what could be seen of a connection that left the established state.
 * @shut_by_us: postcopyd itself shut it down as dead
 * @sample: taken now, after the close
 * @error: poll() reports POLLERR: an error that QEMU has not read yet
 * @time_wait: the 4-tuple is in TIME_WAIT or FIN_WAIT2 on this host without a socket of ours
 */
typedef struct {
  gboolean shut_by_us;
  PcdNetSample sample;
  gboolean error;
  gboolean time_wait;
} PcdNetClose;

/**
 * pcd_net_cause:
 * @history: the history up to the last established sample; %NULL if there was none
 * @evidence: seen after the close
 * @config: limits
 * @ret_reason: (out) (optional): a static clause
 *
 * Who ended the connection. A local close by QEMU itself (its own error, not ours, not a person's
 * request) looks the same as `migrate-pause` and is called operator too. One case cannot be told:
 * an end that is shut while data still comes is reset by its own kernel (tcp_rcv_state_process(),
 * TCPAbortOnData), and once QEMU has read that error the socket is as if the peer had closed first.
 */
PcdCause pcd_net_cause (const PcdNetHistory *history,
                        const PcdNetClose *evidence,
                        const PcdNetConfig *config,
                        const char **ret_reason);

/**
 * pcd_net_cause_combine:
 *
 * Several channels of one migration: QEMU shuts the others down when one fails, so a local close
 * beside a remote one is only the reaction.
 *
 * Returns: the one of the two that says more
 */
PcdCause pcd_net_cause_combine (PcdCause a, PcdCause b);

G_END_DECLS
