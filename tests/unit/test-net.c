/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The judge against a model of what the kernel shows: a dead network is dead in time, a slow, lossy
 * or starved one never. Recorded traces of real connections come from fixtures/net. */
#include "core/pcd-net.h"

#define MS   1000
#define S    G_USEC_PER_SEC
#define STEP (200 * MS)

static const PcdNetConfig probing = { 2 * S, TRUE };
static const PcdNetConfig passive = { 2 * S, FALSE };

/* One kind of weather, from the cut (t = 0) on. Everything before is a healthy connection. */
typedef struct {
  const char *name;
  gboolean idle;             /* nothing outstanding at the cut */
  gboolean starved;          /* zero window */
  gint64 heard_every;        /* 0: never again */
  gint64 acked_every;        /* 0: nothing acknowledged any more */
  gint64 answer_after;       /* our probes are answered after this; 0: never */
  guint rtt;                 /* µs */
  gboolean passive;          /* our probes are not permitted */
  gint64 dead_from, dead_to; /* 0: never within a minute */
  PcdFlow worst;
} Weather;

static const Weather weathers[] = {
  { "cut", .rtt = 400, .dead_from = 2 * S, .dead_to = 2400 * MS, .worst = PCD_FLOW_STALLED },
  { "cut-passive", .rtt = 400, .passive = TRUE, .dead_from = 2 * S, .dead_to = 2400 * MS,
    .worst = PCD_FLOW_STALLED },
  { "cut-idle", .idle = TRUE, .rtt = 400, .dead_from = 2 * S, .dead_to = 2400 * MS,
    .worst = PCD_FLOW_STALLED },
  { "cut-idle-passive", .idle = TRUE, .rtt = 400, .passive = TRUE, .dead_from = 2 * S,
    .dead_to = 2400 * MS, .worst = PCD_FLOW_STALLED },
  { "cut-starved", .starved = TRUE, .rtt = 400, .dead_from = 2 * S, .dead_to = 2600 * MS,
    .worst = PCD_FLOW_STALLED },
  /* The kernel's own window probes are all there is: the next one may be late, then it counts. */
  { "cut-starved-passive", .starved = TRUE, .rtt = 400, .passive = TRUE, .dead_from = 2 * S,
    .dead_to = 8 * S, .worst = PCD_FLOW_STALLED },
  { "cut-long-way", .rtt = 800 * MS, .dead_from = 2 * S, .dead_to = 5 * S,
    .worst = PCD_FLOW_STALLED },
  { "healthy", .heard_every = 100 * MS, .acked_every = 100 * MS, .rtt = 400,
    .worst = PCD_FLOW_FLOWING },
  { "healthy-idle", .idle = TRUE, .answer_after = 1 * MS, .rtt = 400, .worst = PCD_FLOW_FLOWING },
  { "healthy-idle-passive", .idle = TRUE, .heard_every = 1 * S, .rtt = 400, .passive = TRUE,
    .worst = PCD_FLOW_FLOWING },
  { "starved", .starved = TRUE, .answer_after = 1 * MS, .rtt = 400, .worst = PCD_FLOW_SLOW },
  { "starved-passive", .starved = TRUE, .heard_every = 25 * S, .rtt = 400, .passive = TRUE,
    .worst = PCD_FLOW_SLOW },
  { "deep-queue", .heard_every = 25 * MS, .acked_every = 25 * MS, .rtt = 16 * S,
    .worst = PCD_FLOW_SLOW },
  { "hole-behind-deep-queue", .heard_every = 25 * MS, .rtt = 16 * S, .worst = PCD_FLOW_SLOW },
  { "mtu-black-hole", .heard_every = 300 * MS, .rtt = 400, .dead_from = 6 * S, .dead_to = 7 * S,
    .worst = PCD_FLOW_STALLED },
};

/* Retransmissions after 0.2, 0.6, 1.4, 3.0 … s, or keepalive from 1 s, or window probes. */
static void
fill_tries (const Weather *w, gint64 quiet, PcdNetSample *s)
{
  gint64 at = MAX (200 * MS, 2 * (gint64)w->rtt), wait = at;

  if (w->idle)
    s->probes = quiet / S;
  for (; !w->idle && quiet >= at; at += wait) {
    if (w->starved)
      s->probes++;
    else
      s->retransmits++;
    s->backoff++;
    wait *= 2;
  }
}

static void
run_weather (gconstpointer data)
{
  const Weather *w = data;
  const PcdNetConfig *config = w->passive ? &passive : &probing;
  PcdNetHistory h = { 0 };
  PcdNetVerdict v = { 0 };
  PcdFlow worst = PCD_FLOW_NONE;
  gint64 dead_at = 0, heard = 0, acked = 0, answer = G_MAXINT64;

  for (gint64 t = -3 * S; t < 60 * S && !dead_at; t += STEP) {
    PcdNetSample s = { .now = 1000 * S + t,
                       .state = PCD_TCP_ESTABLISHED,
                       .rtt = w->rtt,
                       .rttvar = w->rtt / 4,
                       .snd_wnd = 64000,
                       .snd_mss = 1448 };

    if (t <= 0 || (w->heard_every && t - heard >= w->heard_every) || t >= answer) {
      heard = t;
      answer = G_MAXINT64;
    }
    if (t <= 0 || (w->acked_every && t - acked >= w->acked_every))
      acked = t;
    s.bytes_acked = (1000 * S + acked) * (w->rtt > S ? 1 : 160) / 16; /* 64 KB/s or 10 MB/s */
    s.last_ack_recv = (t - heard) / MS;
    s.last_data_recv = 100000;
    if (!w->idle) {
      s.unacked = w->starved && t >= 0 ? 0 : 10;
      s.notsent = 50000;
    }
    if (w->starved && t >= 0) {
      s.snd_wnd = 0;
      s.backoff = 8;
    }
    if (t >= 0)
      fill_tries (w, w->starved || w->idle ? t - heard : t - acked, &s);
    if (w->starved && w->heard_every) /* the next one is not due yet, or just out */
      s.probes = t - heard >= w->heard_every - 300 * MS;
    /* Behind a deep queue SACKs keep coming and time-outs do not fire: RTO is above the round trip.
     */
    if (w->rtt > S)
      s.delivered = (guint)(t / MS);
    pcd_net_judge (&h, &s, config, &h, &v);
    g_assert_false (v.probe && !config->can_probe);
    if (v.probe && w->answer_after)
      answer = t + w->answer_after;
    if (t >= 0)
      worst = MAX (worst, v.flow);
    if (v.dead)
      dead_at = t;
    g_assert_cmpint (v.starved, ==, w->starved && t >= 0);
    if (v.starved && v.flow == PCD_FLOW_SLOW)
      g_assert_true (v.lift_backstop);
  }
  g_test_message ("dead after %" G_GINT64_FORMAT " ms: %s", dead_at / MS, v.reason);
  g_assert_cmpint (dead_at, >=, w->dead_from);
  g_assert_cmpint (dead_at, <=, w->dead_to);
  g_assert_cmpint (worst, ==, w->worst);
}

/* Samples of real connections over a veth, taken by tests/host/weather.py with TRACES set. */
typedef struct {
  const char *name;
  gboolean passive;
  gint64 dead_from, dead_to; /* silence at the verdict; 0: never dead */
  PcdFlow worst;
} Trace;

static const Trace traces[] = {
  { "link-down-a", FALSE, 2 * S, 2200 * MS, PCD_FLOW_STALLED },
  { "link-down-no-probes-a", TRUE, 2 * S, 2800 * MS, PCD_FLOW_STALLED },
  { "drop-to-b-a", FALSE, 2 * S, 2200 * MS, PCD_FLOW_STALLED },
  { "idle-cut-b", FALSE, 2 * S, 2200 * MS, PCD_FLOW_STALLED },
  { "starved-cut-a", FALSE, 2 * S, 2200 * MS, PCD_FLOW_STALLED },
  { "mtu-black-hole-a", FALSE, 0, 2 * S, PCD_FLOW_STALLED }, /* heard all the time, and dead */
  { "narrow-a", FALSE, 0, 0, PCD_FLOW_SLOW },
  { "lossy-a", FALSE, 0, 0, PCD_FLOW_SLOW },
  { "starved-a", FALSE, 0, 0, PCD_FLOW_SLOW },
  { "healthy-idle-b", FALSE, 0, 0, PCD_FLOW_FLOWING },
};

static void
test_trace (gconstpointer data)
{
  const Trace *trace = data;
  g_autofree char *name = g_strconcat (trace->name, ".trace", NULL);
  g_autofree char *path =
      g_build_filename (g_getenv ("PCD_FIXTURES") ?: "fixtures", "net", name, NULL);
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) lines = NULL;
  PcdNetHistory h = { 0 };
  PcdNetVerdict v = { 0 };
  PcdFlow worst = PCD_FLOW_NONE;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  lines = g_strsplit (g_strchomp (text), "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), >, 10);
  for (guint i = 0; lines[i] && !v.dead; i++) {
    PcdNetSample s;

    g_assert_true (pcd_net_sample_from_string (lines[i], &s));
    pcd_net_judge (&h, &s, trace->passive ? &passive : &probing, &h, &v);
    worst = MAX (worst, v.flow);
  }
  g_assert_cmpint (v.dead, ==, trace->dead_to != 0);
  if (v.dead) {
    g_assert_cmpint (v.silent, >=, trace->dead_from);
    g_assert_cmpint (v.silent, <=, trace->dead_to);
  }
  g_assert_cmpint (worst, ==, trace->worst);
}

/* A silence that ends makes the judge patient; so does loss seen while the peer is heard. */
static void
test_patience (void)
{
  PcdNetHistory h = { 0 };
  PcdNetVerdict v;
  PcdNetSample s = { .now = 100 * S,
                     .state = PCD_TCP_ESTABLISHED,
                     .rtt = 400,
                     .unacked = 4,
                     .snd_wnd = 64000,
                     .snd_mss = 1448,
                     .total_retrans = 30,
                     .segs_out = 100 };

  pcd_net_judge (NULL, &s, &probing, &h, &v);
  g_assert_cmpint (v.flow, ==, PCD_FLOW_SLOW);
  s.retransmits = 5;
  for (guint ms = 200; ms <= 5800; ms += 200) {
    s.now = 100 * S + ms * MS;
    s.last_ack_recv = s.last_data_recv = ms;
    pcd_net_judge (&h, &s, &probing, &h, &v);
    g_assert_false (v.dead);
  }
  g_assert_cmpint (v.flow, ==, PCD_FLOW_STALLED);
  s.now += 400 * MS;
  s.last_ack_recv = s.last_data_recv = 6200;
  pcd_net_judge (&h, &s, &probing, &h, &v);
  g_assert_true (v.dead);
}

/* Long silence on an unarmed idle connection, then the first try: nothing is known yet. */
static void
test_not_asked (void)
{
  PcdNetHistory h = { 0 };
  PcdNetVerdict v;
  PcdNetSample s = { .now = 100 * S,
                     .state = PCD_TCP_ESTABLISHED,
                     .rtt = 400,
                     .snd_wnd = 64000,
                     .snd_mss = 1448,
                     .last_ack_recv = 90000,
                     .last_data_recv = 90000 };

  pcd_net_judge (NULL, &s, &passive, &h, &v);
  g_assert_cmpint (v.flow, ==, PCD_FLOW_FLOWING);
  s.now += 200 * MS;
  s.last_ack_recv = s.last_data_recv = 90200;
  s.unacked = 3;
  s.retransmits = 3;
  pcd_net_judge (&h, &s, &passive, &h, &v);
  g_assert_false (v.dead);
}

typedef struct {
  const char *name;
  gboolean by_us;
  PcdTcpState state;
  gboolean error, time_wait;
  guint outq; /* after the close; 1 = a FIN of ours */
  guint silent_ms, retransmits;
  PcdCause cause;
} Close;

static const Close closes[] = {
  { "by-us", TRUE, PCD_TCP_FIN_WAIT1, FALSE, FALSE, 1, 2000, 3, PCD_CAUSE_NETWORK },
  { "local", FALSE, PCD_TCP_FIN_WAIT1, FALSE, FALSE, 1, 10, 0, PCD_CAUSE_OPERATOR },
  { "local-acked", FALSE, PCD_TCP_FIN_WAIT2, FALSE, FALSE, 0, 10, 0, PCD_CAUSE_OPERATOR },
  { "both", FALSE, PCD_TCP_CLOSING, FALSE, FALSE, 1, 10, 0, PCD_CAUSE_OPERATOR },
  { "local-in-an-outage", FALSE, PCD_TCP_FIN_WAIT1, FALSE, FALSE, 1, 1900, 3, PCD_CAUSE_OPERATOR },
  { "local-all-over", FALSE, PCD_TCP_CLOSE, FALSE, TRUE, 1, 10, 0, PCD_CAUSE_OPERATOR },
  { "local-reset-on-data", FALSE, PCD_TCP_CLOSE, TRUE, FALSE, 1, 10, 0, PCD_CAUSE_OPERATOR },
  { "peer", FALSE, PCD_TCP_CLOSE_WAIT, FALSE, FALSE, 0, 10, 0, PCD_CAUSE_PEER_CLOSED },
  { "peer-all-over", FALSE, PCD_TCP_CLOSE, FALSE, FALSE, 1, 10, 0, PCD_CAUSE_PEER_CLOSED },
  { "peer-answered", FALSE, PCD_TCP_LAST_ACK, FALSE, FALSE, 1, 10, 0, PCD_CAUSE_PEER_CLOSED },
  { "reset", FALSE, PCD_TCP_CLOSE, TRUE, FALSE, 0, 10, 0, PCD_CAUSE_PEER_CLOSED },
  { "reset-read", FALSE, PCD_TCP_CLOSE, FALSE, FALSE, 0, 10, 0, PCD_CAUSE_PEER_CLOSED },
  { "kernel-timeout", FALSE, PCD_TCP_CLOSE, TRUE, FALSE, 0, 1900, 3, PCD_CAUSE_NETWORK },
  { "peer-gave-up-first", FALSE, PCD_TCP_CLOSE_WAIT, FALSE, FALSE, 0, 1100, 2, PCD_CAUSE_NETWORK },
  { "silent-but-not-asked", FALSE, PCD_TCP_CLOSE_WAIT, FALSE, FALSE, 0, 1100, 0,
    PCD_CAUSE_PEER_CLOSED },
  { "open", FALSE, PCD_TCP_ESTABLISHED, FALSE, FALSE, 0, 0, 0, PCD_CAUSE_UNKNOWN },
};

static void
test_close (gconstpointer data)
{
  const Close *c = data;
  PcdNetHistory h = { 0 };
  PcdNetVerdict v;
  PcdNetSample s = { .now = 100 * S,
                     .state = PCD_TCP_ESTABLISHED,
                     .rtt = 400,
                     .snd_wnd = 64000,
                     .unacked = 5,
                     .outq = 5000,
                     .notsent = 1000,
                     .bytes_acked = 10001,
                     .bytes_sent = 14600,
                     .bytes_retrans = 600,
                     .snd_mss = 1448 };
  PcdNetClose seen = { c->by_us, .error = c->error, .time_wait = c->time_wait };

  pcd_net_judge (NULL, &s, &passive, &h, &v);
  s.now += c->silent_ms * MS;
  s.last_ack_recv = s.last_data_recv = c->silent_ms;
  s.retransmits = c->retransmits;
  pcd_net_judge (&h, &s, &passive, &h, &v);
  seen.sample = s;
  seen.sample.state = c->state;
  seen.sample.outq += c->outq;
  g_assert_cmpint (pcd_net_cause (&h, &seen, &passive, NULL), ==, c->cause);
}

static void
test_cause_without_history (void)
{
  PcdNetClose seen = { .sample = { .state = PCD_TCP_CLOSE }, .error = TRUE };

  g_assert_cmpint (pcd_net_cause (NULL, &seen, &passive, NULL), ==, PCD_CAUSE_PEER_CLOSED);
  g_assert_cmpint (pcd_net_cause_combine (PCD_CAUSE_OPERATOR, PCD_CAUSE_PEER_CLOSED), ==,
                   PCD_CAUSE_PEER_CLOSED);
  g_assert_cmpint (pcd_net_cause_combine (PCD_CAUSE_NETWORK, PCD_CAUSE_PEER_CLOSED), ==,
                   PCD_CAUSE_NETWORK);
  g_assert_cmpint (pcd_net_cause_combine (PCD_CAUSE_NONE, PCD_CAUSE_UNKNOWN), ==,
                   PCD_CAUSE_UNKNOWN);
}

static void
test_sample_text (void)
{
  PcdNetSample a = { .now = 5, .state = 1, .unacked = 2, .outq = 17, .bytes_retrans = G_MAXUINT64 };
  PcdNetSample b;
  g_autofree char *line = pcd_net_sample_to_string (&a);
  g_autofree char *again = NULL;

  g_assert_true (pcd_net_sample_from_string (line, &b));
  again = pcd_net_sample_to_string (&b);
  g_assert_cmpstr (line, ==, again);
  g_assert_cmpuint (b.bytes_retrans, ==, G_MAXUINT64);
  g_assert_false (pcd_net_sample_from_string ("1 2 3", &b));
  line[0] = 'x';
  g_assert_false (pcd_net_sample_from_string (line, &b));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (weathers); i++) {
    g_autofree char *path = g_strdup_printf ("/net/weather/%s", weathers[i].name);
    g_test_add_data_func (path, &weathers[i], run_weather);
  }
  for (guint i = 0; i < G_N_ELEMENTS (traces); i++) {
    g_autofree char *path = g_strdup_printf ("/net/trace/%s", traces[i].name);
    g_test_add_data_func (path, &traces[i], test_trace);
  }
  g_test_add_func ("/net/patience", test_patience);
  g_test_add_func ("/net/not-asked", test_not_asked);
  for (guint i = 0; i < G_N_ELEMENTS (closes); i++) {
    g_autofree char *path = g_strdup_printf ("/net/cause/%s", closes[i].name);
    g_test_add_data_func (path, &closes[i], test_close);
  }
  g_test_add_func ("/net/cause-without-history", test_cause_without_history);
  g_test_add_func ("/net/sample-text", test_sample_text);
  return g_test_run ();
}
