/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Freezes the vCPU threads of a QEMU by cgroup v2, so that QEMU itself goes on, and thaws them.
 * Must not know libvirt, QMP or migrations. */
#pragma once

#include "host/pcd-threads.h"

G_BEGIN_DECLS

/* QEMU's monitor must answer within this, or the freeze is undone: 6 % of freezes that are not
 * looked at catch a vCPU thread in user space with QEMU's big lock. */
#define PCD_FREEZER_ANSWER_USEC (100 * 1000)

/**
 * PcdFreezerAsk:
 * @until: moment in g_get_monotonic_time() to give up at
 *
 * Returns: whether QEMU's main loop answered
 */
typedef gboolean (*PcdFreezerAsk) (gint64 until, gpointer data);

/**
 * PcdFreezeState:
 * @PCD_FREEZE_NONE: not frozen, nor asked to
 * @PCD_FREEZE_PENDING: asked to; waits for a missing page inside KVM_RUN, and freezes on its way
 *   out of that, before QEMU's own code runs
 * @PCD_FREEZE_DONE: stands still
 */
typedef enum {
  PCD_FREEZE_NONE,
  PCD_FREEZE_PENDING,
  PCD_FREEZE_DONE,
} PcdFreezeState;

/**
 * PcdFreezeReport: what became of it, or what there is.
 * @n_vcpus: vCPU threads
 * @n_frozen: of those, how many stand still
 * @n_pending: how many will when their page arrives
 * @n_spinning: of the pending ones, how many burn a CPU until then, because the kernel itself
 *   copies from or to the page: a freeze is a signal to it, and signals do not end that
 * @n_marked: how many bear our mark: postcopyd froze them, this one or the one before
 * @n_tries: how often a thread was frozen at the wrong place, and thawed
 * @longest_usec: the longest that a thread stood still at the wrong place
 * @took_usec: the whole
 */
typedef struct {
  guint n_vcpus;
  guint n_frozen;
  guint n_pending;
  guint n_spinning;
  guint n_marked;
  guint n_tries;
  gint64 longest_usec;
  gint64 took_usec;
} PcdFreezeReport;

/**
 * pcd_freezer_freeze:
 * @pid: a QEMU
 * @ask: (nullable): asks its monitor; without it a TCG guest is refused
 * @data: for @ask
 * @until: moment in g_get_monotonic_time() to give up at
 * @ret_report: (out) (optional): set also on failure
 * @error: %G_IO_ERROR_NOT_SUPPORTED: nothing was tried, the message says why;
 *   %G_IO_ERROR_TIMED_OUT: no good moment was found; %G_IO_ERROR_NOT_FOUND: no such process
 *
 * Each vCPU thread is frozen in a cgroup of its own: libvirt's `.../libvirt/vcpuN` if that is one,
 * else one that is made beside the process (pcd-cgroup.h). A KVM vCPU is good if it stands in
 * KVM_RUN: QEMU gives its big lock up before that call. A thread that froze elsewhere is thawed at
 * once and tried again. A TCG vCPU runs in user space: there only @ask tells.
 *
 * cgroup v1's freezer is not used: what it froze cannot be killed before it is thawed, while a
 * thread in a frozen v2 cgroup can (Documentation/admin-guide/cgroup-v2.rst, cgroup.freeze).
 *
 * What is frozen stays so when the daemon ends; pcd_freezer_thaw() finds it again.
 *
 * Returns: %TRUE if every vCPU thread is frozen or pending; on %FALSE everything is thawed again
 */
gboolean pcd_freezer_freeze (pid_t pid,
                             PcdFreezerAsk ask,
                             gpointer data,
                             gint64 until,
                             PcdFreezeReport *ret_report,
                             GError **error);

/**
 * pcd_freezer_thaw:
 * @ret_thawed: (out) (optional): how many threads
 *
 * Undoes every freeze that bears our mark, and nobody else's; gives threads back to the cgroup that
 * they came from. A few ms.
 *
 * Returns: %FALSE if something is left to be undone
 */
gboolean pcd_freezer_thaw (pid_t pid, guint *ret_thawed, GError **error);

/**
 * pcd_freezer_look:
 *
 * What is frozen now, whoever did it, by the cgroups alone. A few reads per thread.
 */
PcdFreezeReport pcd_freezer_look (pid_t pid, const PcdThreadReport *threads);

/* Whether a freeze of that QEMU bears our mark. */
gboolean pcd_freezer_holds (pid_t pid);

/**
 * pcd_freeze_report_to_string:
 *
 * Returns: (transfer full): such as "2 of 4 vCPUs frozen, 2 will freeze when their page arrives"
 */
char *pcd_freeze_report_to_string (const PcdFreezeReport *report);

G_END_DECLS
