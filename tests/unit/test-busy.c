/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the line of progress says in the room there is. */
#include "core/pcd-text.h"
#include "ctl/pcd-busy-line.h"

static void
test_lines (void)
{
  static const struct {
    const char *text;
    guint64 done, total;
    guint seconds;
    guint columns;
    const char *line;
  } table[] = {
    { "probing", 0, 0, 1, 80, "probing, 1 s" },
    { "probing", 0, 0, 125, 80, "probing, 2 min 5 s" },
    { "reading", 1, 4, 3, 80, "reading [#####---------------] 25 %, 3 s" },
    { "reading", 9, 4, 3, 80, "reading [####################] 100 %, 3 s" },
    { "reading", G_MAXUINT64 / 2, G_MAXUINT64, 3, 80, "reading [##########----------] 50 %, 3 s" },
    /* The bar is shorter, then gone, then the text is cut; the figures stay. */
    { "reading a file", 1, 2, 3, 40, "reading a file [######------] 50 %, 3 s" },
    { "reading a file", 1, 2, 3, 33, "reading a file [##---] 50 %, 3 s" },
    { "reading a file", 1, 2, 3, 30, "reading a file 50 %, 3 s" },
    { "reading a file", 1, 2, 3, 20, "reading a 50 %, 3 s" },
    { "waiting for somebody far away", 0, 0, 7, 20, "waiting for so, 7 s" },
    /* Two columns each. */
    { "日本語日本語", 0, 0, 7, 14, "日本語日, 7 s" },
    { "probing", 0, 0, 1, 4, ", 1" },
    { "probing", 0, 0, 1, 1, "" },
    { "probing", 0, 0, 1, 0, "" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (table); i++) {
    const PcdBusyView view = { .text = table[i].text,
                               .done = table[i].done,
                               .total = table[i].total,
                               .elapsed_usec = table[i].seconds * G_USEC_PER_SEC + 999999 };
    g_autofree char *line = pcd_busy_line (&view, table[i].columns);

    g_test_message ("%u: '%s'", i, line);
    g_assert_true (pcd_text_width (line) < MAX (table[i].columns, 1));
    g_assert_cmpstr (line, ==, table[i].line);
  }
}

static void
test_every_width (void)
{
  for (guint columns = 0; columns < 200; columns++)
    for (guint64 total = 0; total < 3; total++) {
      const PcdBusyView view = { .text = "äöü: snapshot: 記憶", .done = 1, .total = total };
      g_autofree char *line = pcd_busy_line (&view, columns);

      g_assert_true (g_utf8_validate (line, -1, NULL));
      g_assert_true (pcd_text_width (line) < MAX (columns, 1));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/busy/lines", test_lines);
  g_test_add_func ("/busy/every-width", test_every_width);
  return g_test_run ();
}
