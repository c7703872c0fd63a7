/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Short bounded reads of a thread's files.
 * Must not keep state between calls. */
#include "host/pcd-task.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX (16 * 1024)

int
pcd_task_open (int process_fd, pid_t tid)
{
  g_autofree char *path = g_strdup_printf ("task/%d", (int)tid);

  return openat (process_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

char *
pcd_task_read_file (int fd, const char *name)
{
  int file = openat (fd, name, O_RDONLY | O_CLOEXEC);
  char text[FILE_MAX];
  gssize n_read = 0;
  gsize length = 0;

  if (file < 0)
    return NULL;
  do {
    n_read = read (file, text + length, sizeof text - length);
    if (n_read > 0)
      length += (gsize)n_read;
  } while ((n_read > 0 && length < sizeof text) || (n_read < 0 && errno == EINTR));
  int saved_errno = errno;
  close (file);
  if (n_read < 0) {
    errno = saved_errno;
    return NULL;
  }
  while (length > 0 && text[length - 1] == '\n')
    length--;
  return g_strndup (text, length);
}

/* proc(5): pid (comm) state ..., the 39th field is the CPU. The name may hold anything. */
static gboolean
read_stat (int task_fd, PcdTaskSample *sample)
{
  g_autofree char *text = pcd_task_read_file (task_fd, "stat");
  char *at = text ? strrchr (text, ')') : NULL;

  if (!at || at[1] != ' ' || !at[2])
    return FALSE;
  sample->sample.state = at[2];
  at += 1;
  for (guint field = 2; at && field < 38; field++)
    at = strchr (at + 1, ' ');
  sample->cpu = at ? atoi (at + 1) : -1;
  return TRUE;
}

/* %NULL and @denied if it was a matter of privilege. */
static const char *
read_part (int task_fd, const char *name, gboolean *denied)
{
  char *text = pcd_task_read_file (task_fd, name);

  if (!text && (errno == EACCES || errno == EPERM))
    *denied = TRUE;
  return text;
}

gboolean
pcd_task_read_sample (int task_fd, PcdTaskParts parts, PcdTaskSample *ret_sample)
{
  PcdTaskSample sample = { .cpu = -1 };
  gboolean ignored = FALSE;

  if (!read_stat (task_fd, &sample))
    return FALSE;
  if (parts & PCD_TASK_WCHAN)
    sample.sample.wchan = read_part (task_fd, "wchan", &ignored);
  if (parts & PCD_TASK_STACK)
    sample.sample.stack = read_part (task_fd, "stack", &sample.no_stack);
  if (parts & PCD_TASK_SYSCALL)
    sample.sample.syscall = read_part (task_fd, "syscall", &sample.no_ptrace);
  *ret_sample = sample;
  return TRUE;
}

void
pcd_task_sample_clear (PcdTaskSample *sample)
{
  g_clear_pointer ((char **)&sample->sample.wchan, g_free);
  g_clear_pointer ((char **)&sample->sample.stack, g_free);
  g_clear_pointer ((char **)&sample->sample.syscall, g_free);
}

/* `se.exec_start : 1140121.507887`: milliseconds, and nanoseconds below. */
gboolean
pcd_task_read_exec_start (int task_fd, gint64 *ret_nsec)
{
  g_autofree char *text = pcd_task_read_file (task_fd, "sched");
  const char *at = text ? strstr (text, "se.exec_start") : NULL;
  long long msec;
  long nsec;

  at = at ? strchr (at, ':') : NULL;
  /* 0 means that the thread changed its CPU and has not run since. */
  if (!at || sscanf (at + 1, "%lld.%6ld", &msec, &nsec) != 2 || msec <= 0)
    return FALSE;
  *ret_nsec = msec * 1000000 + nsec;
  return TRUE;
}
