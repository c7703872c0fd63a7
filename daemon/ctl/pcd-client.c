/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plain GDBus calls with deadlines; everything about the daemon comes in two of them. */
#include "ctl/pcd-client.h"

#include "bus/pcd-address.h"
#include "bus/pcd-connect.h"
#include "bus/pcd-connect-host.h"
#include "bus/pcd-bus-error.h"
#include "ctl/pcd-busy.h"
#include "ctl/pcd-client-state.h"

#include <gio/gunixfdlist.h>
#include <glib/gi18n.h>
#include <string.h>

#define OPEN_TIMEOUT_MSEC 10000

#define DEADLINE_MSEC 5000
/* Somebody may have to type a password for ssh. */
#define HOST_MSEC 60000

struct _PcdClient {
  GDBusConnection *connection;
  char *owner; /* unique name: a daemon that was replaced is another one */
  char *bus;   /* as the user called it */
  gboolean quiet;
  gboolean acts;             /* something was asked for that leaves traces */
  gboolean lost;             /* the daemon or its bus went away, and that was told */
  gboolean shows;            /* what is waited for, on the terminal */
  GCancellable *cancellable; /* of pcd_client_ask () */
  const PcdClientFollower *follower;
  gpointer data;
  GMainLoop *loop;
  int exit_code;
  guint signal_id;
  guint owner_id;
  guint changed_id;
};

static void
complain (const PcdClient *self, const char *reason)
{
  if (self->quiet)
    return;
  pcd_busy_clear (NULL);
  /* TRANSLATORS: the command, a bus as "system bus", a reason as "it went away" */
  g_printerr (_ ("%s: no answer from postcopyd on the %s: %s\n"), g_get_prgname (), self->bus,
              reason);
}

/* Once, as each call that was under way and the bus itself tell of it. */
static void
complain_lost (PcdClient *self)
{
  if (self->lost)
    return;
  self->lost = TRUE;
  complain (self, self->acts
                      ? _ ("it went away; what it had begun is in the journal of its host, see "
                           "'postcopyctl incident list' there")
                      : _ ("it went away"));
}

static void
complain_bus_lost (PcdClient *self)
{
  if (!self->lost)
    complain (self, _ ("the bus went away"));
  self->lost = TRUE;
}

/* A bus that knows no time-outs of its own says NO_REPLY of one who was asked and disconnected. */
static gboolean
is_lost (const PcdClient *self, const GError *error)
{
  return g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_NO_REPLY) ||
         (self->owner && (g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_NAME_HAS_NO_OWNER) ||
                          g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_SERVICE_UNKNOWN)));
}

static void
complain_error (PcdClient *self, GError *error)
{
  if (is_lost (self, error))
    complain_lost (self);
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CLOSED))
    complain_bus_lost (self);
  else if (g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_NAME_HAS_NO_OWNER) ||
           g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_SERVICE_UNKNOWN)) {
    complain (self, _ ("it is not running there; start it (systemctl start postcopyd), or name its "
                       "bus with --bus"));
  } else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT) ||
             g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    complain (self, _ ("it did not answer within 5 s"));
  } else {
    g_dbus_error_strip_remote_error (error);
    complain (self, error->message);
  }
}

static void
complain_no_bus (const PcdClient *self, const GError *error)
{
  g_autofree char *reason =
      g_strdup_printf (_ ("that bus cannot be reached (%s); see that D-Bus runs, or name another "
                          "bus with --bus"),
                       error->message);

  complain (self, reason);
}

static PcdBusy *
begin_waiting (const PcdClient *self)
{
  g_autofree char *text = g_strdup_printf (_ ("waiting for postcopyd on the %s"), self->bus);

  return pcd_busy_begin (self->shows ? 0 : PCD_BUSY_QUIET, text, NULL);
}

static GVariant *
call (PcdClient *self,
      const char *name,
      const char *path,
      const char *interface,
      const char *method,
      GVariant *arguments,
      const char *reply_type)
{
  g_autoptr (GError) error = NULL;
  PcdBusy *busy = begin_waiting (self);
  GVariant *reply = g_dbus_connection_call_sync (
      self->connection, name, path, interface, method, arguments, G_VARIANT_TYPE (reply_type),
      G_DBUS_CALL_FLAGS_NO_AUTO_START, DEADLINE_MSEC, NULL, &error);

  pcd_busy_end (busy);
  if (!reply)
    complain_error (self, error);
  return reply;
}

static char *
call_the_bus (const PcdCtl *ctl)
{
  const char *bus = ctl->bus;

  if (ctl->host)
    return !bus || g_str_equal (bus, "system")
               ? g_strdup_printf (_ ("system bus of %s"), ctl->host)
               /* TRANSLATORS: the name or address of a bus, and of a host */
               : g_strdup_printf (_ ("%s of %s"), bus, ctl->host);
  if (!bus || g_str_equal (bus, "system"))
    return g_strdup (_ ("system bus"));
  if (g_str_equal (bus, "session"))
    return g_strdup (_ ("session bus"));
  return g_strdup_printf (_ ("bus %s"), bus);
}

static GDBusConnection *
reach_bus (const PcdClient *self, const PcdCtl *ctl, const char *address, GError **error)
{
  const PcdBusyFlags quiet = self->shows ? 0 : PCD_BUSY_QUIET;

  if (ctl->host) {
    /* Short, so that what ssh says covers it. */
    g_autoptr (PcdBusy) ssh = pcd_busy_begin (quiet | PCD_BUSY_YIELD, _ ("ssh connects"), NULL);
    return pcd_bus_connect_host (ctl->host, address, HOST_MSEC, error);
  }
  g_autofree char *text = g_strdup_printf (_ ("connecting to the %s"), self->bus);
  g_autoptr (PcdBusy) busy = pcd_busy_begin (quiet, text, NULL);
  return pcd_bus_connect (address, DEADLINE_MSEC, error);
}

static PcdClient *
open_client (const PcdCtl *ctl, gboolean quiet, int *ret_exit)
{
  g_autoptr (PcdClient) self = g_new0 (PcdClient, 1);
  g_autoptr (GError) error = NULL;
  /* The bus of another host is found there. */
  g_autofree char *address = ctl->host ? g_strdup (ctl->bus) : pcd_bus_resolve (ctl->bus, &error);

  self->quiet = quiet;
  self->shows = !quiet && !ctl->quiet;
  self->cancellable = g_cancellable_new ();
  if (error) {
    if (!quiet)
      g_printerr (_ ("%s: --bus: %s\n"), g_get_prgname (), error->message);
    *ret_exit = PCD_EXIT_USAGE;
    return NULL;
  }
  *ret_exit = PCD_EXIT_NO_DAEMON;
  self->bus = call_the_bus (ctl);
  self->connection = reach_bus (self, ctl, address, &error);
  if (!self->connection) {
    if (ctl->host || g_error_matches (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT) ||
        g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
      complain_error (self, error);
    else
      complain_no_bus (self, error);
    return NULL;
  }
  g_autoptr (GVariant) owner =
      call (self, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
            "GetNameOwner", g_variant_new ("(s)", PCD_BUS_NAME), "(s)");
  if (!owner)
    return NULL;
  g_variant_get (owner, "(s)", &self->owner);
  self->quiet = FALSE;
  return g_steal_pointer (&self);
}

PcdClient *
pcd_client_open (const PcdCtl *ctl, int *ret_exit)
{
  return open_client (ctl, FALSE, ret_exit);
}

PcdClient *
pcd_client_try (const PcdCtl *ctl)
{
  int exit_code = PCD_EXIT_DONE;

  return open_client (ctl, TRUE, &exit_code);
}

void
pcd_client_free (PcdClient *self)
{
  if (!self)
    return;
  g_clear_handle_id (&self->changed_id, g_source_remove);
  g_cancellable_cancel (self->cancellable);
  g_object_unref (self->cancellable);
  if (self->signal_id) {
    g_dbus_connection_signal_unsubscribe (self->connection, self->signal_id);
    g_dbus_connection_signal_unsubscribe (self->connection, self->owner_id);
    g_signal_handlers_disconnect_by_data (self->connection, self);
  }
  g_clear_object (&self->connection);
  g_clear_pointer (&self->loop, g_main_loop_unref);
  g_free (self->owner);
  g_free (self->bus);
  g_free (self);
}

PcdClientState *
pcd_client_get_state (PcdClient *self)
{
  /* The connection is asked last: if it was lost in between, the rows are called old. */
  g_autoptr (GVariant) objects =
      call (self, self->owner, PCD_BUS_PATH, "org.freedesktop.DBus.ObjectManager",
            "GetManagedObjects", NULL, "(a{oa{sa{sv}}})");
  if (!objects)
    return NULL;
  g_autoptr (GVariant) reply =
      call (self, self->owner, PCD_BUS_PATH, "org.freedesktop.DBus.Properties", "GetAll",
            g_variant_new ("(s)", "org.postcopyd.Manager1"), "(a{sv})");
  if (!reply)
    return NULL;
  return pcd_client_state_parse (reply, objects);
}

GStrv
pcd_client_get_records (PcdClient *self)
{
  GStrv records = NULL;
  g_autoptr (GVariant) reply = call (self, self->owner, PCD_BUS_PATH, "org.postcopyd.Manager1",
                                     "GetRecords", g_variant_new ("(t)", (guint64)0), "(as)");

  if (reply)
    g_variant_get (reply, "(^as)", &records);
  return records;
}

/* The daemon's own words, or what the bus says in its place. */
static int
complain_answer (PcdClient *self, const char *method, GError *error)
{
  PcdBusError code = error->code;

  if (error->domain != PCD_BUS_ERROR) {
    if (g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_METHOD)) {
      g_printerr (_ ("%s: the migration is gone, or this postcopyd knows no %s\n"),
                  g_get_prgname (), method);
      return PCD_EXIT_NOT_FOUND;
    }
    complain_error (self, error);
    return PCD_EXIT_NO_DAEMON;
  }
  g_dbus_error_strip_remote_error (error);
  g_autofree char *text = pcd_text_printable (error->message);
  if (code == PCD_BUS_ERROR_REFUSED)
    g_printerr (_ ("%s: refused: %s\n"), g_get_prgname (), text);
  else
    g_printerr ("%s: %s\n", g_get_prgname (), text);
  return code == PCD_BUS_ERROR_NOT_FOUND      ? PCD_EXIT_NOT_FOUND
         : code == PCD_BUS_ERROR_BAD_ARGUMENT ? PCD_EXIT_USAGE
                                              : PCD_EXIT_FAILED;
}

void
pcd_client_ask (PcdClient *self,
                const PcdClientQuestion *question,
                PcdClientAnswer answer,
                gpointer data)
{
  const PcdClientAim aim = { self->connection, self->owner, self->cancellable };

  self->acts |= !g_str_has_prefix (question->method, "Get");
  pcd_client_aim_ask (&aim, question, answer, data, NULL);
}

int
pcd_client_tell_error (PcdClient *self, const PcdClientQuestion *question, const GError *error)
{
  g_autoptr (GError) copy = g_error_copy (error);

  if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
    return complain_answer (self, question->method, copy);
  g_autofree char *reason = g_strdup_printf (_ ("it did not answer within %.3g s"),
                                             (double)question->timeout_msec / 1000);
  complain (self, reason);
  return PCD_EXIT_NO_DAEMON;
}

int
pcd_client_call (PcdClient *self, const PcdClientQuestion *question, GVariant **ret_reply)
{
  g_autoptr (GError) error = NULL;

  (void)pcd_bus_error_quark ();
  self->acts = TRUE;
  PcdBusy *busy = begin_waiting (self);
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      self->connection, self->owner, question->path, pcd_client_question_get_interface (question),
      question->method, question->arguments, G_VARIANT_TYPE (question->reply_type),
      PCD_CLIENT_ASK_FLAGS, question->timeout_msec, NULL, &error);
  pcd_busy_end (busy);
  if (!reply)
    return pcd_client_tell_error (self, question, error);
  if (ret_reply)
    *ret_reply = g_steal_pointer (&reply);
  return PCD_EXIT_DONE;
}

int
pcd_client_open_debug_output (PcdClient *self, const char *path, int *ret_fd)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GUnixFDList) fds = NULL;
  gint32 handle = 0;

  (void)pcd_bus_error_quark ();
  g_autoptr (GVariant) reply = g_dbus_connection_call_with_unix_fd_list_sync (
      self->connection, self->owner, path, "org.postcopyd.Migration1", "OpenDebugOutput", NULL,
      G_VARIANT_TYPE ("(hs)"), PCD_CLIENT_ASK_FLAGS, OPEN_TIMEOUT_MSEC, NULL, &fds, NULL, &error);
  if (!reply)
    return complain_answer (self, "OpenDebugOutput", error);
  g_variant_get (reply, "(h&s)", &handle, NULL);
  *ret_fd = fds ? g_unix_fd_list_get (fds, handle, &error) : -1;
  return *ret_fd >= 0 ? PCD_EXIT_DONE : PCD_EXIT_FAILED;
}

void
pcd_client_end (PcdClient *self, int exit_code)
{
  self->exit_code = exit_code;
  g_main_loop_quit (self->loop);
}

static gboolean
on_changed_settled (gpointer data)
{
  PcdClient *self = data;

  self->changed_id = 0;
  if (!self->follower->changed (self->data))
    pcd_client_end (self, PCD_EXIT_DONE);
  return G_SOURCE_REMOVE;
}

static void
on_signal (GDBusConnection *connection,
           const char *sender,
           const char *path,
           const char *interface,
           const char *signal,
           GVariant *parameters,
           gpointer data)
{
  PcdClient *self = data;
  const char *json = NULL;

  if (g_str_equal (signal, "Record") && g_variant_is_of_type (parameters, G_VARIANT_TYPE ("(s)"))) {
    g_variant_get (parameters, "(&s)", &json);
    if (self->follower->record && !self->follower->record (json, self->data))
      pcd_client_end (self, PCD_EXIT_DONE);
  } else if (self->follower->changed && !self->changed_id) {
    /* Several signals belong to one change: look once, a moment later. */
    self->changed_id = g_timeout_add (50, on_changed_settled, self);
  }
}

static void
on_owner_changed (GDBusConnection *connection,
                  const char *sender,
                  const char *path,
                  const char *interface,
                  const char *signal,
                  GVariant *parameters,
                  gpointer data)
{
  complain_lost (data);
  pcd_client_end (data, PCD_EXIT_NO_DAEMON);
}

static void
on_closed (GDBusConnection *connection, gboolean vanished, GError *error, gpointer data)
{
  complain_bus_lost (data);
  pcd_client_end (data, PCD_EXIT_NO_DAEMON);
}

void
pcd_client_listen (PcdClient *self, const PcdClientFollower *follower, gpointer data)
{
  self->follower = follower;
  self->data = data;
  self->loop = g_main_loop_new (NULL, FALSE);
  g_signal_connect (self->connection, "closed", G_CALLBACK (on_closed), self);
  self->owner_id = g_dbus_connection_signal_subscribe (
      self->connection, "org.freedesktop.DBus", "org.freedesktop.DBus", "NameOwnerChanged",
      "/org/freedesktop/DBus", PCD_BUS_NAME, G_DBUS_SIGNAL_FLAGS_NONE, on_owner_changed, self,
      NULL);
  self->signal_id =
      g_dbus_connection_signal_subscribe (self->connection, self->owner, NULL, NULL, NULL, NULL,
                                          G_DBUS_SIGNAL_FLAGS_NONE, on_signal, self, NULL);
}

int
pcd_client_follow (PcdClient *self)
{
  g_main_loop_run (self->loop);
  return self->exit_code;
}
