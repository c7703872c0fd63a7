/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connects, watches the daemon's name, and asks for everything whenever something has changed. */
#include "ctl/pcd-top-link.h"

#include "bus/pcd-address.h"
#include "bus/pcd-bus-error.h"

#include <glib/gi18n.h>

#define DEADLINE_MSEC 5000
#define RETRY_MSEC    1000
#define SETTLE_MSEC   250 /* several signals belong to one change */

struct _PcdTopLink {
  char *address;
  const PcdTopLinkUser *user;
  gpointer data;
  GDBusConnection *connection;
  char *owner;               /* (nullable): unique name of the daemon */
  GCancellable *cancellable; /* of all calls */
  struct _Attempt *attempt;  /* (nullable): to connect */
  guint watch_id;
  guint signal_id;
  guint retry_id;
  guint refresh_id;
  gboolean asking;
  gboolean again; /* something changed meanwhile */
  gint64 asked;
  GVariant *objects; /* half of the answer */
};

/* Outlives the link if that is freed first. */
typedef struct _Attempt {
  PcdTopLink *link; /* (nullable) */
  GCancellable *cancellable;
  guint timeout_id;
} Attempt;

static void start_connecting (PcdTopLink *self);
static void refresh (PcdTopLink *self);

static gboolean
on_retry (gpointer data)
{
  PcdTopLink *self = data;

  self->retry_id = 0;
  start_connecting (self);
  return G_SOURCE_REMOVE;
}

static gboolean
on_refresh (gpointer data)
{
  PcdTopLink *self = data;

  self->refresh_id = 0;
  refresh (self);
  return G_SOURCE_REMOVE;
}

static void
refresh_in (PcdTopLink *self, guint msec)
{
  if (self->asking)
    self->again = TRUE;
  else if (!self->refresh_id)
    self->refresh_id = g_timeout_add (msec, on_refresh, self);
}

static void
tell_lost (PcdTopLink *self, const char *what, const GError *error)
{
  g_autoptr (GError) copy = error ? g_error_copy (error) : NULL;

  if (copy)
    g_dbus_error_strip_remote_error (copy);
  g_autofree char *reason = g_strconcat (what, copy ? ": " : "", copy ? copy->message : "", NULL);
  self->user->lost (reason, self->data);
}

/* ---- asking for everything ---- */

static void
call (PcdTopLink *self,
      const char *interface,
      const char *method,
      GVariant *arguments,
      const char *reply_type,
      GAsyncReadyCallback callback)
{
  g_dbus_connection_call (self->connection, self->owner, PCD_BUS_PATH, interface, method, arguments,
                          G_VARIANT_TYPE (reply_type), G_DBUS_CALL_FLAGS_NO_AUTO_START,
                          DEADLINE_MSEC, self->cancellable, callback, self);
}

/* %NULL: the link may be gone, or has told already. */
static GVariant *
finish (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  GVariant *reply = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);

  if (reply || g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return reply;
  PcdTopLink *self = data;
  self->asking = FALSE;
  if (self->owner) {
    tell_lost (self, _ ("postcopyd did not answer"), error);
    refresh_in (self, RETRY_MSEC);
  }
  return NULL;
}

static void
on_manager (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) reply = finish (source, result, data);

  if (!reply)
    return;
  PcdTopLink *self = data;
  g_autoptr (GVariant) objects = g_steal_pointer (&self->objects);
  const gint64 took = g_get_monotonic_time () - self->asked;
  self->asking = FALSE;
  if (self->again)
    refresh_in (self, MAX (SETTLE_MSEC, (guint)(3 * took / G_TIME_SPAN_MILLISECOND)));
  if (self->owner)
    self->user->state (pcd_client_state_parse (reply, objects), self->data);
}

static void
on_objects (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) reply = finish (source, result, data);

  if (!reply)
    return;
  PcdTopLink *self = data;
  g_clear_pointer (&self->objects, g_variant_unref);
  self->objects = g_steal_pointer (&reply);
  if (!self->owner) {
    self->asking = FALSE;
    return;
  }
  /* The connection to libvirt is asked last: if it was lost in between, the rows are called old. */
  call (self, "org.freedesktop.DBus.Properties", "GetAll",
        g_variant_new ("(s)", "org.postcopyd.Manager1"), "(a{sv})", on_manager);
}

static void
refresh (PcdTopLink *self)
{
  if (!self->owner || self->asking)
    return;
  self->asking = TRUE;
  self->again = FALSE;
  self->asked = g_get_monotonic_time ();
  call (self, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", NULL, "(a{oa{sa{sv}}})",
        on_objects);
}

/* ---- the daemon, and the bus ---- */

static void
on_signal (GDBusConnection *connection,
           const char *sender,
           const char *path,
           const char *interface,
           const char *signal,
           GVariant *parameters,
           gpointer data)
{
  refresh_in (data, SETTLE_MSEC);
}

static void
on_appeared (GDBusConnection *connection, const char *name, const char *owner, gpointer data)
{
  PcdTopLink *self = data;

  g_free (self->owner);
  self->owner = g_strdup (owner);
  refresh_in (self, 1);
}

static void
on_vanished (GDBusConnection *connection, const char *name, gpointer data)
{
  PcdTopLink *self = data;

  g_clear_pointer (&self->owner, g_free);
  tell_lost (self, _ ("postcopyd is not running"), NULL);
}

static void
drop (PcdTopLink *self)
{
  g_clear_pointer (&self->owner, g_free);
  g_clear_handle_id (&self->refresh_id, g_source_remove);
  g_clear_handle_id (&self->watch_id, g_bus_unwatch_name);
  if (!self->connection)
    return;
  g_signal_handlers_disconnect_by_data (self->connection, self);
  g_dbus_connection_signal_unsubscribe (self->connection, self->signal_id);
  g_clear_object (&self->connection);
}

static void
on_closed (GDBusConnection *connection, gboolean vanished, GError *error, gpointer data)
{
  PcdTopLink *self = data;

  drop (self);
  tell_lost (self, _ ("the bus went away"), NULL);
  if (!self->retry_id)
    self->retry_id = g_timeout_add (RETRY_MSEC, on_retry, self);
}

static void
use (PcdTopLink *self, GDBusConnection *connection)
{
  self->connection = connection;
  g_dbus_connection_set_exit_on_close (connection, FALSE);
  g_signal_connect (connection, "closed", G_CALLBACK (on_closed), self);
  self->signal_id =
      g_dbus_connection_signal_subscribe (connection, PCD_BUS_NAME, NULL, NULL, NULL, NULL,
                                          G_DBUS_SIGNAL_FLAGS_NONE, on_signal, self, NULL);
  self->watch_id =
      g_bus_watch_name_on_connection (connection, PCD_BUS_NAME, G_BUS_NAME_WATCHER_FLAGS_NONE,
                                      on_appeared, on_vanished, self, NULL);
}

static void
on_connected (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree Attempt *attempt = data;
  GDBusConnection *connection = g_dbus_connection_new_for_address_finish (result, &error);
  PcdTopLink *self = attempt->link;

  g_clear_handle_id (&attempt->timeout_id, g_source_remove);
  g_object_unref (attempt->cancellable);
  if (!self) {
    g_clear_object (&connection);
    return;
  }
  self->attempt = NULL;
  if (connection) {
    use (self, connection);
    return;
  }
  tell_lost (self, _ ("no bus"), error);
  self->retry_id = g_timeout_add (RETRY_MSEC, on_retry, self);
}

/* A bus may accept, and say nothing. */
static gboolean
on_attempt_timeout (gpointer data)
{
  Attempt *attempt = data;

  attempt->timeout_id = 0;
  g_cancellable_cancel (attempt->cancellable);
  return G_SOURCE_REMOVE;
}

static void
start_connecting (PcdTopLink *self)
{
  Attempt *attempt = g_new0 (Attempt, 1);

  attempt->link = self;
  attempt->cancellable = g_cancellable_new ();
  attempt->timeout_id = g_timeout_add (DEADLINE_MSEC, on_attempt_timeout, attempt);
  self->attempt = attempt;
  g_dbus_connection_new_for_address (self->address,
                                     G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                         G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                     NULL, attempt->cancellable, on_connected, attempt);
}

PcdTopLink *
pcd_top_link_new (const char *address, const PcdTopLinkUser *user, gpointer data)
{
  PcdTopLink *self = g_new0 (PcdTopLink, 1);

  (void)pcd_bus_error_quark ();
  self->address = g_strdup (address);
  self->user = user;
  self->data = data;
  self->cancellable = g_cancellable_new ();
  start_connecting (self);
  return self;
}

void
pcd_top_link_free (PcdTopLink *self)
{
  if (!self)
    return;
  if (self->attempt) {
    self->attempt->link = NULL;
    g_cancellable_cancel (self->attempt->cancellable);
  }
  g_cancellable_cancel (self->cancellable);
  g_clear_handle_id (&self->retry_id, g_source_remove);
  drop (self);
  g_clear_pointer (&self->objects, g_variant_unref);
  g_object_unref (self->cancellable);
  g_free (self->address);
  g_free (self);
}

/* ---- asking about one ---- */

typedef struct {
  PcdClientAnswer answer;
  gpointer data;
  GDestroyNotify data_free;
} Question;

static void
on_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autofree Question *question = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply =
      g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);

  if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    question->answer (reply, error, question->data);
  question->data_free (question->data);
}

gboolean
pcd_top_link_ask (PcdTopLink *self,
                  const char *path,
                  const char *method,
                  GVariant *arguments,
                  const char *reply_type,
                  int timeout_msec,
                  PcdClientAnswer answer,
                  gpointer data,
                  GDestroyNotify data_free)
{
  if (!self->owner) {
    if (arguments)
      g_variant_unref (g_variant_ref_sink (arguments));
    data_free (data);
    return FALSE;
  }
  Question *question = g_new0 (Question, 1);
  *question = (Question){ answer, data, data_free };
  g_dbus_connection_call (self->connection, self->owner, path, "org.postcopyd.Migration1", method,
                          arguments, G_VARIANT_TYPE (reply_type),
                          G_DBUS_CALL_FLAGS_NO_AUTO_START |
                              G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION,
                          timeout_msec, self->cancellable, on_answer, question);
  return TRUE;
}
