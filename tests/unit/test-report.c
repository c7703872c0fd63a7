/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reports of incidents: a recorded pair, pairs that are none, and what must not come through. */
#include "ctl/pcd-report.h"

#include <gio/gio.h>
#include <string.h>

#define U "11111111-2222-3333-4444-555555555555"

static PcdReportSide *
parse (const char *text, GError **error)
{
  g_autoptr (GError) own = NULL;
  g_autoptr (JsonNode) root = json_from_string (text, &own);

  g_assert_no_error (own);
  return pcd_report_side_new (root, "test", error);
}

static PcdReportSide *
load (const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL,
                  *path = g_build_filename (g_getenv ("PCD_FIXTURES"), "incidents", name, NULL);

  g_assert_true (g_file_get_contents (path, &text, NULL, &error));
  PcdReportSide *side = parse (text, &error);
  g_assert_no_error (error);
  return side;
}

static void
test_recorded (void)
{
  g_autoptr (PcdReportSide) source = load ("source.json");
  g_autoptr (PcdReportSide) destination = load ("destination.json");
  static const char *const phases[] = { "postcopy", "paused", "recovering", "postcopy",
                                        "completed" };

  g_assert_true (pcd_report_join_check (source, destination, NULL));
  g_assert_cmpuint (source->phases->len, ==, G_N_ELEMENTS (phases));
  for (guint i = 0; i < G_N_ELEMENTS (phases); i++) {
    const PcdReportSpan *span = g_ptr_array_index (source->phases, i);
    g_assert_cmpstr (span->word, ==, phases[i]);
    g_assert_cmpint (span->to, >=, span->from);
  }
  /* 22:24:46.516 to 22:24:58.654 in the fixture. */
  g_assert_cmpint (pcd_report_paused_usec (source) / 1000, ==, 12138);
  g_assert_cmpuint (source->actions->len, ==, 3);
  const PcdReportAction *failed = g_ptr_array_index (source->actions, 1);
  g_assert_cmpstr (failed->action, ==, "recover");
  g_assert_cmpstr (failed->outcome, ==, "failed");
  g_assert_cmpint (failed->to - failed->from, >, 0);
  g_assert_nonnull (strstr (failed->reason, "unreachable"));
  for (guint i = 0; i < source->points->len; i++)
    g_assert_cmpstr (((PcdReportPoint *)g_ptr_array_index (source->points, i))->kind, !=, "action");
  g_autofree char *summary = pcd_report_summary (source);
  g_assert_cmpstr (summary, ==,
                   "On the source: paused for 12.14 s, because the network failed; 3 actions, 2 of "
                   "them done; completed.");
  const PcdReportSide *const sides[] = { source, destination };
  g_autofree char *page = pcd_report_html (sides, G_N_ELEMENTS (sides));
  g_assert_nonnull (strstr (page, ">source, 10.9.0.1:47648 -&gt; 10.9.0.2:49152</text>"));
  g_assert_nonnull (strstr (page, "<dt>Connection</dt><dd>10.9.0.2:49152 -&gt; 10.9.0.1:47648<"));
  g_assert_nonnull (strstr (page, ">cause known</text>"));
  /* The fixture has such a flow; what is drawn and in the tables lasted. */
  g_assert_null (strstr (page, "0.0 ms"));
}

/* Recorded in the lab: four vCPUs, packets dropped for some seconds. */
static void
test_recorded_measured (void)
{
  g_autoptr (PcdReportSide) source = load ("source-measured.json");
  g_autoptr (PcdReportSide) destination = load ("destination-measured.json");
  const PcdReportSide *const sides[] = { source, destination };
  /* Until when each waited, in ms of the fixture: those of no end wait until it completes. */
  static const gint64 until[] = { 9119, 9119, 7786, 8821 };

  g_assert_true (pcd_report_join_check (source, destination, NULL));
  g_assert_cmpuint (source->samples->len, ==, 5);
  const PcdReportSample *sample = &g_array_index (source->samples, PcdReportSample, 0);
  g_assert_cmpuint (sample->retransmits, ==, 2);
  g_assert_cmpuint (sample->unacked, ==, 196);
  for (guint i = 1; i < source->samples->len; i++)
    g_assert_cmpuint (g_array_index (source->samples, PcdReportSample, i).retransmits, ==, 0);
  g_assert_cmpuint (source->threads->len, ==, 0);
  g_assert_cmpuint (destination->threads->len, ==, G_N_ELEMENTS (until));
  for (guint i = 0; i < G_N_ELEMENTS (until); i++) {
    const PcdReportThread *thread = g_ptr_array_index (destination->threads, i);
    const PcdReportSpan *wait = g_ptr_array_index (thread->waits, 0);
    g_assert_cmpint (thread->vcpu, ==, i);
    g_assert_cmpuint (thread->waits->len, ==, 1);
    g_assert_cmpstr (wait->word, ==, "kernel-side-copy");
    g_assert_cmpint ((wait->from - destination->began) / 1000, ==, 0);
    g_assert_cmpint ((wait->to - destination->began) / 1000, ==, until[i]);
  }
  g_autofree char *page = pcd_report_html (sides, G_N_ELEMENTS (sides));
  for (guint i = 0; i < G_N_ELEMENTS (until); i++) {
    g_autofree char *lane = g_strdup_printf (">vCPU %u waits<", i);
    g_assert_nonnull (strstr (page, lane));
  }
  g_assert_nonnull (strstr (page, "2 retransmissions without an answer, 196 segments"));
  /* The guest is not on the source: nothing is said of its vCPUs there. */
  g_assert_nonnull (strstr (page, "<td>measured</td><td>4 of 4 vCPUs blocked: "));
  g_assert_nonnull (strstr (page, "<td>measured</td><td>192.0.2.1:42242 -&gt; "));
  g_assert_nonnull (strstr (page, "<td>measured</td><td>no migration connection</td>"));
  g_assert_null (strstr (page, "0 of 4 vCPUs blocked"));
}

#define INCIDENT(uuid, role, began, ended, timeline)                                               \
  "{\"id\":1,\"uuid\":\"" uuid "\",\"domain\":\"g\",\"role\":\"" role                              \
  "\",\"began\":\"2026-11-22T" began "Z\"" ended ",\"timeline\":[" timeline "]}"
#define ENDED(time) ",\"ended\":\"2026-11-22T" time "Z\",\"how\":\"completed\""

static void
test_pairs (void)
{
  static const struct {
    const char *a, *b, *error;
  } cases[] = {
    { INCIDENT (U, "source", "10:00:00", ENDED ("10:01:00"), ""),
      INCIDENT (U, "destination", "10:00:59", ENDED ("10:02:00"), ""), NULL },
    { INCIDENT (U, "source", "10:00:00", ENDED ("10:01:00"), ""),
      INCIDENT (U, "source", "10:00:00", ENDED ("10:01:00"), ""), "same role" },
    { INCIDENT (U, "source", "10:00:00", ENDED ("10:01:00"), ""),
      INCIDENT (U, "destination", "11:00:00", ENDED ("11:01:00"), ""), "no time in common" },
    { INCIDENT (U, "source", "10:00:00", ENDED ("10:01:00"), ""),
      INCIDENT ("22222222-2222-3333-4444-555555555555", "destination", "10:00:00", "", ""),
      "two domains" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PcdReportSide) a = parse (cases[i].a, NULL);
    g_autoptr (PcdReportSide) b = parse (cases[i].b, NULL);
    g_assert_cmpint (pcd_report_join_check (a, b, &error), ==, cases[i].error == NULL);
    if (cases[i].error)
      g_assert_nonnull (strstr (error->message, cases[i].error));
  }
}

static void
test_no_incident (void)
{
  static const char *const texts[] = { "[]",
                                       "{}",
                                       "3",
                                       "{\"timeline\":3,\"uuid\":\"x\"}",
                                       "{\"timeline\":[],\"uuid\":1,\"role\":\"source\"}",
                                       INCIDENT (U, "source", "never", "", "") };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (parse (texts[i], &error));
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
    g_assert_true (g_str_has_prefix (error->message, "test: no incident: expected "));
  }
}

/* Whatever a timeline has, a page comes of it; what is not over or not understood is shown. */
static void
test_odd (void)
{
  g_autoptr (PcdReportSide) side = parse (
      INCIDENT (
          U, "destination", "10:00:00", "",
          "3,{\"type\":\"event\"},{\"time\":\"2026-11-22T10:00:01Z\",\"type\":\"omen\",\"x\":1},"
          "{\"time\":\"2026-11-22T10:00:02Z\",\"type\":\"intent\",\"ticket\":1,\"action\":\"stop\"}"
          ","
          "{\"time\":\"2026-11-22T10:00:02Z\",\"type\":\"result\",\"ticket\":9},"
          "{\"time\":\"2026-11-22T10:00:03Z\",\"type\":\"event\",\"event\":{\"kind\":\"blocked\","
          "\"from\":\"0\",\"to\":\"99999999999999999999\"}},"
          "{\"time\":\"2026-11-22T10:00:04Z\",\"type\":\"event\",\"event\":{\"kind\":[],\"to\":{}}"
          "}"),
      NULL);

  g_assert_nonnull (side);
  const PcdReportAction *action = g_ptr_array_index (side->actions, 0);
  g_assert_cmpstr (action->outcome, ==, "unfinished");
  g_assert_cmpint (side->end - side->began, ==, 4 * G_USEC_PER_SEC);
  const PcdReportSide *const sides[] = { side };
  g_autofree char *page = pcd_report_html (sides, 1);
  g_assert_nonnull (strstr (page, "omen"));
  g_assert_nonnull (strstr (page, "it is not over yet"));
}

static PcdReportSide *
parse_measured (const char *const *details, guint n)
{
  g_autoptr (GString) timeline = g_string_new (NULL);
  g_autofree char *text = NULL;

  for (guint i = 0; i < n; i++)
    g_string_append_printf (timeline,
                            "%s{\"time\":\"2026-11-22T10:00:0%uZ\",\"type\":\"event\",\"event\":"
                            "{\"kind\":\"measured\",\"to\":\"1 of 2 vCPUs blocked\","
                            "\"detail\":\"%s\"}}",
                            i ? "," : "", i + 1, details[i]);
  text = g_strdup_printf (INCIDENT (U, "destination", "10:00:00", ENDED ("10:00:09"), "%s"),
                          timeline->str);
  return parse (text, NULL);
}

/* Waits end where a thread is not named any more, or waits elsewhere; other words are left alone.
 */
static void
test_measured (void)
{
  static const char *const details[] = {
    "a -> b: unacked 10, retransmits 0, heard 1.0 s ago",
    ("a -> b: unacked 12, retransmits 3, heard 1.0 s ago; c -> d: unacked 1, retransmits 2, heard "
     "0.0 s ago; thread 7 (vCPU 0) blocked: kernel-side-copy for 1.0 s"),
    "thread 7 (vCPU 0) blocked: kernel-side-copy for 2.0 s",
    "thread 7 (vCPU 0) blocked: kvm-slow-page-fault; thread 8 (vCPU -1) blocked: userspace-fault",
    "thread 7 (vCPU 0) blocked: kvm-slow-page-fault; <b>; thread x (",
    "",
    "thread 7 (vCPU 0) blocked: unknown",
  };
  g_autoptr (PcdReportSide) side = parse_measured (details, G_N_ELEMENTS (details));
  static const struct {
    guint thread;
    int from, to;
    const char *path;
  } waits[] = {
    { 0, 2, 4, "kernel-side-copy" },
    { 0, 4, 6, "kvm-slow-page-fault" },
    { 0, 7, 9, "unknown" },
    { 1, 4, 5, "userspace-fault" },
  };
  guint seen[2] = { 0 };

  g_assert_cmpuint (side->samples->len, ==, G_N_ELEMENTS (details));
  g_assert_cmpuint (g_array_index (side->samples, PcdReportSample, 1).retransmits, ==, 3);
  g_assert_cmpuint (g_array_index (side->samples, PcdReportSample, 1).unacked, ==, 12);
  g_assert_cmpuint (g_array_index (side->samples, PcdReportSample, 2).retransmits, ==, 0);
  g_assert_cmpuint (side->threads->len, ==, 2);
  for (guint i = 0; i < G_N_ELEMENTS (waits); i++) {
    const PcdReportThread *thread = g_ptr_array_index (side->threads, waits[i].thread);
    const PcdReportSpan *span = g_ptr_array_index (thread->waits, seen[waits[i].thread]++);
    g_assert_cmpstr (span->word, ==, waits[i].path);
    g_assert_cmpint (span->from - side->began, ==, waits[i].from * G_USEC_PER_SEC);
    g_assert_cmpint (span->to - side->began, ==, waits[i].to * G_USEC_PER_SEC);
  }
  const PcdReportSide *const sides[] = { side };
  g_autofree char *page = pcd_report_html (sides, 1);
  g_assert_nonnull (strstr (page, ">vCPU 0 waits<"));
  g_assert_nonnull (strstr (page, ">8 waits<"));
  g_assert_nonnull (strstr (page, ">retransmits<"));
  g_assert_nonnull (strstr (page, "3 retransmissions without an answer, 12 segments"));
  g_assert_nonnull (strstr (page, "<td>measured</td><td>1 of 2 vCPUs blocked: thread 7"));
}

static void
test_hostile (void)
{
  g_autoptr (PcdReportSide) side =
      parse ("{\"id\":1,\"uuid\":\"" U
             "\",\"domain\":\"<script>alert(1)</script>\\\"'&\",\"role\":\"source"
             "\",\"began\":\"2026-11-22T10:00:00Z\",\"timeline\":[{\"time\":\"2026-11-22T10:00:"
             "01Z\",\"type\":"
             "\"event\",\"event\":{\"kind\":\"phase\",\"from\":\"postcopy\",\"to\":\"x\\\" "
             "onload=\\\"y<b>\"}},"
             "{\"time\":\"2026-11-22T10:00:02Z\",\"type\":\"intent\",\"ticket\":1,\"action\":\"<i>"
             "\",\"who\":"
             "\"</table><img src=x>\"}]}",
             NULL);
  const PcdReportSide *const sides[] = { side };
  g_autofree char *page = pcd_report_html (sides, 1);
  static const char *const never[] = { "<script", "<b>",      "<i>",  "<img",   "onload=\"",
                                       "http://", "https://", "url(", "@import" };

  for (guint i = 0; i < G_N_ELEMENTS (never); i++)
    if (strstr (page, never[i]))
      g_error ("'%s' in:\n%s", never[i], page);
  g_assert_nonnull (strstr (page, "&lt;script&gt;alert(1)&lt;/script&gt;&quot;"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/report/recorded", test_recorded);
  g_test_add_func ("/report/recorded-measured", test_recorded_measured);
  g_test_add_func ("/report/pairs", test_pairs);
  g_test_add_func ("/report/no-incident", test_no_incident);
  g_test_add_func ("/report/odd", test_odd);
  g_test_add_func ("/report/measured", test_measured);
  g_test_add_func ("/report/hostile", test_hostile);
  return g_test_run ();
}
