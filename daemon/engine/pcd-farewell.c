/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guests that stay held still when the daemon stops. A thaw would be the wrong farewell: the policy
 * or the operator wanted them still, and a stop may be one half of an upgrade. */
#include "engine/pcd-farewell.h"

#include "core/pcd-types.h"
#include "engine/pcd-log.h"
#include "host/pcd-freezer.h"

static void
tell_if_held (const PcdMigrationView *migration, gpointer data)
{
  guint *n_held = data;
  const char *how = NULL;

  if (migration->state.role != PCD_ROLE_DESTINATION || migration->pid <= 0)
    return;
  if (pcd_freezer_holds (migration->pid))
    how = "frozen";
  else if (migration->we_stopped)
    how = "stopped";
  if (!how)
    return;
  (*n_held)++;
  g_log_structured (
      G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "MESSAGE_ID", PCD_MESSAGE_LEFT_HELD, "PCD_DOMAIN",
      migration->name, "PCD_DOMAIN_UUID", migration->uuid, "PCD_ROLE",
      pcd_role_to_string (migration->state.role), "PCD_TO", how, "MESSAGE",
      "guest of %s stays %s: 'postcopyctl resume %s' after the next start lets it go on",
      migration->name, how, migration->name);
}

guint
pcd_farewell (PcdEngine *engine)
{
  guint n_held = 0;

  pcd_engine_foreach (engine, tell_if_held, &n_held);
  return n_held;
}
