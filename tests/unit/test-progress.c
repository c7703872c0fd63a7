/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From query-migrate's figures to rate, estimate and words. */
#include "core/pcd-progress.h"

#include <gio/gio.h>

#define MIB (G_GUINT64_CONSTANT (1) << 20)
#define SEC G_USEC_PER_SEC

/* Taken from a QEMU 7.2 source, shortened; and what is no such answer. */
static void
test_parse (void)
{
  static const struct {
    const char *json;
    int code; /* a GIOErrorEnum, or -1 */
    PcdProgressSample sample;
  } rows[] = {
    { "{\"return\":{\"status\":\"postcopy-active\",\"total-time\":9,\"ram\":{\"total\":74252288,"
      "\"postcopy-requests\":7,\"remaining\":61403136,\"mbps\":8.5,\"transferred\":1,"
      "\"page-size\":4096}},\"id\":\"libvirt-9\"}",
      -1,
      { 5, TRUE, 61403136, 74252288, 4096, 1062500 } },
    { "{\"return\":{\"status\":\"postcopy-paused\",\"ram\":{\"total\":8192,\"remaining\":4096,"
      "\"mbps\":0,\"page-size\":4096}}}",
      -1,
      { 5, FALSE, 4096, 8192, 4096, 0 } },
    { "{\"return\":{\"status\":\"postcopy-recover\",\"ram\":{\"total\":8192,\"remaining\":4096}}}",
      -1,
      { 5, FALSE, 4096, 8192, 0, 0 } },
    { "{\"return\":{\"status\":\"active\",\"ram\":{\"remaining\":-1,\"mbps\":-5}}}",
      -1,
      { 5, TRUE, 0, 0, 0, 0 } },
    { "{\"return\":{\"status\":\"postcopy-active\"}}", G_IO_ERROR_NOT_FOUND, { 0 } },
    { "{\"return\":{}}", G_IO_ERROR_NOT_FOUND, { 0 } },
    { "{\"return\":{\"ram\":7}}", G_IO_ERROR_NOT_FOUND, { 0 } },
    { "{\"return\":[]}", G_IO_ERROR_INVALID_DATA, { 0 } },
    { "{\"error\":{\"class\":\"GenericError\"}}", G_IO_ERROR_INVALID_DATA, { 0 } },
    { "[]", G_IO_ERROR_INVALID_DATA, { 0 } },
    { "{\"return\"", G_IO_ERROR_INVALID_DATA, { 0 } },
    { "", G_IO_ERROR_INVALID_DATA, { 0 } },
    { NULL, G_IO_ERROR_INVALID_DATA, { 0 } },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    PcdProgressSample sample = { 0 };

    g_test_message ("row %u", i);
    g_assert_cmpint (pcd_progress_parse (rows[i].json, 5, &sample, &error), ==, rows[i].code < 0);
    if (rows[i].code >= 0)
      g_assert_error (error, G_IO_ERROR, rows[i].code);
    else
      g_assert_no_error (error);
    g_assert_cmpint (sample.now, ==, rows[i].sample.now);
    g_assert_cmpint (sample.flows, ==, rows[i].sample.flows);
    g_assert_cmpuint (sample.remaining, ==, rows[i].sample.remaining);
    g_assert_cmpuint (sample.total, ==, rows[i].sample.total);
    g_assert_cmpuint (sample.page_size, ==, rows[i].sample.page_size);
    g_assert_cmpuint (sample.bytes_per_s, ==, rows[i].sample.bytes_per_s);
  }
}

/* Seconds, MiB left, whether it flows, QEMU's own MiB/s; a row ends with { -1 }. */
static void
test_rate (void)
{
  static const struct {
    const char *what;
    struct {
      double at;
      double left;
      gboolean flows;
      double qemu;
    } samples[6];
    double rate; /* MiB/s, or -1 */
    double left; /* seconds, or -1 */
  } rows[] = {
    { "one look, QEMU has a figure", { { 0, 100, TRUE, 20 }, { -1 } }, 20, 5 },
    { "one look, QEMU has none", { { 0, 100, TRUE, 0 }, { -1 } }, -1, -1 },
    { "two looks", { { 0, 100, TRUE, 99 }, { 1, 90, TRUE, 99 }, { -1 } }, 10, 9 },
    { "too close to each other", { { 0, 100, TRUE, 99 }, { 0.1, 90, TRUE, 45 }, { -1 } }, 45, 2 },
    { "over all looks",
      { { 0, 100, TRUE, 0 }, { 1, 98, TRUE, 0 }, { 2, 80, TRUE, 0 }, { -1 } },
      10,
      8 },
    { "nothing comes", { { 0, 100, TRUE, 5 }, { 2, 100, TRUE, 5 }, { -1 } }, 0, -1 },
    { "paused", { { 0, 100, FALSE, 5 }, { 2, 100, FALSE, 5 }, { -1 } }, 0, -1 },
    { "the pause does not count",
      { { 0, 90, TRUE, 0 },
        { 9, 90, FALSE, 0 },
        { 9.5, 90, TRUE, 0 },
        { 10, 85, TRUE, 0 },
        { 11, 75, TRUE, 0 },
        { -1 } },
      10,
      7.5 },
    { "what was lost is missing again",
      { { 0, 60, TRUE, 0 }, { 1, 40, TRUE, 0 }, { 2, 50, TRUE, 0 }, { 3, 49, TRUE, 0 }, { -1 } },
      1,
      49 },
    { "only the last 10 s",
      { { 0, 999, TRUE, 0 }, { 9, 50, TRUE, 0 }, { 11, 30, TRUE, 0 }, { -1 } },
      10,
      3 },
    { "nobody looked for long", { { 0, 999, TRUE, 0 }, { 60, 30, TRUE, 3 }, { -1 } }, 3, 10 },
    { "done", { { 0, 10, TRUE, 0 }, { 1, 0, TRUE, 0 }, { -1 } }, 10, 0 },
    { "the clock stands", { { 1, 10, TRUE, 5 }, { 1, 5, TRUE, 5 }, { -1 } }, 5, 1 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    PcdProgressTrack track = { 0 };

    g_test_message ("row %u: %s", i, rows[i].what);
    for (guint j = 0; j < 6 && rows[i].samples[j].at >= 0 &&
                      (rows[i].samples[j].left > 0 || rows[i].samples[j].at > 0);
         j++) {
      const PcdProgressSample sample = {
        .now = SEC + (gint64)(rows[i].samples[j].at * SEC),
        .flows = rows[i].samples[j].flows,
        .remaining = (guint64)(rows[i].samples[j].left * (double)MIB),
        .total = 1000 * MIB,
        .page_size = 4096,
        .bytes_per_s = (guint64)(rows[i].samples[j].qemu * (double)MIB),
      };
      pcd_progress_add (&track, &sample);
    }
    const PcdProgress progress = pcd_progress_get (&track);
    g_assert_true (progress.known);
    g_assert_cmpint (progress.rate, ==, rows[i].rate < 0 ? -1 : (gint64)(rows[i].rate * MIB));
    g_assert_cmpint (progress.left_usec, ==, rows[i].left < 0 ? -1 : (gint64)(rows[i].left * SEC));
  }
}

static void
test_nothing_known (void)
{
  PcdProgressTrack track = { 0 };
  const PcdProgress progress = pcd_progress_get (&track);

  g_assert_false (progress.known);
  g_assert_cmpint (progress.rate, ==, -1);
  g_assert_cmpint (progress.left_usec, ==, -1);
}

/* More looks than are kept: the rate stays that of the window. */
static void
test_many (void)
{
  PcdProgressTrack track = { 0 };

  for (guint i = 0; i < 1000; i++) {
    const PcdProgressSample sample = {
      .now = SEC + i * SEC / 10,
      .flows = TRUE,
      .remaining = (10000 - i) * MIB,
      .page_size = 4096,
    };
    pcd_progress_add (&track, &sample);
    g_assert_cmpuint (track.n, <=, PCD_PROGRESS_SAMPLES);
  }
  g_assert_cmpint (pcd_progress_get (&track).rate, ==, (gint64)(10 * MIB));
}

static void
test_words (void)
{
  static const struct {
    PcdProgress progress;
    const char *text;
    const char *bar;
    guint64 pages;
  } rows[] = {
    { { TRUE, 385 * MIB, 512 * MIB, 4096, 41 * (gint64)MIB, 9390000, 0 },
      "385.0 MiB (98560 pages) left of 512.0 MiB, 41.0 MiB/s, about 10 s",
      "[##--------]",
      98560 },
    { { TRUE, 4097, 8192, 4096, 0, -1, 0 },
      "4.0 KiB (2 pages) left of 8.0 KiB, nothing flows",
      "[####------]",
      2 },
    { { TRUE, 100, 2048 * MIB, 4096, -1, -1, 0 },
      "100 B (1 page) left of 2.0 GiB",
      "[#########-]",
      1 },
    { { TRUE, 0, 512 * MIB, 4096, 77, 0, 0 },
      "0 B (0 pages) left of 512.0 MiB",
      "[##########]",
      0 },
    { { TRUE, 600 * MIB, 512 * MIB, 0, 1024, 3725 * (gint64)SEC, 0 },
      "600.0 MiB (0 pages) left of 512.0 MiB, 1.0 KiB/s, about 1 h 2 min",
      "[----------]",
      0 },
    { { TRUE, 5, 0, 4096, 1, 65 * (gint64)SEC, 0 },
      "5 B (1 page) left of 0 B, 1 B/s, about 1 min 5 s",
      "[----------]",
      1 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *text = pcd_progress_to_text (&rows[i].progress);
    g_autofree char *bar = pcd_progress_bar (&rows[i].progress, 12);

    g_assert_cmpstr (text, ==, rows[i].text);
    g_assert_cmpstr (bar, ==, rows[i].bar);
    g_assert_cmpuint (pcd_progress_pages (&rows[i].progress), ==, rows[i].pages);
  }
}

static void
test_left (void)
{
  static const struct {
    gint64 usec;
    const char *text;
  } rows[] = {
    { 0, "0 s" },
    { 1, "1 s" },
    { 59 * SEC, "59 s" },
    { 59 * SEC + 1, "1 min 0 s" },
    { 3599 * (gint64)SEC, "59 min 59 s" },
    { 3600 * (gint64)SEC, "1 h 0 min" },
    { 99 * 3600 * (gint64)SEC, "99 h 0 min" },
    { 100 * 3600 * (gint64)SEC, "days" },
    { (gint64)1e17, "days" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *text = pcd_progress_left_to_text (rows[i].usec);
    g_assert_cmpstr (text, ==, rows[i].text);
  }
}

static void
test_line (void)
{
  const PcdProgress progress = { TRUE, 385 * MIB, 512 * MIB, 4096, 41 * (gint64)MIB, 9 * SEC, 0 };
#define FIGURES "385.0 MiB (98560 pages) left of 512.0 MiB, 41.0 MiB/s, about 9 s"
  static const struct {
    guint columns;
    const char *line;
  } rows[] = {
    { 200, "g: [#########-------------------------------] " FIGURES },
    { 90, "g: [####---------------] " FIGURES },
    { 81, "g: [##--------] " FIGURES },
    { 80, "g: " FIGURES },
    { 68, "g: " FIGURES },
    { 67, "g: 385.0 MiB (98560 pages) left of 512.0 MiB, 41.0 MiB/s, about 9 " },
    { 10, "g: 385.0 " },
    { 1, "" },
    { 0, "" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *line = pcd_progress_line ("g", &progress, rows[i].columns);
    g_assert_cmpstr (line, ==, rows[i].line);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/progress/parse", test_parse);
  g_test_add_func ("/progress/rate", test_rate);
  g_test_add_func ("/progress/nothing-known", test_nothing_known);
  g_test_add_func ("/progress/many", test_many);
  g_test_add_func ("/progress/words", test_words);
  g_test_add_func ("/progress/left", test_left);
  g_test_add_func ("/progress/line", test_line);
  return g_test_run ();
}
