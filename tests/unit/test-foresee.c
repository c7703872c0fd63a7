/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What people are told that a ladder will do next, for the shipped policies, beside what the ladder
 * then does: the wakeup it asks for. */
#include "core/pcd-foresee.h"
#include "engine/pcd-policy-load.h"

#define MS G_GINT64_CONSTANT (1000)
#define S  (1000 * MS)

/* No story begins at the beginning of time. */
#define EPOCH (1000 * S)

typedef enum {
  NOTHING,
  PHASE, /* @what: a phase */
  FLOW,  /* a flow */
  HOLD,  /* %TRUE or %FALSE */
  DRY,
  UNTOUCHED,
  ENDS, /* the action @what ends, @outcome */
  PEER,
  WAKES, /* the wakeup that was asked for came */
} Op;

typedef struct {
  gint64 ms;
  Op op;
  guint what;
  PcdOutcome outcome;
} Line;

typedef struct {
  const char *name;
  const char *policy;
  PcdRole role;
  Line lines[8];
  gint64 ms; /* -1: nothing is foreseen */
  PcdActionKind action;
  gboolean unheeded; /* the ladder does not wake up for it: it waits for something else */
} Case;

#define SOURCE      PCD_ROLE_SOURCE
#define DESTINATION PCD_ROLE_DESTINATION
#define PAUSED      PHASE, PCD_PHASE_PAUSED
#define POSTCOPY    PHASE, PCD_PHASE_POSTCOPY
#define FAILS(what) ENDS, PCD_ACTION_##what, PCD_OUTCOME_FAILED
#define WORKS(what) ENDS, PCD_ACTION_##what, PCD_OUTCOME_DONE
#define NONE        -1, PCD_N_ACTIONS
#define PEER_TIME   G_MAXINT64

static const Case cases[] = {
  { "postcopy/no-trouble", "protect", DESTINATION, { { 0, POSTCOPY } }, NONE },
  { "completed/no-trouble",
    "protect",
    DESTINATION,
    { { 0, UNTOUCHED, TRUE }, { 0, POSTCOPY }, { 500, PHASE, PCD_PHASE_COMPLETED } },
    NONE },
  { "stalled/force-pause",
    "protect",
    DESTINATION,
    { { 0, POSTCOPY }, { 500, FLOW, PCD_FLOW_STALLED } },
    3500,
    PCD_ACTION_FORCE_PAUSE },
  { "stalled/a-flow-never-adds-up",
    "protect",
    DESTINATION,
    { { 0, POSTCOPY },
      { 500, FLOW, PCD_FLOW_STALLED },
      { 2500, FLOW, PCD_FLOW_FLOWING },
      { 3000, FLOW, PCD_FLOW_STALLED } },
    6000,
    PCD_ACTION_FORCE_PAUSE },
  { "paused/observe-only-tells", "observe", SOURCE, { { 0, PAUSED } }, NONE },
  { "paused/what-runs-is-not-next", "recover", SOURCE, { { 0, PAUSED } }, NONE },
  { "paused/recover-is-not-the-destination's", "recover", DESTINATION, { { 0, PAUSED } }, NONE },
  { "paused/stop-is-not-the-source's", "protect", SOURCE, { { 0, PAUSED } }, NONE },
  { "paused/protect", "protect", DESTINATION, { { 1000, PAUSED } }, 11000, PCD_ACTION_STOP },
  { "paused/pauses-add-up",
    "protect",
    DESTINATION,
    { { 0, PAUSED }, { 4000, POSTCOPY }, { 5000, PAUSED } },
    11000,
    PCD_ACTION_STOP },
  { "paused/a-recovery-under-way-is-a-pause",
    "protect",
    DESTINATION,
    { { 0, PAUSED }, { 4000, PHASE, PCD_PHASE_RECOVERING } },
    10000,
    PCD_ACTION_STOP,
    .unheeded = TRUE },
  { "paused/the-first-of-two",
    "forensic",
    DESTINATION,
    { { 0, PAUSED }, { 10000, WAKES } },
    15000,
    PCD_ACTION_SNAPSHOT },
  { "held", "protect", DESTINATION, { { 0, PAUSED }, { 1000, HOLD, TRUE } }, NONE },
  { "released",
    "protect",
    DESTINATION,
    { { 0, PAUSED }, { 1000, HOLD, TRUE }, { 2000, HOLD, FALSE } },
    10000,
    PCD_ACTION_STOP },
  { "done",
    "protect",
    DESTINATION,
    { { 0, PAUSED }, { 10000, WAKES }, { 10050, WORKS (FREEZE) } },
    NONE },
  { "done/the-rest",
    "fence",
    DESTINATION,
    { { 0, PAUSED }, { 10000, WAKES }, { 10050, WORKS (FREEZE) } },
    600000,
    PCD_ACTION_DESTROY },
  { "done/what-destroys-sees-one-spell",
    "fence",
    DESTINATION,
    { { 0, PAUSED },
      { 10000, WAKES },
      { 10050, WORKS (FREEZE) },
      { 11000, POSTCOPY },
      { 12000, PAUSED },
      { 12050, WORKS (FREEZE) } },
    612000,
    PCD_ACTION_DESTROY },
  { "done/in-a-dry-run",
    "protect",
    DESTINATION,
    { { 0, DRY, TRUE }, { 0, PAUSED }, { 10000, WAKES } },
    NONE },
  { "retry/not-before",
    "recover",
    SOURCE,
    { { 0, PAUSED }, { 50, FAILS (RECOVER) } },
    250,
    PCD_ACTION_RECOVER },
  { "retry/the-delay-grows",
    "recover",
    SOURCE,
    { { 0, PAUSED }, { 50, FAILS (RECOVER) }, { 250, WAKES }, { 300, FAILS (RECOVER) } },
    700,
    PCD_ACTION_RECOVER },
  { "retry/before-the-later-step",
    "fence",
    SOURCE,
    { { 0, PAUSED }, { 50, FAILS (RECOVER) } },
    250,
    PCD_ACTION_RECOVER },
  { "retry/the-delay-outlives-the-spell",
    "recover",
    SOURCE,
    { { 0, PAUSED },
      { 50, FAILS (RECOVER) },
      { 250, WAKES },
      { 300, FAILS (RECOVER) },
      { 310, POSTCOPY },
      { 320, PAUSED } },
    700,
    PCD_ACTION_RECOVER },
  { "peer/recovers-when-it-answers",
    "recover",
    SOURCE,
    { { 0, PAUSED }, { 50, FAILS (RECOVER) }, { 60, PEER, PCD_FACT_NO } },
    PEER_TIME,
    PCD_ACTION_RECOVER },
  { "peer/a-step-that-has-a-time-comes-first",
    "fence",
    SOURCE,
    { { 0, PAUSED }, { 50, FAILS (RECOVER) }, { 60, PEER, PCD_FACT_NO } },
    600000,
    PCD_ACTION_DESTROY },
};

typedef struct {
  PcdLadder ladder;
  PcdLadderInput input;
  PcdState state;
  gint64 wakeup;
} World;

static guint64
ticket_of (const PcdLadder *ladder, PcdActionKind action)
{
  for (guint i = 0; i < ladder->n_records; i++)
    if (ladder->records[i].chosen == action && ladder->records[i].status == PCD_STEP_RUNNING)
      return ladder->records[i].ticket;
  g_assert_not_reached ();
}

static void
apply (World *world, const Line *line)
{
  const gint64 now = EPOCH + line->ms * MS;
  PcdLadderEvent event = { .kind = PCD_LADDER_TICK };
  PcdLadderEffects effects;

  switch (line->op) {
  case PHASE:
    world->state.phase = line->what;
    world->state.phase_since = now;
    world->state.flow = line->what == PCD_PHASE_POSTCOPY ? PCD_FLOW_FLOWING : PCD_FLOW_NONE;
    world->state.flow_since = now;
    break;
  case FLOW:
    world->state.flow = line->what;
    world->state.flow_since = now;
    break;
  case HOLD:
    world->input.held = (gboolean)line->what;
    break;
  case DRY:
    world->input.dry_run = (gboolean)line->what;
    break;
  case UNTOUCHED:
    world->input.untouched = (gboolean)line->what;
    break;
  case PEER:
    world->input.facts[PCD_PREDICATE_PEER_ANSWERS] = line->what;
    break;
  case ENDS:
    event.kind = PCD_LADDER_FINISHED;
    event.ticket = ticket_of (&world->ladder, line->what);
    event.outcome = line->outcome;
    break;
  case WAKES:
    g_assert_cmpint (world->wakeup, ==, now);
    break;
  case NOTHING:
  default:
    return;
  }
  world->ladder = pcd_ladder_step (&world->ladder, &world->input, &event, now, &effects);
  world->wakeup = effects.wakeup;
}

static void
test_case (gconstpointer data)
{
  const char *const directories[] = { g_getenv ("PCD_POLICIES"), NULL };
  const Case *test = data;
  World world = { .ladder = pcd_ladder_init (test->role),
                  .state = pcd_state_init (test->role, EPOCH),
                  .wakeup = G_MAXINT64 };
  g_autoptr (GError) error = NULL;
  PcdPolicySet *set = pcd_policy_load_directories (directories, &error);
  PcdActionKind action = PCD_N_ACTIONS;
  gint64 when = -1;

  g_assert_no_error (error);
  world.input.policy = pcd_policy_set_lookup (set, test->policy);
  g_assert_nonnull (world.input.policy);
  world.input.state = &world.state;
  for (guint i = 0; i < G_N_ELEMENTS (test->lines); i++)
    apply (&world, &test->lines[i]);

  const gboolean found =
      pcd_ladder_foresee (&world.ladder, world.input.policy, world.input.untouched, &action, &when);
  g_assert_cmpint (found, ==, test->ms >= 0);
  g_assert_cmpstr (pcd_action_to_string (action), ==, pcd_action_to_string (test->action));
  const gint64 expected = !found                  ? -1 /* left as it was */
                          : test->ms == PEER_TIME ? PCD_FORESEE_PEER_ANSWERS
                                                  : EPOCH + test->ms * MS;

  g_assert_cmpint (when, ==, expected);
  if (!test->unheeded)
    g_assert_cmpint (world.wakeup, ==, found ? when : G_MAXINT64);
  pcd_policy_set_unref (set);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *name = g_strconcat ("/foresee/", cases[i].name, NULL);
    g_test_add_data_func (name, &cases[i], test_case);
  }
  return g_test_run ();
}
