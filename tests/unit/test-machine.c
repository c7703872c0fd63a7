/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The phase machine: the stories of FACTS 3 word by word, and random sequences against the
 * invariants. Every phase × event pair is test-phases.c's. */
#include "machine-events.h"

#include <string.h>

/* A story: events in order, and what must be true after each. */
typedef struct {
  PcdEvent event;
  PcdPhase phase;
  PcdCause cause;
  gboolean unattended;
} Step;

static void
play (PcdRole role, const Step *steps, guint n)
{
  PcdState state = pcd_state_init (role, SECOND);

  for (guint i = 0; i < n; i++) {
    state = pcd_machine_step (&state, &steps[i].event, (i + 2) * SECOND, NULL);
    g_test_message ("step %u: %s", i, pcd_phase_to_string (state.phase));
    g_assert_cmpstr (pcd_phase_to_string (state.phase), ==, pcd_phase_to_string (steps[i].phase));
    g_assert_cmpstr (pcd_cause_to_string (state.cause), ==, pcd_cause_to_string (steps[i].cause));
    g_assert_cmpint (state.unattended, ==, steps[i].unattended);
  }
}
#define PLAY(role, ...)                                                                            \
  G_STMT_START                                                                                     \
  {                                                                                                \
    const Step steps_[] = { __VA_ARGS__ };                                                         \
    play (role, steps_, G_N_ELEMENTS (steps_));                                                    \
  }                                                                                                \
  G_STMT_END

static void
test_link_down_and_recovery (void)
{
  PLAY (PCD_ROLE_SOURCE, { status (PCD_QEMU_SETUP), PCD_PHASE_PRECOPY, 0, 0 },
        { status (PCD_QEMU_ACTIVE), PCD_PHASE_PRECOPY, 0, 0 },
        { status (PCD_QEMU_POSTCOPY_ACTIVE), PCD_PHASE_POSTCOPY, 0, 0 },
        { lifecycle (PCD_LIFECYCLE_POSTCOPY), PCD_PHASE_POSTCOPY, 0, 0 },
        { net (PCD_FLOW_FLOWING, FALSE), PCD_PHASE_POSTCOPY, 0, 0 },
        { net (PCD_FLOW_STALLED, FALSE), PCD_PHASE_POSTCOPY, 0, 0 },
        { net (PCD_FLOW_STALLED, TRUE), PCD_PHASE_POSTCOPY, 0, 0 },
        /* our own shutdown looks like an operator's from outside: our verdict wins */
        { closed (PCD_CAUSE_OPERATOR), PCD_PHASE_POSTCOPY, 0, 0 },
        { status (PCD_QEMU_POSTCOPY_PAUSED), PCD_PHASE_PAUSED, PCD_CAUSE_NETWORK, 0 },
        { lifecycle (PCD_LIFECYCLE_POSTCOPY_FAILED), PCD_PHASE_PAUSED, PCD_CAUSE_NETWORK, 0 },
        { status (PCD_QEMU_POSTCOPY_RECOVER), PCD_PHASE_RECOVERING, 0, 0 },
        { lifecycle (PCD_LIFECYCLE_POSTCOPY), PCD_PHASE_RECOVERING, 0, 0 },
        { status (PCD_QEMU_POSTCOPY_ACTIVE), PCD_PHASE_POSTCOPY, 0, 0 },
        /* the second pause has its own cause */
        { closed (PCD_CAUSE_PEER_CLOSED), PCD_PHASE_POSTCOPY, 0, 0 },
        { status (PCD_QEMU_POSTCOPY_PAUSED), PCD_PHASE_PAUSED, PCD_CAUSE_PEER_CLOSED, 0 },
        { status (PCD_QEMU_POSTCOPY_RECOVER_SETUP), PCD_PHASE_RECOVERING, 0, 0 },
        { status (PCD_QEMU_POSTCOPY_RECOVER), PCD_PHASE_RECOVERING, 0, 0 },
        { status (PCD_QEMU_POSTCOPY_ACTIVE), PCD_PHASE_POSTCOPY, 0, 0 },
        { status (PCD_QEMU_COMPLETED), PCD_PHASE_COMPLETED, 0, 0 },
        { plain (PCD_EVENT_PROCESS_EXITED), PCD_PHASE_COMPLETED, 0, 0 },
        { lifecycle (PCD_LIFECYCLE_STOPPED_MIGRATED), PCD_PHASE_COMPLETED, 0, 0 });
}

static void
test_cause_may_come_after_the_pause (void)
{
  PLAY (PCD_ROLE_SOURCE, { status (PCD_QEMU_POSTCOPY_ACTIVE), PCD_PHASE_POSTCOPY, 0, 0 },
        { status (PCD_QEMU_POSTCOPY_PAUSED), PCD_PHASE_PAUSED, PCD_CAUSE_UNKNOWN, 0 },
        { closed (PCD_CAUSE_OPERATOR), PCD_PHASE_PAUSED, PCD_CAUSE_OPERATOR, 0 },
        { closed (PCD_CAUSE_PEER_CLOSED), PCD_PHASE_PAUSED, PCD_CAUSE_OPERATOR, 0 });
}

static void
test_false_alarm_is_unattended (void)
{
  PLAY (PCD_ROLE_SOURCE, { status (PCD_QEMU_POSTCOPY_ACTIVE), PCD_PHASE_POSTCOPY, 0, 0 },
        { lifecycle (PCD_LIFECYCLE_POSTCOPY_FAILED), PCD_PHASE_POSTCOPY, 0, 0 },
        { status (PCD_QEMU_POSTCOPY_ACTIVE), PCD_PHASE_POSTCOPY, 0, TRUE },
        { net (PCD_FLOW_FLOWING, FALSE), PCD_PHASE_POSTCOPY, 0, TRUE },
        { status (PCD_QEMU_COMPLETED), PCD_PHASE_COMPLETED, 0, 0 });
  PLAY (PCD_ROLE_DESTINATION, { lifecycle (PCD_LIFECYCLE_INCOMING), PCD_PHASE_PRECOPY, 0, 0 },
        { status (PCD_QEMU_POSTCOPY_ACTIVE), PCD_PHASE_POSTCOPY, 0, 0 },
        { seen (PCD_SEEN_POSTCOPY_FAILED), PCD_PHASE_POSTCOPY, 0, 0 },
        { net (PCD_FLOW_STALLED, FALSE), PCD_PHASE_POSTCOPY, 0, 0 },
        { net (PCD_FLOW_SLOW, FALSE), PCD_PHASE_POSTCOPY, 0, TRUE },
        { status (PCD_QEMU_POSTCOPY_PAUSED), PCD_PHASE_PAUSED, PCD_CAUSE_UNKNOWN, 0 });
}

/* libvirt's event of a real pause may come before QEMU's: that is no false alarm. */
static void
test_failure_told_before_the_pause (void)
{
  PLAY (PCD_ROLE_SOURCE, { status (PCD_QEMU_POSTCOPY_ACTIVE), PCD_PHASE_POSTCOPY, 0, 0 },
        { lifecycle (PCD_LIFECYCLE_POSTCOPY_FAILED), PCD_PHASE_POSTCOPY, 0, 0 },
        { closed (PCD_CAUSE_OPERATOR), PCD_PHASE_POSTCOPY, 0, 0 },
        { status (PCD_QEMU_POSTCOPY_PAUSED), PCD_PHASE_PAUSED, PCD_CAUSE_OPERATOR, 0 });
}

static void
test_start_in_mid_pause (void)
{
  PLAY (PCD_ROLE_SOURCE,
        { status (PCD_QEMU_POSTCOPY_PAUSED), PCD_PHASE_PAUSED, PCD_CAUSE_UNKNOWN, 0 },
        { seen (PCD_SEEN_POSTCOPY_FAILED), PCD_PHASE_PAUSED, PCD_CAUSE_UNKNOWN, 0 });
  /* the destination cannot be asked: the lack of a connection tells */
  PLAY (PCD_ROLE_DESTINATION, { seen (PCD_SEEN_POSTCOPY_FAILED), PCD_PHASE_POSTCOPY, 0, 0 },
        { plain (PCD_EVENT_NO_SOCKET), PCD_PHASE_PAUSED, PCD_CAUSE_UNKNOWN, 0 },
        { plain (PCD_EVENT_SOCKET_FOUND), PCD_PHASE_POSTCOPY, 0, 0 },
        { plain (PCD_EVENT_NO_SOCKET), PCD_PHASE_PAUSED, PCD_CAUSE_UNKNOWN, 0 },
        { status (PCD_QEMU_POSTCOPY_PAUSED), PCD_PHASE_PAUSED, PCD_CAUSE_UNKNOWN, 0 },
        { plain (PCD_EVENT_SOCKET_FOUND), PCD_PHASE_PAUSED, PCD_CAUSE_UNKNOWN, 0 });
}

/* Seen once with QEMU 7.2 after a recovery: shut down, and active all the same. */
static void
test_source_without_connection_is_asked (void)
{
  PcdState state = state_in (PCD_ROLE_SOURCE, PCD_PHASE_POSTCOPY);
  PcdEvent event = plain (PCD_EVENT_NO_SOCKET);
  PcdEffects effects = PCD_EFFECT_NONE;

  state = pcd_machine_step (&state, &event, 2 * SECOND, &effects);
  g_assert_cmpint (state.phase, ==, PCD_PHASE_POSTCOPY);
  g_assert_cmpint (state.flow, ==, PCD_FLOW_STALLED);
  g_assert_cmpint (effects, ==, PCD_EFFECT_QUERY);
  event = status (PCD_QEMU_POSTCOPY_PAUSED);
  state = pcd_machine_step (&state, &event, 2 * SECOND, NULL);
  g_assert_cmpint (state.phase, ==, PCD_PHASE_PAUSED);
}

static void
test_source_killed (void)
{
  PLAY (PCD_ROLE_SOURCE, { status (PCD_QEMU_POSTCOPY_ACTIVE), PCD_PHASE_POSTCOPY, 0, 0 },
        { plain (PCD_EVENT_PROCESS_EXITED), PCD_PHASE_GONE, 0, 0 },
        { lifecycle (PCD_LIFECYCLE_STOPPED), PCD_PHASE_GONE, 0, 0 });
  /* an exit seen before libvirt's word about it is corrected by that word */
  PLAY (PCD_ROLE_SOURCE, { status (PCD_QEMU_POSTCOPY_ACTIVE), PCD_PHASE_POSTCOPY, 0, 0 },
        { plain (PCD_EVENT_PROCESS_EXITED), PCD_PHASE_GONE, 0, 0 },
        { lifecycle (PCD_LIFECYCLE_STOPPED_MIGRATED), PCD_PHASE_COMPLETED, 0, 0 });
}

static void
test_records_begin_and_do_not_echo (void)
{
  PcdState ended = state_in (PCD_ROLE_DESTINATION, PCD_PHASE_COMPLETED);
  PcdState live = state_in (PCD_ROLE_DESTINATION, PCD_PHASE_POSTCOPY);
  PcdEvent begins = lifecycle (PCD_LIFECYCLE_INCOMING), echo = seen (PCD_SEEN_POSTCOPY);
  PcdEvent nothing = seen (PCD_SEEN_IDLE);

  g_assert_true (pcd_machine_starts_migration (NULL, &begins, 2 * SECOND));
  g_assert_true (pcd_machine_starts_migration (NULL, &echo, 2 * SECOND));
  g_assert_false (pcd_machine_starts_migration (NULL, &nothing, 2 * SECOND));
  g_assert_true (pcd_machine_starts_migration (&ended, &begins, 2 * SECOND));
  g_assert_false (pcd_machine_starts_migration (&ended, &echo, 2 * SECOND));
  g_assert_true (pcd_machine_starts_migration (&ended, &echo, 60 * SECOND));
  g_assert_false (pcd_machine_starts_migration (&live, &begins, 60 * SECOND));
}

static void
check_invariants (
    const PcdState *a, const PcdEvent *event, const PcdState *b, PcdEffects effects, gint64 now)
{
  gboolean proof =
      event->kind == PCD_EVENT_LIFECYCLE && event->lifecycle == PCD_LIFECYCLE_STOPPED_MIGRATED;

  g_assert_cmpint (a->role, ==, b->role);
  if (pcd_phase_has_ended (a->phase))
    g_assert_true (b->phase == a->phase || (proof && b->phase == PCD_PHASE_COMPLETED));
  g_assert_true (b->phase != PCD_PHASE_NONE || a->phase == PCD_PHASE_NONE);
  g_assert_cmpint (b->cause != PCD_CAUSE_NONE, ==, b->phase == PCD_PHASE_PAUSED);
  g_assert_true (b->flow == PCD_FLOW_NONE || b->phase == PCD_PHASE_POSTCOPY);
  g_assert_true (!b->unattended || b->phase == PCD_PHASE_POSTCOPY || b->phase == PCD_PHASE_DEVICE);
  g_assert_cmpint (b->phase_since, ==, a->phase == b->phase ? a->phase_since : now);
  if (effects & PCD_EFFECT_SHUTDOWN) {
    g_assert_true (event->kind == PCD_EVENT_NET && event->net.dead);
    g_assert_true (a->phase == PCD_PHASE_POSTCOPY && !a->dead);
  }
  /* DESIGN 5.10: a slow migration is not a dead one */
  if (event->kind == PCD_EVENT_NET)
    g_assert_cmpint (a->phase, ==, b->phase);
}

static void
test_random_sequences (void)
{
  GArray *rows = every_event ();

  for (guint run = 0; run < 2000; run++) {
    PcdState state = pcd_state_init (g_test_rand_int_range (0, 2), SECOND);
    gint64 now = SECOND;

    for (guint i = 0; i < 60; i++) {
      const Row *row = &g_array_index (rows, Row, g_test_rand_int_range (0, rows->len));
      PcdEffects effects = PCD_EFFECT_NONE;
      PcdState next, again;

      now += g_test_rand_int_range (0, SECOND);
      next = pcd_machine_step (&state, &row->event, now, &effects);
      again = pcd_machine_step (&state, &row->event, now, NULL);
      g_assert_cmpmem (&next, sizeof next, &again, sizeof again);
      check_invariants (&state, &row->event, &next, effects, now);
      state = next;
    }
  }
  free_rows (rows);
}

/* DESIGN 5.6: an unknown event, state or status: resync, nothing else. */
static void
test_rule_6_unknown_changes_nothing (void)
{
  const PcdEvent unknown[] = { status (PCD_QEMU_UNKNOWN), lifecycle (PCD_LIFECYCLE_UNKNOWN),
                               seen (PCD_SEEN_UNKNOWN) };

  for (guint role = 0; role < 2; role++)
    for (guint phase = 0; phase < PCD_N_PHASES; phase++)
      for (guint i = 0; i < G_N_ELEMENTS (unknown); i++) {
        PcdState before = state_in (role, phase);
        PcdEffects effects = PCD_EFFECT_NONE;
        PcdState after = pcd_machine_step (&before, &unknown[i], 2 * SECOND, &effects);

        g_assert_cmpmem (&before, sizeof before, &after, sizeof after);
        g_assert_false (effects & ~PCD_EFFECT_RESYNC);
      }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/machine/link-down-and-recovery", test_link_down_and_recovery);
  g_test_add_func ("/machine/late-cause", test_cause_may_come_after_the_pause);
  g_test_add_func ("/machine/false-alarm", test_false_alarm_is_unattended);
  g_test_add_func ("/machine/failure-told-before-the-pause", test_failure_told_before_the_pause);
  g_test_add_func ("/machine/start-in-mid-pause", test_start_in_mid_pause);
  g_test_add_func ("/machine/source-without-connection-is-asked",
                   test_source_without_connection_is_asked);
  g_test_add_func ("/machine/source-killed", test_source_killed);
  g_test_add_func ("/machine/begin-and-echo", test_records_begin_and_do_not_echo);
  g_test_add_func ("/machine/random-sequences", test_random_sequences);
  g_test_add_func ("/machine/rule-6-unknown-changes-nothing", test_rule_6_unknown_changes_nothing);
  return g_test_run ();
}
