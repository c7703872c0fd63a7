/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A loop and not a …_sync (), which a bus that says nothing would hold for ever. */
#include "bus/pcd-connect.h"

typedef struct {
  GMainLoop *loop;
  GDBusConnection *connection;
  GError *error;
} Attempt;

static void
on_connected (GObject *source, GAsyncResult *result, gpointer data)
{
  Attempt *attempt = data;

  attempt->connection = g_dbus_connection_new_for_address_finish (result, &attempt->error);
  g_main_loop_quit (attempt->loop);
}

static gboolean
on_deadline (gpointer data)
{
  g_cancellable_cancel (data);
  return G_SOURCE_CONTINUE;
}

GDBusConnection *
pcd_bus_connect (const char *address, guint deadline_msec, GError **error)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Attempt attempt = { .loop = loop };
  guint deadline_id = g_timeout_add (deadline_msec, on_deadline, cancellable);

  g_dbus_connection_new_for_address (address,
                                     G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                         G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                     NULL, cancellable, on_connected, &attempt);
  g_main_loop_run (loop);
  g_source_remove (deadline_id);
  if (attempt.error)
    g_propagate_error (error, attempt.error);
  return attempt.connection;
}
