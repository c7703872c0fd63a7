/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order, selection, history and words of top. */
#include "core/pcd-types.h"
#include "ctl/pcd-top-text.h"
#include "ctl/pcd-show-threads.h"

#include <string.h>

#define NOW ((gint64)1700000000 * G_USEC_PER_SEC)

typedef struct {
  const char *name, *phase, *flow;
  guint blocked;
  gint64 age_s;
  gboolean is_source;
  const char *held_by; /* (nullable): a destination's last action, which was done */
} Spec;

static const Spec specs[] = {
  { "calm", "postcopy", "flowing", 0, 50, TRUE }, { "ended", "completed", "none", 0, 400, TRUE },
  { "paused", "paused", "none", 1, 14 },          { "paused-more", "paused", "none", 3, 12 },
  { "slow", "postcopy", "slow", 4, 3 },           { "early", "precopy", "none", 0, 100 },
  { "stalled", "postcopy", "stalled", 2, 7 },
};

static GVariant *
object_of (const Spec *spec)
{
  GVariantDict dict;
  GVariantBuilder interfaces;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "Name", "s", spec->name);
  g_variant_dict_insert (&dict, "Role", "s", spec->is_source ? "source" : "destination");
  if (spec->held_by) {
    g_variant_dict_insert (&dict, "LastAction", "s", spec->held_by);
    g_variant_dict_insert (&dict, "LastOutcome", "s", "done");
  }
  g_variant_dict_insert (&dict, "Phase", "s", spec->phase);
  g_variant_dict_insert (&dict, "Flow", "s", spec->flow);
  g_variant_dict_insert (&dict, "Measured", "b", TRUE);
  g_variant_dict_insert (&dict, "Vcpus", "u", 4);
  g_variant_dict_insert (&dict, "BlockedVcpus", "u", spec->blocked);
  g_variant_dict_insert (&dict, "PhaseTime", "t", (guint64)(NOW - spec->age_s * G_USEC_PER_SEC));
  g_variant_builder_init (&interfaces, G_VARIANT_TYPE ("a{sa{sv}}"));
  g_variant_builder_add (&interfaces, "{s@a{sv}}", "org.postcopyd.Migration1",
                         g_variant_dict_end (&dict));
  return g_variant_builder_end (&interfaces);
}

static PcdClientState *
make_state (const Spec *list, guint n)
{
  GVariantBuilder objects;

  g_variant_builder_init (&objects, G_VARIANT_TYPE ("a{oa{sa{sv}}}"));
  for (guint i = 0; i < n; i++) {
    g_autofree char *path = g_strdup_printf ("/m/%s", list[i].name);
    g_autofree char *safe = g_strdelimit (g_strdup (path), "-", '_');
    g_variant_builder_add (&objects, "{o@a{sa{sv}}}", safe, object_of (&list[i]));
  }
  g_autoptr (GVariant) all =
      g_variant_ref_sink (g_variant_new ("(@a{oa{sa{sv}}})", g_variant_builder_end (&objects)));
  g_autoptr (GVariant) manager = g_variant_ref_sink (g_variant_new ("(a{sv})", NULL));
  return pcd_client_state_parse (manager, all);
}

static PcdTopModel *
make_model (void)
{
  PcdTopModel *model = pcd_top_model_new ();

  pcd_top_model_set_state (model, make_state (specs, G_N_ELEMENTS (specs)));
  return model;
}

static char *
order_of (const PcdTopModel *model)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < pcd_top_model_get_n (model); i++)
    g_string_append_printf (text, "%s%s", i ? " " : "",
                            pcd_top_model_get_row (model, i)->migration->name);
  return g_string_free (text, FALSE);
}

static void
test_order (void)
{
  static const struct {
    PcdTopSort sort;
    const char *order;
  } cases[] = {
    { PCD_TOP_BY_TROUBLE, "paused-more paused stalled slow calm early ended" },
    { PCD_TOP_BY_NAME, "calm early ended paused paused-more slow stalled" },
    { PCD_TOP_BY_BLOCKED, "slow paused-more stalled paused early calm ended" },
    { PCD_TOP_BY_SINCE, "ended early calm paused paused-more stalled slow" },
    { PCD_TOP_BY_RATE, "early calm ended paused paused-more slow stalled" },
  };
  g_autoptr (PcdTopModel) model = make_model ();
  const PcdProgress progress = { .known = TRUE, .page_size = 4096, .rate = 4096 * 77 };

  pcd_top_model_set_progress (model, "/m/none-such", &progress, NULL);
  pcd_top_model_set_progress (model, "/m/early", &progress, NULL);
  g_assert_cmpint (pcd_top_model_find (model, "/m/early")->rate, ==, 77);
  g_assert_cmpint (pcd_top_model_get_n_in_trouble (model), ==, 4);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    pcd_top_model_sort (model, cases[i].sort);
    g_autofree char *order = order_of (model);
    g_assert_cmpstr (order, ==, cases[i].order);
    pcd_top_model_reverse (model);
    g_auto (GStrv) words = g_strsplit (cases[i].order, " ", -1);
    for (guint j = 0; words[j]; j++)
      g_assert_cmpstr (
          pcd_top_model_get_row (model, g_strv_length (words) - 1 - j)->migration->name, ==,
          words[j]);
  }
}

/* It stays with its migration, also when that moves; if it is gone, with its place. */
static void
test_selection (void)
{
  g_autoptr (PcdTopModel) model = make_model ();

  pcd_top_model_move (model, 2);
  g_assert_cmpstr (pcd_top_model_get_row (model, 2)->migration->name, ==, "stalled");
  pcd_top_model_sort (model, PCD_TOP_BY_NAME);
  g_assert_cmpuint (pcd_top_model_get_selected (model), ==, 6);
  pcd_top_model_set_state (model, make_state (specs, 6));
  g_assert_cmpuint (pcd_top_model_get_selected (model), ==, 5);
  pcd_top_model_move (model, -G_MAXINT / 2);
  g_assert_cmpuint (pcd_top_model_get_selected (model), ==, 0);
  pcd_top_model_move (model, G_MAXINT / 2);
  g_assert_cmpuint (pcd_top_model_get_selected (model), ==, 5);
  g_assert_cmpuint (pcd_top_model_fit (model, 4), ==, 2);
  pcd_top_model_move (model, -G_MAXINT / 2);
  pcd_top_model_sort (model, PCD_TOP_BY_SINCE);
  g_assert_cmpuint (pcd_top_model_get_selected (model), ==, 0);
  pcd_top_model_move (model, G_MAXINT / 2);
  g_assert_cmpuint (pcd_top_model_fit (model, 4), ==, 2);
  pcd_top_model_move (model, -3);
  g_assert_cmpuint (pcd_top_model_fit (model, 4), ==, 2);
  pcd_top_model_move (model, -1);
  g_assert_cmpuint (pcd_top_model_fit (model, 4), ==, 1);
  g_assert_cmpuint (pcd_top_model_fit (model, 0), ==, 1);
  g_assert_cmpuint (pcd_top_model_fit (model, 100), ==, 0);
  pcd_top_model_set_state (model, make_state (specs, 0));
  g_assert_cmpuint (pcd_top_model_get_selected (model), ==, 0);
  pcd_top_model_move (model, 1);
  g_assert_cmpuint (pcd_top_model_fit (model, 4), ==, 0);
}

static void
test_history (void)
{
  g_autoptr (PcdTopModel) model = make_model ();
  const PcdProgress progress = { .known = TRUE, .page_size = 4096, .rate = 4096 * 5 };

  pcd_top_model_tick (model);
  pcd_top_model_set_progress (model, "/m/stalled", &progress, NULL);
  pcd_top_model_tick (model);
  pcd_top_model_set_state (model, make_state (specs, G_N_ELEMENTS (specs)));
  pcd_top_model_tick (model);
  const PcdTopRow *row = pcd_top_model_find (model, "/m/stalled");
  g_assert_true (row->migration->asked && row->migration->progress.known);
  g_assert_cmpint (row->rates[PCD_TOP_HISTORY - 3], ==, -1);
  g_assert_cmpint (row->rates[PCD_TOP_HISTORY - 2], ==, 5);
  g_assert_cmpint (row->rates[PCD_TOP_HISTORY - 1], ==, -1);
  g_assert_cmpint (row->blocked[PCD_TOP_HISTORY - 4], ==, -1);
  g_assert_cmpint (row->blocked[PCD_TOP_HISTORY - 3], ==, 2);
  const PcdTopRow *source = pcd_top_model_find (model, "/m/calm");
  g_assert_cmpint (source->blocked[PCD_TOP_HISTORY - 1], ==, -1);
}

static void
test_sparkline (void)
{
  gint64 values[PCD_TOP_HISTORY];

  for (guint i = 0; i < PCD_TOP_HISTORY; i++)
    values[i] = -1;
  for (guint i = 0; i < 8; i++)
    values[PCD_TOP_HISTORY - 8 + i] = i * 10;
  g_autofree char *bars = pcd_top_sparkline (values, 9, 0, TRUE);
  g_autofree char *ascii = pcd_top_sparkline (values, 9, 0, FALSE);
  g_autofree char *half = pcd_top_sparkline (values, 1, 140, TRUE);
  g_autofree char *over = pcd_top_sparkline (values, 1, 7, TRUE);
  g_assert_cmpstr (bars, ==, " ▁▂▃▄▅▆▇█");
  g_assert_cmpstr (ascii, ==, " _.:-=+*#");
  g_assert_cmpstr (half, ==, "▅");
  g_assert_cmpstr (over, ==, "█");
}

static void
test_fit (void)
{
  static const struct {
    const char *text;
    guint width;
    gboolean unicode;
    const char *fitted;
  } cases[] = {
    { "abc", 5, TRUE, "abc  " },      { "abcdef", 5, TRUE, "abcd…" },
    { "abcdef", 5, FALSE, "abcd~" },  { "gräte", 5, TRUE, "gräte" },
    { "gräte", 5, FALSE, "gr?te" },   { "日本語", 6, TRUE, "日本語" },
    { "日本語", 5, TRUE, "日本…" },   { "日本語", 4, TRUE, "日… " },
    { "e\314\201e", 3, TRUE, "ee " }, { "a\033[2Jb\n", 8, TRUE, "a?[2Jb? " },
    { "a\377b", 0, TRUE, "" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *fitted = pcd_top_fit (cases[i].text, cases[i].width, cases[i].unicode);
    g_assert_cmpstr (fitted, ==, cases[i].fitted);
  }
}

/* A filter hides rows, whatever their case, and forgets nothing of them. */
static void
test_filter (void)
{
  g_autoptr (PcdTopModel) model = make_model ();
  const PcdProgress progress = { .known = TRUE, .page_size = 4096, .rate = 4096 * 5 };

  pcd_top_model_move (model, 1);
  pcd_top_model_filter (model, "PAUSED");
  g_autofree char *paused = order_of (model);
  g_assert_cmpstr (paused, ==, "paused-more paused");
  g_assert_cmpuint (pcd_top_model_get_selected (model), ==, 1);
  g_assert_cmpuint (pcd_top_model_get_n_all (model), ==, G_N_ELEMENTS (specs));
  g_assert_cmpuint (pcd_top_model_get_n_in_trouble (model), ==, 4);
  pcd_top_model_set_progress (model, "/m/calm", &progress, NULL);
  pcd_top_model_tick (model);
  pcd_top_model_filter (model, "no such");
  g_assert_cmpuint (pcd_top_model_get_n (model), ==, 0);
  pcd_top_model_filter (model, "");
  g_assert_cmpuint (pcd_top_model_get_n (model), ==, G_N_ELEMENTS (specs));
  g_assert_cmpint (pcd_top_model_find (model, "/m/calm")->rates[PCD_TOP_HISTORY - 1], ==, 5);
}

/* No row may be wider than the terminal, and the name is always there. */
static void
test_lay_out (void)
{
  g_autoptr (PcdTopModel) model = make_model ();
  guint widths[PCD_TOP_N_COLUMNS];

  for (guint columns = 1; columns <= 250; columns++) {
    pcd_top_lay_out (columns, widths);
    g_autofree char *titles = pcd_top_row_to_text (NULL, widths, TRUE, NOW);
    g_autofree char *row =
        pcd_top_row_to_text (pcd_top_model_get_row (model, 0), widths, TRUE, NOW);
    g_assert_cmpint (g_utf8_strlen (titles, -1), <=, columns);
    g_assert_cmpint (g_utf8_strlen (row, -1), ==, g_utf8_strlen (titles, -1));
    g_assert_cmpuint (widths[PCD_TOP_NAME], >, 0);
    g_assert_true (columns < 40 || (widths[PCD_TOP_PHASE] && widths[PCD_TOP_BLOCKED]));
    g_assert_true (columns < 60 || (widths[PCD_TOP_FLOW] && widths[PCD_TOP_BLOCKED_LINE]));
    g_assert_true (columns < 80 || (widths[PCD_TOP_RATE_LINE] && widths[PCD_TOP_MISSING]));
    g_assert_true (columns < 200 || g_utf8_strlen (titles, -1) == columns);
  }
}

static void
test_rows (void)
{
  static const struct {
    guint columns, row;
    gboolean unicode;
    const char *text;
  } cases[] = {
    { 40, 0, TRUE, "! paused-more  paused     12s    3/4    " },
    { 40, 2, FALSE, "~ stalled      stalled    7s     2/4    " },
    { 60, 3, TRUE, "▲ slow          postcopy   slow        3s     4/4          █" },
    { 80, 2, TRUE,
      "▲ stalled      dst postcopy   stalled     7s     2/4          ▅ 1.0 GiB        █" },
    { 80, 6, FALSE,
      ". ended        src completed  -           6m40s  -              -               " },
  };
  g_autoptr (PcdTopModel) model = make_model ();
  const PcdProgress progress = {
    .known = TRUE, .page_size = 4096, .rate = 4096 * 5, .remaining = 1 << 30
  };
  guint widths[PCD_TOP_N_COLUMNS];

  pcd_top_model_set_progress (model, "/m/stalled", &progress, NULL);
  pcd_top_model_tick (model);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const PcdTopRow *row = pcd_top_model_get_row (model, cases[i].row);
    pcd_top_lay_out (cases[i].columns, widths);
    g_autofree char *text = pcd_top_row_to_text (row, widths, cases[i].unicode, NOW);
    g_assert_cmpstr (text, ==, cases[i].text);
  }
}

/* The end of a long name is what tells it from others. */
static void
test_long_names (void)
{
  static const Spec long_names[] = {
    { "web_frontend_production_03", "postcopy", "flowing", 0, 50 },
    { "web_frontend_production_04", "postcopy", "flowing", 0, 50 },
  };
  g_autoptr (PcdTopModel) model = pcd_top_model_new ();
  guint widths[PCD_TOP_N_COLUMNS];

  pcd_top_model_set_state (model, make_state (long_names, G_N_ELEMENTS (long_names)));
  pcd_top_lay_out (80, widths);
  const PcdTopRow *row = pcd_top_model_get_row (model, 1);
  g_autofree char *name = pcd_top_cell (row, PCD_TOP_NAME, widths, TRUE, NOW);
  g_autofree char *ascii = pcd_top_cell (row, PCD_TOP_NAME, widths, FALSE, NOW);
  g_assert_cmpstr (name, ==, "web_fro…n_04");
  g_assert_cmpstr (ascii, ==, "web_fro~n_04");
}

/* Ended or not, a guest that stands still by us is to be looked at; nothing worse is hidden by it.
 */
static void
test_held_still (void)
{
  static const struct {
    Spec spec;
    const char *wide, *narrow, *mark;
    guint n_in_trouble;
  } cases[] = {
    { { "g", "completed", "none", 0, 5, FALSE, "freeze" }, "held still", "held still", "▲", 1 },
    { { "g", "postcopy", "flowing", 0, 5, FALSE, "stop" }, "held still", "held still", "▲", 1 },
    { { "g", "recovering", "none", 0, 5, FALSE, "freeze" }, "held still", "held still", "▲", 1 },
    { { "g", "postcopy", "stalled", 0, 5, FALSE, "freeze" }, "stalled", "stalled", "▲", 1 },
    { { "g", "paused", "none", 1, 5, FALSE, "freeze" }, "-", "paused", "!", 1 },
    { { "g", "gone", "none", 0, 5, FALSE, "freeze" }, "-", "gone", "·", 0 },
    { { "g", "completed", "none", 0, 5, FALSE, "resume" }, "-", "completed", "·", 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (PcdTopModel) model = pcd_top_model_new ();
    guint widths[PCD_TOP_N_COLUMNS];

    g_test_message ("case %u", i);
    pcd_top_model_set_state (model, make_state (&cases[i].spec, 1));
    const PcdTopRow *row = pcd_top_model_get_row (model, 0);
    pcd_top_lay_out (80, widths);
    g_autofree char *flow = pcd_top_cell (row, PCD_TOP_FLOW, widths, TRUE, NOW);
    g_autofree char *mark = pcd_top_cell (row, PCD_TOP_MARK, widths, TRUE, NOW);
    pcd_top_lay_out (40, widths);
    g_autofree char *phase = pcd_top_cell (row, PCD_TOP_PHASE, widths, TRUE, NOW);
    g_autofree char *deeds = pcd_top_deeds (row->migration, NOW);
    g_assert_cmpstr (g_strchomp (flow), ==, cases[i].wide);
    g_assert_cmpstr (g_strchomp (phase), ==, cases[i].narrow);
    g_assert_cmpstr (mark, ==, cases[i].mark);
    g_assert_cmpuint (pcd_top_model_get_n_in_trouble (model), ==, cases[i].n_in_trouble);
    g_assert_true ((strstr (deeds, ", held still by ") != NULL) == (i < 5));
  }
}

static void
test_colours (void)
{
  static const struct {
    guint row;
    PcdColour phase, name, blocked, rate;
  } cases[] = {
    { 0, PCD_COLOUR_BAD, PCD_COLOUR_STRONG, PCD_COLOUR_WARN, PCD_COLOUR_NONE },
    { 3, PCD_COLOUR_WARN, PCD_COLOUR_NONE, PCD_COLOUR_BAD, PCD_COLOUR_NONE },
    { 4, PCD_COLOUR_GOOD, PCD_COLOUR_NONE, PCD_COLOUR_NONE, PCD_COLOUR_NONE },
    { 6, PCD_COLOUR_FAINT, PCD_COLOUR_FAINT, PCD_COLOUR_FAINT, PCD_COLOUR_FAINT },
  };
  g_autoptr (PcdTopModel) model = make_model ();

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const PcdTopRow *row = pcd_top_model_get_row (model, cases[i].row);
    g_assert_cmpint (pcd_top_cell_colour (row, PCD_TOP_PHASE), ==, cases[i].phase);
    g_assert_cmpint (pcd_top_cell_colour (row, PCD_TOP_NAME), ==, cases[i].name);
    g_assert_cmpint (pcd_top_cell_colour (row, PCD_TOP_BLOCKED_LINE), ==, cases[i].blocked);
    g_assert_cmpint (pcd_top_cell_colour (row, PCD_TOP_RATE), ==, cases[i].rate);
  }
}

static PcdThread
thread_of (int tid, const char *name, int vcpu, PcdAnswer blocked)
{
  const gboolean waits = blocked == PCD_ANSWER_YES;

  return (PcdThread){
    .tid = tid,
    .name = (char *)name,
    .state = 'S',
    .class = { .is_vcpu = vcpu >= 0,
               .vcpu = vcpu,
               .blocked = blocked,
               .path = waits ? PCD_FAULT_PATH_KERNEL_COPY : PCD_FAULT_PATH_NONE,
               .kickable = waits ? PCD_ANSWER_NO : PCD_ANSWER_YES,
               .traceable = waits ? PCD_ANSWER_NO : PCD_ANSWER_YES,
               .reason = "only a fatal signal gets it out" },
    .blocked_usec = waits ? 1500000 : -1,
  };
}

/* What waits comes first; no line is wider than the screen, but for what is not to be broken. */
static void
test_threads (void)
{
  static const guint columns[] = { 40, 60, 80, 100, 179, 200 };
  g_autoptr (GPtrArray) threads = g_ptr_array_new ();
  PcdThread all[] = {
    thread_of (100, "qemu-system-x86", -1, PCD_ANSWER_NO),
    thread_of (101, "CPU 0/KVM", 0, PCD_ANSWER_NO),
    thread_of (102, "CPU 1/KVM", 1, PCD_ANSWER_YES),
    thread_of (103, "ba\033[2Jd", -1, PCD_ANSWER_YES),
  };
  const PcdThreadReport report = { .pid = 100, .threads = threads, .n_vcpus = 2 };

  for (guint i = 0; i < G_N_ELEMENTS (all); i++)
    g_ptr_array_add (threads, &all[i]);
  for (guint i = 0; i < G_N_ELEMENTS (columns); i++) {
    const PcdTerminal terminal = { .columns = columns[i], .unicode = TRUE };
    g_autofree char *text = pcd_show_threads (&report, &terminal);
    g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
    for (guint j = 0; lines[j]; j++)
      g_assert_cmpint (g_utf8_strlen (lines[j], -1), <=, columns[i]);
    g_assert_null (strchr (text, '\033'));
    g_assert_nonnull (strstr (text, "ba?[2Jd"));
    const char *waits = strstr (text, "102 "), *other = strstr (text, "103 "),
               *vcpu = strstr (text, "101 "), *main_thread = strstr (text, "100 ");
    g_assert_true (waits < other && other < vcpu && vcpu < main_thread);
    g_assert_true (columns[i] < 80 || strstr (text, "kernel-side-copy"));
    g_assert_true (strstr (waits, "only a fatal signal"));
    g_assert_cmpint (strcspn (waits, "\n") > strcspn (waits, "f"), ==, columns[i] >= 180);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/top/order", test_order);
  g_test_add_func ("/top/selection", test_selection);
  g_test_add_func ("/top/history", test_history);
  g_test_add_func ("/top/sparkline", test_sparkline);
  g_test_add_func ("/top/fit", test_fit);
  g_test_add_func ("/top/filter", test_filter);
  g_test_add_func ("/top/lay-out", test_lay_out);
  g_test_add_func ("/top/rows", test_rows);
  g_test_add_func ("/top/long-names", test_long_names);
  g_test_add_func ("/top/held-still", test_held_still);
  g_test_add_func ("/top/colours", test_colours);
  g_test_add_func ("/top/threads", test_threads);
  return g_test_run ();
}
