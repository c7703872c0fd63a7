/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A handler writes the signal's number to a pipe, the main loop reads it: GLib has that for some
 * signals, and TSTP, CONT and QUIT are not among them. */
#include "ctl/pcd-top-signals.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <unistd.h>

static const struct {
  int number;
  PcdTopSignal meaning;
} caught[] = {
  { SIGHUP, PCD_TOP_SIGNAL_END },       { SIGINT, PCD_TOP_SIGNAL_END },
  { SIGQUIT, PCD_TOP_SIGNAL_END },      { SIGTERM, PCD_TOP_SIGNAL_END },
  { SIGWINCH, PCD_TOP_SIGNAL_RESIZE },  { SIGTSTP, PCD_TOP_SIGNAL_STOP },
  { SIGCONT, PCD_TOP_SIGNAL_CONTINUE },
};

struct _PcdTopSignals {
  void (*told) (PcdTopSignal signal, gpointer data);
  gpointer data;
  int pipe[2];
  guint source_id;
  struct sigaction before[G_N_ELEMENTS (caught)];
};

/* A handler gets no data. */
static int write_end = -1;

static void
on_signal (int number)
{
  const int saved = errno;
  const unsigned char byte = (unsigned char)number;

  /* If the pipe is full, there is enough to be told. */
  if (write (write_end, &byte, 1) < 0)
    errno = saved;
  errno = saved;
}

static gboolean
on_pipe (gint fd, GIOCondition condition, gpointer data)
{
  PcdTopSignals *self = data;
  gboolean is_told[PCD_TOP_SIGNAL_CONTINUE + 1] = { FALSE };
  unsigned char bytes[256];
  gssize n;

  while ((n = read (fd, bytes, sizeof bytes)) > 0)
    for (gssize i = 0; i < n; i++)
      for (guint j = 0; j < G_N_ELEMENTS (caught); j++)
        if (caught[j].number == bytes[i])
          is_told[caught[j].meaning] = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (is_told); i++)
    if (is_told[i])
      self->told (i, self->data);
  return G_SOURCE_CONTINUE;
}

PcdTopSignals *
pcd_top_signals_new (void (*told) (PcdTopSignal signal, gpointer data), gpointer data)
{
  PcdTopSignals *self = g_new0 (PcdTopSignals, 1);
  struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

  self->told = told;
  self->data = data;
  if (!g_unix_open_pipe (self->pipe, FD_CLOEXEC, NULL))
    g_error ("no pipe: %s", g_strerror (errno));
  g_unix_set_fd_nonblocking (self->pipe[0], TRUE, NULL);
  g_unix_set_fd_nonblocking (self->pipe[1], TRUE, NULL);
  write_end = self->pipe[1];
  self->source_id = g_unix_fd_add (self->pipe[0], G_IO_IN, on_pipe, self);
  for (guint i = 0; i < G_N_ELEMENTS (caught); i++) {
    sigaction (caught[i].number, NULL, &self->before[i]);
    /* A parent that had it ignored, such as nohup, knows why. */
    if (self->before[i].sa_handler != SIG_IGN)
      sigaction (caught[i].number, &action, NULL);
  }
  return self;
}

void
pcd_top_signals_free (PcdTopSignals *self)
{
  if (!self)
    return;
  for (guint i = 0; i < G_N_ELEMENTS (caught); i++)
    sigaction (caught[i].number, &self->before[i], NULL);
  g_source_remove (self->source_id);
  write_end = -1;
  close (self->pipe[0]);
  close (self->pipe[1]);
  g_free (self);
}

void
pcd_top_signals_stop_here (PcdTopSignals *self)
{
  struct sigaction stop = { .sa_handler = SIG_DFL }, ours;

  sigaction (SIGTSTP, &stop, &ours);
  raise (SIGTSTP);
  sigaction (SIGTSTP, &ours, NULL);
}
