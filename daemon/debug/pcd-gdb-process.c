/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets that read, answered from /proc and the registers that the hold has read.
 * Must not touch a page that is missing. */
#include "debug/pcd-gdb-process.h"

#include "debug/pcd-gdb-registers.h"
#include "debug/pcd-hold.h"
#include "debug/pcd-rsp.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STAND_USEC (2 * G_USEC_PER_SEC)

typedef struct {
  pid_t pid;
  int pidfd;
  PcdGdbRefuses refuses;
  /* While it is held. */
  GArray *threads; /* (element-type PcdHeldThread) (nullable) */
  pid_t chosen;    /* whose registers are asked for */
  int mem_fd;
  gboolean is_dead;
  PcdGdbServe serve;
  PcdGdbSession *session;
} Process;

gpointer
pcd_gdb_process_new (pid_t pid, PcdGdbRefuses refuses, GError **error)
{
  int pidfd = (int)syscall (SYS_pidfd_open, pid, 0);

  if (pidfd < 0) {
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "process %d: %s", (int)pid,
                 g_strerror (errno));
    return NULL;
  }
  Process *self = g_new0 (Process, 1);
  *self = (Process){ .pid = pid, .pidfd = pidfd, .refuses = refuses, .mem_fd = -1 };
  return self;
}

static void
process_free (gpointer data)
{
  Process *self = data;

  close (self->pidfd);
  g_free (self);
}

static char *
refuses (gpointer data)
{
  Process *self = data;

  return self->refuses (self->pid);
}

/* One that is killed while we trace it is not gone before we have taken notice of each thread. */
static gboolean
is_gone (gpointer data)
{
  Process *self = data;
  struct pollfd ended = { .fd = self->pidfd, .events = POLLIN };
  int status;
  pid_t tid;

  while (self->threads && (tid = waitpid (-1, &status, __WALL | __WNOTHREAD | WNOHANG)) > 0)
    self->is_dead |= !WIFSTOPPED (status);
  return self->is_dead || poll (&ended, 1, 0) > 0;
}

static gboolean
on_held (GArray *threads, gpointer data, GError **error)
{
  Process *self = data;
  g_autofree char *path = g_strdup_printf ("/proc/%d/mem", (int)self->pid);

  self->mem_fd = open (path, O_RDONLY | O_CLOEXEC);
  if (self->mem_fd < 0) {
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "%s: %s", path,
                 g_strerror (errno));
    return FALSE;
  }
  self->threads = threads;
  self->chosen = self->pid;
  self->serve (self->session);
  self->threads = NULL;
  close (self->mem_fd);
  self->mem_fd = -1;
  return TRUE;
}

static gboolean
hold (gpointer data, PcdGdbServe serve, PcdGdbSession *session, GError **error)
{
  Process *self = data;

  self->serve = serve;
  self->session = session;
  return pcd_hold_run (self->pid, g_get_monotonic_time () + STAND_USEC, on_held, self, NULL, error);
}

static const PcdHeldThread *
find (const Process *self, pid_t tid)
{
  for (guint i = 0; i < self->threads->len; i++) {
    const PcdHeldThread *thread = &g_array_index (self->threads, PcdHeldThread, i);
    if (thread->tid == tid)
      return thread;
  }
  return NULL;
}

/* `-1` and `0` are "all" and "any". */
static void
choose (Process *self, const char *tid, GString *answer)
{
  long number = strtol (tid, NULL, 16);

  if (number <= 0)
    number = self->pid;
  if (find (self, (pid_t)number)) {
    self->chosen = (pid_t)number;
    g_string_append (answer, "OK");
  } else {
    g_string_append (answer, "E01");
  }
}

static void
list_threads (const Process *self, GString *answer)
{
  g_string_append_c (answer, 'm');
  for (guint i = 0; i < self->threads->len; i++)
    g_string_append_printf (answer, "%s%x", i > 0 ? "," : "",
                            (guint)g_array_index (self->threads, PcdHeldThread, i).tid);
}

static void
describe_threads (const Process *self, const char *range, GString *answer)
{
  g_autoptr (GString) text = g_string_new ("<?xml version=\"1.0\"?>\n<threads>\n");

  for (guint i = 0; i < self->threads->len; i++) {
    const pid_t tid = g_array_index (self->threads, PcdHeldThread, i).tid;
    g_autofree char *path = g_strdup_printf ("/proc/%d/task/%d/comm", (int)self->pid, (int)tid);
    g_autofree char *name = NULL;

    if (!g_file_get_contents (path, &name, NULL, NULL) || !g_utf8_validate (name, -1, NULL))
      name = (g_free (name), g_strdup ("?"));
    g_autofree char *escaped = g_markup_escape_text (g_strchomp (name), -1);
    g_string_append_printf (text, "<thread id=\"%x\" name=\"%s\"/>\n", (guint)tid, escaped);
  }
  g_string_append (text, "</threads>\n");
  pcd_rsp_add_part (answer, text->str, text->len, range);
}

static void
read_memory (const Process *self, const char *what, GString *answer)
{
  unsigned long long address = 0;
  unsigned long size = 0;
  guint8 buffer[PCD_RSP_MAX / 2];

  if (sscanf (what, "%llx,%lx", &address, &size) != 2) {
    g_string_append (answer, "E01");
    return;
  }
  size = MIN (size, sizeof buffer);
  /* Not pread (): the upper half is no offset. */
  gssize n = address <= G_MAXINT64 ? pread (self->mem_fd, buffer, size, (off_t)address) : -1;
  if (n > 0)
    pcd_rsp_add_hex (answer, buffer, (gsize)n);
  else
    g_string_append (answer, "E14"); /* EFAULT: a missing page, too */
}

static void
add_file (const Process *self, const char *name, const char *range, GString *answer)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/%s", (int)self->pid, name);
  g_autofree char *text = NULL;
  gsize size = 0;

  if (g_file_get_contents (path, &text, &size, NULL))
    pcd_rsp_add_part (answer, text, size, range);
  else
    g_string_append (answer, "E01");
}

static void
add_program (const Process *self, const char *range, GString *answer)
{
  g_autofree char *link = g_strdup_printf ("/proc/%d/exe", (int)self->pid);
  g_autofree char *path = g_file_read_link (link, NULL);

  if (path)
    pcd_rsp_add_part (answer, path, strlen (path), range);
  else
    g_string_append (answer, "E01");
}

static gboolean
skip (const char **text, const char *prefix)
{
  if (!g_str_has_prefix (*text, prefix))
    return FALSE;
  *text += strlen (prefix);
  return TRUE;
}

static void
answer_question (Process *self, const char *packet, GString *answer)
{
  if (skip (&packet, "qXfer:features:read:target.xml:")) {
    g_autofree char *xml = pcd_gdb_registers_describe ();
    pcd_rsp_add_part (answer, xml, strlen (xml), packet);
  } else if (skip (&packet, "qXfer:threads:read::")) {
    describe_threads (self, packet, answer);
  } else if (skip (&packet, "qXfer:auxv:read::")) {
    add_file (self, "auxv", packet, answer);
  } else if (skip (&packet, "qXfer:exec-file:read:")) {
    packet = strchr (packet, ':');
    add_program (self, packet ? packet + 1 : "", answer);
  } else if (g_str_equal (packet, "qfThreadInfo")) {
    list_threads (self, answer);
  } else if (g_str_equal (packet, "qsThreadInfo")) {
    g_string_append_c (answer, 'l');
  } else if (g_str_equal (packet, "qC")) {
    g_string_append_printf (answer, "QC%x", (guint)self->chosen);
  }
}

static void
answer (gpointer data, const GString *packet, GString *answer)
{
  Process *self = data;
  const PcdHeldThread *thread = find (self, self->chosen);
  const char *text = packet->str;

  switch (*text) {
  case '?':
    g_string_append_printf (answer, "T00thread:%x;", (guint)self->chosen);
    break;
  case 'H':
    if (text[1] == 'g')
      choose (self, text + 2, answer);
    else
      g_string_append (answer, "OK");
    break;
  case 'T':
    g_string_append (answer, find (self, (pid_t)strtol (text + 1, NULL, 16)) ? "OK" : "E01");
    break;
  case 'g':
    pcd_gdb_registers_add_all (answer, thread->regs);
    break;
  case 'p':
    pcd_gdb_registers_add (answer, (guint)strtoul (text + 1, NULL, 16), thread->regs);
    break;
  case 'm':
    read_memory (self, text + 1, answer);
    break;
  case 'q':
    answer_question (self, text, answer);
    break;
  default:
    break;
  }
}

const PcdGdbTarget pcd_gdb_process_target = {
  .features = "PacketSize=4000;QStartNoAckMode+;qXfer:features:read+;qXfer:threads:read+;"
              "qXfer:exec-file:read+;qXfer:auxv:read+",
  .refuses = refuses,
  .hold = hold,
  .answer = answer,
  .is_gone = is_gone,
  .free = process_free,
};
