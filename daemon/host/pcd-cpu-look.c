/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One helper thread per CPU, with a deadline, since a CPU owned by a real-time vCPU never lets it
 * in. Must not change any scheduling but that of its own helpers. */
#include "host/pcd-cpu-look.h"

#include "host/pcd-deadline.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

/* A thread may be moved away as we come, or be caught on its way: so some tries, apart. */
#define N_TRIES      3
#define TRY_GAP_USEC 2000

static void
clear_sample (gpointer sample)
{
  pcd_task_sample_clear (sample);
}

static void
close_fd (gpointer fd)
{
  close (*(int *)fd);
}

PcdCpuLook *
pcd_cpu_look_new (int cpu)
{
  PcdCpuLook *look = g_new0 (PcdCpuLook, 1);

  look->cpu = cpu;
  look->task_fds = g_array_new (FALSE, FALSE, sizeof (int));
  look->samples = g_array_new (FALSE, FALSE, sizeof (PcdTaskSample));
  g_array_set_clear_func (look->samples, clear_sample);
  look->owners = g_array_new (FALSE, FALSE, sizeof (guint));
  return look;
}

void
pcd_cpu_look_free (PcdCpuLook *look)
{
  g_array_unref (look->task_fds);
  g_array_unref (look->samples);
  g_array_unref (look->owners);
  g_free (look);
}

static gboolean
bind_to_cpu (int cpu)
{
  gsize size = CPU_ALLOC_SIZE (cpu + 1);
  cpu_set_t *set = CPU_ALLOC (cpu + 1);

  CPU_ZERO_S (size, set);
  CPU_SET_S (cpu, size, set);
  gboolean bound = sched_setaffinity (0, size, set) == 0;
  CPU_FREE (set);
  return bound;
}

/* The scheduler has just put us on this CPU and so set our own se.exec_start to its clock. */
static void
read_clock (PcdCpuLook *look)
{
  int self = open ("/proc/thread-self", O_PATH | O_DIRECTORY | O_CLOEXEC);
  gint64 nsec;

  if (self < 0)
    return;
  look->has_clock = pcd_task_read_exec_start (self, &nsec);
  if (look->has_clock)
    look->clock_nsec = nsec - g_get_monotonic_time () * 1000;
  close (self);
}

static void
look_at_threads (PcdCpuLook *look)
{
  for (guint i = 0; i < look->task_fds->len; i++) {
    PcdTaskSample sample;
    int fd = g_array_index (look->task_fds, int, i);

    if (!pcd_task_read_sample (fd, PCD_TASK_WCHAN | PCD_TASK_STACK | PCD_TASK_SYSCALL, &sample))
      continue;
    g_array_append_val (look->samples, sample);
    g_array_append_val (look->owners, i);
  }
}

static void
look_in_thread (gpointer data)
{
  PcdCpuLook *look = data;

  if (!bind_to_cpu (look->cpu))
    return;
  read_clock (look);
  for (guint i = 0; look->task_fds->len > 0 && i < N_TRIES; i++) {
    if (i > 0)
      g_usleep (TRY_GAP_USEC);
    look_at_threads (look);
  }
}

static void
free_look (gpointer look)
{
  pcd_cpu_look_free (look);
}

/* What the helper works on: descriptors of its own, as it may outlive the caller's. */
static PcdCpuLook *
look_copy (const PcdCpuLook *look)
{
  PcdCpuLook *copy = pcd_cpu_look_new (look->cpu);

  g_array_set_clear_func (copy->task_fds, close_fd);
  for (guint i = 0; i < look->task_fds->len; i++) {
    int fd = fcntl (g_array_index (look->task_fds, int, i), F_DUPFD_CLOEXEC, 0);
    g_array_append_val (copy->task_fds, fd);
  }
  return copy;
}

void
pcd_cpu_look_run (GPtrArray *looks, gint64 until)
{
  g_autoptr (GPtrArray) started = g_ptr_array_new ();

  for (guint i = 0; i < looks->len; i++)
    g_ptr_array_add (started, pcd_deadline_start ("cpu-look", look_in_thread,
                                                  look_copy (looks->pdata[i]), free_look));
  for (guint i = 0; i < looks->len; i++) {
    PcdCpuLook *look = looks->pdata[i];
    g_autoptr (PcdCpuLook) done = pcd_deadline_wait (started->pdata[i], until);

    if (!done)
      continue;
    look->has_clock = done->has_clock;
    look->clock_nsec = done->clock_nsec;
    g_array_unref (look->samples);
    look->samples = g_array_ref (done->samples);
    g_array_unref (look->owners);
    look->owners = g_array_ref (done->owners);
  }
}
