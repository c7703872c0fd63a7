/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of a connection's past is kept, and how it is written down for a snapshot. */
#include "core/pcd-net-ring.h"
#include "engine/pcd-tcp-log.h"

#include <string.h>

#define MS 1000
#define S  ((gint64)G_USEC_PER_SEC)

static void
fill (PcdNetRing *ring, gint64 from, gint64 to, gint64 step)
{
  for (gint64 now = from; now <= to; now += step) {
    const PcdNetSample sample = { .now = now, .unacked = (guint)(now / MS) };

    pcd_net_ring_add (ring, &sample);
  }
}

typedef struct {
  const char *name;
  gint64 step;
  gint64 last;
  guint count;    /* of samples from 0 to @last */
  guint n_dense;  /* of these closer than a second to the next */
  gint64 reaches; /* the oldest is at least so old ... */
  gint64 at_most; /* ... and at most */
} Run;

static const Run runs[] = {
  { "empty", 1 * S, -1, 0, 0, 0, 0 },
  { "one", 1 * S, 0, 1, 0, 0, 0 },
  { "all of ten seconds", 200 * MS, 10 * S, 51, 50, 10 * S, 10 * S },
  { "a minute", 200 * MS, 60 * S, 51 + 50, 50, 60 * S, 60 * S },
  { "an hour", 200 * MS, 3600 * S, 51 + 590, 50, 599 * S, 600 * S },
  { "too dense", 20 * MS, 60 * S, 128 + 58, 128, 60 * S, 60 * S },
  { "sparse", 5 * S, 3600 * S, 121, 0, 600 * S, 600 * S },
};

static void
test_run (gconstpointer data)
{
  const Run *run = data;
  g_autoptr (PcdNetRing) ring = pcd_net_ring_new ();
  const PcdNetSample *before = NULL;
  guint n_dense = 0;

  fill (ring, 0, run->last, run->step);
  g_assert_cmpuint (pcd_net_ring_count (ring), ==, run->count);
  for (guint i = 0; i < run->count; i++) {
    const PcdNetSample *sample = pcd_net_ring_get (ring, i);

    g_assert_cmpuint (sample->unacked, ==, sample->now / MS);
    g_assert_true (!before || sample->now > before->now);
    n_dense += before && sample->now - before->now < S;
    before = sample;
  }
  g_assert_cmpuint (n_dense, ==, run->n_dense);
  if (!run->count)
    return;
  g_assert_cmpint (before->now, ==, run->last);
  g_assert_cmpint (run->last - pcd_net_ring_get (ring, 0)->now, >=, run->reaches);
  g_assert_cmpint (run->last - pcd_net_ring_get (ring, 0)->now, <=, run->at_most);
}

/* Of an hour without samples nothing is left but what is young enough. */
static void
test_gap (void)
{
  g_autoptr (PcdNetRing) ring = pcd_net_ring_new ();

  fill (ring, 0, 100 * S, 1 * S);
  fill (ring, 3700 * S, 3700 * S, 1 * S);
  g_assert_cmpuint (pcd_net_ring_count (ring), ==, 1);
  g_assert_cmpint (pcd_net_ring_get (ring, 0)->now, ==, 3700 * S);
}

/* Each name is where its number is. */
static void
test_columns (void)
{
  const PcdNetSample sample = { .now = 1,
                                .state = 2,
                                .retransmits = 3,
                                .last_data_recv = 4,
                                .delivered = 5,
                                .total_retrans = 6,
                                .snd_wnd = 7,
                                .outq = 8,
                                .bytes_acked = 9,
                                .bytes_sent = 10,
                                .bytes_retrans = 11 };
  static const char *const names[] = {
    "now",     "state", "retransmits", "last_data_recv", "delivered",    "total_retrans",
    "snd_wnd", "outq",  "bytes_acked", "bytes_sent",     "bytes_retrans"
  };
  g_autofree char *line = pcd_net_sample_to_string (&sample);
  g_auto (GStrv) values = g_strsplit (line, " ", -1);
  g_auto (GStrv) columns = g_strsplit (pcd_net_sample_columns (), " ", -1);
  guint n_found = 0;

  g_assert_cmpuint (g_strv_length (columns), ==, g_strv_length (values));
  for (guint i = 0; columns[i]; i++)
    for (guint k = 0; k < G_N_ELEMENTS (names); k++)
      if (g_str_equal (columns[i], names[k])) {
        g_assert_cmpint (g_ascii_strtoll (values[i], NULL, 10), ==, k + 1);
        n_found++;
      }
  g_assert_cmpuint (n_found, ==, G_N_ELEMENTS (names));
}

/* Ended connections stay, the same ends again are another connection, and there is a bound. */
static void
test_log (void)
{
  g_autoptr (PcdTcpLog) log = pcd_tcp_log_new ();
  const PcdNetSample sample = { .now = 5, .state = PCD_TCP_ESTABLISHED };
  g_autofree char *none = pcd_tcp_log_to_text (log), *text = NULL, *full = NULL;
  g_auto (GStrv) lines = NULL;

  g_assert_null (none);
  pcd_tcp_log_add (log, "a -> b", &sample);
  pcd_tcp_log_add (log, "a -> b", &sample);
  pcd_tcp_log_end (log, "a -> b", "shut down");
  pcd_tcp_log_end (log, "a -> b", "twice");
  pcd_tcp_log_add (log, "a -> b", &sample);
  text = pcd_tcp_log_to_text (log);
  lines = g_strsplit (text, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, 2 + 1 + 2 + 1 + 1 + 1);
  g_assert_true (g_str_has_prefix (lines[0], "# now state "));
  g_assert_nonnull (strstr (lines[1], "Z is now="));
  g_assert_cmpstr (lines[2], ==, "# a -> b: ended: shut down");
  g_assert_true (g_str_has_prefix (lines[4], "5 1 "));
  g_assert_cmpstr (lines[5], ==, "# a -> b: open");
  for (guint i = 0; i < PCD_TCP_LOG_N_CONNECTIONS - 1; i++) {
    g_autofree char *ends = g_strdup_printf ("c%u -> d", i);

    pcd_tcp_log_add (log, ends, &sample);
  }
  full = pcd_tcp_log_to_text (log);
  g_assert_null (strstr (full, "shut down"));
  g_assert_nonnull (strstr (full, "# a -> b: open"));
  g_assert_nonnull (strstr (full, "# c6 -> d: open"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (runs); i++) {
    g_autofree char *path = g_strdup_printf ("/net-ring/run/%s", runs[i].name);

    g_test_add_data_func (path, &runs[i], test_run);
  }
  g_test_add_func ("/net-ring/gap", test_gap);
  g_test_add_func ("/net-ring/columns", test_columns);
  g_test_add_func ("/net-ring/log", test_log);
  return g_test_run ();
}
