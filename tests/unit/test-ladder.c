/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ladder in virtual time: stories with their whole log as a literal, and random stories against
 * the invariants. */
#include "core/pcd-ladder.h"
#include "engine/pcd-policy-load.h"

#include <string.h>

#define MS G_GINT64_CONSTANT (1000)
#define S  (1000 * MS)

/* No story begins at the beginning of time. */
#define EPOCH (1000 * S)

/* ---- a world with a clock of its own ---- */

typedef struct {
  guint64 ticket;
  PcdActionKind action;
  gint64 ends;
  PcdOutcome outcome;
} Running;

typedef struct {
  gint64 takes; /* -1: until it is cancelled */
  PcdOutcome outcome;
} Behaviour;

typedef struct _World World;

struct _World {
  PcdPolicySet *set;
  PcdPolicy *policy;
  PcdLadder ladder;
  PcdLadderInput input;
  PcdState state;
  gint64 now;
  gint64 wakeup;
  GArray *running;
  Behaviour behaviour[PCD_N_ACTIONS];
  GString *log;
  void (*check) (World *world, const PcdLadderEffect *effect);
  gpointer data;
};

static PcdPolicySet *
load_shipped (void)
{
  const char *const directories[] = { g_getenv ("PCD_POLICIES"), NULL };
  g_autoptr (GError) error = NULL;
  PcdPolicySet *set = pcd_policy_load_directories (directories, &error);

  g_assert_no_error (error);
  return set;
}

static World *
world_new (PcdRole role)
{
  World *world = g_new0 (World, 1);

  world->set = load_shipped ();
  world->now = EPOCH;
  world->wakeup = G_MAXINT64;
  world->ladder = pcd_ladder_init (role);
  world->state = pcd_state_init (role, EPOCH);
  world->running = g_array_new (FALSE, FALSE, sizeof (Running));
  world->log = g_string_new (NULL);
  world->behaviour[PCD_ACTION_RECOVER].takes = -1;
  return world;
}

static void
world_free (World *world)
{
  g_clear_pointer (&world->policy, pcd_policy_unref);
  pcd_policy_set_unref (world->set);
  g_array_unref (world->running);
  g_string_free (world->log, TRUE);
  g_free (world);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (World, world_free)

static Running *
find_running (World *world, guint64 ticket)
{
  for (guint i = 0; i < world->running->len; i++) {
    Running *running = &g_array_index (world->running, Running, i);
    if (running->ticket == ticket)
      return running;
  }
  return NULL;
}

static void
carry_out (World *world, const PcdLadderEffect *effect)
{
  const Behaviour *behaviour = &world->behaviour[effect->action];
  gint64 ms = (world->now - EPOCH) / MS;

  g_string_append_printf (world->log, "%d.%03d %s %s", (int)(ms / 1000), (int)(ms % 1000),
                          pcd_ladder_effect_to_string (effect->kind),
                          pcd_action_to_string (effect->action));
  if (effect->kind == PCD_LADDER_START || effect->kind == PCD_LADDER_WOULD)
    g_string_append_printf (world->log, " %u", effect->attempt);
  g_string_append_c (world->log, '\n');
  if (world->check)
    world->check (world, effect);
  if (effect->kind == PCD_LADDER_START) {
    gint64 ends = behaviour->takes < 0 ? G_MAXINT64 : world->now + behaviour->takes;
    g_array_append_val (world->running,
                        ((Running){ effect->ticket, effect->action, ends, behaviour->outcome }));
  } else if (effect->kind == PCD_LADDER_CANCEL) {
    Running *running = find_running (world, effect->ticket);
    g_assert_nonnull (running);
    running->ends = MIN (running->ends, world->now + 1 * MS);
    running->outcome = PCD_OUTCOME_FAILED;
  }
}

static void
feed (World *world, PcdLadderEvent event)
{
  PcdLadderEffects effects;

  world->input.policy = world->policy;
  world->input.state = &world->state;
  world->ladder = pcd_ladder_step (&world->ladder, &world->input, &event, world->now, &effects);
  world->wakeup = effects.wakeup;
  for (guint i = 0; i < effects.n; i++)
    carry_out (world, &effects.effects[i]);
  /* Calling again with nothing new must do nothing. */
  PcdLadderEvent tick = { PCD_LADDER_TICK };
  PcdLadderEffects none;
  world->ladder = pcd_ladder_step (&world->ladder, &world->input, &tick, world->now, &none);
  g_assert_cmpuint (none.n, ==, 0);
  g_assert_cmpint (none.wakeup, >, world->now);
}

/* Index of the action that ends first, no later than @limit, or -1. */
static gint
first_to_end (World *world, gint64 limit)
{
  gint first = -1;

  for (guint i = 0; i < world->running->len; i++) {
    gint64 ends = g_array_index (world->running, Running, i).ends;
    if (ends <= limit && (first < 0 || ends < g_array_index (world->running, Running, first).ends))
      first = (gint)i;
  }
  return first;
}

static void
advance (World *world, gint64 until)
{
  for (;;) {
    gint ending = first_to_end (world, MIN (until, world->wakeup));
    if (ending >= 0) {
      Running running = g_array_index (world->running, Running, ending);
      g_array_remove_index (world->running, (guint)ending);
      world->now = MAX (world->now, running.ends);
      feed (world, (PcdLadderEvent){ PCD_LADDER_FINISHED, running.ticket, running.outcome });
    } else if (world->wakeup <= until) {
      world->now = world->wakeup;
      feed (world, (PcdLadderEvent){ PCD_LADDER_TICK });
    } else {
      break;
    }
  }
  world->now = until;
}

static void
set_phase (World *world, PcdPhase phase)
{
  if (world->state.phase == phase)
    return;
  world->state.phase = phase;
  world->state.phase_since = world->now;
  world->state.cause = phase == PCD_PHASE_PAUSED ? PCD_CAUSE_NETWORK : PCD_CAUSE_NONE;
  world->state.flow = phase == PCD_PHASE_POSTCOPY ? PCD_FLOW_FLOWING : PCD_FLOW_NONE;
  world->state.flow_since = world->now;
  world->state.unattended = FALSE;
}

static void
set_policy (World *world, PcdPolicy *policy)
{
  PcdPolicy *old = world->policy;

  world->policy = policy;
  feed (world, (PcdLadderEvent){ PCD_LADDER_TICK });
  g_clear_pointer (&old, pcd_policy_unref);
}

/* ---- stories ---- */

typedef enum {
  END,
  PHASE,
  FLOW,
  CAUSE,
  PAUSED_AS, /* with that cause from the start */
  UNATTENDED,
  HOLD,
  DRY_RUN,
  ALLOW_DESTROY,
  KICKABLE,
  TRACEABLE,
  PEER,
  HUNG,
  UNTOUCHED,
  POLICY,    /* @text: a shipped one's name */
  STEPS,     /* @text: steps of an own one */
  BEGAN,     /* an operator's request */
  ENDED,     /* done */
  TAKES,     /* @a: action, @b: ms or -1 */
  ENDS_WITH, /* @a: action, @b: outcome */
  UNTIL,     /* only lets time pass */
} Op;

typedef struct {
  gint64 ms;
  Op op;
  gint a;
  gint b;
  const char *text;
} Line;

typedef struct {
  const char *name;
  PcdRole role;
  const char *policy;
  Line lines[24];
  const char *log;
} Story;

static PcdPolicy *
parse_steps (const char *steps)
{
  g_autofree char *text = g_strdup_printf ("{ \"name\": \"own\", \"steps\": [ %s ] }", steps);
  g_autoptr (GError) error = NULL;
  PcdPolicy *policy = pcd_policy_parse (text, strlen (text), "own", &error);

  g_assert_no_error (error);
  return policy;
}

static PcdPolicy *
get_policy (World *world, const char *text)
{
  return text[0] == '{' ? parse_steps (text)
                        : pcd_policy_ref (pcd_policy_set_lookup (world->set, text));
}

static void
apply (World *world, const Line *line)
{
  PcdLadderEvent event = { PCD_LADDER_TICK };

  switch (line->op) {
  case PHASE:
    set_phase (world, line->a);
    break;
  case PAUSED_AS:
    set_phase (world, PCD_PHASE_PAUSED);
    world->state.cause = line->a;
    break;
  case FLOW:
    world->state.flow = line->a;
    world->state.flow_since = world->now;
    break;
  case CAUSE:
    world->state.cause = line->a;
    break;
  case UNATTENDED:
    world->state.unattended = line->a;
    break;
  case HOLD:
    world->input.held = line->a;
    break;
  case DRY_RUN:
    world->input.dry_run = line->a;
    break;
  case ALLOW_DESTROY:
    world->input.allow_destroy = line->a;
    break;
  case KICKABLE:
    world->input.facts[PCD_PREDICATE_KICKABLE] = line->a;
    break;
  case TRACEABLE:
    world->input.facts[PCD_PREDICATE_TRACEABLE] = line->a;
    break;
  case PEER:
    world->input.facts[PCD_PREDICATE_PEER_ANSWERS] = line->a;
    break;
  case HUNG:
    world->input.hung = line->a;
    break;
  case UNTOUCHED:
    world->input.untouched = line->a;
    break;
  case POLICY:
  case STEPS:
    set_policy (world, get_policy (world, line->text));
    return;
  case BEGAN:
    event = (PcdLadderEvent){ PCD_LADDER_OPERATOR_BEGAN, .action = line->a };
    break;
  case ENDED:
    event = (PcdLadderEvent){ PCD_LADDER_OPERATOR_ENDED, .action = line->a };
    break;
  case TAKES:
    world->behaviour[line->a].takes = line->b < 0 ? -1 : line->b * MS;
    return;
  case ENDS_WITH:
    world->behaviour[line->a].outcome = line->b;
    return;
  case UNTIL:
  case END:
  default:
    return;
  }
  feed (world, event);
}

#define NEVER_ENDS                                                                                 \
  {                                                                                                \
    0, TAKES, PCD_ACTION_RECOVER, -1                                                               \
  }
#define FAILS_AT_ONCE                                                                              \
  { 0, TAKES, PCD_ACTION_RECOVER, 0 },                                                             \
  {                                                                                                \
    0, ENDS_WITH, PCD_ACTION_RECOVER, PCD_OUTCOME_FAILED                                           \
  }

static const Story stories[] = {
  { "recover/once-and-through",
    PCD_ROLE_SOURCE,
    "recover",
    { { 0, PHASE, PCD_PHASE_POSTCOPY },
      { 1000, PHASE, PCD_PHASE_PAUSED },
      { 31000, PHASE, PCD_PHASE_RECOVERING },
      { 31100, PHASE, PCD_PHASE_POSTCOPY },
      { 40000, PHASE, PCD_PHASE_COMPLETED },
      { 60000, UNTIL } },
    "1.000 start notify 1\n1.000 start recover 1\n40.000 cancel recover\n" },
  { "recover/backoff-to-the-ceiling",
    PCD_ROLE_SOURCE,
    "{ \"when\": \"paused\", \"do\": \"recover\", \"with\": { \"ceiling\": \"2s\" } }",
    { FAILS_AT_ONCE, { 0, PHASE, PCD_PHASE_PAUSED }, { 8000, UNTIL } },
    "0.000 start recover 1\n0.200 start recover 2\n0.600 start recover 3\n1.400 start recover 4\n"
    "3.000 start recover 5\n5.000 start recover 6\n7.000 start recover 7\n" },
  { "recover/a-slow-failure-delays-from-its-end",
    PCD_ROLE_SOURCE,
    "{ \"when\": \"paused\", \"do\": \"recover\" }",
    { FAILS_AT_ONCE,
      { 0, TAKES, PCD_ACTION_RECOVER, 5000 },
      { 0, PHASE, PCD_PHASE_PAUSED },
      { 11000, UNTIL } },
    "0.000 start recover 1\n5.200 start recover 2\n10.600 start recover 3\n" },
  { "recover/attempts",
    PCD_ROLE_SOURCE,
    "{ \"when\": \"paused\", \"do\": \"recover\", \"with\": { \"attempts\": 2 } }",
    { FAILS_AT_ONCE,
      { 0, PHASE, PCD_PHASE_PAUSED },
      { 60000, UNTIL },
      { 60000, PHASE, PCD_PHASE_POSTCOPY },
      { 100000, PHASE, PCD_PHASE_PAUSED },
      { 160000, UNTIL } },
    "0.000 start recover 1\n0.200 start recover 2\n0.200 give-up recover\n"
    "100.000 start recover 1\n100.200 start recover 2\n100.200 give-up recover\n" },
  /* libvirt 9 to 10 may report success or failure falsely: the phase is the truth. */
  { "recover/done-but-still-paused-is-tried-again",
    PCD_ROLE_SOURCE,
    "{ \"when\": \"paused\", \"do\": \"recover\" }",
    { { 0, TAKES, PCD_ACTION_RECOVER, 0 }, { 0, PHASE, PCD_PHASE_PAUSED }, { 500, UNTIL } },
    "0.000 start recover 1\n0.200 start recover 2\n" },
  { "recover/failed-but-recovering-is-left-alone",
    PCD_ROLE_SOURCE,
    "{ \"when\": \"paused\", \"do\": \"recover\" }",
    { FAILS_AT_ONCE,
      { 0, TAKES, PCD_ACTION_RECOVER, 100 },
      { 0, PHASE, PCD_PHASE_PAUSED },
      { 50, PHASE, PCD_PHASE_RECOVERING },
      { 20000, PHASE, PCD_PHASE_POSTCOPY },
      { 60000, UNTIL } },
    "0.000 start recover 1\n" },
  { "recover/second-failure-while-recovering",
    PCD_ROLE_SOURCE,
    "{ \"when\": \"paused\", \"do\": \"recover\" }",
    { FAILS_AT_ONCE,
      { 0, TAKES, PCD_ACTION_RECOVER, 100 },
      { 0, PHASE, PCD_PHASE_PAUSED },
      { 50, PHASE, PCD_PHASE_RECOVERING },
      { 150, PHASE, PCD_PHASE_PAUSED },
      { 600, UNTIL } },
    "0.000 start recover 1\n0.300 start recover 2\n" },
  { "recover/the-peer-answers-cuts-a-delay-short",
    PCD_ROLE_SOURCE,
    "{ \"when\": \"paused\", \"do\": \"recover\", \"with\": { \"first\": \"1min\" } }",
    { FAILS_AT_ONCE,
      { 0, PEER, PCD_FACT_NO },
      { 0, PHASE, PCD_PHASE_PAUSED },
      { 5000, PEER, PCD_FACT_YES },
      { 60000, UNTIL } },
    "0.000 start recover 1\n60.000 start recover 2\n" },
  { "recover/waits-while-the-peer-does-not-answer",
    PCD_ROLE_SOURCE,
    "{ \"when\": \"paused\", \"do\": \"recover\", \"with\": { \"factor\": 10, \"ceiling\": \"1h\" "
    "} }",
    { FAILS_AT_ONCE,
      { 0, PEER, PCD_FACT_NO },
      { 0, PHASE, PCD_PHASE_PAUSED },
      { 30000, PEER, PCD_FACT_YES },
      { 30100, PEER, PCD_FACT_NO },
      { 30200, PEER, PCD_FACT_YES },
      { 40000, UNTIL } },
    "0.000 start recover 1\n30.000 start recover 2\n30.200 start recover 3\n" },
  { "recover/the-peer-answers-during-an-attempt",
    PCD_ROLE_SOURCE,
    "{ \"when\": \"paused\", \"do\": \"recover\", \"with\": { \"factor\": 10 } }",
    { FAILS_AT_ONCE,
      { 0, TAKES, PCD_ACTION_RECOVER, 500 },
      { 0, PHASE, PCD_PHASE_PAUSED },
      { 1000, PEER, PCD_FACT_YES },
      { 3000, UNTIL } },
    "0.000 start recover 1\n0.700 start recover 2\n1.400 start recover 3\n" },
  { "recover/not-on-the-destination",
    PCD_ROLE_DESTINATION,
    "recover",
    { { 0, PHASE, PCD_PHASE_PAUSED }, { 60000, UNTIL } },
    "0.000 start notify 1\n" },
  { "recover/on-a-destination-that-hangs",
    PCD_ROLE_DESTINATION,
    "recover",
    { FAILS_AT_ONCE,
      { 0, PHASE, PCD_PHASE_PAUSED },
      { 5000, HUNG, TRUE },
      { 5500, HUNG, FALSE },
      { 60000, UNTIL } },
    "0.000 start notify 1\n5.000 start recover 1\n5.200 start recover 2\n" },
  { "recover/source-gone",
    PCD_ROLE_SOURCE,
    "recover",
    { { 0, PHASE, PCD_PHASE_PAUSED }, { 5000, PHASE, PCD_PHASE_GONE }, { 60000, UNTIL } },
    "0.000 start notify 1\n0.000 start recover 1\n5.000 cancel recover\n5.000 start notify 1\n" },

  { "protect/freeze-after-ten-seconds",
    PCD_ROLE_DESTINATION,
    "protect",
    { { 0, KICKABLE, PCD_FACT_NO },
      { 0, PHASE, PCD_PHASE_PAUSED },
      { 20000, PHASE, PCD_PHASE_RECOVERING },
      { 20100, PHASE, PCD_PHASE_POSTCOPY },
      { 30000, PHASE, PCD_PHASE_COMPLETED },
      { 60000, UNTIL } },
    "0.000 start notify 1\n10.000 start freeze 1\n30.000 start resume 1\n" },
  { "protect/stop-if-kickable",
    PCD_ROLE_DESTINATION,
    "protect",
    { { 0, KICKABLE, PCD_FACT_YES }, { 0, PHASE, PCD_PHASE_PAUSED }, { 60000, UNTIL } },
    "0.000 start notify 1\n10.000 start stop 1\n" },
  { "protect/unknown-is-not-kickable",
    PCD_ROLE_DESTINATION,
    "protect",
    { { 0, PHASE, PCD_PHASE_PAUSED }, { 60000, UNTIL } },
    "0.000 start notify 1\n10.000 start freeze 1\n" },
  { "protect/a-refused-stop-freezes-at-once",
    PCD_ROLE_DESTINATION,
    "protect",
    { { 0, KICKABLE, PCD_FACT_YES },
      { 0, ENDS_WITH, PCD_ACTION_STOP, PCD_OUTCOME_REFUSED },
      { 0, TAKES, PCD_ACTION_STOP, 40 },
      { 0, PHASE, PCD_PHASE_PAUSED },
      { 60000, UNTIL } },
    "0.000 start notify 1\n10.000 start stop 1\n10.040 start freeze 2\n" },
  { "protect/both-refused-goes-round",
    PCD_ROLE_DESTINATION,
    "protect",
    { { 0, KICKABLE, PCD_FACT_YES },
      { 0, ENDS_WITH, PCD_ACTION_STOP, PCD_OUTCOME_REFUSED },
      { 0, ENDS_WITH, PCD_ACTION_FREEZE, PCD_OUTCOME_FAILED },
      { 0, PHASE, PCD_PHASE_PAUSED },
      { 12900, UNTIL } },
    "0.000 start notify 1\n10.000 start stop 1\n10.000 start freeze 2\n11.000 start stop 3\n"
    "11.000 start freeze 4\n" },
  { "protect/not-on-the-source",
    PCD_ROLE_SOURCE,
    "protect",
    { { 0, PHASE, PCD_PHASE_PAUSED }, { 60000, PHASE, PCD_PHASE_COMPLETED }, { 90000, UNTIL } },
    "0.000 start notify 1\n0.000 start recover 1\n60.000 cancel recover\n" },
  /* Recoveries that fail every four seconds do not starve the step at ten. */
  { "protect/failing-recoveries-do-not-starve-it",
    PCD_ROLE_DESTINATION,
    "protect",
    { { 0, PHASE, PCD_PHASE_PAUSED },
      { 4000, PHASE, PCD_PHASE_RECOVERING },
      { 5000, PHASE, PCD_PHASE_PAUSED },
      { 9000, PHASE, PCD_PHASE_RECOVERING },
      { 11000, PHASE, PCD_PHASE_PAUSED },
      { 13000, UNTIL } },
    "0.000 start notify 1\n11.000 start freeze 1\n" },
  { "protect/flaps-add-up",
    PCD_ROLE_DESTINATION,
    "protect",
    { { 0, PHASE, PCD_PHASE_PAUSED },
      { 6000, PHASE, PCD_PHASE_POSTCOPY },
      { 9000, PHASE, PCD_PHASE_PAUSED },
      { 20000, UNTIL } },
    "0.000 start notify 1\n9.000 start notify 1\n13.000 start freeze 1\n" },
  { "protect/after-a-stable-time-they-do-not",
    PCD_ROLE_DESTINATION,
    "protect",
    { { 0, PHASE, PCD_PHASE_PAUSED },
      { 6000, PHASE, PCD_PHASE_POSTCOPY },
      { 36000, PHASE, PCD_PHASE_PAUSED },
      { 50000, UNTIL } },
    "0.000 start notify 1\n36.000 start notify 1\n46.000 start freeze 1\n" },

  { "force-pause/stalled-for-three-seconds",
    PCD_ROLE_SOURCE,
    "recover",
    { { 0, PHASE, PCD_PHASE_POSTCOPY },
      { 1000, FLOW, PCD_FLOW_STALLED },
      { 4500, PHASE, PCD_PHASE_PAUSED },
      { 5000, UNTIL } },
    "4.000 start force-pause 1\n4.500 start notify 1\n4.500 start recover 1\n" },
  { "force-pause/done-but-still-stalled-is-tried-again",
    PCD_ROLE_DESTINATION,
    "recover",
    { { 0, PHASE, PCD_PHASE_POSTCOPY }, { 1000, FLOW, PCD_FLOW_STALLED }, { 8000, UNTIL } },
    "4.000 start force-pause 1\n5.000 start force-pause 2\n7.000 start force-pause 3\n" },
  { "rule-10/stalls-do-not-add-up",
    PCD_ROLE_SOURCE,
    "recover",
    { { 0, PHASE, PCD_PHASE_POSTCOPY },
      { 1000, FLOW, PCD_FLOW_STALLED },
      { 3500, FLOW, PCD_FLOW_SLOW },
      { 3600, FLOW, PCD_FLOW_STALLED },
      { 6500, FLOW, PCD_FLOW_FLOWING },
      { 90000, UNTIL } },
    "" },
  { "rule-10/slow-for-ten-minutes",
    PCD_ROLE_SOURCE,
    "fence",
    { { 0, ALLOW_DESTROY, TRUE },
      { 0, PHASE, PCD_PHASE_POSTCOPY },
      { 1000, FLOW, PCD_FLOW_SLOW },
      { 600000, UNTIL } },
    "" },
  { "unattended/wait",
    PCD_ROLE_SOURCE,
    "recover",
    { { 0, PHASE, PCD_PHASE_POSTCOPY },
      { 0, UNATTENDED, TRUE },
      { 0, FLOW, PCD_FLOW_STALLED },
      { 20000, UNATTENDED, FALSE },
      { 20500, UNTIL } },
    "20.000 start force-pause 1\n" },

  { "rule-8/hold",
    PCD_ROLE_SOURCE,
    "recover",
    { { 0, PHASE, PCD_PHASE_PAUSED },
      { 1000, HOLD, TRUE },
      { 60000, HOLD, FALSE },
      { 61000, UNTIL } },
    "0.000 start notify 1\n0.000 start recover 1\n1.000 cancel recover\n60.000 start recover 2\n" },
  { "rule-8/held-from-the-start",
    PCD_ROLE_DESTINATION,
    "protect",
    { { 0, HOLD, TRUE }, { 0, PHASE, PCD_PHASE_PAUSED }, { 60000, UNTIL } },
    "" },
  { "rule-8/dry-run",
    PCD_ROLE_DESTINATION,
    "protect",
    { { 0, DRY_RUN, TRUE },
      { 0, PHASE, PCD_PHASE_PAUSED },
      { 60000, PHASE, PCD_PHASE_COMPLETED },
      { 90000, UNTIL } },
    "0.000 would notify 1\n10.000 would freeze 1\n60.000 would resume 1\n" },
  { "rule-8/dry-run-does-not-repeat",
    PCD_ROLE_SOURCE,
    "recover",
    { { 0, DRY_RUN, TRUE }, { 0, PHASE, PCD_PHASE_PAUSED }, { 60000, UNTIL } },
    "0.000 would notify 1\n0.000 would recover 1\n" },
  { "rule-8/an-operators-pause-is-not-undone",
    PCD_ROLE_SOURCE,
    "recover",
    { { 0, PHASE, PCD_PHASE_POSTCOPY },
      { 1000, BEGAN, PCD_ACTION_FORCE_PAUSE },
      { 1100, PHASE, PCD_PHASE_PAUSED },
      { 1200, ENDED, PCD_ACTION_FORCE_PAUSE },
      { 60000, BEGAN, PCD_ACTION_RECOVER },
      { 61000, ENDED, PCD_ACTION_RECOVER },
      { 62000, UNTIL } },
    "1.100 start notify 1\n61.000 start recover 1\n" },
  { "rule-8/nor-that-of-virsh-domjobabort",
    PCD_ROLE_SOURCE,
    "recover",
    { { 0, PAUSED_AS, PCD_CAUSE_OPERATOR }, { 60000, UNTIL } },
    "0.000 start notify 1\n" },
  { "rule-8/but-release-gives-it-to-policy",
    PCD_ROLE_SOURCE,
    "recover",
    { { 0, PAUSED_AS, PCD_CAUSE_OPERATOR },
      { 1000, HOLD, TRUE },
      { 2000, HOLD, FALSE },
      { 60000, UNTIL } },
    "0.000 start notify 1\n2.000 start recover 1\n" },
  { "rule-8/and-the-next-pause-is-another-one",
    PCD_ROLE_SOURCE,
    "recover",
    { { 0, PAUSED_AS, PCD_CAUSE_OPERATOR },
      { 5000, PHASE, PCD_PHASE_POSTCOPY },
      { 9000, PAUSED_AS, PCD_CAUSE_NETWORK },
      { 60000, UNTIL } },
    "0.000 start notify 1\n9.000 start notify 1\n9.000 start recover 1\n" },
  { "rule-8/an-operators-pause-is-not-fenced",
    PCD_ROLE_SOURCE,
    "fence",
    { { 0, ALLOW_DESTROY, TRUE },
      { 0, PHASE, PCD_PHASE_POSTCOPY },
      { 1000, BEGAN, PCD_ACTION_FORCE_PAUSE },
      { 1000, PHASE, PCD_PHASE_PAUSED },
      { 1000, CAUSE, PCD_CAUSE_OPERATOR },
      { 1000, ENDED, PCD_ACTION_FORCE_PAUSE },
      { 3600000, UNTIL } },
    "1.000 start notify 1\n" },
  { "rule-8/our-own-pause-is-recovered",
    PCD_ROLE_SOURCE,
    "recover",
    { { 0, PHASE, PCD_PHASE_POSTCOPY },
      { 0, FLOW, PCD_FLOW_STALLED },
      { 3100, PAUSED_AS, PCD_CAUSE_OPERATOR },
      { 3200, UNTIL } },
    "3.000 start force-pause 1\n3.100 start notify 1\n3.100 start recover 1\n" },
  { "rule-8/an-operator-comes-between",
    PCD_ROLE_DESTINATION,
    "protect",
    { { 0, TAKES, PCD_ACTION_FREEZE, -1 },
      { 0, PHASE, PCD_PHASE_PAUSED },
      { 15000, BEGAN, PCD_ACTION_STOP },
      { 16000, ENDED, PCD_ACTION_STOP },
      { 16500, UNTIL } },
    "0.000 start notify 1\n10.000 start freeze 1\n15.000 cancel freeze\n16.000 start freeze 2\n" },

  { "rule-4/destroy-needs-allow-destroy",
    PCD_ROLE_DESTINATION,
    "fence",
    { { 0, PHASE, PCD_PHASE_PAUSED }, { 3600000, UNTIL } },
    "0.000 start notify 1\n10.000 start freeze 1\n600.000 refuse destroy\n" },
  { "rule-4/destroy-with-it",
    PCD_ROLE_DESTINATION,
    "fence",
    { { 0, ALLOW_DESTROY, TRUE }, { 0, PHASE, PCD_PHASE_PAUSED }, { 3600000, UNTIL } },
    "0.000 start notify 1\n10.000 start freeze 1\n600.000 start destroy 1\n" },
  { "destroy/calls-recover-off-first",
    PCD_ROLE_SOURCE,
    "fence",
    { { 0, ALLOW_DESTROY, TRUE }, { 0, PHASE, PCD_PHASE_PAUSED }, { 601000, UNTIL } },
    "0.000 start notify 1\n0.000 start recover 1\n600.000 cancel recover\n"
    "600.001 start destroy 1\n" },
  /* It makes progress between its flaps: not to be destroyed. */
  { "destroy/flaps-do-not-add-up",
    PCD_ROLE_DESTINATION,
    "{ \"when\": \"paused\", \"after\": \"1min\", \"do\": \"destroy\", \"with\": "
    "{ \"order\": \"source-first\" } }",
    { { 0, ALLOW_DESTROY, TRUE },
      { 0, PHASE, PCD_PHASE_PAUSED },
      { 50000, PHASE, PCD_PHASE_POSTCOPY },
      { 55000, PHASE, PCD_PHASE_PAUSED },
      { 110000, PHASE, PCD_PHASE_POSTCOPY },
      { 111000, PHASE, PCD_PHASE_PAUSED },
      { 172000, UNTIL } },
    "171.000 start destroy 1\n" },

  { "change/takes-effect-at-once",
    PCD_ROLE_DESTINATION,
    "recover",
    { { 0, PHASE, PCD_PHASE_PAUSED }, { 30000, POLICY, .text = "protect" }, { 60000, UNTIL } },
    "0.000 start notify 1\n30.000 start freeze 1\n" },
  { "change/keeps-what-runs-and-repeats-nothing",
    PCD_ROLE_SOURCE,
    "recover",
    { { 0, PHASE, PCD_PHASE_PAUSED },
      { 5000, POLICY, .text = "protect" },
      { 6000, POLICY, .text = "recover" },
      { 7000, POLICY, .text = "fence" },
      { 60000, UNTIL } },
    "0.000 start notify 1\n0.000 start recover 1\n" },
  { "change/calls-off-what-is-not-wanted",
    PCD_ROLE_SOURCE,
    "recover",
    { { 0, PHASE, PCD_PHASE_PAUSED },
      { 5000, POLICY, .text = "observe" },
      { 20000, POLICY, .text = "recover" },
      { 30000, UNTIL } },
    "0.000 start notify 1\n0.000 start recover 1\n5.000 cancel recover\n20.000 start recover 2\n" },
  { "change/knows-the-same-in-another-step",
    PCD_ROLE_DESTINATION,
    "{ \"when\": \"paused\", \"do\": \"freeze\" }",
    { { 0, PHASE, PCD_PHASE_PAUSED },
      { 30000, POLICY, .text = "protect" },
      { 60000, PHASE, PCD_PHASE_COMPLETED },
      { 61000, UNTIL } },
    "0.000 start freeze 1\n30.000 start notify 1\n60.000 start resume 1\n" },

  { "resume/nothing-to-undo",
    PCD_ROLE_DESTINATION,
    "protect",
    { { 0, UNTOUCHED, TRUE },
      { 0, PHASE, PCD_PHASE_POSTCOPY },
      { 1000, PHASE, PCD_PHASE_COMPLETED },
      { 60000, UNTIL } },
    "" },
  { "resume/after-trouble",
    PCD_ROLE_DESTINATION,
    "{ \"when\": \"completed\", \"after\": \"5s\", \"do\": \"resume\" }",
    { { 0, PHASE, PCD_PHASE_POSTCOPY }, { 1000, PHASE, PCD_PHASE_COMPLETED }, { 60000, UNTIL } },
    "6.000 start resume 1\n" },

  { "forensic/one-after-the-other-and-once",
    PCD_ROLE_DESTINATION,
    "forensic",
    { { 0, KICKABLE, PCD_FACT_YES },
      { 0, TAKES, PCD_ACTION_SNAPSHOT, 30000 },
      { 0, PHASE, PCD_PHASE_PAUSED },
      { 30000, TRACEABLE, PCD_FACT_YES },
      { 60000, PHASE, PCD_PHASE_POSTCOPY },
      { 61000, PHASE, PCD_PHASE_PAUSED },
      { 90000, PHASE, PCD_PHASE_COMPLETED },
      { 91000, UNTIL } },
    "0.000 start notify 1\n10.000 start stop 1\n15.000 start snapshot 1\n45.000 start debug 1\n"
    "61.000 start notify 1\n61.000 start stop 1\n90.000 start resume 1\n" },
  { "settle/nothing-else-meanwhile",
    PCD_ROLE_DESTINATION,
    "{ \"when\": \"paused\", \"do\": \"freeze\", \"settle\": \"5s\" }, "
    "{ \"when\": \"paused\", \"after\": \"1s\", \"do\": \"notify\" }, "
    "{ \"when\": \"paused\", \"after\": \"1s\", \"do\": \"snapshot\" }",
    { { 0, PHASE, PCD_PHASE_PAUSED }, { 20000, UNTIL } },
    "0.000 start freeze 1\n1.000 start notify 1\n5.000 start snapshot 1\n" },
  { "if/waits-for-the-fact",
    PCD_ROLE_SOURCE,
    "{ \"when\": \"paused\", \"do\": \"recover\", \"if\": \"peer-answers\" }",
    { { 0, PHASE, PCD_PHASE_PAUSED },
      { 5000, PEER, PCD_FACT_NO },
      { 9000, PEER, PCD_FACT_YES },
      { 60000, UNTIL } },
    "9.000 start recover 1\n" },
};

static void
test_story (gconstpointer data)
{
  const Story *story = data;
  g_autoptr (World) world = world_new (story->role);

  set_policy (world, get_policy (world, story->policy));
  for (const Line *line = story->lines; line->op != END; line++) {
    advance (world, EPOCH + line->ms * MS);
    apply (world, line);
  }
  g_assert_cmpstr (world->log->str, ==, story->log);
}

/* ---- flapping ---- */

static guint
count (const char *log, const char *what)
{
  guint n = 0;

  for (const char *p = log; (p = strstr (p, what)); p++)
    n++;
  return n;
}

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

/* ---- random stories against the invariants ---- */

typedef struct {
  gint64 started[PCD_N_WHENS][PCD_N_ACTIONS];
  guint n[PCD_N_ACTIONS];
} Seen;

static void
check_start (World *world, const PcdLadderEffect *effect)
{
  const PcdActionSpec *spec = pcd_action_get_spec (effect->action);
  g_assert_cmpint (effect->step, >=, 0);
  const PcdStep *step = &world->policy->steps[effect->step];
  Seen *seen = world->data;
  guint w = effect->when, a = effect->action;

  g_assert_true (effect->params == (step->action == a ? &step->params : &step->else_params));
  g_assert_false (world->input.held);
  g_assert_true (spec->roles & 1u << world->ladder.role);
  g_assert_true (world->input.hung || !(spec->hung_roles & 1u << world->ladder.role));
  g_assert_true (world->input.allow_destroy || !spec->destructive);
  g_assert_true (pcd_when_holds (w, world->state.phase, world->state.flow));
  g_assert_false (world->state.phase == PCD_PHASE_POSTCOPY && world->state.flow == PCD_FLOW_SLOW &&
                  a != PCD_ACTION_NOTIFY);
  if (a != PCD_ACTION_NOTIFY)
    g_assert_true (world->ladder.operator_running == 0 && !world->state.unattended);
  for (guint i = 0; i < world->running->len; i++) {
    PcdActionKind other = g_array_index (world->running, Running, i).action;
    g_assert_cmpint (other, !=, a);
    g_assert_true (other == PCD_ACTION_NOTIFY || a == PCD_ACTION_NOTIFY ||
                   (other != PCD_ACTION_DESTROY && a != PCD_ACTION_DESTROY));
  }
  /* What destroys waited for one whole spell. */
  if (spec->destructive)
    g_assert_cmpint (world->now, >=, world->ladder.clocks[w].since + step->after_usec);
  /* The shipped policies have each action once per condition, so this is per step. The first delay
   * holds between any two starts, whatever policies changed and spells ended. */
  if (seen->started[w][a])
    g_assert_cmpint (world->now - seen->started[w][a], >=, effect->params->retry.first_usec);
  seen->started[w][a] = world->now;
  seen->n[a]++;
}

static void
check_effect (World *world, const PcdLadderEffect *effect)
{
  switch (effect->kind) {
  case PCD_LADDER_START:
    g_assert_false (world->input.dry_run);
    check_start (world, effect);
    break;
  case PCD_LADDER_WOULD:
    g_assert_true (world->input.dry_run);
    break;
  case PCD_LADDER_CANCEL:
    g_assert_nonnull (find_running (world, effect->ticket));
    break;
  case PCD_LADDER_REFUSE:
    g_assert_true (pcd_action_get_spec (effect->action)->destructive);
    break;
  case PCD_LADDER_GIVE_UP:
  default:
    break;
  }
}

/* Every done step of this spell stays done, whatever policy comes and goes. */
static void
check_change (World *world)
{
  static const char *const names[] = { "observe", "recover", "protect", "forensic", "fence" };
  g_autofree char *before = g_strdup (world->log->str);
  PcdLadder old = world->ladder;

  set_policy (world, get_policy (world, names[g_test_rand_int_range (0, 5)]));
  for (guint i = 0; i < old.n_records; i++) {
    const PcdLadderRecord *record = &old.records[i];
    g_autofree char *start = g_strdup_printf ("start %s ", pcd_action_to_string (record->chosen));
    const char *news = world->log->str + strlen (before);

    /* Two conditions never hold at once but postcopy and its flows: the action tells the step. */
    if (record->status == PCD_STEP_DONE && old.clocks[record->when].in &&
        old.clocks[record->when].spell == record->spell)
      g_assert_null (strstr (news, start));
  }
}

static void
random_op (World *world)
{
  static const Op ops[] = { PHASE, PHASE,   PHASE,         FLOW,     CAUSE,     UNATTENDED,
                            HOLD,  DRY_RUN, ALLOW_DESTROY, KICKABLE, TRACEABLE, PEER,
                            HUNG,  POLICY,  BEGAN,         ENDED,    TAKES,     ENDS_WITH };
  Line line = { .op = ops[g_test_rand_int_range (0, G_N_ELEMENTS (ops))] };
  gint any_action = g_test_rand_int_range (0, PCD_N_ACTIONS);

  switch (line.op) {
  case PHASE:
    line.a = g_test_rand_int_range (PCD_PHASE_POSTCOPY, PCD_PHASE_COMPLETED + 1);
    break;
  case FLOW:
    line.a = g_test_rand_int_range (PCD_FLOW_FLOWING, PCD_N_FLOWS);
    if (world->state.phase != PCD_PHASE_POSTCOPY)
      return;
    break;
  case CAUSE:
    line.a = g_test_rand_int_range (PCD_CAUSE_NETWORK, PCD_N_CAUSES);
    break;
  case KICKABLE:
  case TRACEABLE:
  case PEER:
    line.a = g_test_rand_int_range (PCD_FACT_UNKNOWN, PCD_FACT_YES + 1);
    break;
  case POLICY:
    check_change (world);
    return;
  case ALLOW_DESTROY:
    line.a = g_test_rand_int_range (0, 4) != 0;
    break;
  case HOLD:
  case DRY_RUN:
  case UNATTENDED:
    line.a = g_test_rand_int_range (0, 4) == 0;
    break;
  case BEGAN:
  case TAKES:
  case ENDED:
  case ENDS_WITH:
    line.a = any_action;
    line.b = line.op == TAKES ? g_test_rand_int_range (-1, 3000) : g_test_rand_int_range (0, 3);
    break;
  default:
    line.a = g_test_rand_int_range (0, 2);
    break;
  }
  apply (world, &line);
}

static void
new_migration (World *world)
{
  Seen *seen = world->data;

  world->ladder = pcd_ladder_init (world->ladder.role);
  world->state = pcd_state_init (world->ladder.role, world->now);
  g_array_set_size (world->running, 0);
  memset (seen->started, 0, sizeof seen->started);
  set_policy (world, get_policy (world, "fence"));
}

static void
test_random (gconstpointer data)
{
  Seen seen = { 0 };
  g_autoptr (World) world = world_new (GPOINTER_TO_INT (data));

  world->check = check_effect;
  world->data = &seen;
  for (guint i = 0; i < 20000; i++) {
    gint64 pause = g_test_rand_int_range (0, 5) == 0 ? 800 * S : 3 * S;

    if (i % 200 == 0)
      new_migration (world);
    advance (world, world->now + g_test_rand_int_range (0, (gint)(pause / MS)) * MS);
    random_op (world);
    g_string_truncate (world->log, 0);
    if (i % 20 == 19) /* an operator's request that was begun is ended some day */
      world->ladder.operator_running = 0;
  }
  /* A test that never starts a thing says nothing about it. */
  for (guint a = 0; a < PCD_N_ACTIONS; a++) {
    g_test_message ("%s: %u starts", pcd_action_to_string (a), seen.n[a]);
    if (pcd_action_get_spec (a)->roles & 1u << world->ladder.role)
      g_assert_cmpuint (seen.n[a], >, 0);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (stories); i++) {
    g_autofree char *path = g_strconcat ("/ladder/", stories[i].name, NULL);
    g_test_add_data_func (path, &stories[i], test_story);
  }
  g_test_add_func ("/ladder/flapping", test_flapping);
  g_test_add_func ("/ladder/operator-snapshot", test_operator_snapshot);
  g_test_add_func ("/ladder/veto", test_veto);
  g_test_add_func ("/ladder/veto-else", test_veto_else);
  g_test_add_func ("/ladder/restart", test_restart);
  g_test_add_func ("/ladder/restart-in-a-pause", test_restart_in_a_pause);
  g_test_add_data_func ("/ladder/random/source", GINT_TO_POINTER (PCD_ROLE_SOURCE), test_random);
  g_test_add_data_func ("/ladder/random/destination", GINT_TO_POINTER (PCD_ROLE_DESTINATION),
                        test_random);
  return g_test_run ();
}
