/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every phase × event pair against the table in docs/phases.md, the stories of FACTS 3 word by
 * word, and random sequences against the invariants. PCD_UPDATE=1 writes the table anew. */
#include "core/pcd-machine.h"

#include <string.h>

#define SECOND G_USEC_PER_SEC

static PcdEvent
status (PcdQemuStatus word)
{
  return (PcdEvent){ .kind = PCD_EVENT_QEMU_STATUS, .status = word };
}

static PcdEvent
lifecycle (PcdLifecycle what)
{
  return (PcdEvent){ .kind = PCD_EVENT_LIFECYCLE, .lifecycle = what };
}

static PcdEvent
seen (PcdSeen what)
{
  return (PcdEvent){ .kind = PCD_EVENT_SEEN, .seen = what };
}

static PcdEvent
net (PcdFlow flow, gboolean dead)
{
  return (PcdEvent){ .kind = PCD_EVENT_NET, .net = { flow, dead } };
}

static PcdEvent
closed (PcdCause cause)
{
  return (PcdEvent){ .kind = PCD_EVENT_SOCKET_CLOSED, .closed = cause };
}

static PcdEvent
plain (PcdEventKind kind)
{
  return (PcdEvent){ .kind = kind };
}

typedef struct {
  char *name;
  PcdEvent event;
} Row;

static void
add_row (GArray *rows, char *name, PcdEvent event)
{
  g_array_append_val (rows, ((Row){ name, event }));
}

/* Every event there is, with the name it has in the table. */
static GArray *
every_event (void)
{
  GArray *rows = g_array_new (FALSE, FALSE, sizeof (Row));

  for (guint i = 0; i < PCD_N_QEMU_STATUSES; i++)
    add_row (rows, g_strdup_printf ("QEMU `%s`", pcd_qemu_status_to_string (i)), status (i));
  for (guint i = 0; i < PCD_N_LIFECYCLES; i++)
    add_row (rows, g_strdup_printf ("event %s", pcd_lifecycle_to_string (i)), lifecycle (i));
  for (guint i = 0; i < PCD_N_SEEN; i++)
    add_row (rows, g_strdup_printf ("seen %s", pcd_seen_to_string (i)), seen (i));
  for (guint i = PCD_FLOW_FLOWING; i < PCD_N_FLOWS; i++)
    add_row (rows, g_strdup_printf ("network %s", pcd_flow_to_string (i)), net (i, FALSE));
  add_row (rows, g_strdup ("network dead"), net (PCD_FLOW_STALLED, TRUE));
  for (guint i = PCD_CAUSE_NETWORK; i < PCD_N_CAUSES; i++)
    add_row (rows, g_strdup_printf ("socket closed: %s", pcd_cause_to_string (i)), closed (i));
  add_row (rows, g_strdup ("migration socket found"), plain (PCD_EVENT_SOCKET_FOUND));
  add_row (rows, g_strdup ("no migration socket"), plain (PCD_EVENT_NO_SOCKET));
  add_row (rows, g_strdup ("QEMU exited"), plain (PCD_EVENT_PROCESS_EXITED));
  return rows;
}

static void
free_rows (GArray *rows)
{
  for (guint i = 0; i < rows->len; i++)
    g_free (g_array_index (rows, Row, i).name);
  g_array_unref (rows);
}

/* A state of that phase as it is reached by QEMU's own words. */
static PcdState
state_in (PcdRole role, PcdPhase phase)
{
  static const PcdQemuStatus words[PCD_N_PHASES] = {
    [PCD_PHASE_PRECOPY] = PCD_QEMU_ACTIVE,
    [PCD_PHASE_DEVICE] = PCD_QEMU_POSTCOPY_DEVICE,
    [PCD_PHASE_POSTCOPY] = PCD_QEMU_POSTCOPY_ACTIVE,
    [PCD_PHASE_PAUSED] = PCD_QEMU_POSTCOPY_PAUSED,
    [PCD_PHASE_RECOVERING] = PCD_QEMU_POSTCOPY_RECOVER,
    [PCD_PHASE_COMPLETED] = PCD_QEMU_COMPLETED,
    [PCD_PHASE_FAILED] = PCD_QEMU_FAILED,
  };
  PcdState state = pcd_state_init (role, SECOND);
  PcdEvent event = status (words[phase]);

  if (phase == PCD_PHASE_GONE) {
    event = status (PCD_QEMU_POSTCOPY_ACTIVE);
    state = pcd_machine_step (&state, &event, SECOND, NULL);
    event = plain (PCD_EVENT_PROCESS_EXITED);
  }
  if (phase != PCD_PHASE_NONE)
    state = pcd_machine_step (&state, &event, SECOND, NULL);
  g_assert_cmpint (state.phase, ==, phase);
  return state;
}

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
  g_string_append_printf (text, "\n## %s\n\n| event \\ phase |", pcd_role_to_string (role));
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

static void
test_table (void)
{
  const char *path = g_getenv ("PCD_PHASES_MD");
  g_autoptr (GString) text = g_string_new (
      "# Phases: every event in every phase\n\n"
      "Written by `tests/unit/test-machine.c` from the very code (`PCD_UPDATE=1` writes it anew); "
      "the "
      "test fails\nwhen code and table differ. `·` changes nothing; ⇒ is what the machine asks the "
      "daemon to do.\n");
  g_autofree char *golden = NULL;
  g_autoptr (GError) error = NULL;
  GArray *rows = every_event ();

  describe_role (text, PCD_ROLE_SOURCE, rows);
  describe_role (text, PCD_ROLE_DESTINATION, rows);
  free_rows (rows);
  if (g_getenv ("PCD_UPDATE"))
    g_assert_true (g_file_set_contents (path, text->str, -1, NULL));
  g_file_get_contents (path, &golden, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (golden, ==, text->str);
}

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
  g_test_add_func ("/machine/table", test_table);
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
