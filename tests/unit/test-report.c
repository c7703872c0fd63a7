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
  g_test_add_func ("/report/pairs", test_pairs);
  g_test_add_func ("/report/no-incident", test_no_incident);
  g_test_add_func ("/report/odd", test_odd);
  g_test_add_func ("/report/hostile", test_hostile);
  return g_test_run ();
}
