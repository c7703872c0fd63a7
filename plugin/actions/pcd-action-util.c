/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What several built-in actions need.
 * Must not know what any of them does. */
#include "actions/pcd-action-util.h"

#define ANSWER_USEC (100 * 1000)
#define DEED_USEC   (3 * G_USEC_PER_SEC)

static void G_GNUC_PRINTF (2, 0) say (const PcdReason *reason, const char *format, va_list args)
{
  if (reason->size > 0)
    g_vsnprintf (reason->text, reason->size, format, args);
}

#define SAY(name, outcome)                                                                         \
  PostcopydOutcome name (const PcdReason *reason, const char *format, ...)                         \
  {                                                                                                \
    va_list args;                                                                                  \
                                                                                                   \
    va_start (args, format);                                                                       \
    say (reason, format, args);                                                                    \
    va_end (args);                                                                                 \
    return outcome;                                                                                \
  }

SAY (pcd_action_done, POSTCOPYD_DONE)
SAY (pcd_action_refuse, POSTCOPYD_REFUSED)
SAY (pcd_action_fail, POSTCOPYD_FAILED)

const PcdActionHost *
pcd_action_host (const PostcopydMigration *migration)
{
  static const PcdActionHost none = { 0 };

  return migration->internal ? migration->internal : &none;
}

/* Anything but a destination: what is only for destinations is not for the unknown. */
gboolean
pcd_action_is_source (const PostcopydMigration *migration)
{
  return g_strcmp0 (migration->role, "destination") != 0;
}

gboolean
pcd_action_has_ended (const PostcopydMigration *migration)
{
  static const PcdPhase ended[] = { PCD_PHASE_COMPLETED, PCD_PHASE_FAILED, PCD_PHASE_GONE };

  for (guint i = 0; i < G_N_ELEMENTS (ended); i++)
    if (g_strcmp0 (migration->phase, pcd_phase_to_string (ended[i])) == 0)
      return TRUE;
  return FALSE;
}

const char *
pcd_action_param (const PostcopydMigration *migration, const char *name)
{
  for (guint i = 0; i < migration->n_params; i++)
    if (g_str_equal (migration->params[i].name, name))
      return migration->params[i].value;
  return NULL;
}

PcdMonitorKeeper *
pcd_action_monitor (const PostcopydMigration *migration, char **ret_why_not)
{
  PcdMonitorKeeper *monitor = pcd_action_host (migration)->monitor;

  if (!monitor)
    *ret_why_not = g_strdup ("no control monitor");
  return monitor && pcd_monitor_keeper_is_ready (monitor, ret_why_not) ? monitor : NULL;
}

gint64
pcd_action_limit (const PostcopydJob *job, gint64 usec)
{
  return MIN (g_get_monotonic_time () + usec, job->deadline_usec - ANSWER_USEC);
}

static const PcdThread *
find_no (const PcdThreadReport *threads, PcdActionNeed need)
{
  for (guint i = 0; i < threads->threads->len; i++) {
    const PcdThread *thread = threads->threads->pdata[i];
    const PcdThreadClass *class = &thread->class;
    PcdAnswer can = need == PCD_NEED_KICKABLE ? class->kickable : class->traceable;

    if (class->blocked == PCD_ANSWER_YES && can == PCD_ANSWER_NO)
      return thread;
  }
  return NULL;
}

static char *
describe_thread (const PcdThread *thread)
{
  const PcdThreadClass *class = &thread->class;

  if (class->path == PCD_FAULT_PATH_NONE)
    return g_strdup_printf ("thread %d '%s' %s", (int)thread->tid, thread->name, class->reason);
  return g_strdup_printf ("thread %d '%s' on the %s path: %s", (int)thread->tid, thread->name,
                          pcd_fault_path_to_string (class->path), class->reason);
}

char *
pcd_action_why_not (const PcdThreadReport *threads, PcdThreadsMode mode, PcdActionNeed need)
{
  const PcdThread *first = find_no (threads, need);
  PcdAnswer can;

  if (first)
    return describe_thread (first);
  if (mode == PCD_THREADS_CHEAP)
    return NULL;
  can = need == PCD_NEED_KICKABLE ? pcd_thread_report_kickable (threads, &first)
                                  : pcd_thread_report_traceable (threads, &first);
  if (can == PCD_ANSWER_YES)
    return NULL;
  return first ? describe_thread (first) : g_strdup ("not every vCPU was matched to a thread");
}

PcdQmpBlocked
pcd_blocked_from_report (const PcdThreadReport *threads, const PcdFreezeReport *freeze)
{
  PcdQmpBlocked blocked = { .is_known = !threads->no_ptrace && !threads->no_stack,
                            .frozen_vcpus = freeze->n_frozen + freeze->n_pending };

  for (guint i = 0; i < threads->threads->len; i++) {
    const PcdThreadClass *class = &((const PcdThread *)threads->threads->pdata[i])->class;
    gboolean counts = class->blocked != PCD_ANSWER_NO || class->kickable != PCD_ANSWER_YES;

    if (!class->is_vcpu)
      blocked.others += class->blocked == PCD_ANSWER_YES;
    else if (counts) {
      blocked.vcpus++;
      blocked.unkickable_vcpus += class->kickable != PCD_ANSWER_YES;
    }
  }
  return blocked;
}

gboolean
pcd_action_may_stop (const PostcopydMigration *migration, const PostcopydJob *job, GError **error)
{
  const PcdActionHost *host = pcd_action_host (migration);
  const PcdDeed deed = host->for_snapshot ? PCD_DEED_STOP_FOR_SNAPSHOT : PCD_DEED_STOP;

  if (host->we_stopped || !host->execution ||
      pcd_execution_deed (host->execution, deed, pcd_action_limit (job, DEED_USEC), error))
    return TRUE;
  pcd_action_not_stopped (migration);
  return FALSE;
}

void
pcd_action_not_stopped (const PostcopydMigration *migration)
{
  const PcdActionHost *host = pcd_action_host (migration);

  if (!host->we_stopped && host->execution)
    pcd_execution_deed (host->execution, PCD_DEED_UNDONE, 0, NULL);
}

PcdThreadReport *
pcd_action_look (pid_t pid,
                 PcdThreadsMode mode,
                 PcdQmpBlocked *ret_blocked,
                 PcdFreezeReport *ret_freeze,
                 GError **error)
{
  PcdThreadReport *threads = pcd_threads_read (pid, mode, error);
  PcdFreezeReport freeze;

  if (!threads)
    return NULL;
  freeze = pcd_freezer_look (pid, threads);
  if (ret_blocked)
    *ret_blocked = pcd_blocked_from_report (threads, &freeze);
  if (ret_freeze)
    *ret_freeze = freeze;
  return threads;
}
