/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ladder in virtual time: random stories against the invariants. */
#include "ladder-story.h"

#include <string.h>

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
  g_test_add_data_func ("/ladder/random/source", GINT_TO_POINTER (PCD_ROLE_SOURCE), test_random);
  g_test_add_data_func ("/ladder/random/destination", GINT_TO_POINTER (PCD_ROLE_DESTINATION),
                        test_random);
  return g_test_run ();
}
