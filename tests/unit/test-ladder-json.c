/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ladder as the journal keeps it: everything, or nothing. */
#include "journal-fixture.h"

#include <string.h>

static void
test_ladder_round_trip (void)
{
  PcdLadder ladders[] = { full_ladder (), pcd_ladder_init (PCD_ROLE_SOURCE), full_ladder () };

  ladders[2].operator_pause = ladders[2].waived = FALSE;
  ladders[2].our_pause = ladders[2].held = TRUE;
  ladders[2].n_records = 1;
  memset (&ladders[2].records[1], 0, sizeof ladders[2].records - sizeof ladders[2].records[0]);
  for (guint i = 0; i < G_N_ELEMENTS (ladders); i++) {
    g_autofree char *text = pcd_ladder_to_json (&ladders[i]);
    g_autofree char *again = NULL;
    g_autoptr (GError) error = NULL;
    PcdLadder back;

    pcd_ladder_from_json (text, "test", &back, &error);
    g_assert_no_error (error);
    again = pcd_ladder_to_json (&back);
    g_assert_cmpstr (again, ==, text);
    for (guint k = 0; k < PCD_N_WHENS; k++)
      g_assert_cmpmem (&back.clocks[k], sizeof back.clocks[k], &ladders[i].clocks[k],
                       sizeof back.clocks[k]);
    g_assert_cmpuint (back.n_records, ==, ladders[i].n_records);
    for (guint k = 0; k < back.n_records; k++)
      g_assert_cmpmem (&back.records[k], sizeof back.records[k], &ladders[i].records[k],
                       sizeof back.records[k]);
    g_assert_cmpuint (back.role, ==, ladders[i].role);
    g_assert_cmpuint (back.last_ticket, ==, ladders[i].last_ticket);
    g_assert_cmpint (back.settle_until, ==, ladders[i].settle_until);
    g_assert_cmpuint (back.operator_running, ==, ladders[i].operator_running);
    g_assert_cmpint (back.operator_pause, ==, ladders[i].operator_pause);
    g_assert_cmpint (back.our_pause, ==, ladders[i].our_pause);
    g_assert_cmpint (back.waived, ==, ladders[i].waived);
    g_assert_cmpint (back.held, ==, ladders[i].held);
    g_assert_cmpint (back.peer_answers, ==, ladders[i].peer_answers);
  }
}

static void
test_ladder_is_never_guessed (void)
{
  static const struct {
    const char *from, *to, *message;
  } cases[] = {
    { "\"version\":2", "\"version\":1", "$.version" },
    { "\"version\":2,", "", "has no \"version\"" },
    { "\"role\":\"destination\"", "\"role\":\"target\"", "$.role: got \"target\"" },
    { "\"role\":\"destination\"", "\"role\":1", "$.role: got a number" },
    { "\"waived\":true", "\"waived\":1", "$.waived" },
    { "\"waived\":true,", "", "has no \"waived\"" },
    { "\"waived\":true,", "\"waived\":true,\"waived\":true,", "waived" },
    { "\"waived\":true,", "\"waived\":true,\"new\":1,", "has 13 members" },
    { "\"last-ticket\":11", "\"last-ticket\":-1", "$.last-ticket" },
    { "\"last-ticket\":11", "\"last-ticket\":1.5", "$.last-ticket" },
    { "\"operator-running\":13", "\"operator-running\":4294967296", "$.operator-running" },
    { "\"stalled\":{", "\"stuck\":{", "has no \"stalled\"" },
    { "\"status\":\"running\"", "\"status\":\"walking\"", "$.records[1].status" },
    { "\"ordinal\":501", "\"ordinal\":null", "$.records[1].ordinal" },
    { "\"peer-answers\":\"yes\"", "\"peer-answers\":\"?\"", "$.peer-answers" },
    { "{\"version\"", "[{\"version\"", "" },
    { "}]}", "}]", "" },
  };
  PcdLadder ladder = full_ladder ();
  g_autofree char *text = pcd_ladder_to_json (&ladder);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GString) broken = g_string_new (text);
    g_autoptr (GError) error = NULL;
    PcdLadder back = { .last_ticket = 4711 };

    g_assert_cmpuint (g_string_replace (broken, cases[i].from, cases[i].to, 1), ==, 1);
    g_assert_false (pcd_ladder_from_json (broken->str, "FILE", &back, &error));
    g_assert_nonnull (error);
    g_assert_true (g_str_has_prefix (error->message, "FILE:1:"));
    if (!strstr (error->message, cases[i].message))
      g_error ("case %u: \"%s\" does not say \"%s\"", i, error->message, cases[i].message);
    g_assert_cmpuint (back.last_ticket, ==, 4711);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/journal/ladder-round-trip", test_ladder_round_trip);
  g_test_add_func ("/journal/ladder-is-never-guessed", test_ladder_is_never_guessed);
  return g_test_run ();
}
