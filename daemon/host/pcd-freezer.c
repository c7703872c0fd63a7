/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One thread after the other: freeze, look where it stands, thaw and try again if that is bad.
 * Must not know libvirt, QMP or migrations. */
#include "host/pcd-freezer.h"

#include "host/pcd-cgroup.h"
#include "host/pcd-task.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A vCPU that runs leaves the guest within microseconds; a loaded host schedules it later. */
#define SETTLE_USEC 40000
#define STEP_USEC   500
#define MAX_TRIES   400
/* How long QEMU is asked: with what freezing takes, less than PCD_FREEZER_ANSWER_USEC. A TCG vCPU
 * is often frozen with the big lock, so there a bad freeze has to be noticed sooner. */
#define FIRST_ASK_USEC 500000
#define ASK_KVM_USEC   60000
#define ASK_TCG_USEC   25000

typedef struct {
  pid_t tid;
  int vcpu;
  int task_fd;
  char *folder;
  gboolean is_own;     /* we made the folder */
  gboolean is_foreign; /* frozen by somebody else: nothing of ours to do */
  gboolean was_in_kvm; /* blocked there, before anything was done */
  PcdFreezeState state;
  gboolean spins;
} Vcpu;

typedef struct {
  pid_t pid;
  gboolean is_kvm;
  PcdFreezerAsk ask;
  gpointer data;
  gint64 until;
  GPtrArray *vcpus;
  PcdFreezeReport report;
} Freezer;

static void
vcpu_free (gpointer data)
{
  Vcpu *vcpu = data;

  if (vcpu->task_fd >= 0)
    close (vcpu->task_fd);
  g_free (vcpu->folder);
  g_free (vcpu);
}

static void
freezer_clear (Freezer *freezer)
{
  g_clear_pointer (&freezer->vcpus, g_ptr_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Freezer, freezer_clear)

/* ---- one thread ---- */

/* kvm_vcpu_ioctl () is the same in all architectures (virt/kvm/kvm_main.c). */
static gboolean
waits_in_kvm (const PcdThread *thread)
{
  return thread->class.blocked == PCD_ANSWER_YES && thread->stack &&
         strstr (thread->stack, "kvm_vcpu_ioctl");
}

static void
undo (Vcpu *vcpu)
{
  if (!vcpu->folder || vcpu->is_foreign)
    return;
  pcd_cgroup_freeze (vcpu->folder, FALSE, NULL);
  if (vcpu->is_own)
    pcd_cgroup_drop_own (vcpu->folder, vcpu->tid, NULL);
  else
    pcd_cgroup_mark (vcpu->folder, FALSE, NULL);
  vcpu->state = PCD_FREEZE_NONE;
}

/* The mark comes before the freeze: what is frozen by us can always be found. */
static gboolean
prepare (Freezer *freezer, Vcpu *vcpu, const char *mount, GError **error)
{
  g_autofree char *folder = pcd_cgroup_of_thread (mount, freezer->pid, vcpu->tid, error);

  if (!folder)
    return FALSE;
  if (pcd_cgroup_is_of_one (folder, vcpu->tid)) {
    vcpu->is_own = pcd_cgroup_is_ours (folder);
    vcpu->folder = g_steal_pointer (&folder);
    vcpu->is_foreign = !vcpu->is_own && pcd_cgroup_is_freezing (vcpu->folder) &&
                       !pcd_cgroup_is_marked (vcpu->folder);
    return vcpu->is_own || vcpu->is_foreign || pcd_cgroup_mark (vcpu->folder, TRUE, error);
  }
  vcpu->folder = pcd_cgroup_make_own (folder, freezer->pid, vcpu->tid, error);
  vcpu->is_own = vcpu->folder != NULL;
  return vcpu->is_own;
}

static gboolean
wait_frozen (const Vcpu *vcpu, gint64 until)
{
  while (!pcd_cgroup_is_frozen (vcpu->folder)) {
    if (g_get_monotonic_time () >= until)
      return FALSE;
    g_usleep (STEP_USEC);
  }
  return TRUE;
}

/* In futex (2), where it sleeps on a condition (FUTEX_WAIT_BITSET, as pthread_cond_wait () does: a
 * halted vCPU), not in a queue for a lock (FUTEX_WAIT): the lock would be handed to it, and the
 * next in the queue wait for ever. */
static gboolean
waits_on_condition (const char *text)
{
  g_auto (GStrv) words = g_strsplit (text, " ", 4);

  if (g_strv_length (words) < 4 || atoi (words[0]) != SYS_futex)
    return FALSE;
  return (g_ascii_strtoull (words[2], NULL, 16) & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
}

/* Where a frozen thread stands: in its last system call, as that shows. A TCG vCPU that is outside
 * of any may still hold QEMU's big lock: only asking tells. */
static gboolean
stands_well (const Freezer *freezer, const Vcpu *vcpu)
{
  g_autofree char *text = pcd_task_read_file (vcpu->task_fd, "syscall");
  int fd;

  if (!text)
    return FALSE;
  if (freezer->is_kvm)
    return pcd_thread_syscall_is_kvm_run (text, &fd);
  return g_str_has_prefix (text, "-1 ") || waits_on_condition (text);
}

static const PcdThread *
find_thread (const PcdThreadReport *threads, pid_t tid)
{
  for (guint i = 0; i < threads->threads->len; i++) {
    const PcdThread *thread = threads->threads->pdata[i];
    if (thread->tid == tid)
      return thread;
  }
  return NULL;
}

/* It has not frozen: does it wait for a page inside KVM_RUN? A running one is asked for longer. */
static gboolean
is_pending (const Freezer *freezer, Vcpu *vcpu)
{
  g_autoptr (PcdThreadReport) threads =
      freezer->is_kvm ? pcd_threads_read (freezer->pid, PCD_THREADS_THOROUGH, NULL) : NULL;
  const PcdThread *thread = threads ? find_thread (threads, vcpu->tid) : NULL;

  if (!thread || thread->class.blocked == PCD_ANSWER_NO)
    return FALSE;
  if (!vcpu->was_in_kvm && !waits_in_kvm (thread))
    return FALSE;
  vcpu->spins = thread->class.spinning || thread->state == 'R';
  return !pcd_cgroup_is_frozen (vcpu->folder);
}

/* TRUE: frozen well, or pending. FALSE: not so before the deadline; it is thawed. */
static gboolean
freeze_one (Freezer *freezer, Vcpu *vcpu, GError **error)
{
  for (guint try = 0; try < MAX_TRIES && g_get_monotonic_time () < freezer->until; try++) {
    gint64 began = g_get_monotonic_time ();

    if (!pcd_cgroup_freeze (vcpu->folder, TRUE, error))
      return FALSE;
    /* A look takes 40 ms at least, in which the thread may freeze at a wrong place unseen: not
     * before one that seemed to run has had its time. */
    if (!wait_frozen (vcpu, began + (vcpu->was_in_kvm ? 1 : 4) * SETTLE_USEC) &&
        is_pending (freezer, vcpu)) {
      vcpu->state = PCD_FREEZE_PENDING;
      return TRUE;
    }
    if (wait_frozen (vcpu, began + 5 * SETTLE_USEC) && stands_well (freezer, vcpu)) {
      vcpu->state = PCD_FREEZE_DONE;
      return TRUE;
    }
    pcd_cgroup_freeze (vcpu->folder, FALSE, NULL);
    freezer->report.n_tries++;
    freezer->report.longest_usec =
        MAX (freezer->report.longest_usec, g_get_monotonic_time () - began);
    /* Not in step with a guest that does the same thing again and again. */
    g_usleep ((gulong)g_random_int_range (1000, 6000));
  }
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
               "vCPU %d (thread %d) was not caught at a good moment in %u tries", vcpu->vcpu,
               (int)vcpu->tid, freezer->report.n_tries);
  return FALSE;
}

/* ---- all of them ---- */

static void
undo_all (Freezer *freezer)
{
  for (guint i = 0; i < freezer->vcpus->len; i++)
    undo (freezer->vcpus->pdata[i]);
}

static gboolean
list_vcpus (Freezer *freezer, const PcdThreadReport *threads, GError **error)
{
  for (guint i = 0; i < threads->threads->len; i++) {
    const PcdThread *thread = threads->threads->pdata[i];
    g_autofree char *path =
        g_strdup_printf ("/proc/%d/task/%d", (int)freezer->pid, (int)thread->tid);
    Vcpu *vcpu;

    if (!thread->class.is_vcpu)
      continue;
    vcpu = g_new0 (Vcpu, 1);
    vcpu->tid = thread->tid;
    vcpu->vcpu = thread->class.vcpu;
    vcpu->task_fd = open (path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    vcpu->was_in_kvm = waits_in_kvm (thread);
    g_ptr_array_add (freezer->vcpus, vcpu);
  }
  freezer->is_kvm = threads->n_vcpus > 0;
  freezer->report.n_vcpus = freezer->vcpus->len;
  if (freezer->vcpus->len > 0 && threads->n_vcpus <= (int)freezer->vcpus->len)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
               "not every vCPU of process %d was matched to a thread (%d of %u)", (int)freezer->pid,
               (int)freezer->vcpus->len, (guint)MAX (threads->n_vcpus, 1));
  return FALSE;
}

static gboolean
prepare_all (Freezer *freezer, GError **error)
{
  g_autofree char *mount = pcd_cgroup_find_mount (error);
  g_autoptr (GError) why = NULL;

  if (!mount)
    return FALSE;
  for (guint i = 0; i < freezer->vcpus->len; i++) {
    Vcpu *vcpu = freezer->vcpus->pdata[i];
    if (prepare (freezer, vcpu, mount, &why))
      continue;
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                 "vCPU %d (thread %d) gets no cgroup of its own: %s", vcpu->vcpu, (int)vcpu->tid,
                 why->message);
    return FALSE;
  }
  return TRUE;
}

static gboolean
answers (const Freezer *freezer)
{
  return freezer->ask (g_get_monotonic_time () + (freezer->is_kvm ? ASK_KVM_USEC : ASK_TCG_USEC),
                       freezer->data);
}

/* KVM: each by itself, the others go on meanwhile; a bad one stands still for a millisecond. */
static gboolean
freeze_kvm (Freezer *freezer, GError **error)
{
  for (guint i = 0; i < freezer->vcpus->len; i++) {
    Vcpu *vcpu = freezer->vcpus->pdata[i];
    if (!vcpu->is_foreign && !freeze_one (freezer, vcpu, error))
      return FALSE;
  }
  return TRUE;
}

/* TCG: all at once, as any of them may hold the lock that QEMU needs to answer. */
static gboolean
freeze_tcg (Freezer *freezer)
{
  gint64 until = g_get_monotonic_time () + SETTLE_USEC;
  gboolean all_well = TRUE;

  for (guint i = 0; i < freezer->vcpus->len; i++)
    pcd_cgroup_freeze (((Vcpu *)freezer->vcpus->pdata[i])->folder, TRUE, NULL);
  for (guint i = 0; i < freezer->vcpus->len && all_well; i++) {
    Vcpu *vcpu = freezer->vcpus->pdata[i];
    all_well = wait_frozen (vcpu, until) && stands_well (freezer, vcpu);
    vcpu->state = all_well ? PCD_FREEZE_DONE : PCD_FREEZE_NONE;
  }
  return all_well;
}

static void
thaw_each (Freezer *freezer)
{
  for (guint i = 0; i < freezer->vcpus->len; i++) {
    Vcpu *vcpu = freezer->vcpus->pdata[i];
    if (!vcpu->is_foreign)
      pcd_cgroup_freeze (vcpu->folder, FALSE, NULL);
  }
}

static void
note_try (Freezer *freezer, gint64 began)
{
  freezer->report.n_tries++;
  freezer->report.longest_usec =
      MAX (freezer->report.longest_usec, g_get_monotonic_time () - began);
}

/* Freezes all; then QEMU has to answer, unless it did not before either. */
static gboolean
freeze_all (Freezer *freezer, gboolean must_answer, GError **error)
{
  do {
    gint64 began = g_get_monotonic_time ();
    gboolean is_good = TRUE;

    if (!freezer->is_kvm)
      is_good = freeze_tcg (freezer);
    else if (!freeze_kvm (freezer, error))
      return FALSE;
    else
      began = g_get_monotonic_time ();
    if (is_good && (!must_answer || answers (freezer)))
      return TRUE;
    thaw_each (freezer);
    note_try (freezer, began);
    g_usleep ((gulong)g_random_int_range (5000, 15000));
  } while (g_get_monotonic_time () < freezer->until);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
               "QEMU's monitor did not answer while the vCPUs were frozen, in %u tries",
               freezer->report.n_tries);
  return FALSE;
}

static void
count (Freezer *freezer)
{
  PcdFreezeReport *report = &freezer->report;

  for (guint i = 0; i < freezer->vcpus->len; i++) {
    Vcpu *vcpu = freezer->vcpus->pdata[i];
    gboolean is_done = vcpu->state == PCD_FREEZE_DONE || pcd_cgroup_is_frozen (vcpu->folder);

    report->n_frozen += is_done;
    report->n_pending += !is_done;
    report->n_spinning += !is_done && vcpu->spins;
    report->n_marked += !vcpu->is_foreign;
  }
}

static gboolean
check_ask (const Freezer *freezer, gboolean *ret_must_answer, GError **error)
{
  *ret_must_answer =
      freezer->ask && freezer->ask (g_get_monotonic_time () + FIRST_ASK_USEC, freezer->data);
  if (freezer->is_kvm || *ret_must_answer)
    return TRUE;
  /* A vCPU thread of TCG may hold QEMU's big lock wherever it stands. */
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
               freezer->ask ? "the guest runs on TCG, and QEMU's monitor does not answer, so that "
                              "a freeze could not be checked"
                            : "the guest runs on TCG, and without a control monitor a freeze "
                              "cannot be checked");
  return FALSE;
}

static gboolean
run (Freezer *freezer, GError **error)
{
  g_autoptr (PcdThreadReport) threads =
      pcd_threads_read (freezer->pid, PCD_THREADS_THOROUGH, error);
  gboolean must_answer;

  if (!threads || !list_vcpus (freezer, threads, error) ||
      !check_ask (freezer, &must_answer, error))
    return FALSE;
  if (prepare_all (freezer, error) && freeze_all (freezer, must_answer, error)) {
    count (freezer);
    return TRUE;
  }
  undo_all (freezer);
  return FALSE;
}

gboolean
pcd_freezer_freeze (pid_t pid,
                    PcdFreezerAsk ask,
                    gpointer data,
                    gint64 until,
                    PcdFreezeReport *ret_report,
                    GError **error)
{
  g_auto (Freezer) freezer = { .pid = pid,
                               .ask = ask,
                               .data = data,
                               .until = until,
                               .vcpus = g_ptr_array_new_with_free_func (vcpu_free) };
  gint64 began = g_get_monotonic_time ();
  gboolean ok = run (&freezer, error);

  freezer.report.took_usec = g_get_monotonic_time () - began;
  if (ret_report)
    *ret_report = freezer.report;
  return ok;
}

/* ---- undoing, and looking ---- */

static gboolean
thaw_one (const char *folder, pid_t tid, GError **error)
{
  if (!pcd_cgroup_freeze (folder, FALSE, error))
    return FALSE;
  return pcd_cgroup_is_ours (folder) ? pcd_cgroup_drop_own (folder, tid, error)
                                     : pcd_cgroup_mark (folder, FALSE, error);
}

gboolean
pcd_freezer_thaw (pid_t pid, guint *ret_thawed, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task", (int)pid);
  g_autofree char *mount = pcd_cgroup_find_mount (NULL);
  g_autoptr (GError) first = NULL;
  g_autoptr (GDir) dir = g_dir_open (path, 0, error);
  const char *name;
  guint n = 0;

  if (!dir)
    return FALSE;
  while (mount && (name = g_dir_read_name (dir))) {
    g_autofree char *folder = pcd_cgroup_of_thread (mount, pid, atoi (name), NULL);

    if (!folder || (!pcd_cgroup_is_ours (folder) && !pcd_cgroup_is_marked (folder)))
      continue;
    if (thaw_one (folder, atoi (name), first ? NULL : &first))
      n++;
  }
  if (ret_thawed)
    *ret_thawed = n;
  if (first)
    g_propagate_error (error, g_steal_pointer (&first));
  return !first;
}

PcdFreezeReport
pcd_freezer_look (pid_t pid, const PcdThreadReport *threads)
{
  g_autofree char *mount = pcd_cgroup_find_mount (NULL);
  PcdFreezeReport report = { 0 };

  for (guint i = 0; i < threads->threads->len; i++) {
    const PcdThread *thread = threads->threads->pdata[i];
    g_autofree char *folder = NULL;
    gboolean is_frozen, is_pending;

    if (!thread->class.is_vcpu)
      continue;
    report.n_vcpus++;
    folder = mount ? pcd_cgroup_of_thread (mount, pid, thread->tid, NULL) : NULL;
    if (!folder)
      continue;
    is_frozen = pcd_cgroup_is_frozen (folder);
    is_pending = !is_frozen && pcd_cgroup_is_freezing (folder);
    report.n_frozen += is_frozen;
    report.n_pending += is_pending;
    report.n_spinning += is_pending && thread->class.spinning;
    report.n_marked += pcd_cgroup_is_ours (folder) || pcd_cgroup_is_marked (folder);
  }
  return report;
}

gboolean
pcd_freezer_holds (pid_t pid)
{
  g_autoptr (PcdThreadReport) threads = pcd_threads_read (pid, PCD_THREADS_CHEAP, NULL);

  return threads && pcd_freezer_look (pid, threads).n_marked > 0;
}

char *
pcd_freeze_report_to_string (const PcdFreezeReport *report)
{
  g_autoptr (GString) text = g_string_new (NULL);

  if (report->n_frozen == report->n_vcpus)
    g_string_append_printf (text, "%u vCPU%s frozen", report->n_vcpus,
                            report->n_vcpus == 1 ? "" : "s");
  else
    g_string_append_printf (text, "%u of %u vCPUs frozen, %u will freeze when %s page arrives",
                            report->n_frozen, report->n_vcpus, report->n_pending,
                            report->n_pending == 1 ? "its" : "their");
  if (report->n_spinning > 0)
    g_string_append_printf (text,
                            " (%u of them burn%s a CPU until then: the kernel copies on the "
                            "guest's behalf)",
                            report->n_spinning, report->n_spinning == 1 ? "s" : "");
  return g_string_free (g_steal_pointer (&text), FALSE);
}
