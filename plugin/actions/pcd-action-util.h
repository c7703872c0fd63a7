/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What several built-in actions need: answers with a reason, a look at QEMU's threads.
 * Must not know what any of them does. */
#pragma once

#include "core/pcd-qmp-safe.h"
#include "engine/pcd-executor.h"
#include "host/pcd-freezer.h"
#include "host/pcd-threads.h"
#include "postcopyd-plugin.h"
#include "qmp/pcd-monitor-keeper.h"

G_BEGIN_DECLS

#define PCD_ACTION_NO_PROCESS                                                                      \
  "QEMU's process is not known: 'postcopyctl doctor' says what postcopyd may not see"

/* Where an action puts its reason. */
typedef struct {
  char *text;
  size_t size;
} PcdReason;

PostcopydOutcome pcd_action_done (const PcdReason *reason, const char *format, ...)
    G_GNUC_PRINTF (2, 3);
PostcopydOutcome pcd_action_refuse (const PcdReason *reason, const char *format, ...)
    G_GNUC_PRINTF (2, 3);
PostcopydOutcome pcd_action_fail (const PcdReason *reason, const char *format, ...)
    G_GNUC_PRINTF (2, 3);

const PcdActionHost *pcd_action_host (const PostcopydMigration *migration);
gboolean pcd_action_is_source (const PostcopydMigration *migration);

/* Whether nothing is left of the migration that would undo what is done to its guest now. An order
 * is refused before; a step of a policy may be overtaken by the end. */
gboolean pcd_action_has_ended (const PostcopydMigration *migration);

/* (nullable): the parameter's value. */
const char *pcd_action_param (const PostcopydMigration *migration, const char *name);

/* The kept monitor if it is connected, else %NULL and why not (transfer full). */
PcdMonitorKeeper *pcd_action_monitor (const PostcopydMigration *migration, char **ret_why_not);

/**
 * pcd_action_limit:
 *
 * Returns: the moment so many µs from now, but not behind the job's deadline, of which a tenth of a
 *   second is left for the answer
 */
gint64 pcd_action_limit (const PostcopydJob *job, gint64 usec);

/**
 * pcd_action_may_stop:
 *
 * To be called before each QMP `stop`: has it kept on disk first that we may have stopped the
 * guest. A stop of ours that is known already is enough.
 *
 * Returns: %FALSE if it cannot be kept: nothing is to be sent then
 */
gboolean
pcd_action_may_stop (const PostcopydMigration *migration, const PostcopydJob *job, GError **error);

/* What was kept is not so: the stop was never sent, or was undone. */
void pcd_action_not_stopped (const PostcopydMigration *migration);

/**
 * pcd_action_look:
 * @ret_blocked: (out) (optional): the same for pcd_qmp_may_send(); what is not known to be harmless
 *   counts as harmful
 * @ret_freeze: (out) (optional): what is frozen
 *
 * Returns: (transfer full) (nullable): QEMU's threads now
 */
PcdThreadReport *pcd_action_look (pid_t pid,
                                  PcdThreadsMode mode,
                                  PcdQmpBlocked *ret_blocked,
                                  PcdFreezeReport *ret_freeze,
                                  GError **error);

/**
 * PcdActionNeed: what every thread must allow.
 * @PCD_NEED_KICKABLE: a signal gets it back, for QMP stop
 * @PCD_NEED_TRACEABLE: ptrace () makes it stand
 */
typedef enum {
  PCD_NEED_KICKABLE,
  PCD_NEED_TRACEABLE,
} PcdActionNeed;

/**
 * pcd_action_why_not:
 * @threads: QEMU's, just now
 * @mode: how they were looked at
 * @need: what is to be done to them
 *
 * One cheap pass is enough for a no: a thread seen asleep in handle_userfault () on a path that
 * neither signals nor ptrace () end is what it is. A yes takes a thorough one, where also what is
 * not known is a no. Pure.
 *
 * Returns: (transfer full) (nullable): the thread, its path and why; %NULL if nothing is against it
 */
char *pcd_action_why_not (const PcdThreadReport *threads, PcdThreadsMode mode, PcdActionNeed need);

/**
 * pcd_blocked_from_report:
 *
 * Pure.
 */
PcdQmpBlocked pcd_blocked_from_report (const PcdThreadReport *threads,
                                       const PcdFreezeReport *freeze);

G_END_DECLS
