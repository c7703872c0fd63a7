/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A page of text about every thread, from /proc.
 * Must not judge: that is core/pcd-thread-class.c. */
#include "debug/pcd-stacks.h"

#include "host/pcd-task.h"
#include "host/pcd-threads.h"

#include <fcntl.h>
#include <unistd.h>

/* `NUMBER ARG0 … ARG5 SP PC`, `-1 SP PC` outside a system call, or `running`. */
static void
add_registers (GString *text, const char *raw)
{
  g_auto (GStrv) words = g_strsplit (raw, " ", 9);
  guint n = g_strv_length (words);

  if (n == 9)
    g_string_append_printf (text, "  system call %s (%s, %s, %s, %s, %s, %s)\n  sp %s pc %s\n",
                            words[0], words[1], words[2], words[3], words[4], words[5], words[6],
                            words[7], words[8]);
  else if (n == 3)
    g_string_append_printf (text, "  in user mode, or in a fault of it\n  sp %s pc %s\n", words[1],
                            words[2]);
  else
    g_string_append_printf (text, "  %s\n", raw);
}

static void
add_stack (GString *text, const char *stack)
{
  g_auto (GStrv) lines = g_strsplit (stack, "\n", -1);

  g_string_append (text, "  kernel stack:\n");
  for (guint i = 0; lines[i]; i++)
    if (lines[i][0])
      g_string_append_printf (text, "    %s\n", lines[i]);
}

static void
add_judgement (GString *text, const PcdThread *thread)
{
  const PcdThreadClass *class = &thread->class;

  g_string_append_printf (text, "thread %d '%s'", (int)thread->tid, thread->name);
  if (class->is_vcpu && class->vcpu >= 0)
    g_string_append_printf (text, ", vCPU %d", class->vcpu);
  g_string_append_printf (text, ", state %c", thread->state);
  if (class->blocked == PCD_ANSWER_YES)
    g_string_append_printf (text, ", waits for a missing page on the %s path",
                            pcd_fault_path_to_string (class->path));
  if (thread->blocked_usec >= 0)
    g_string_append_printf (text, " for %.1f s", (double)thread->blocked_usec / G_USEC_PER_SEC);
  g_string_append_printf (text, "; kickable %s, traceable %s\n",
                          pcd_answer_to_string (class->kickable),
                          pcd_answer_to_string (class->traceable));
}

static void
add_thread (GString *text, int process_fd, const PcdThread *thread)
{
  const PcdTaskParts all = PCD_TASK_WCHAN | PCD_TASK_STACK | PCD_TASK_SYSCALL;
  int fd = pcd_task_open (process_fd, thread->tid);
  PcdTaskSample sample;

  g_string_append_c (text, '\n');
  add_judgement (text, thread);
  if (fd < 0 || !pcd_task_read_sample (fd, all, &sample)) {
    g_string_append (text, "  has ended\n");
  } else {
    /* A thread on a CPU shows no stack to others; the judge may have caught one. */
    const gboolean has_stack = sample.sample.stack && *sample.sample.stack;
    const char *stack = has_stack ? sample.sample.stack : thread->stack;

    g_string_append_printf (text, "  waits in %s\n", sample.sample.wchan ?: "(not readable)");
    add_registers (text, sample.sample.syscall ?: "(registers not readable)");
    if (stack && *stack)
      add_stack (text, stack);
    pcd_task_sample_clear (&sample);
  }
  if (fd >= 0)
    close (fd);
}

char *
pcd_stacks_describe (pid_t pid, guint *ret_n_threads, GError **error)
{
  g_autoptr (PcdThreadReport) report = pcd_threads_read (pid, PCD_THREADS_THOROUGH, error);
  g_autofree char *path = g_strdup_printf ("/proc/%d", (int)pid);
  g_autoptr (GString) text = g_string_new (NULL);

  if (!report)
    return NULL;
  g_autofree char *summary = pcd_thread_report_summary (report);
  g_string_append_printf (text, "process %d, %u threads\n%s\n", (int)pid, report->threads->len,
                          summary);
  int process_fd = open (path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  for (guint i = 0; i < report->threads->len; i++)
    add_thread (text, process_fd, g_ptr_array_index (report->threads, i));
  if (process_fd >= 0)
    close (process_fd);
  *ret_n_threads = report->threads->len;
  return g_string_free (g_steal_pointer (&text), FALSE);
}
