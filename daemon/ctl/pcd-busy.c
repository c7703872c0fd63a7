/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thread that draws now and then, and a signal handler that leaves a clean line behind. */
#include "ctl/pcd-busy.h"

#include "core/pcd-text.h"
#include "ctl/pcd-busy-line.h"

#include <glib/gi18n.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FIRST_USEC      G_TIME_SPAN_SECOND
#define AGAIN_USEC      (250 * G_TIME_SPAN_MILLISECOND)
#define DEFAULT_COLUMNS 80

struct _PcdBusy {
  PcdBusyFlags flags;
  gboolean draws;
  gboolean dumb; /* a terminal that knows no escape sequences */
  GThread *thread;
  GMutex lock; /* of all that follows */
  GCond changed;
  gboolean ends;
  gboolean pauses; /* until there is something to tell again */
  gint64 began;
  char *text;
  guint64 done;
  guint64 total;
  PcdProgress progress;
  char *line;  /* (nullable): what is on the terminal */
  guint width; /* of it */
};

/* A signal handler can only be told by a global; so there is one line at a time. */
static struct {
  PcdBusy *busy; /* (nullable): the one whose line it is */
  pid_t pid;     /* a child that has not become another program has the handler, too */
  volatile sig_atomic_t defers;
  volatile sig_atomic_t signal; /* the one that came, or 0 */
  /* That clear the line, and say what is to be said: one is good while the other is written. */
  char words[2][512];
  volatile sig_atomic_t which;
  struct sigaction old[2];
} now;

static const int ending[] = { SIGINT, SIGTERM };

/* ---- the line ---- */

static guint
terminal_columns (void)
{
  struct winsize size = { 0 };

  return ioctl (STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col
                                                                      : DEFAULT_COLUMNS;
}

static gboolean
is_dumb (void)
{
  const char *term = g_getenv ("TERM");

  return !term || !*term || g_str_equal (term, "dumb");
}

gboolean
pcd_busy_can_draw (void)
{
  return isatty (STDERR_FILENO);
}

/* Of a job in the background the terminal is somebody else's; -1 is a terminal that has no jobs. */
static gboolean
is_in_front (void)
{
  const pid_t front = tcgetpgrp (STDERR_FILENO);

  return front < 0 || front == getpgrp ();
}

static gboolean
has_terminal_open (const char *pid)
{
  g_autofree char *folder = g_build_filename ("/proc", pid, "fd", NULL);
  g_autoptr (GDir) files = g_dir_open (folder, 0, NULL);
  const char *name;

  while (files && (name = g_dir_read_name (files))) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    g_autofree char *target = g_file_read_link (path, NULL);
    if (g_strcmp0 (target, "/dev/tty") == 0)
      return TRUE;
  }
  return FALSE;
}

/* ssh opens /dev/tty as long as it asks something. */
static gboolean
is_talking (void)
{
  g_autoptr (GDir) processes = g_dir_open ("/proc", 0, NULL);
  const char *name;

  while (processes && (name = g_dir_read_name (processes))) {
    const pid_t pid = (pid_t)g_ascii_strtoll (name, NULL, 10);
    if (pid > 0 && pid != getpid () && getpgid (pid) == getpgrp () && has_terminal_open (name))
      return TRUE;
  }
  return FALSE;
}

/* Locked. The cursor rests at the line's begin, so that what others write covers it. */
static void
clear (PcdBusy *self)
{
  if (!self->line)
    return;
  if (self->dumb)
    fprintf (stderr, "\r%*s\r", (int)self->width, "");
  else
    fputs ("\r\033[K", stderr);
  fflush (stderr);
  g_clear_pointer (&self->line, g_free);
}

/* Locked. */
static void
draw (PcdBusy *self)
{
  const PcdBusyView view = { .text = self->text,
                             .done = self->done,
                             .total = self->total,
                             .progress = self->progress,
                             .elapsed_usec = g_get_monotonic_time () - self->began };
  g_autofree char *line = pcd_busy_line (&view, terminal_columns ());
  const guint width = pcd_text_width (line);

  if (g_strcmp0 (line, self->line) == 0 || !is_in_front () ||
      (self->flags & PCD_BUSY_YIELD && is_talking ()))
    return;
  if (self->dumb)
    fprintf (stderr, "\r%s%*s\r", line, self->line ? MAX ((int)self->width - (int)width, 0) : 0,
             "");
  else
    fprintf (stderr, "\r%s\033[K\r", line);
  fflush (stderr);
  g_free (self->line);
  self->line = g_steal_pointer (&line);
  self->width = width;
}

static gpointer
draw_all (gpointer data)
{
  PcdBusy *self = data;
  gint64 next = self->began + FIRST_USEC;

  g_mutex_lock (&self->lock);
  while (!self->ends) {
    if (g_cond_wait_until (&self->changed, &self->lock, next))
      continue;
    if (!now.signal && !self->pauses)
      draw (self);
    next = g_get_monotonic_time () + AGAIN_USEC;
  }
  clear (self);
  g_mutex_unlock (&self->lock);
  return NULL;
}

/* ---- signals ---- */

static void
on_signal (int number)
{
  const gboolean is_child = getpid () != now.pid;
  const char *words = now.words[now.which];

  if (!is_child)
    now.signal = number;
  if (!is_child && now.defers)
    return;
  if (!is_child && write (STDERR_FILENO, words, strlen (words)) < 0)
    _exit (128 + number); /* nobody sees it */
  /* Delivered on return, with the default action: the parent sees what ended us. */
  signal (number, SIG_DFL);
  raise (number);
}

void
pcd_busy_set_interrupted (PcdBusy *self, const char *interrupted)
{
  if (!self)
    return;
  const int next = !now.which;
  char *words = now.words[next];
  const gsize room = sizeof now.words[next];
  const int columns = MIN ((int)terminal_columns () - 1, 200);
  g_autofree char *said =
      interrupted ? g_strdup_printf (_ ("%s: interrupted; %s\n"), g_get_prgname (), interrupted)
                  : g_strdup ("");

  if (!self->draws)
    *words = '\0';
  else if (self->dumb)
    g_snprintf (words, room, "\r%*s\r%s", columns, "", said);
  else
    g_snprintf (words, room, "\r\033[K%s", said);
  now.which = next;
}

static void catch (void)
{
  const struct sigaction mine = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

  for (guint i = 0; i < G_N_ELEMENTS (ending); i++) {
    sigaction (ending[i], NULL, &now.old[i]);
    /* Of a job in the background of a script, SIGINT is ignored, and stays so. */
    if (now.old[i].sa_handler != SIG_IGN)
      sigaction (ending[i], &mine, NULL);
  }
}

static void
release (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (ending); i++)
    sigaction (ending[i], &now.old[i], NULL);
}

/* ---- begin and end ---- */

PcdBusy *
pcd_busy_begin (PcdBusyFlags flags, const char *text, const char *interrupted)
{
  const gboolean draws = !(flags & PCD_BUSY_QUIET) && pcd_busy_can_draw ();

  if (now.busy || (!draws && !(flags & PCD_BUSY_DEFER)))
    return NULL;
  PcdBusy *self = g_new0 (PcdBusy, 1);
  self->flags = flags;
  self->draws = draws;
  self->dumb = is_dumb ();
  self->began = g_get_monotonic_time ();
  self->text = g_strdup (text);
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  now.busy = self;
  now.pid = getpid ();
  now.defers = (flags & PCD_BUSY_DEFER) != 0;
  now.signal = 0;
  pcd_busy_set_interrupted (self, interrupted);
  catch ();
  if (draws)
    self->thread = g_thread_new ("busy", draw_all, self);
  return self;
}

void
pcd_busy_end (PcdBusy *self)
{
  if (!self)
    return;
  g_mutex_lock (&self->lock);
  self->ends = TRUE;
  g_cond_signal (&self->changed);
  g_mutex_unlock (&self->lock);
  g_clear_pointer (&self->thread, g_thread_join);
  release ();
  now.busy = NULL;
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  g_free (self->text);
  g_free (self->line);
  g_free (self);
}

/* ---- what is told ---- */

void
pcd_busy_tell (PcdBusy *self, const char *text)
{
  if (!self)
    return;
  g_mutex_lock (&self->lock);
  g_free (self->text);
  self->text = g_strdup (text);
  self->pauses = FALSE;
  g_mutex_unlock (&self->lock);
}

void
pcd_busy_count (PcdBusy *self, guint64 done, guint64 total)
{
  if (!self)
    return;
  g_mutex_lock (&self->lock);
  self->done = done;
  self->total = total;
  g_mutex_unlock (&self->lock);
}

void
pcd_busy_progress (PcdBusy *self, const PcdProgress *progress)
{
  if (!self)
    return;
  g_mutex_lock (&self->lock);
  self->progress = *progress;
  g_mutex_unlock (&self->lock);
}

void
pcd_busy_clear (PcdBusy *self)
{
  self = self ?: now.busy;
  if (!self)
    return;
  g_mutex_lock (&self->lock);
  clear (self);
  self->pauses = TRUE;
  g_mutex_unlock (&self->lock);
}

gboolean
pcd_busy_is_interrupted (PcdBusy *self)
{
  return self && now.signal != 0;
}

void
pcd_busy_give_in (PcdBusy *self)
{
  const int number = self ? now.signal : 0;

  pcd_busy_end (self);
  if (number == 0)
    return;
  if (write (STDERR_FILENO, now.words[now.which], strlen (now.words[now.which])) < 0)
    _exit (128 + number);
  signal (number, SIG_DFL);
  raise (number);
}
