/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Actions begin, take their time and end; calling the ladder again with nothing new does nothing.
 */
#include "ladder-world.h"

#include <string.h>

static PcdPolicySet *
load_shipped (void)
{
  const char *const directories[] = { g_getenv ("PCD_POLICIES"), NULL };
  g_autoptr (GError) error = NULL;
  PcdPolicySet *set = pcd_policy_load_directories (directories, &error);

  g_assert_no_error (error);
  return set;
}

World *
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

void
world_free (World *world)
{
  g_clear_pointer (&world->policy, pcd_policy_unref);
  pcd_policy_set_unref (world->set);
  g_array_unref (world->running);
  g_string_free (world->log, TRUE);
  g_free (world);
}

Running *
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

void
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

void
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

void
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

void
set_policy (World *world, PcdPolicy *policy)
{
  PcdPolicy *old = world->policy;

  world->policy = policy;
  feed (world, (PcdLadderEvent){ PCD_LADDER_TICK });
  g_clear_pointer (&old, pcd_policy_unref);
}

static PcdPolicy *
parse_steps (const char *steps)
{
  g_autofree char *text = g_strdup_printf ("{ \"name\": \"own\", \"steps\": [ %s ] }", steps);
  g_autoptr (GError) error = NULL;
  PcdPolicy *policy = pcd_policy_parse (text, strlen (text), "own", &error);

  g_assert_no_error (error);
  return policy;
}

PcdPolicy *
get_policy (World *world, const char *text)
{
  return text[0] == '{' ? parse_steps (text)
                        : pcd_policy_ref (pcd_policy_set_lookup (world->set, text));
}

guint
count (const char *log, const char *what)
{
  guint n = 0;

  for (const char *p = log; (p = strstr (p, what)); p++)
    n++;
  return n;
}
