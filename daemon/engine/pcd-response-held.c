/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest that postcopyd still holds when its migration has ended: told, and not forgotten until it
 * is let go. Does nothing to it: who froze it may want it so. */
#include "engine/pcd-response-private.h"

static const char *
find_held (PcdResponse *self)
{
  gboolean frozen = FALSE;

  if (self->state.role != PCD_ROLE_DESTINATION || !pcd_phase_has_ended (self->state.phase) ||
      !self->callbacks->look_at_guest (&frozen, self->data))
    return NULL;
  if (frozen)
    return pcd_action_to_string (PCD_ACTION_FREEZE);
  return self->deed != PCD_DEED_UNDONE ? pcd_action_to_string (PCD_ACTION_STOP) : NULL;
}

static void
tell_held (const PcdResponse *self)
{
  g_warning ("the migration of %s has %s, and its guest is still held by our %s: "
             "'postcopyctl resume %s' lets it go on",
             self->name, self->state.phase == PCD_PHASE_COMPLETED ? "completed" : "ended",
             self->still_held, self->name);
}

/* Somebody else let it go, or its QEMU ended: what we did last is no longer so. */
static void
forget_hold (PcdResponse *self, const char *before)
{
  if (g_strcmp0 (self->said.last_action, before) != 0)
    return;
  self->said.last_action = self->said.last_outcome = NULL;
  g_clear_pointer (&self->last_reason, g_free);
}

gboolean
pcd_response_look_held (PcdResponse *self)
{
  const char *before = self->still_held;

  self->still_held = find_held (self);
  if (self->still_held == before)
    return before != NULL;
  if (self->still_held)
    tell_held (self);
  else
    forget_hold (self, before);
  self->callbacks->changed (self->data);
  return self->still_held != NULL;
}

gboolean
pcd_response_holds_guest (const PcdResponse *self)
{
  return self->still_held != NULL;
}

/* Whatever was tried after it, and also of an earlier postcopyd: the guest stands still by it. */
void
pcd_response_held_fill_view (const PcdResponse *self, PcdMigrationView *view)
{
  if (!self->still_held || g_strcmp0 (view->last_action, self->still_held) == 0)
    return;
  view->last_action = self->still_held;
  view->last_outcome = pcd_outcome_to_string (PCD_OUTCOME_DONE);
  view->last_reason = "found so after the migration";
}
