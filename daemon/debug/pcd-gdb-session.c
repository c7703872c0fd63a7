/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A listening socket, one client, and when it ends.
 * Must not know what is looked at. */
#include "debug/pcd-gdb-session.h"

#include "debug/pcd-debug-file.h"
#include "debug/pcd-gdb-link.h"
#include "debug/pcd-rsp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_USEC (100 * 1000)

struct _PcdGdbSession {
  int listen_fd;
  int log_fd;
  char *path;
  gint64 until;
  gint64 idle_usec;
  gint64 heard; /* when a client said something last */
  const PcdGdbTarget *target;
  gpointer data;
  PcdGdbLink *link;
  GString *packet;
  gboolean was_interrupted; /* the client waits to be told that it stands */
  gboolean goes_on;         /* it wants it to go on, and to stay */
  gboolean was_held;        /* this time */
};

static void
session_free (PcdGdbSession *self)
{
  unlink (self->path);
  close (self->listen_fd);
  close (self->log_fd);
  self->target->free (self->data);
  pcd_gdb_link_free (self->link);
  g_string_free (self->packet, TRUE);
  g_free (self->path);
  g_free (self);
}

static void G_GNUC_PRINTF (2, 3) note (PcdGdbSession *self, const char *format, ...)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *time = g_date_time_format (now, "%Y-%m-%dT%H:%M:%S.%f");
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  dprintf (self->log_fd, "%.23s %s\n", time, text);
}

/* %NULL: not yet. */
static const char *
why_over (PcdGdbSession *self)
{
  const gint64 now = g_get_monotonic_time ();

  if (self->target->is_gone (self->data))
    return "it is gone";
  if (now >= self->until)
    return "the time is over";
  return now >= self->heard + self->idle_usec ? "nobody said anything" : NULL;
}

static gboolean
say (PcdGdbSession *self, const char *text)
{
  return pcd_gdb_link_send (self->link, text, strlen (text));
}

static void
hang_up (PcdGdbSession *self)
{
  g_clear_pointer (&self->link, pcd_gdb_link_free);
}

/* The next thing from the client; %FALSE: it or the session is at its end. */
static gboolean
hear (PcdGdbSession *self, PcdGdbCame *ret_came)
{
  for (;;) {
    const char *over = why_over (self);

    if (over) {
      note (self, "the client is sent away: %s", over);
      return FALSE;
    }
    *ret_came = pcd_gdb_link_next (self->link, g_get_monotonic_time () + TICK_USEC, self->packet);
    if (*ret_came == PCD_GDB_CLOSED)
      note (self, "the client went away");
    if (*ret_came == PCD_GDB_NOTHING)
      continue;
    self->heard = g_get_monotonic_time ();
    return *ret_came != PCD_GDB_CLOSED;
  }
}

/* What a client may not do. `R` and `!` would start it anew. */
static gboolean
is_change (const char *packet)
{
  static const char *const prefixes[] = { "M", "X", "G", "P", "s", "S", "i", "I", "R", "!", "t" };

  for (guint i = 0; i < G_N_ELEMENTS (prefixes); i++)
    if (g_str_has_prefix (packet, prefixes[i]))
      return TRUE;
  return FALSE;
}

static gboolean
say_to_person (PcdGdbSession *self, const char *text)
{
  g_autoptr (GString) packet = g_string_new ("O");

  pcd_rsp_add_hex (packet, text, strlen (text));
  return pcd_gdb_link_send (self->link, packet->str, packet->len);
}

/* %FALSE: it is to be let go. */
static gboolean
handle (PcdGdbSession *self)
{
  const char *packet = self->packet->str;
  g_autoptr (GString) answer = g_string_new (NULL);

  if (*packet == 'c' || *packet == 'C') {
    note (self, "goes on");
    self->goes_on =
        say_to_person (self, "It goes on, without breakpoints: nothing is written into it. "
                             "Interrupt to hold it again.\n");
    return FALSE;
  }
  if (*packet == 'D' || *packet == 'k') {
    note (self, *packet == 'D' ? "the client detached" : "the client wanted to kill it: detached");
    say (self, "OK");
    return FALSE;
  }
  if (g_str_has_prefix (packet, "qSupported"))
    g_string_append (answer, self->target->features);
  else if (g_str_has_prefix (packet, "qAttached"))
    g_string_append_c (answer, '1'); /* so that gdb detaches when it quits */
  else if (*packet == 'Z' || *packet == 'z')
    /* gdb has some of its own, and does not continue without; see `c`. */
    g_string_append (answer, "OK");
  else if (is_change (packet))
    g_string_append (answer, "E01");
  else if (*packet != 'v' && *packet != 'Q' && *packet != '_')
    self->target->answer (self->data, self->packet, answer);
  return pcd_gdb_link_send (self->link, answer->str, answer->len);
}

static void
tell_stop (PcdGdbSession *self)
{
  g_autoptr (GString) answer = g_string_new (NULL);

  g_string_assign (self->packet, "?");
  self->target->answer (self->data, self->packet, answer);
  /* SIGINT, as the client asked for it */
  if (answer->len >= 3)
    memcpy (answer->str + 1, "02", 2);
  pcd_gdb_link_send (self->link, answer->str, answer->len);
}

static void
serve (PcdGdbSession *self)
{
  PcdGdbCame came;

  note (self, "held");
  self->was_held = TRUE;
  if (self->was_interrupted)
    tell_stop (self);
  self->was_interrupted = FALSE;
  while (hear (self, &came))
    if (came == PCD_GDB_PACKET && !handle (self))
      return;
}

/* gdb shows this where it waits for the thing to stand; it asks for that last of all. */
static void
tell_refusal (PcdGdbSession *self, const char *why)
{
  g_autofree char *text = g_strdup_printf ("it is not held: %s\n", why);
  g_autoptr (GString) answer = g_string_new (NULL);
  PcdGdbCame came;

  note (self, "not held: %s", why);
  if (self->was_interrupted) {
    self->was_interrupted = FALSE;
    self->goes_on = say_to_person (self, text);
    return;
  }
  for (guint i = 0; i < 20 && hear (self, &came); i++) {
    gboolean asked = came == PCD_GDB_PACKET && *self->packet->str == '?';

    g_string_truncate (answer, 0);
    if (asked)
      g_string_append_printf (answer, "E.%s", g_strchomp (text));
    else if (g_str_has_prefix (self->packet->str, "qSupported"))
      g_string_append (answer, self->target->features);
    if (!pcd_gdb_link_send (self->link, answer->str, answer->len) || asked)
      return;
  }
}

/* Until the client wants it to stand; %FALSE: it does not any more. */
static gboolean
wait_for_interrupt (PcdGdbSession *self)
{
  PcdGdbCame came;

  while (hear (self, &came)) {
    self->was_interrupted = came == PCD_GDB_INTERRUPT;
    if (self->was_interrupted)
      return TRUE;
  }
  return FALSE;
}

static void
serve_client (PcdGdbSession *self)
{
  do {
    g_autofree char *why = self->target->refuses (self->data);
    g_autoptr (GError) error = NULL;

    self->goes_on = self->was_held = FALSE;
    if (why)
      tell_refusal (self, why);
    else if (self->target->hold (self->data, serve, self, &error))
      note (self, "let go");
    else if (!self->was_held)
      tell_refusal (self, error->message);
    else {
      note (self, "not let go as it was: %s", error->message);
      g_warning ("%s: not let go as it was: %s", self->path, error->message);
      return;
    }
  } while (self->goes_on && wait_for_interrupt (self));
}

/* The file belongs to root, and so does who connects. */
static gboolean
is_ours (int fd)
{
  struct ucred peer;
  socklen_t size = sizeof peer;

  return getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid ();
}

static gpointer
run (gpointer data)
{
  PcdGdbSession *self = data;
  struct pollfd ready = { .fd = self->listen_fd, .events = POLLIN };
  const char *over;

  while (!(over = why_over (self))) {
    if (poll (&ready, 1, TICK_USEC / 1000) <= 0)
      continue;
    int fd = accept4 (self->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
      continue;
    if (!is_ours (fd)) {
      close (fd);
      continue;
    }
    self->heard = g_get_monotonic_time ();
    self->link = pcd_gdb_link_new (fd, FALSE);
    self->was_interrupted = FALSE;
    note (self, "a client connected");
    serve_client (self);
    hang_up (self);
  }
  note (self, "ended: %s", over);
  session_free (self);
  return NULL;
}

gboolean
pcd_gdb_session_start (const PcdGdbTerms *terms,
                       int log_fd,
                       const PcdGdbTarget *target,
                       gpointer data,
                       char **ret_path,
                       GError **error)
{
  g_autofree char *path = NULL;
  int listen_fd =
      pcd_debug_socket_listen (terms->state_dir, terms->incident, terms->mode, &path, error);

  if (listen_fd < 0) {
    target->free (data);
    return FALSE;
  }
  PcdGdbSession *self = g_new0 (PcdGdbSession, 1);
  *self = (PcdGdbSession){ .listen_fd = listen_fd,
                           .log_fd = dup (log_fd),
                           .path = g_strdup (path),
                           .until = terms->until,
                           .idle_usec = terms->idle_usec,
                           .heard = g_get_monotonic_time (),
                           .target = target,
                           .data = data,
                           .packet = g_string_new (NULL) };
  *ret_path = g_steal_pointer (&path);
  dprintf (log_fd, "gdb -iex 'set sysroot /' -ex 'target remote %s'\n", *ret_path);
  g_thread_unref (g_thread_new ("gdb-session", run, self));
  return TRUE;
}
