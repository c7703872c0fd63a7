/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GIO has no transport unixexec: as sd-bus, so the pipes of the child are the stream. They are no
 * Unix socket for GDBus, so that it offers no file descriptors, which ssh would lose. */
#include "bus/pcd-connect-host.h"

#include <glib/gi18n.h>
#include <string.h>

#define BRIDGE "systemd-stdio-bridge"
/* Of ssh(1): its own failure; of sh(1): no such command. */
#define SSH_FAILED 255
#define NO_COMMAND 127
/* Until a child that has closed its pipes has ended. */
#define END_MSEC 2000

typedef struct {
  GMainLoop *loop;
  GDBusConnection *connection;
  GError *error;
} Attempt;

gboolean
pcd_host_check (const char *host, GError **error)
{
  gboolean good = *host && *host != '-';

  for (const char *c = host; *c && good; c++)
    good = g_ascii_isgraph (*c) || (guchar)*c >= 0x80;
  if (!good)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 _ ("got \"%s\", expected a host, or USER@HOST, as for ssh"), host);
  return good;
}

/* ssh hands the words behind the host to a shell there. */
static GStrv
make_command (const char *host, const char *bus, GError **error)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_auto (GStrv) words = NULL;

  if (!g_shell_parse_argv (g_getenv ("POSTCOPYCTL_SSH") ?: "ssh", NULL, &words, error)) {
    g_prefix_error (error, "$POSTCOPYCTL_SSH: ");
    return NULL;
  }
  g_strv_builder_addv (builder, (const char **)words);
  g_strv_builder_add_many (builder, "-xT", "-oConnectTimeout=10", "--", host, BRIDGE, NULL);
  if (bus && g_str_equal (bus, "session")) {
    g_strv_builder_add (builder, "--user");
  } else if (bus && !g_str_equal (bus, "system")) {
    g_autofree char *quoted = g_shell_quote (bus);
    g_strv_builder_add_many (builder, "-p", quoted, NULL);
  }
  return g_strv_builder_end (builder);
}

static void
on_connected (GObject *source, GAsyncResult *result, gpointer data)
{
  Attempt *attempt = data;

  attempt->connection = g_dbus_connection_new_finish (result, &attempt->error);
  g_main_loop_quit (attempt->loop);
}

static void
on_ended (GObject *source, GAsyncResult *result, gpointer data)
{
  g_subprocess_wait_finish (G_SUBPROCESS (source), result, NULL);
  g_main_loop_quit (data);
}

static gboolean
on_deadline (gpointer data)
{
  g_cancellable_cancel (data);
  return G_SOURCE_CONTINUE;
}

/* Whether it has ended by itself; it has in any case when this returns. */
static gboolean
wait_end (GSubprocess *ssh)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  guint deadline_id = g_timeout_add (END_MSEC, on_deadline, cancellable);
  gboolean by_itself = FALSE;

  g_subprocess_wait_async (ssh, cancellable, on_ended, loop);
  g_main_loop_run (loop);
  g_source_remove (deadline_id);
  by_itself = !g_cancellable_is_cancelled (cancellable);
  if (!by_itself)
    g_subprocess_force_exit (ssh);
  return by_itself;
}

/* Why there is no connection; the exit status says more than GDBus, which saw an end of file. */
static void
explain (GSubprocess *ssh, const GError *reason, guint deadline_msec, GError **error)
{
  if (g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    g_subprocess_force_exit (ssh);
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                 _ ("ssh has not got through to it within %u s; does 'ssh' to it work by hand?"),
                 deadline_msec / 1000);
    return;
  }
  const gboolean ended = wait_end (ssh) && g_subprocess_get_if_exited (ssh);
  const int status = ended ? g_subprocess_get_exit_status (ssh) : 0;

  if (ended && status == SSH_FAILED)
    g_set_error (
        error, G_IO_ERROR, G_IO_ERROR_FAILED,
        _ ("ssh cannot reach that host, or is not let in, for the reason that it gives above; "
           "log in there by ssh once by hand (host key, password), then try again"));
  else if (ended && status == NO_COMMAND)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                 _ ("there is no %s on that host; install systemd there"), BRIDGE);
  else if (ended)
    g_set_error (
        error, G_IO_ERROR, G_IO_ERROR_FAILED,
        _ ("that host's bus cannot be reached: %s ended with status %d; see that D-Bus runs "
           "there"),
        BRIDGE, status);
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, _ ("what %s says there is no D-Bus: %s"),
                 BRIDGE, reason->message);
}

static GDBusConnection *
talk (GSubprocess *ssh, guint deadline_msec, GError **error)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GIOStream) stream = g_simple_io_stream_new (g_subprocess_get_stdout_pipe (ssh),
                                                         g_subprocess_get_stdin_pipe (ssh));
  Attempt attempt = { .loop = loop };
  guint deadline_id = g_timeout_add (deadline_msec, on_deadline, cancellable);

  g_dbus_connection_new (stream, NULL,
                         G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                             G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                         NULL, cancellable, on_connected, &attempt);
  g_main_loop_run (loop);
  g_source_remove (deadline_id);
  if (attempt.error)
    g_propagate_error (error, attempt.error);
  return attempt.connection;
}

GDBusConnection *
pcd_bus_connect_host (const char *host, const char *bus, guint deadline_msec, GError **error)
{
  g_autoptr (GError) reason = NULL;
  g_auto (GStrv) command = make_command (host, bus, error);

  if (!command)
    return NULL;
  g_autoptr (GSubprocess) ssh =
      g_subprocess_newv ((const char *const *)command,
                         G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, error);
  if (!ssh)
    return NULL;
  GDBusConnection *connection = talk (ssh, deadline_msec, &reason);
  if (!connection)
    explain (ssh, reason, deadline_msec, error);
  return connection;
}
