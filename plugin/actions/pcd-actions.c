/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of built-in actions: one line each. */
#include "actions/pcd-actions.h"

#include "actions/debug/pcd-action-debug.h"
#include "actions/destroy/pcd-action-destroy.h"
#include "actions/force-pause/pcd-action-force-pause.h"
#include "actions/freeze/pcd-action-freeze.h"
#include "actions/notify/pcd-action-notify.h"
#include "actions/recover/pcd-action-recover.h"
#include "actions/resume/pcd-action-resume.h"
#include "actions/snapshot/pcd-action-snapshot.h"
#include "actions/stop/pcd-action-stop.h"

#include <string.h>

static const PostcopydPlugin *const actions[] = {
  &pcd_action_debug_plugin,  &pcd_action_destroy_plugin,  &pcd_action_force_pause_plugin,
  &pcd_action_freeze_plugin, &pcd_action_notify_plugin,   &pcd_action_recover_plugin,
  &pcd_action_resume_plugin, &pcd_action_snapshot_plugin, &pcd_action_stop_plugin,
};

void
pcd_actions_foreach (void (*func) (const PostcopydPlugin *, void *), void *data)
{
  for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
    func (actions[i], data);
}

const PostcopydPlugin *
pcd_actions_find (const char *name)
{
  for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
    if (strcmp (actions[i]->name, name) == 0)
      return actions[i];
  return NULL;
}
