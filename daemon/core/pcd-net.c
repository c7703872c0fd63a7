/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The judge of a migration's connection: numbers in, verdict out.
 * Pure; must not know how samples are taken nor what is done about the verdict. */
#include "core/pcd-net.h"

#include <string.h>

/* The reasoning, with the kernel's names (net/ipv4/tcp_input.c, tcp_timer.c, tcp_output.c):
 *
 * Heard. tcp_ack() sets rcv_tstamp (tcpi_last_ack_recv) for every acceptable ACK, also a duplicate.
 * But the fast path of tcp_rcv_established() skips tcp_ack() when in-order data acknowledges
 * nothing new; that data sets lrcvtime (tcpi_last_data_recv). So heard is the later of both.
 * Segments out of the window (the peer's own probes, its retransmissions of what we have) set
 * neither: a peer that we hear only so does not hear us.
 *
 * Asked. Silence means nothing unless something was asked and not answered: time-outs in a row
 * (icsk_retransmits), keepalive and window probes without an answer (icsk_probes_out, reset by
 * tcp_ack()), and our own probes. Keepalive does not run while data is outstanding, and the window
 * probe timer doubles up to two minutes, so without our own probes a starved connection that is cut
 * stays unnoticed that long. A peer answers zero-length probes at most every 500 ms
 * (tcp_invalid_ratelimit), so ours are further apart.
 *
 * Slow is not dead. An answer may take a round trip, and with a deep queue before a narrow link
 * that is seconds: the limit is never below srtt + 4 rttvar, the kernel's own idea of "overdue". A
 * link that loses a quarter of its packets swallows three tries in a row every few minutes: once
 * loss has been seen (retransmissions while the peer was heard, or a silence that ended), the limit
 * is three times as long.
 *
 * Heard, but nothing gets through. An MTU black hole lets probes and ACKs pass and swallows every
 * full segment. So: neither acknowledged bytes nor delivered segments move, four time-outs in a row
 * (each at least doubling), for three times the limit. Over a narrow link SACKs keep delivered
 * moving while one hole waits for its retransmission; a closed window is not a black hole. */

enum {
  PROBE_SPACING = 520 * 1000,
  PROBE_MIN_SILENCE = 300 * 1000,
  SAMPLE_SPACING = 200 * 1000,
  SLOW_ROUND_TRIP = 1000 * 1000,
  HEARD_JITTER = 20 * 1000, /* jiffies are 10 ms at HZ=100 */
  LOSS_WINDOW = 3 * G_USEC_PER_SEC,
  LOSS_MEMORY = 60 * G_USEC_PER_SEC,
  BACKLOG_SPAN = 3 * G_USEC_PER_SEC,
  SLOW_NO_PROGRESS = 1 * G_USEC_PER_SEC,
};

#define PATIENCE_LOSSY        3  /* times the limit */
#define PATIENCE_MAX          10 /* times network_timeout, whatever the round trip */
#define BLACKHOLE_LIMITS      3
#define BLACKHOLE_RETRANSMITS 4
#define LOSSY_MIN_RETRANS     4
#define LOSSY_ONE_IN          20
#define NARROW_BYTES_PER_SEC  (1024 * 1024)

/* The tries that the peer has left unanswered. */
static guint
count_tries (const PcdNetHistory *h, const PcdNetSample *s)
{
  return s->retransmits + s->probes + h->probes;
}

static gint64
silence_limit (const PcdNetHistory *h, const PcdNetSample *s, const PcdNetConfig *config)
{
  gint64 limit = MAX (config->network_timeout, (gint64)s->rtt + 4 * (gint64)s->rttvar);

  if (s->now < h->lossy_until)
    limit *= PATIENCE_LOSSY;
  return MIN (limit, PATIENCE_MAX * config->network_timeout);
}

/* Data waits, none is in flight, and the window has no room for a segment; or what is in flight hit
 * a window that the peer has closed since ("receiver dastardly shrinks window", tcp_timer.c). With
 * room in the window it is the local link that takes nothing, and the kernel probes just the same.
 */
static gboolean
is_starved (const PcdNetSample *s)
{
  if (s->unacked > 0)
    return s->snd_wnd == 0;
  return s->notsent > 0 && s->snd_wnd < s->snd_mss;
}

static void
start (PcdNetHistory *h, const PcdNetSample *s, gint64 heard_at)
{
  *h = (PcdNetHistory){
    .started = TRUE, .heard_at = heard_at, .progress_at = s->now, .window_at = s->now
  };
  h->sample = *s;
  /* What the connection lived through before we came. */
  if (s->total_retrans >= LOSSY_MIN_RETRANS &&
      (guint64)s->total_retrans * LOSSY_ONE_IN >= s->segs_out)
    h->lossy_until = s->now + LOSS_MEMORY;
  h->window_retrans = s->total_retrans;
  h->window_segs = s->segs_out;
}

/* The peer answered. Tries that were lost until then tell about the link. */
static void
note_heard (PcdNetHistory *h, const PcdNetSample *s, gint64 heard_at, const PcdNetConfig *config)
{
  gint64 gap = heard_at - h->heard_at;

  if (count_tries (h, &h->sample) >= 2 && h->asked_at && gap >= config->network_timeout / 2)
    h->lossy_until = s->now + LOSS_MEMORY;
  h->heard_at = heard_at;
  h->asked_at = 0;
  h->probes = 0;
}

/* Only while the peer is heard: what is sent into an outage says nothing about loss. */
static void
note_loss (PcdNetHistory *h, const PcdNetSample *s)
{
  guint retrans = s->total_retrans - h->window_retrans;
  guint segs = s->segs_out - h->window_segs;

  if (s->now - h->window_at < LOSS_WINDOW)
    return;
  if (retrans >= LOSSY_MIN_RETRANS && (guint64)retrans * LOSSY_ONE_IN >= segs)
    h->lossy_until = s->now + LOSS_MEMORY;
  h->window_at = s->now;
  h->window_retrans = s->total_retrans;
  h->window_segs = s->segs_out;
}

static void
note_progress (PcdNetHistory *h, const PcdNetSample *s)
{
  gboolean idle = s->unacked == 0 && s->notsent == 0;
  gboolean moved = s->bytes_acked != h->sample.bytes_acked || s->delivered != h->sample.delivered;

  if (idle || moved)
    h->progress_at = s->now;
  if (s->notsent == 0)
    h->backlog_at = 0;
  else if (h->backlog_at == 0) {
    h->backlog_at = s->now;
    h->backlog_acked = s->bytes_acked;
  }
}

static void
remember (PcdNetHistory *h, const PcdNetSample *s, const PcdNetConfig *config)
{
  gint64 heard_at = s->now - (gint64)MIN (s->last_ack_recv, s->last_data_recv) * 1000;

  if (!h->started)
    start (h, s, heard_at);
  if (heard_at > h->heard_at + HEARD_JITTER)
    note_heard (h, s, heard_at, config);
  if (s->now - h->heard_at < config->network_timeout / 4)
    note_loss (h, s);
  note_progress (h, s);
  h->sample = *s;
  if (count_tries (h, s) > 0 && h->asked_at == 0)
    h->asked_at = s->now;
}

/* Unsent data all the time for seconds, and little of it moves. The span is renewed so that the
 * figure is about now. */
static gboolean
is_narrow (PcdNetHistory *h, const PcdNetSample *s)
{
  gint64 span = s->now - h->backlog_at;
  gboolean narrow;

  if (h->backlog_at == 0 || span < BACKLOG_SPAN)
    return FALSE;
  narrow =
      (gint64)(s->bytes_acked - h->backlog_acked) < NARROW_BYTES_PER_SEC * (span / 1000) / 1000;
  if (span > 2 * BACKLOG_SPAN) {
    h->backlog_at = s->now - BACKLOG_SPAN;
    h->backlog_acked = s->bytes_acked - (s->bytes_acked - h->backlog_acked) / 2;
  }
  return narrow;
}

static gboolean
is_black_hole (const PcdNetHistory *h, const PcdNetSample *s, gint64 limit)
{
  return s->unacked > 0 && s->snd_wnd > 0 && s->retransmits >= BLACKHOLE_RETRANSMITS &&
         s->now - h->progress_at >= BLACKHOLE_LIMITS * limit;
}

static void
judge_silence (const PcdNetHistory *h,
               const PcdNetSample *s,
               const PcdNetConfig *config,
               PcdNetVerdict *v)
{
  gint64 limit = silence_limit (h, s, config);
  gint64 asked = h->asked_at ? s->now - h->asked_at : 0;
  guint tries = count_tries (h, s);
  guint enough = config->can_probe ? 3 : 2;

  v->dead = v->silent >= limit && asked >= limit / 2 && tries >= enough;
  if (v->dead || (v->silent >= limit / 2 && asked >= limit / 4 && tries > 0))
    v->flow = PCD_FLOW_STALLED;
  if (v->flow == PCD_FLOW_STALLED)
    g_snprintf (v->reason, sizeof v->reason,
                "peer silent for %.1f s of %.1f s allowed, %u tries unanswered", v->silent / 1e6,
                limit / 1e6, tries);
  if (v->dead || v->flow == PCD_FLOW_STALLED || !is_black_hole (h, s, limit))
    return;
  v->dead = TRUE;
  v->flow = PCD_FLOW_STALLED;
  g_snprintf (
      v->reason, sizeof v->reason,
      "peer heard, but no data got through for %.1f s and %u retransmissions (MTU black hole?)",
      (s->now - h->progress_at) / 1e6, s->retransmits);
}

static void
judge_speed (PcdNetHistory *h, const PcdNetSample *s, PcdNetVerdict *v)
{
  gint64 still = s->now - h->progress_at;
  gboolean narrow = is_narrow (h, s);

  v->starved = is_starved (s);
  v->flow = PCD_FLOW_FLOWING;
  if (v->starved)
    g_snprintf (v->reason, sizeof v->reason, "peer does not read: window %u bytes", s->snd_wnd);
  else if (still >= SLOW_NO_PROGRESS)
    g_snprintf (v->reason, sizeof v->reason, "nothing acknowledged for %.1f s, %u retransmissions",
                still / 1e6, s->retransmits);
  else if (s->now < h->lossy_until)
    g_snprintf (v->reason, sizeof v->reason, "packets are lost on the way: %u of %u sent again",
                s->total_retrans, s->segs_out);
  else if (narrow || s->rtt >= SLOW_ROUND_TRIP)
    g_snprintf (v->reason, sizeof v->reason, "narrow link: round trip %.1f s, %u bytes wait",
                s->rtt / 1e6, s->notsent);
  else
    return;
  v->flow = PCD_FLOW_SLOW;
}

/* The moments that matter between two regular samples: a probe due, the limit reached. */
static gint64
next_sample (const PcdNetHistory *h, const PcdNetSample *s, const PcdNetConfig *config)
{
  gint64 next = s->now + SAMPLE_SPACING;
  gint64 probe = MAX (h->heard_at + PROBE_MIN_SILENCE, h->probe_at + PROBE_SPACING);
  gint64 limit = h->heard_at + silence_limit (h, s, config);

  if (config->can_probe && probe > s->now)
    next = MIN (next, probe);
  if (limit > s->now)
    next = MIN (next, limit);
  return MAX (next, s->now + SAMPLE_SPACING / 10);
}

void
pcd_net_judge (const PcdNetHistory *before,
               const PcdNetSample *sample,
               const PcdNetConfig *config,
               PcdNetHistory *ret_after,
               PcdNetVerdict *ret_verdict)
{
  PcdNetHistory h = before ? *before : (PcdNetHistory){ 0 };
  PcdNetVerdict v = { .flow = PCD_FLOW_NONE };

  if (sample->state != PCD_TCP_ESTABLISHED) {
    v.closed = sample->state != PCD_TCP_SYN_SENT && sample->state != PCD_TCP_SYN_RECV;
    *ret_after = h;
    *ret_verdict = v;
    return;
  }
  remember (&h, sample, config);
  v.silent = MAX (0, sample->now - h.heard_at);
  judge_speed (&h, sample, &v);
  judge_silence (&h, sample, config, &v);
  /* Kernel user time-outs count zero-window probing, and a hole behind a deep queue: where the peer
   * is heard, only the judge can tell. */
  v.lift_backstop = v.flow == PCD_FLOW_SLOW;
  v.probe = config->can_probe && !v.dead && v.silent >= PROBE_MIN_SILENCE &&
            sample->now - h.probe_at >= PROBE_SPACING;
  if (v.probe) {
    h.probe_at = sample->now;
    h.probes++;
  }
  v.next = next_sample (&h, sample, config);
  *ret_after = h;
  *ret_verdict = v;
}

#define SAMPLE_FIELDS 22

static void
list_fields (PcdNetSample *s, guint **words, guint64 **longs)
{
  guint *w[] = {
    &s->state,          &s->unacked,   &s->notsent,       &s->retransmits, &s->backoff,
    &s->probes,         &s->rto,       &s->rtt,           &s->rttvar,      &s->last_ack_recv,
    &s->last_data_recv, &s->delivered, &s->total_retrans, &s->segs_out,    &s->snd_wnd,
    &s->snd_mss,        &s->outq
  };
  guint64 *l[] = { &s->bytes_acked, &s->bytes_received, &s->bytes_sent, &s->bytes_retrans };

  memcpy (words, w, sizeof w);
  memcpy (longs, l, sizeof l);
}

const char *
pcd_net_sample_columns (void)
{
  return "now state unacked notsent retransmits backoff probes rto rtt rttvar last_ack_recv "
         "last_data_recv delivered total_retrans segs_out snd_wnd snd_mss outq bytes_acked "
         "bytes_received bytes_sent bytes_retrans";
}

char *
pcd_net_sample_to_string (const PcdNetSample *sample)
{
  PcdNetSample s = *sample;
  g_autoptr (GString) line = g_string_new (NULL);
  guint *words[17];
  guint64 *longs[4];

  list_fields (&s, words, longs);
  g_string_printf (line, "%" G_GINT64_FORMAT, s.now);
  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    g_string_append_printf (line, " %u", *words[i]);
  for (guint i = 0; i < G_N_ELEMENTS (longs); i++)
    g_string_append_printf (line, " %" G_GUINT64_FORMAT, *longs[i]);
  return g_string_free (g_steal_pointer (&line), FALSE);
}

gboolean
pcd_net_sample_from_string (const char *line, PcdNetSample *ret_sample)
{
  g_auto (GStrv) parts = g_strsplit (line, " ", -1);
  PcdNetSample s = { 0 };
  guint *words[17];
  guint64 *longs[4];
  guint64 value;

  if (g_strv_length (parts) != SAMPLE_FIELDS)
    return FALSE;
  list_fields (&s, words, longs);
  for (guint i = 0; i < SAMPLE_FIELDS; i++) {
    if (!g_ascii_string_to_unsigned (parts[i], 10, 0, i == 0 ? G_MAXINT64 : G_MAXUINT64, &value,
                                     NULL))
      return FALSE;
    if (i == 0)
      s.now = (gint64)value;
    else if (i <= G_N_ELEMENTS (words))
      *words[i - 1] = (guint)value;
    else
      *longs[i - 1 - G_N_ELEMENTS (words)] = value;
  }
  *ret_sample = s;
  return TRUE;
}

/* A FIN of ours on the wire, ever? SIOCOUTQ counts it (write_seq - snd_una), bytes_acked too once
 * acknowledged, bytes_sent never; everything else cancels out against an earlier sample. Works also
 * after the socket has become TCP_CLOSE, where the state has been forgotten. */
static gint64
sequence_surplus (const PcdNetSample *s)
{
  return (gint64)(s->outq + s->bytes_acked) - (gint64)(s->bytes_sent - s->bytes_retrans) -
         (gint64)s->notsent;
}

static gboolean
sent_fin (const PcdNetHistory *h, const PcdNetSample *after)
{
  return h && h->started && sequence_surplus (after) - sequence_surplus (&h->sample) == 1;
}

/* Was the connection in trouble when last seen? Then whatever ended it, the network was the cause:
 * the peer's FIN or RST is its own verdict about the same outage. */
static gboolean
was_in_trouble (const PcdNetHistory *h, const PcdNetSample *after, const PcdNetConfig *config)
{
  gint64 silent;

  if (!h || !h->started)
    return FALSE;
  silent = h->sample.now - h->heard_at;
  if (silent >= config->network_timeout / 2 && count_tries (h, &h->sample) > 0)
    return TRUE;
  return h->sample.unacked > 0 && h->sample.retransmits >= 2 && h->sample.snd_wnd > 0 &&
         h->sample.now - h->progress_at >= config->network_timeout / 2;
}

PcdCause
pcd_net_cause (const PcdNetHistory *history,
               const PcdNetClose *evidence,
               const PcdNetConfig *config,
               const char **ret_reason)
{
  static const struct {
    PcdCause cause;
    const char *reason;
  } found[] = {
    { PCD_CAUSE_NETWORK, "shut down by postcopyd: the network was dead" },
    { PCD_CAUSE_OPERATOR, "closed on this host first" },
    { PCD_CAUSE_NETWORK, "ended while the peer was silent or nothing got through" },
    { PCD_CAUSE_PEER_CLOSED, "the other end closed it first" },
    { PCD_CAUSE_OPERATOR, "closed on this host, then reset because data still came" },
    { PCD_CAUSE_PEER_CLOSED, "reset by the other end or by a box between" },
    { PCD_CAUSE_UNKNOWN, "not closed" },
  };
  const PcdNetSample *s = &evidence->sample;
  gboolean trouble = was_in_trouble (history, s, config);
  guint i;

  if (evidence->shut_by_us)
    i = 0;
  else if (s->state == PCD_TCP_FIN_WAIT1 || s->state == PCD_TCP_FIN_WAIT2 ||
           s->state == PCD_TCP_CLOSING || s->state == PCD_TCP_TIME_WAIT)
    i = 1;
  else if (s->state == PCD_TCP_CLOSE_WAIT || s->state == PCD_TCP_LAST_ACK)
    i = trouble ? 2 : 3;
  else if (s->state != PCD_TCP_CLOSE)
    i = 6;
  else if (evidence->time_wait) /* only the end that closed first gets one */
    i = 1;
  else if (trouble)
    i = 2;
  else if (!sent_fin (history, s))
    i = 5;
  else /* both ends closed; tcp_rcv_state_process() resets a shut socket that gets more data */
    i = evidence->error ? 4 : 3;
  if (ret_reason)
    *ret_reason = found[i].reason;
  return found[i].cause;
}

PcdCause
pcd_net_cause_combine (PcdCause a, PcdCause b)
{
  static const guint weight[PCD_N_CAUSES] = {
    [PCD_CAUSE_NONE] = 0,        [PCD_CAUSE_UNKNOWN] = 1, [PCD_CAUSE_OPERATOR] = 2,
    [PCD_CAUSE_PEER_CLOSED] = 3, [PCD_CAUSE_NETWORK] = 4,
  };

  g_return_val_if_fail (a < PCD_N_CAUSES && b < PCD_N_CAUSES, PCD_CAUSE_UNKNOWN);
  return weight[a] >= weight[b] ? a : b;
}
