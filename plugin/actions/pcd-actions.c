/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of built-in actions: one line each. */
#include "actions/pcd-actions.h"

#include "actions/notify/pcd-action-notify.h"

#include <string.h>

static const PostcopydPlugin *const actions[] = {
  &pcd_action_notify_plugin,
};

const PostcopydPlugin *
pcd_actions_find (const char *name)
{
  for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
    if (strcmp (actions[i]->name, name) == 0)
      return actions[i];
  return NULL;
}
