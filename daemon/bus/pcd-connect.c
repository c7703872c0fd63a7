/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A loop and not a …_sync (), which a bus that says nothing would hold for ever. */
#include "bus/pcd-connect.h"

typedef struct {
  PcdBusConnected connected;
  gpointer data;
  GCancellable *unwanted; /* the caller's */
  GCancellable *late;     /* of the deadline; GIO knows but this one */
  gulong chain_id;
  guint deadline_id;
} Attempt;

static void
attempt_free (Attempt *attempt)
{
  g_cancellable_disconnect (attempt->unwanted, attempt->chain_id);
  g_clear_handle_id (&attempt->deadline_id, g_source_remove);
  g_object_unref (attempt->unwanted);
  g_object_unref (attempt->late);
  g_free (attempt);
}

static void
on_connected (GObject *source, GAsyncResult *result, gpointer data)
{
  Attempt *attempt = data;
  g_autoptr (GError) error = NULL;
  GDBusConnection *connection = g_dbus_connection_new_for_address_finish (result, &error);

  if (g_cancellable_is_cancelled (attempt->unwanted))
    g_clear_object (&connection);
  else
    attempt->connected (connection, error, attempt->data);
  attempt_free (attempt);
}

static gboolean
on_deadline (gpointer data)
{
  Attempt *attempt = data;

  attempt->deadline_id = 0;
  g_cancellable_cancel (attempt->late);
  return G_SOURCE_REMOVE;
}

static void
on_unwanted (GCancellable *unwanted, gpointer late)
{
  g_cancellable_cancel (late);
}

void
pcd_bus_connect_async (const char *address,
                       guint deadline_msec,
                       GCancellable *cancellable,
                       PcdBusConnected connected,
                       gpointer data)
{
  Attempt *attempt = g_new0 (Attempt, 1);

  attempt->connected = connected;
  attempt->data = data;
  attempt->unwanted = g_object_ref (cancellable);
  attempt->late = g_cancellable_new ();
  attempt->chain_id =
      g_cancellable_connect (cancellable, G_CALLBACK (on_unwanted), attempt->late, NULL);
  attempt->deadline_id = g_timeout_add (deadline_msec, on_deadline, attempt);
  g_dbus_connection_new_for_address (address,
                                     G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                         G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                     NULL, attempt->late, on_connected, attempt);
}

/* ---- and waiting for it ---- */

typedef struct {
  GMainLoop *loop;
  GDBusConnection *connection;
  GError *error;
} Wait;

static void
on_waited (GDBusConnection *connection, const GError *error, gpointer data)
{
  Wait *wait = data;

  wait->connection = connection;
  wait->error = error ? g_error_copy (error) : NULL;
  g_main_loop_quit (wait->loop);
}

GDBusConnection *
pcd_bus_connect (const char *address, guint deadline_msec, GError **error)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GCancellable) never = g_cancellable_new ();
  Wait wait = { .loop = loop };

  pcd_bus_connect_async (address, deadline_msec, never, on_waited, &wait);
  g_main_loop_run (loop);
  if (wait.error)
    g_propagate_error (error, wait.error);
  return wait.connection;
}
