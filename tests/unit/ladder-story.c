/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A line changes the input, the world, or is an event. */
#include "ladder-story.h"

void
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
