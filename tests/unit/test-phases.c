/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* docs/phases.md and docs/diagrams/phases-*.dot are what the machine does: every phase × event
 * pair. PCD_UPDATE=1 writes them anew. Must not know a transition that the machine was not asked
 * for. */
#include "machine-events.h"

#include <string.h>

static void
describe_cell (GString *text, const PcdState *before, const PcdEvent *event)
{
  PcdEffects effects = PCD_EFFECT_NONE;
  PcdState after = pcd_machine_step (before, event, 2 * SECOND, &effects);
  gsize start = text->len;

  if (after.phase != before->phase)
    g_string_append_printf (text, " **%s**", pcd_phase_to_string (after.phase));
  if (after.cause != before->cause && after.cause != PCD_CAUSE_NONE)
    g_string_append_printf (text, " cause %s", pcd_cause_to_string (after.cause));
  if (after.unattended && !before->unattended)
    g_string_append (text, " unattended");
  if (after.flow != before->flow && after.flow != PCD_FLOW_NONE)
    g_string_append_printf (text, " %s", pcd_flow_to_string (after.flow));
  if (after.doubted_since && !before->doubted_since)
    g_string_append (text, " doubt");
  if (effects & PCD_EFFECT_QUERY)
    g_string_append (text, " ⇒query");
  if (effects & PCD_EFFECT_RESYNC)
    g_string_append (text, " ⇒resync");
  if (effects & PCD_EFFECT_SHUTDOWN)
    g_string_append (text, " ⇒shutdown");
  if (text->len == start)
    g_string_append (text, " ·");
  g_string_append (text, " |");
}

static void
describe_role (GString *text, PcdRole role, GArray *rows)
{
  const char *name = pcd_role_to_string (role);

  g_string_append_printf (
      text,
      "\n## %s\n\n![The phases of a migration, seen from the %s](diagrams/phases-%s.svg)\n\n"
      "| event \\ phase |",
      name, name, name);
  for (guint phase = 0; phase < PCD_N_PHASES; phase++)
    g_string_append_printf (text, " %s |", pcd_phase_to_string (phase));
  g_string_append (text, "\n|---|");
  for (guint phase = 0; phase < PCD_N_PHASES; phase++)
    g_string_append (text, "---|");
  g_string_append_c (text, '\n');
  for (guint i = 0; i < rows->len; i++) {
    const Row *row = &g_array_index (rows, Row, i);

    g_string_append_printf (text, "| %s |", row->name);
    for (guint phase = 0; phase < PCD_N_PHASES; phase++) {
      PcdState before = state_in (role, phase);
      describe_cell (text, &before, &row->event);
    }
    g_string_append_c (text, '\n');
  }
}

/* The text of a file in docs is that; or becomes so. */
static void
compare (const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (g_getenv ("PCD_DOCS"), name, NULL);
  g_autofree char *golden = NULL;
  g_autoptr (GError) error = NULL;

  if (g_getenv ("PCD_UPDATE"))
    g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_file_get_contents (path, &golden, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (golden, ==, text);
}

static void
test_table (void)
{
  g_autoptr (GString) text = g_string_new (
      "# Phases: every event in every phase\n\n"
      "Table and pictures are written by `tests/unit/test-phases.c` from the very code (`ninja -C "
      "BUILD "
      "update-diagrams`\nwrites them anew); the test fails when they differ from the code. What "
      "the "
      "phases are about:\n[how it works](how-it-works.md).\n\n"
      "The pictures show the steps that QEMU takes, and every end: an arrow out of a box is one "
      "out of "
      "each\nphase in it. postcopyd may begin in the middle and miss words; what it makes of that "
      "is "
      "in the table only.\n`·` changes nothing; ⇒ is what the machine asks the daemon to do.\n");
  GArray *rows = every_event ();

  describe_role (text, PCD_ROLE_SOURCE, rows);
  describe_role (text, PCD_ROLE_DESTINATION, rows);
  free_rows (rows);
  compare ("phases.md", text->str);
}

/* Phases as bits, so that what leads to an end from each of them shares one arrow. */
typedef guint Phases;
#define BIT(phase) (1u << (phase))
#define MOVED                                                                                      \
  (BIT (PCD_PHASE_DEVICE) | BIT (PCD_PHASE_POSTCOPY) | BIT (PCD_PHASE_PAUSED) |                    \
   BIT (PCD_PHASE_RECOVERING))
#define LIVE (BIT (PCD_PHASE_PRECOPY) | MOVED)

/* What QEMU does one after another, and every end. The rest of the table is postcopyd catching up,
 * having missed words in between. */
static gboolean
is_a_step (PcdPhase from, PcdPhase to)
{
  static const Phases next[PCD_N_PHASES] = {
    [PCD_PHASE_NONE] = BIT (PCD_PHASE_PRECOPY),
    [PCD_PHASE_PRECOPY] = BIT (PCD_PHASE_DEVICE) | BIT (PCD_PHASE_POSTCOPY),
    [PCD_PHASE_DEVICE] = BIT (PCD_PHASE_POSTCOPY),
    [PCD_PHASE_POSTCOPY] = BIT (PCD_PHASE_PAUSED),
    [PCD_PHASE_PAUSED] = BIT (PCD_PHASE_RECOVERING),
    [PCD_PHASE_RECOVERING] = BIT (PCD_PHASE_POSTCOPY) | BIT (PCD_PHASE_PAUSED),
  };

  return (next[from] & BIT (to)) || (from != PCD_PHASE_NONE && pcd_phase_has_ended (to));
}

/* From which phases other than @to the event leads there. */
static Phases
lead_to (PcdRole role, PcdPhase to, const PcdEvent *event)
{
  Phases from = 0;

  for (guint phase = 0; phase < PCD_N_PHASES; phase++) {
    PcdState before = state_in (role, phase);

    if (phase != to && pcd_machine_step (&before, event, 2 * SECOND, NULL).phase == to)
      from |= BIT (phase);
  }
  return from;
}

/* Whether the arrow from @tail, all of LIVE or MOVED or a single phase, is where @from is drawn. */
static gboolean
is_drawn_from (Phases from, PcdPhase to, Phases tail)
{
  static const Phases groups[] = { LIVE, MOVED };

  for (guint i = 0; i < G_N_ELEMENTS (groups) && pcd_phase_has_ended (to); i++)
    if ((from & groups[i]) == groups[i]) {
      if (tail == groups[i])
        return TRUE;
      from &= ~groups[i];
    }
  return (from & tail) && tail != LIVE && tail != MOVED;
}

static void
draw_arrow (GString *text, GArray *rows, PcdRole role, Phases tail, const char *from, PcdPhase to)
{
  const char *box = tail == LIVE    ? "ltail=cluster_live, "
                    : tail == MOVED ? "ltail=cluster_moved, "
                                    : "";
  g_autoptr (GString) names = g_string_new (NULL);

  for (guint i = 0; i < rows->len; i++) {
    const Row *row = &g_array_index (rows, Row, i);

    if (is_drawn_from (lead_to (role, to, &row->event), to, tail))
      g_string_append_printf (names, "%s%s", names->len ? "\\n" : "", row->name);
  }
  g_string_replace (names, "`", "", 0);
  if (names->len)
    g_string_append_printf (text, "  %s -> %s [%slabel=\"%s\"];\n", from, pcd_phase_to_string (to),
                            box, names->str);
}

static void
draw_arrows (GString *text, GArray *rows, PcdRole role)
{
  const char *last = pcd_phase_to_string (PCD_PHASE_RECOVERING);

  for (guint to = 0; to < PCD_N_PHASES; to++) {
    for (guint from = 0; from < PCD_N_PHASES; from++)
      if (is_a_step (from, to))
        draw_arrow (text, rows, role, BIT (from), pcd_phase_to_string (from), to);
    if (pcd_phase_has_ended (to)) {
      draw_arrow (text, rows, role, MOVED, last, to);
      draw_arrow (text, rows, role, LIVE, last, to);
    }
  }
}

static void
draw_node (GString *text, PcdPhase phase)
{
  const char *name = pcd_phase_to_string (phase);

  g_string_append_printf (text, "    %s [label=\"*%s", name, name);
  for (guint flow = PCD_FLOW_FLOWING; phase == PCD_PHASE_POSTCOPY && flow < PCD_N_FLOWS; flow++)
    g_string_append_printf (text, "%s%s", flow == PCD_FLOW_FLOWING ? "\\n" : " · ",
                            pcd_flow_to_string (flow));
  g_string_append (text, "\"];\n");
}

static char *
draw (PcdRole role)
{
  const char *name = pcd_role_to_string (role);
  g_autoptr (GString) text = g_string_new (NULL);
  GArray *rows = every_event ();

  g_string_append_printf (
      text,
      "// Written by tests/unit/test-phases.c from the code: see docs/diagrams/README.md.\n"
      "digraph phases_%s {\n  compound=true;\n"
      "  title=\"The phases of a migration, seen from the %s\";\n"
      "  desc=\"Which of QEMU's and libvirt's words lead from phase to phase. The table in "
      "phases.md has every event in every phase.\";\n"
      "  none [label=\"\", shape=point, class=start];\n"
      "  subgraph cluster_live {\n    label=\"*under way\"; labeljust=l; margin=14;\n",
      name, name);
  draw_node (text, PCD_PHASE_PRECOPY);
  g_string_append (text, "    subgraph cluster_moved {\n    label=\"*switched over\";\n");
  for (guint phase = PCD_PHASE_DEVICE; phase < PCD_N_PHASES; phase++) {
    if (phase == PCD_PHASE_COMPLETED)
      g_string_append (text, "  } }\n  { rank=same;\n");
    draw_node (text, phase);
  }
  g_string_append (text, "  }\n");
  draw_arrows (text, rows, role);
  g_string_append (text, "}\n");
  free_rows (rows);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
test_diagrams (void)
{
  for (guint role = 0; role <= PCD_ROLE_DESTINATION; role++) {
    g_autofree char *text = draw (role);
    g_autofree char *name = g_strdup_printf ("diagrams/phases-%s.dot", pcd_role_to_string (role));

    compare (name, text);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/phases/table", test_table);
  g_test_add_func ("/phases/diagrams", test_diagrams);
  return g_test_run ();
}
