/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ladder when the world does not keep still: flapping, operators, vetoes, restarts. */
#include "ladder-world.h"

#include <string.h>

/* ---- flapping ---- */

/* 20 cuts in a minute; each recovery takes 100 ms and lasts a second. */
static void
test_flapping (void)
{
  g_autoptr (World) world = world_new (PCD_ROLE_SOURCE);

  world->behaviour[PCD_ACTION_RECOVER] = (Behaviour){ 100 * MS, PCD_OUTCOME_DONE };
  set_policy (world, get_policy (world, "recover"));
  set_phase (world, PCD_PHASE_POSTCOPY);
  for (guint cut = 0; cut < 20; cut++) {
    advance (world, EPOCH + cut * 3 * S);
    guint before = count (world->log->str, "start recover");
    set_phase (world, PCD_PHASE_PAUSED);
    feed (world, (PcdLadderEvent){ PCD_LADDER_TICK });
    gint64 limit = EPOCH + (cut * 3 + 2) * S;
    while (world->now < limit && count (world->log->str, "start recover") == before)
      advance (world, world->now + 100 * MS);
    if (count (world->log->str, "start recover") > before) {
      set_phase (world, PCD_PHASE_POSTCOPY);
      feed (world, (PcdLadderEvent){ PCD_LADDER_TICK });
    }
  }
  advance (world, EPOCH + 60 * S);
  guint recovers = count (world->log->str, "start recover");
  guint notifies = count (world->log->str, "start notify");
  g_test_message ("20 cuts: %u recoveries, %u notifications", recovers, notifies);
  /* A delay of at most 10 s: not starved; doubling from 200 ms: not flooded. */
  g_assert_cmpuint (recovers, >=, 6);
  g_assert_cmpuint (recovers, <=, 12);
  g_assert_cmpuint (notifies, >=, 5);
  g_assert_cmpuint (notifies, <=, 8);
  /* And long after, it is as quick as the first time. */
  set_phase (world, PCD_PHASE_POSTCOPY);
  feed (world, (PcdLadderEvent){ PCD_LADDER_TICK });
  advance (world, EPOCH + 200 * S);
  set_phase (world, PCD_PHASE_PAUSED);
  feed (world, (PcdLadderEvent){ PCD_LADDER_TICK });
  g_assert_nonnull (strstr (world->log->str, "200.000 start recover 1\n"));
}

/* An operator's snapshot of a source holds nothing up and calls nothing off; one of a destination
 * does, as it holds the guest. */
static void
test_operator_snapshot (void)
{
  static const struct {
    PcdRole role;
    const char *policy;
    const char *start;
    guint n;
  } rows[] = { { PCD_ROLE_SOURCE, "recover", "start recover", 1 },
               { PCD_ROLE_DESTINATION, "protect", "start freeze", 0 } };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (World) world = world_new (rows[i].role);
    const PcdLadderEvent began = { PCD_LADDER_OPERATOR_BEGAN, .action = PCD_ACTION_SNAPSHOT };
    const PcdLadderEvent ended = { PCD_LADDER_OPERATOR_ENDED, .action = PCD_ACTION_SNAPSHOT };

    world->behaviour[PCD_ACTION_RECOVER].takes = -1;
    world->behaviour[PCD_ACTION_FREEZE].takes = -1;
    set_policy (world, get_policy (world, rows[i].policy));
    feed (world, began);
    set_phase (world, PCD_PHASE_PAUSED);
    feed (world, (PcdLadderEvent){ PCD_LADDER_TICK });
    advance (world, EPOCH + 20 * S);
    g_assert_cmpuint (count (world->log->str, rows[i].start), ==, rows[i].n);
    feed (world, ended);
    advance (world, EPOCH + 40 * S);
    g_assert_cmpuint (count (world->log->str, rows[i].start), ==, 1);
    g_assert_cmpuint (world->ladder.operator_running, ==, 0);
  }
}

/* ---- a veto ---- */

static void
withdraw_last (World *world, gint64 until)
{
  Running running = g_array_index (world->running, Running, world->running->len - 1);

  g_array_set_size (world->running, world->running->len - 1);
  feed (world, (PcdLadderEvent){ PCD_LADDER_WITHDRAWN, running.ticket, .until = until });
}

/* It holds as long as it is said, whatever news comes; and what was vetoed was no attempt. */
static void
test_veto (void)
{
  g_autoptr (World) world = world_new (PCD_ROLE_SOURCE);

  set_policy (world, get_policy (world, "{ \"when\": \"paused\", \"after\": \"0s\", "
                                        "\"do\": \"recover\", \"settle\": \"20s\", "
                                        "\"with\": { \"attempts\": 2 } }"));
  set_phase (world, PCD_PHASE_PAUSED);
  feed (world, (PcdLadderEvent){ PCD_LADDER_TICK });
  for (guint i = 1; i <= 5; i++) {
    g_assert_cmpuint (count (world->log->str, "start recover 1"), ==, i);
    withdraw_last (world, world->now + 10 * S);
    world->input.facts[PCD_PREDICATE_PEER_ANSWERS] = i % 2 ? PCD_FACT_YES : PCD_FACT_NO;
    advance (world, world->now + 3 * S);
    feed (world, (PcdLadderEvent){ PCD_LADDER_TICK });
    advance (world, world->now + 7 * S - 1 * MS);
    g_assert_cmpuint (count (world->log->str, "start"), ==, i);
    advance (world, world->now + 1 * MS);
  }
  g_assert_cmpuint (count (world->log->str, "start recover 1"), ==, 6);
  g_assert_cmpuint (count (world->log->str, "gave-up"), ==, 0);
  /* Another spell is another question. */
  withdraw_last (world, world->now + 100 * S);
  set_phase (world, PCD_PHASE_POSTCOPY);
  feed (world, (PcdLadderEvent){ PCD_LADDER_TICK });
  advance (world, world->now + 1 * S);
  set_phase (world, PCD_PHASE_PAUSED);
  feed (world, (PcdLadderEvent){ PCD_LADDER_TICK });
  g_assert_cmpuint (count (world->log->str, "start recover 1"), ==, 7);
}

/* Who forbids a step has not asked for its `else`. */
static void
test_veto_else (void)
{
  g_autoptr (World) world = world_new (PCD_ROLE_DESTINATION);

  world->input.facts[PCD_PREDICATE_KICKABLE] = PCD_FACT_YES;
  set_policy (world,
              get_policy (world, "{ \"when\": \"paused\", \"after\": \"0s\", "
                                 "\"do\": \"stop\", \"if\": \"kickable\", \"else\": \"freeze\" }"));
  set_phase (world, PCD_PHASE_PAUSED);
  feed (world, (PcdLadderEvent){ PCD_LADDER_TICK });
  withdraw_last (world, world->now + 10 * S);
  advance (world, world->now + 10 * S);
  g_assert_cmpuint (count (world->log->str, "start stop"), ==, 2);
  g_assert_cmpuint (count (world->log->str, "start freeze"), ==, 0);
}

/* ---- restart ---- */

static void
test_restart (void)
{
  g_autoptr (World) world = world_new (PCD_ROLE_DESTINATION);

  world->behaviour[PCD_ACTION_FREEZE].takes = -1;
  set_policy (world, get_policy (world, "protect"));
  set_phase (world, PCD_PHASE_PAUSED);
  feed (world, (PcdLadderEvent){ PCD_LADDER_TICK });
  feed (world, (PcdLadderEvent){ PCD_LADDER_OPERATOR_BEGAN, .action = PCD_ACTION_NOTIFY });
  pcd_ladder_restart (&world->ladder);
  advance (world, EPOCH + 15 * S);
  g_assert_cmpuint (count (world->log->str, "start freeze"), ==, 1);
  pcd_ladder_restart (&world->ladder);
  advance (world, EPOCH + 60 * S);
  g_assert_cmpuint (count (world->log->str, "start freeze"), ==, 1);
  Running *running = &g_array_index (world->running, Running, 0);
  running->ends = EPOCH + 60 * S;
  running->outcome = PCD_OUTCOME_FAILED;
  advance (world, EPOCH + 61 * S);
  g_assert_cmpuint (count (world->log->str, "start freeze"), ==, 2);
}

/* The daemon knows nothing yet: what was done in this pause is not done again, and an operator's
 * pause, whose evidence is lost, is still one. */
static void
test_restart_in_a_pause (void)
{
  g_autoptr (World) world = world_new (PCD_ROLE_SOURCE);

  set_policy (world, get_policy (world, "recover"));
  set_phase (world, PCD_PHASE_PAUSED);
  world->state.cause = PCD_CAUSE_OPERATOR;
  feed (world, (PcdLadderEvent){ PCD_LADDER_TICK });
  advance (world, EPOCH + 5 * S);
  pcd_ladder_restart (&world->ladder);
  world->state = pcd_state_init (PCD_ROLE_SOURCE, world->now);
  feed (world, (PcdLadderEvent){ PCD_LADDER_TICK });
  set_phase (world, PCD_PHASE_PAUSED);
  world->state.cause = PCD_CAUSE_UNKNOWN;
  feed (world, (PcdLadderEvent){ PCD_LADDER_TICK });
  advance (world, EPOCH + 60 * S);
  g_assert_cmpuint (count (world->log->str, "start notify"), ==, 1);
  g_assert_cmpuint (count (world->log->str, "start recover"), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ladder/flapping", test_flapping);
  g_test_add_func ("/ladder/operator-snapshot", test_operator_snapshot);
  g_test_add_func ("/ladder/veto", test_veto);
  g_test_add_func ("/ladder/veto-else", test_veto_else);
  g_test_add_func ("/ladder/restart", test_restart);
  g_test_add_func ("/ladder/restart-in-a-pause", test_restart_in_a_pause);
  return g_test_run ();
}
