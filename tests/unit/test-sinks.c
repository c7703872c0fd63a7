/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runners with receivers that fail, hang, refuse and lie, on a real queue; and what the
 * configuration may say. */
#include "engine/pcd-config.h"
#include "sink-fixture.h"

#include <string.h>
#include <sys/stat.h>

/* ---- pure ---- */

static void
test_backoff (void)
{
  const PcdSinkTiming *timing = &PCD_SINK_TIMING;
  const struct {
    guint failures;
    gint64 retry_after;
    double random;
    double expected; /* seconds */
  } cases[] = {
    { 1, 0, 0.5, 1 },  { 2, 0, 0.5, 2 },         { 3, 0, 0.5, 4 },
    { 7, 0, 0.5, 60 }, { 1000000, 0, 0.5, 60 },  { 1, 0, 0, 0.75 },
    { 7, 0, 1, 75 },   { 1, 90000000, 0.5, 90 }, { 7, 1000000, 0.5, 60 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    g_assert_cmpint (
        pcd_sink_backoff (timing, cases[i].failures, cases[i].retry_after, cases[i].random), ==,
        (gint64)(cases[i].expected * 1e6));
}

static void
test_result (void)
{
  const struct {
    guint n;
    int outcome;
    guint n_delivered;
    const char *reason;
    PostcopydOutcome expected;
    guint expected_delivered;
    const char *expected_reason;
  } cases[] = {
    { 5, POSTCOPYD_DONE, 0, "", POSTCOPYD_DONE, 5, "" },
    { 5, POSTCOPYD_FAILED, 2, "gone", POSTCOPYD_FAILED, 2, "gone" },
    { 5, POSTCOPYD_FAILED, 6, "gone", POSTCOPYD_FAILED, 0, "the sink is broken: *" },
    { 5, POSTCOPYD_FAILED, 0, "", POSTCOPYD_FAILED, 0, "it gave no reason" },
    { 5, POSTCOPYD_FAILED, 0, "two\nlines", POSTCOPYD_FAILED, 0, "two?lines" },
    { 5, POSTCOPYD_REFUSED, 4, "no", POSTCOPYD_REFUSED, 4, "no" },
    { 5, POSTCOPYD_REFUSED, 5, "no", POSTCOPYD_FAILED, 0, "the sink is broken: *" },
    { 5, 77, 5, "no", POSTCOPYD_FAILED, 0, "the sink is broken: *" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    PostcopydDelivery delivery = { sizeof delivery, cases[i].n_delivered, 0 };
    PcdSinkResult result = pcd_sink_result_check (cases[i].n, (PostcopydOutcome)cases[i].outcome,
                                                  &delivery, cases[i].reason);
    g_assert_cmpint (result.outcome, ==, cases[i].expected);
    g_assert_cmpuint (result.n_delivered, ==, cases[i].expected_delivered);
    g_assert_true (g_pattern_match_simple (cases[i].expected_reason, result.reason));
  }
}

/* ---- a receiver that does as it is told ---- */

typedef struct {
  GMutex lock;
  GCond cond;
  GPtrArray *ids; /* in the order in which they came */
  GString *kinds;
  gint fail;    /* so many calls, from now on; -1: all */
  char *failed; /* (nullable): JSON of the first event of the last call that failed so */
  gint64 retry_after;
  gboolean hang;      /* until it is cleared, whatever the deadline is */
  const char *refuse; /* JSON */
  guint calls;
  guint instances;
} Receiver;

static Receiver receiver;

static gpointer
receiver_new (GHashTable *keys, GError **error)
{
  static const char *const known[] = { "colour", NULL };

  if (!pcd_sink_check_keys (keys, known, error))
    return NULL;
  g_mutex_lock (&receiver.lock);
  receiver.instances++;
  g_mutex_unlock (&receiver.lock);
  return &receiver;
}

static void
receiver_free (gpointer sink)
{
}

static PostcopydOutcome
receiver_deliver (gpointer sink,
                  const PostcopydNote *const *notes,
                  uint32_t n_notes,
                  const PostcopydJob *job,
                  PostcopydDelivery *ret_delivery,
                  char *reason,
                  size_t reason_size)
{
  PostcopydOutcome outcome = POSTCOPYD_DONE;

  g_mutex_lock (&receiver.lock);
  receiver.calls++;
  g_cond_broadcast (&receiver.cond);
  while (receiver.hang)
    g_cond_wait (&receiver.cond, &receiver.lock);
  if (receiver.fail != 0) {
    receiver.fail -= receiver.fail > 0;
    g_free (receiver.failed);
    receiver.failed = g_strdup (notes[0]->json);
    ret_delivery->retry_after_usec = receiver.retry_after;
    g_snprintf (reason, reason_size, "down");
    outcome = POSTCOPYD_FAILED;
  }
  for (guint i = 0; i < n_notes && outcome == POSTCOPYD_DONE; i++) {
    if (g_strcmp0 (receiver.refuse, notes[i]->json) == 0) {
      g_snprintf (reason, reason_size, "no such thing");
      outcome = POSTCOPYD_REFUSED;
      break;
    }
    g_ptr_array_add (receiver.ids, g_strdup (notes[i]->id));
    g_string_append_printf (receiver.kinds, "%s:%s ", notes[i]->kind, notes[i]->json);
    ret_delivery->n_delivered = i + 1;
  }
  g_cond_broadcast (&receiver.cond);
  g_mutex_unlock (&receiver.lock);
  return outcome;
}

static const PcdSinkType receiver_type = {
  .name = "receiver",
  .max_batch = 7,
  .create = receiver_new,
  .free = receiver_free,
  .deliver = receiver_deliver,
};

static void
set_up_receiver (Fixture *f, gconstpointer data)
{
  set_up (f, data);
  receiver =
      (Receiver){ .ids = g_ptr_array_new_with_free_func (g_free), .kinds = g_string_new (NULL) };
}

static void
tear_down_receiver (Fixture *f, gconstpointer data)
{
  if (f->journal)
    stop (f);
  g_ptr_array_unref (receiver.ids);
  g_string_free (receiver.kinds, TRUE);
  g_free (receiver.failed);
  tear_down (f, data);
}

/* Until it has @n notes. */
static void
wait_for_notes (guint n)
{
  const gint64 until = g_get_monotonic_time () + PATIENCE;

  g_mutex_lock (&receiver.lock);
  while (receiver.ids->len < n)
    g_assert_true (g_cond_wait_until (&receiver.cond, &receiver.lock, until));
  g_mutex_unlock (&receiver.lock);
}

static void
assert_once_in_order (guint n)
{
  g_assert_cmpuint (receiver.ids->len, ==, n);
  for (guint i = 1; i < n; i++) {
    const char *last = strrchr (g_ptr_array_index (receiver.ids, i - 1), '-');
    const char *this = strrchr (g_ptr_array_index (receiver.ids, i), '-');
    g_assert_cmpint (atoi (this + 1), ==, atoi (last + 1) + 1);
  }
}

static void
test_in_order (Fixture *f, gconstpointer data)
{
  start_journal (f, 1000);
  start_runner (f, &receiver_type, sink_config (G_USEC_PER_SEC * 30));
  add (f, 1, 100);
  wait_for_notes (100);
  g_autoptr (PcdSinkStatus) status = wait_for_status (f, "idle", 100, 0);
  g_assert_null (status->error);
  assert_once_in_order (100);
}

static void
test_comes_back (Fixture *f, gconstpointer data)
{
  expect ("*sink r: down; *");
  expect ("*takes events again*");
  receiver.fail = 5;
  start_journal (f, 1000);
  start_runner (f, &receiver_type, sink_config (G_USEC_PER_SEC * 30));
  add (f, 1, 50);
  wait_for_notes (50);
  g_autoptr (PcdSinkStatus) status = wait_for_status (f, "idle", 50, 0);
  g_assert_cmpstr (status->error, ==, "down");
  assert_once_in_order (50);
  assert_expected ();
}

static void
test_retry_after (Fixture *f, gconstpointer data)
{
  receiver.fail = 1;
  receiver.retry_after = 300 * 1000;
  start_journal (f, 1000);
  const gint64 from = g_get_monotonic_time ();
  expect ("*sink r: down; *");
  expect ("*takes events again*");
  start_runner (f, &receiver_type, sink_config (G_USEC_PER_SEC * 30));
  add (f, 1, 1);
  wait_for_notes (1);
  g_assert_cmpint (g_get_monotonic_time () - from, >=, 300 * 1000);
  g_autoptr (PcdSinkStatus) status = wait_for_status (f, "idle", 1, 0);
  assert_expected ();
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  expect ("*refused*no such thing*");
  receiver.refuse = "{\"kind\":\"phase\",\"domain\":\"vm10\",\"to\":\"x\"}";
  start_journal (f, 1000);
  start_runner (f, &receiver_type, sink_config (G_USEC_PER_SEC * 30));
  add (f, 1, 20);
  wait_for_notes (19);
  g_autoptr (PcdSinkStatus) status = wait_for_status (f, "idle", 19, 0);
  g_assert_cmpint (status->refused, ==, 1);
  assert_expected ();
}

/* It is killed in a way: nothing that it has in memory is used again. */
static void
test_restart (Fixture *f, gconstpointer data)
{
  start_journal (f, 1000);
  add (f, 1, 30);
  stop (f);
  start_journal (f, 1000);
  start_runner (f, &receiver_type, sink_config (G_USEC_PER_SEC * 30));
  wait_for_notes (30);
  g_clear_pointer (&(PcdSinkStatus *){ wait_for_status (f, "idle", 30, 0) }, pcd_sink_status_free);
  stop (f);
  start_journal (f, 1000);
  add (f, 31, 40);
  start_runner (f, &receiver_type, sink_config (G_USEC_PER_SEC * 30));
  wait_for_notes (40);
  g_clear_pointer (&(PcdSinkStatus *){ wait_for_status (f, "idle", 10 + 30, 0) },
                   pcd_sink_status_free);
  assert_once_in_order (40);
}

static gint64
pss_kib (void)
{
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents ("/proc/self/smaps_rollup", &text, NULL, NULL) ||
      !(line = strstr (text, "\nPss:")))
    return 0;
  return atoll (line + 5);
}

/* 10,000 events for a receiver that is down, of which it may keep 1000. */
static void
test_dead_receiver (Fixture *f, gconstpointer data)
{
  g_autofree char *wal = NULL;
  struct stat st;
  gint64 before, grown;

  receiver.fail = -1;
  expect ("*sink r: down; *");
  expect ("*queue is full*");
  expect ("*was told that 9000 events*");
  expect ("*takes events again*");
  start_journal (f, 1000);
  start_runner (f, &receiver_type, sink_config (G_USEC_PER_SEC * 30));
  add (f, 1, 1000);
  g_clear_pointer (&(PcdSinkStatus *){ wait_for_status (f, "waiting", 0, 1000) },
                   pcd_sink_status_free);
  before = pss_kib ();
  for (guint i = 1001; i <= 10000; i += 500) {
    PcdSinkStatus *status;
    add (f, i, i + 499);
    do {
      g_usleep (1000);
      status = pcd_sink_runner_get_status (f->runner);
      grown = status->dropped;
      pcd_sink_status_free (status);
    } while (grown < i + 499 - 1000);
  }
  grown = pss_kib () - before;
  g_test_message ("PSS %" G_GINT64_FORMAT " KiB, grew by %" G_GINT64_FORMAT " KiB", before, grown);
  if (before > 0 && !g_getenv ("ASAN_OPTIONS"))
    g_assert_cmpint (grown, <, 2048);
  g_assert_cmpint (stat (pcd_journal_get_path (f->journal), &st), ==, 0);
  g_test_message ("database %" G_GINT64_FORMAT " KiB", (gint64)st.st_size / 1024);
  g_assert_cmpint (st.st_size, <, 2 << 20);
  /* And it comes back: what is about to be tried once more may still tell of fewer that were
   * dropped. */
  g_mutex_lock (&receiver.lock);
  while (!strstr (receiver.failed, "\"count\":9000"))
    g_assert_true (g_cond_wait_until (&receiver.cond, &receiver.lock,
                                      g_get_monotonic_time () + 30 * G_USEC_PER_SEC));
  receiver.fail = 0;
  g_mutex_unlock (&receiver.lock);
  wait_for_notes (1001);
  g_autoptr (PcdSinkStatus) status = wait_for_status (f, "idle", 1000, 0);
  g_assert_cmpint (status->dropped, ==, 9000);
  g_assert_true (g_str_has_prefix (receiver.kinds->str, "dropped:{"));
  g_assert_nonnull (strstr (receiver.kinds->str, "\"count\":9000"));
  g_ptr_array_remove_index (receiver.ids, 0);
  assert_once_in_order (1000);
  assert_expected ();
}

/* A thread that never comes back is left behind, up to a number of them; the queue outlives it. */
static void
test_hangs (Fixture *f, gconstpointer data)
{
  for (guint i = 1; i <= PCD_SINK_MAX_ABANDONED; i++) {
    expect ("*left behind*");
    if (i == 1)
      expect ("*sink r: it did not come back*");
  }
  expect ("*takes events again*");
  receiver.hang = TRUE;
  start_journal (f, 1000);
  start_runner (f, &receiver_type, sink_config (50 * 1000));
  add (f, 1, 3);
  g_clear_pointer (&(PcdSinkStatus *){ wait_for_status (f, "stuck", 0, 3) }, pcd_sink_status_free);
  g_assert_cmpuint (receiver.instances, ==, PCD_SINK_MAX_ABANDONED);
  g_mutex_lock (&receiver.lock);
  g_assert_cmpuint (receiver.calls, ==, PCD_SINK_MAX_ABANDONED);
  receiver.hang = FALSE;
  g_cond_broadcast (&receiver.cond);
  g_mutex_unlock (&receiver.lock);
  /* what the threads that were given up deliver, and the one that comes then */
  wait_for_notes (3 * (PCD_SINK_MAX_ABANDONED + 1));
  g_autoptr (PcdSinkStatus) status = wait_for_status (f, "idle", 3, 0);
  assert_expected ();
}

/* ---- configuration ---- */

static void
test_config (Fixture *f, gconstpointer data)
{
  static const struct {
    const char *text, *error;
  } cases[] = {
    { "[sink a]\ntype = exec\ntimeout = 3s\ncolour = red\n[sinks]\nqueue-size = "
      "5\nqueue-bytes=2M\n",
      NULL },
    { "[sink a]\ntype = exec\n[sink a]\ntype = exec\n", "*:3: group [sink a] again*" },
    { "[sink a b]\n", "*:1: sink name \"a b\", expected*" },
    { "[sink]\n", "*:1: unknown group \"sink\"*" },
    { "[sink a]\nenabled = perhaps\n",
      "*:2: [sink a] enabled: got \"perhaps\", expected yes or no" },
    { "[sink a]\ntimeout = 0\n", "*:2: [sink a] timeout: got \"0\", expected a duration*" },
    { "[sink a]\nqueue-bytes = 9T\n", "*queue-bytes: got \"9T\", expected a size*" },
    { "[sink a]\ntoken = x\ntoken = y\n", "*:3: [sink a] \"token\": again*" },
    { "[sinks]\nqueue-size = 0\n", "*:2: [sinks] queue-size: got \"0\", expected a number*" },
    { "[sinks]\ntype = exec\n", "*[sinks]: unknown key*" },
  };
  g_autofree char *path = g_build_filename (f->dir, "conf", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_auto (PcdConfig) config = { 0 };
    g_autoptr (GError) error = NULL;

    g_assert_true (g_file_set_contents (path, cases[i].text, -1, NULL));
    pcd_config_load (path, &config, &error);
    if (cases[i].error) {
      g_assert_nonnull (error);
      if (!g_pattern_match_simple (cases[i].error, error->message))
        g_error ("%s", error->message);
      continue;
    }
    g_assert_no_error (error);
    g_assert_cmpuint (config.sinks->len, ==, 1);
    g_autoptr (PcdSinkConfig) sink =
        pcd_sink_config_complete (g_ptr_array_index (config.sinks, 0), &config.sink_defaults);
    g_assert_cmpstr (sink->type, ==, "exec");
    g_assert_cmpint (sink->common.timeout_usec, ==, 3000000);
    g_assert_cmpint (sink->common.max_notes, ==, 5);
    g_assert_cmpint (sink->common.max_bytes, ==, 2 << 20);
    g_assert_cmpstr (g_hash_table_lookup (sink->keys, "colour"), ==, "red");
    g_assert_cmpuint (g_hash_table_size (sink->keys), ==, 1);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  watch_log ();
  g_test_add_func ("/sinks/backoff", test_backoff);
  g_test_add_func ("/sinks/result", test_result);
#define ADD(name, func)                                                                            \
  g_test_add ("/sinks/" name, Fixture, NULL, set_up_receiver, func, tear_down_receiver)
  ADD ("in-order", test_in_order);
  ADD ("comes-back", test_comes_back);
  ADD ("retry-after", test_retry_after);
  ADD ("refused", test_refused);
  ADD ("restart", test_restart);
  ADD ("dead-receiver", test_dead_receiver);
  ADD ("hangs", test_hangs);
  g_test_add ("/sinks/config", Fixture, NULL, set_up, test_config, tear_down);
  return g_test_run ();
}
