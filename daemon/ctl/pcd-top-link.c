/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connects, watches the daemon's name, and asks for everything whenever something has changed. How
 * that is done without blocking: pcd-connect.h, pcd-client-ask.h. */
#include "ctl/pcd-top-link.h"

#include "bus/pcd-address.h"
#include "bus/pcd-connect.h"

#include <glib/gi18n.h>

#define DEADLINE_MSEC 5000
#define RETRY_MSEC    1000
#define SETTLE_MSEC   250  /* several signals belong to one change */
#define REST_MSEC     2000 /* at most, between two questions while there are changes to see */

struct _PcdTopLink {
  char *address;
  const PcdTopLinkUser *user;
  gpointer data;
  GDBusConnection *connection;
  char *owner;               /* (nullable): unique name of the daemon */
  GCancellable *cancellable; /* of everything under way */
  guint watch_id;
  guint signal_id;
  guint retry_id;
  guint refresh_id;
  gboolean asking;
  gboolean again; /* something changed meanwhile */
  gint64 asked;
};

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

static PcdClientAim
aim_of (const PcdTopLink *self)
{
  return (PcdClientAim){ self->connection, self->owner, self->cancellable };
}

static void
on_state (PcdClientState *state, const GError *error, gpointer data)
{
  PcdTopLink *self = data;
  const gint64 took = g_get_monotonic_time () - self->asked;

  self->asking = FALSE;
  /* The daemon may have left meanwhile, which was told then. */
  if (!self->owner) {
    g_clear_pointer (&state, pcd_client_state_free);
    return;
  }
  if (!state) {
    tell_lost (self, "postcopyd did not answer", error);
    refresh_in (self, RETRY_MSEC);
    return;
  }
  /* A daemon that is slow to answer is asked for a quarter of its time, but a picture that nobody
   * can act on any more is worse than a busy daemon. */
  if (self->again)
    refresh_in (self, (guint)CLAMP (3 * took / G_TIME_SPAN_MILLISECOND, SETTLE_MSEC, REST_MSEC));
  self->user->state (state, self->data);
}

static void
refresh (PcdTopLink *self)
{
  if (!self->owner || self->asking)
    return;
  const PcdClientAim aim = aim_of (self);
  self->asking = TRUE;
  self->again = FALSE;
  self->asked = g_get_monotonic_time ();
  pcd_client_aim_ask_state (&aim, DEADLINE_MSEC, on_state, self);
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
on_connected (GDBusConnection *connection, const GError *error, gpointer data)
{
  PcdTopLink *self = data;

  if (connection) {
    use (self, connection);
    return;
  }
  tell_lost (self, "no bus", error);
  self->retry_id = g_timeout_add (RETRY_MSEC, on_retry, self);
}

static void
start_connecting (PcdTopLink *self)
{
  pcd_bus_connect_async (self->address, DEADLINE_MSEC, self->cancellable, on_connected, self);
}

PcdTopLink *
pcd_top_link_new (const char *address, const PcdTopLinkUser *user, gpointer data)
{
  PcdTopLink *self = g_new0 (PcdTopLink, 1);

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
  g_cancellable_cancel (self->cancellable);
  g_clear_handle_id (&self->retry_id, g_source_remove);
  drop (self);
  g_object_unref (self->cancellable);
  g_free (self->address);
  g_free (self);
}

gboolean
pcd_top_link_ask (PcdTopLink *self,
                  const PcdClientQuestion *question,
                  PcdClientAnswer answer,
                  gpointer data,
                  GDestroyNotify data_free)
{
  if (!self->owner) {
    if (question->arguments)
      g_variant_unref (g_variant_ref_sink (question->arguments));
    data_free (data);
    return FALSE;
  }
  const PcdClientAim aim = aim_of (self);
  pcd_client_aim_ask (&aim, question, answer, data, data_free);
  return TRUE;
}
