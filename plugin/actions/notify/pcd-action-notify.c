/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Action `notify`: succeeds. That it was done is told to journald, D-Bus and the journal like the
 * end of every action, and this telling is the notification. */
#include "actions/notify/pcd-action-notify.h"

static PostcopydOutcome
run (const PostcopydMigration *migration, const PostcopydJob *job, char *reason, size_t reason_size)
{
  return POSTCOPYD_DONE;
}

static const PostcopydAction action = { .struct_size = sizeof action, .run = run };

const PostcopydPlugin pcd_action_notify_plugin = {
  .abi_major = POSTCOPYD_ABI_MAJOR,
  .abi_minor = POSTCOPYD_ABI_MINOR,
  .struct_size = sizeof (PostcopydPlugin),
  .name = "notify",
  .kind = "action",
  .description = "Tell that a condition of the policy holds.",
  .action = &action,
};
