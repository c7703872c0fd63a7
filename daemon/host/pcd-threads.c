/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Passes over /proc/PID/task until the classifier has enough, or the patience ends.
 * Must not judge: that is core/pcd-thread-class.c. */
#include "host/pcd-threads.h"

#include "host/pcd-cpu-look.h"
#include "host/pcd-task.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The whole of a read; a machine so loaded that it takes longer gives no useful picture. */
#define READ_LIMIT_USEC (5 * G_USEC_PER_SEC)
#define N_PASSES        5
#define PASS_GAP_USEC   10000
/* For CPUs that do not let us in; those that do need less than 10 ms. */
#define LOOK_LIMIT_USEC 300000

#define ALL_PARTS (PCD_TASK_WCHAN | PCD_TASK_STACK | PCD_TASK_SYSCALL)

/* A thread while it is being looked at. */
typedef struct {
  PcdThread *thread;
  int fd;
  int vcpu_fd;
  gboolean traced;
  gboolean gone;
  GArray *samples; /* PcdTaskSample */
  gint64 first_usec, last_usec;
  gint64 exec_start_nsec;
} Work;

typedef struct {
  int process_fd;
  PcdThreadsMode mode;
  gint64 deadline;
  GPtrArray *works;
  GHashTable *vcpu_fds; /* descriptor number -> index + 1 */
  PcdThreadReport *report;
} Read;

static void
clear_sample (gpointer sample)
{
  pcd_task_sample_clear (sample);
}

static void
thread_free (gpointer data)
{
  PcdThread *thread = data;

  g_free (thread->name);
  g_free (thread->wchan);
  g_free (thread->stack);
  g_free (thread);
}

static void
work_free (gpointer data)
{
  Work *work = data;

  if (work->fd >= 0)
    close (work->fd);
  g_clear_pointer (&work->thread, thread_free);
  g_array_unref (work->samples);
  g_free (work);
}

static void
read_clear (Read *reading)
{
  if (reading->process_fd >= 0)
    close (reading->process_fd);
  g_clear_pointer (&reading->works, g_ptr_array_unref);
  g_clear_pointer (&reading->vcpu_fds, g_hash_table_unref);
  g_clear_pointer (&reading->report, pcd_thread_report_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Read, read_clear)

void
pcd_thread_report_free (PcdThreadReport *report)
{
  g_ptr_array_unref (report->threads);
  g_free (report);
}

static gboolean
fail_gone (pid_t pid, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
               _ ("no process %d: it has ended, or this user may not see it"), (int)pid);
  return FALSE;
}

/* One DIR per folder: readdir () on a /proc folder that vanishes ends with ENOENT or just ends. */
static DIR *
open_folder (int fd, const char *name)
{
  int folder = openat (fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = folder < 0 ? NULL : fdopendir (folder);

  if (!dir && folder >= 0)
    close (folder);
  return dir;
}

static gboolean
list_threads (Read *reading, GError **error)
{
  DIR *dir = open_folder (reading->process_fd, "task");
  struct dirent *entry;

  while (dir && (entry = readdir (dir))) {
    pid_t tid = atoi (entry->d_name);
    int fd = tid > 0 ? pcd_task_open (reading->process_fd, tid) : -1;
    if (fd < 0)
      continue;
    Work *work = g_new0 (Work, 1);
    work->thread = g_new0 (PcdThread, 1);
    work->thread->tid = tid;
    work->thread->blocked_usec = -1;
    work->fd = fd;
    work->vcpu_fd = -1;
    work->samples = g_array_new (FALSE, FALSE, sizeof (PcdTaskSample));
    g_array_set_clear_func (work->samples, clear_sample);
    work->thread->name = pcd_task_read_file (fd, "comm");
    g_ptr_array_add (reading->works, work);
  }
  if (dir)
    closedir (dir);
  return reading->works->len > 0 || fail_gone (reading->report->pid, error);
}

/* `anon_inode:kvm-vcpu:N` names the vCPU, better than any thread name: virt/kvm/kvm_main.c,
 * create_vcpu_fd (). Needs ptrace read access. */
static void
list_vcpu_fds (Read *reading)
{
  DIR *dir = open_folder (reading->process_fd, "fd");
  const char *prefix = "anon_inode:kvm-vcpu:";
  struct dirent *entry;
  char target[64];

  if (!dir)
    return;
  while ((entry = readdir (dir))) {
    gssize length = readlinkat (dirfd (dir), entry->d_name, target, sizeof target - 1);
    if (length <= 0)
      continue;
    target[length] = '\0';
    if (g_str_has_prefix (target, prefix))
      g_hash_table_insert (reading->vcpu_fds, GINT_TO_POINTER (atoi (entry->d_name)),
                           GINT_TO_POINTER (atoi (target + strlen (prefix)) + 1));
  }
  closedir (dir);
  if (g_hash_table_size (reading->vcpu_fds) > 0)
    reading->report->n_vcpus = (int)g_hash_table_size (reading->vcpu_fds);
}

static const PcdTaskSample *
last_sample (const Work *work)
{
  return &g_array_index (work->samples, PcdTaskSample, work->samples->len - 1);
}

/* Takes over the sample. */
static void
add_sample (Read *reading, Work *work, PcdTaskSample *sample)
{
  int fd;

  reading->report->no_ptrace |= sample->no_ptrace;
  reading->report->no_stack |= sample->no_stack;
  if (pcd_thread_sample_in_userfault (&sample->sample)) {
    work->last_usec = g_get_monotonic_time ();
    if (!work->first_usec)
      work->first_usec = work->last_usec;
  }
  if (pcd_thread_syscall_is_kvm_run (sample->sample.syscall, &fd)) {
    int index = GPOINTER_TO_INT (g_hash_table_lookup (reading->vcpu_fds, GINT_TO_POINTER (fd)));
    work->vcpu_fd = index > 0 ? index - 1 : work->vcpu_fd;
  }
  g_array_append_vals (work->samples, sample, 1);
}

/* Cheap mode reads `wchan` first and the dearer files only where it says something. `syscall` is
 * read with a `wchan` of 0 to find out whether that 0 means anything. */
static PcdTaskParts
parts_for (const Read *reading, const PcdTaskSample *first)
{
  const char *wchan = first->sample.wchan;

  if (reading->mode == PCD_THREADS_THOROUGH)
    return ALL_PARTS;
  if (!wchan || g_str_equal (wchan, "0") || *wchan == '\0' || first->sample.state == 'D' ||
      pcd_thread_sample_in_userfault (&first->sample))
    return ALL_PARTS;
  return 0;
}

static void
look_once (Read *reading, Work *work)
{
  PcdTaskSample sample;

  if (reading->mode == PCD_THREADS_CHEAP) {
    if (!pcd_task_read_sample (work->fd, PCD_TASK_WCHAN, &sample)) {
      work->gone = TRUE;
      return;
    }
    PcdTaskParts more = parts_for (reading, &sample);
    if (!more) {
      add_sample (reading, work, &sample);
      return;
    }
    pcd_task_sample_clear (&sample);
  }
  if (!pcd_task_read_sample (work->fd, ALL_PARTS, &sample))
    work->gone = TRUE;
  else
    add_sample (reading, work, &sample);
}

/* Asleep elsewhere than in a page fault: one sample tells all there is. vCPUs are always looked at
 * again, for the descriptor that they run. */
static gboolean
needs_more (const Work *work)
{
  const PcdTaskSample *last = last_sample (work);
  int index;

  return pcd_thread_sample_is_running (&last->sample) || last->sample.state == 'D' ||
         pcd_thread_sample_in_userfault (&last->sample) ||
         pcd_thread_name_to_vcpu (work->thread->name, &index);
}

static gboolean
pass (Read *reading, gboolean first, GError **error)
{
  for (guint i = 0; i < reading->works->len; i++) {
    Work *work = reading->works->pdata[i];
    if (g_get_monotonic_time () > reading->deadline) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                   _ ("reading the threads of process %d took longer than %d s"),
                   (int)reading->report->pid, (int)(READ_LIMIT_USEC / G_USEC_PER_SEC));
      return FALSE;
    }
    if (!work->gone && (first || needs_more (work)))
      look_once (reading, work);
  }
  return TRUE;
}

static PcdCpuLook *
look_for_cpu (GPtrArray *looks, int cpu)
{
  for (guint i = 0; i < looks->len; i++)
    if (((PcdCpuLook *)looks->pdata[i])->cpu == cpu)
      return looks->pdata[i];
  g_ptr_array_add (looks, pcd_cpu_look_new (cpu));
  return looks->pdata[looks->len - 1];
}

static Work *
work_of_fd (Read *reading, int fd)
{
  for (guint i = 0; i < reading->works->len; i++)
    if (((Work *)reading->works->pdata[i])->fd == fd)
      return reading->works->pdata[i];
  return NULL;
}

/* Moves the samples out of the look. */
static void
take_samples (Read *reading, PcdCpuLook *look)
{
  for (guint i = 0; i < look->samples->len; i++) {
    guint owner = g_array_index (look->owners, guint, i);
    PcdTaskSample *sample = &g_array_index (look->samples, PcdTaskSample, i);
    add_sample (reading, work_of_fd (reading, g_array_index (look->task_fds, int, owner)), sample);
    memset (sample, 0, sizeof *sample);
  }
}

/* From the threads' own CPUs: the stacks of those that run, and the clock of those that sleep. */
static void
look_from_cpus (Read *reading)
{
  g_autoptr (GPtrArray) looks = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_cpu_look_free);

  for (guint i = 0; i < reading->works->len; i++) {
    Work *work = reading->works->pdata[i];
    const PcdTaskSample *last = work->gone ? NULL : last_sample (work);
    if (!last || last->cpu < 0)
      continue;
    if (pcd_thread_sample_is_running (&last->sample) && !last->no_stack)
      g_array_append_val (look_for_cpu (looks, last->cpu)->task_fds, work->fd);
    else if (work->first_usec)
      look_for_cpu (looks, last->cpu);
  }
  pcd_cpu_look_run (looks, g_get_monotonic_time () + LOOK_LIMIT_USEC);
  for (guint i = 0; i < looks->len; i++)
    take_samples (reading, looks->pdata[i]);
  for (guint i = 0; i < reading->works->len; i++) {
    Work *work = reading->works->pdata[i];
    if (!work->first_usec || pcd_thread_sample_is_running (&last_sample (work)->sample))
      continue;
    const PcdCpuLook *look = look_for_cpu (looks, last_sample (work)->cpu);
    gint64 started;
    if (look->has_clock && pcd_task_read_exec_start (work->fd, &started))
      work->thread->blocked_usec =
          MAX (0, g_get_monotonic_time () - (started - look->clock_nsec) / 1000);
  }
}

static gboolean
is_traced (int task_fd)
{
  g_autofree char *status = pcd_task_read_file (task_fd, "status");
  const char *at = status ? strstr (status, "\nTracerPid:") : NULL;

  return at && atoi (at + strlen ("\nTracerPid:")) > 0;
}

static void
keep_evidence (Work *work)
{
  PcdThread *thread = work->thread;

  for (guint i = 0; i < work->samples->len; i++) {
    const PcdThreadSample *sample = &g_array_index (work->samples, PcdTaskSample, i).sample;
    if (sample->stack && *sample->stack && pcd_thread_sample_in_userfault (sample)) {
      g_free (thread->stack);
      thread->stack = g_strdup (sample->stack);
    }
  }
  thread->state = last_sample (work)->sample.state;
  thread->wchan = g_strdup (last_sample (work)->sample.wchan);
}

static void
judge (Work *work, PcdThreadsMode mode)
{
  g_autoptr (GArray) samples = g_array_new (FALSE, FALSE, sizeof (PcdThreadSample));
  PcdThread *thread = work->thread;
  PcdThreadEvidence evidence = { .comm = thread->name, .vcpu_fd = work->vcpu_fd };

  for (guint i = 0; i < work->samples->len; i++) {
    const PcdTaskSample *sample = &g_array_index (work->samples, PcdTaskSample, i);
    evidence.no_ptrace |= sample->no_ptrace;
    evidence.no_stack |= sample->no_stack;
    g_array_append_val (samples, sample->sample);
  }
  evidence.samples = (const PcdThreadSample *)(gpointer)samples->data;
  evidence.n_samples = samples->len;
  /* A file more per thread, which periodic sampling does without for those that just sleep. */
  evidence.traced = (mode == PCD_THREADS_THOROUGH || work->first_usec) && is_traced (work->fd);
  thread->class = pcd_thread_classify (&evidence);
  keep_evidence (work);
  if (thread->class.blocked != PCD_ANSWER_YES || thread->class.spinning)
    thread->blocked_usec = -1;
  if (thread->class.blocked != PCD_ANSWER_YES)
    return;
  thread->blocked_min_usec = work->last_usec - work->first_usec;
  if (!thread->class.spinning && !pcd_task_read_exec_start (work->fd, &thread->wait_id))
    thread->wait_id = 0;
}

static gboolean
finish (Read *reading, GError **error)
{
  for (guint i = 0; i < reading->works->len; i++) {
    Work *work = reading->works->pdata[i];
    if (work->gone || work->samples->len == 0)
      continue;
    judge (work, reading->mode);
    g_ptr_array_add (reading->report->threads, g_steal_pointer (&work->thread));
  }
  reading->report->taken_usec = g_get_monotonic_time ();
  return reading->report->threads->len > 0 || fail_gone (reading->report->pid, error);
}

static gboolean
read_passes (Read *reading, GError **error)
{
  if (!pass (reading, TRUE, error))
    return FALSE;
  if (reading->mode == PCD_THREADS_CHEAP)
    return TRUE;
  for (guint i = 1; i < N_PASSES; i++) {
    g_usleep (PASS_GAP_USEC);
    if (!pass (reading, FALSE, error))
      return FALSE;
  }
  /* Last, for the last word on threads that run is theirs. */
  look_from_cpus (reading);
  return TRUE;
}

PcdThreadReport *
pcd_threads_read (pid_t pid, PcdThreadsMode mode, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d", (int)pid);
  g_auto (Read) reading = { .mode = mode,
                            .deadline = g_get_monotonic_time () + READ_LIMIT_USEC,
                            .works = g_ptr_array_new_with_free_func (work_free),
                            .vcpu_fds = g_hash_table_new (NULL, NULL),
                            .report = g_new0 (PcdThreadReport, 1) };

  reading.report->pid = pid;
  reading.report->n_vcpus = -1;
  reading.report->threads = g_ptr_array_new_with_free_func (thread_free);
  reading.process_fd = open (path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (reading.process_fd < 0 || !list_threads (&reading, error)) {
    if (reading.process_fd < 0)
      fail_gone (pid, error);
    return NULL;
  }
  if (mode == PCD_THREADS_THOROUGH)
    list_vcpu_fds (&reading);
  if (!read_passes (&reading, error) || !finish (&reading, error))
    return NULL;
  return g_steal_pointer (&reading.report);
}
