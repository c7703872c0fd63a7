/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening a connection: the handshake, with or without a greeting, and whether OOB was agreed on.
 * Must not know what the commands mean. */
#include "qmp/pcd-qmp-private.h"

#include "qmp/pcd-qmp-open.h"

#include <glib-unix.h>

/* QEMU looks once a second whether its pty was opened. If it saw no gap between two clients, it
 * sends no greeting: then ask without one. */
#define UNGREETED_MS 1500

/* Handshake */

static void
handshake_done (PcdQmp *qmp, gboolean has_oob)
{
  g_autoptr (GTask) connecting = g_steal_pointer (&qmp->connecting);

  pcd_qmp_source_clear (&qmp->deadline);
  pcd_qmp_source_clear (&qmp->ungreeted);
  qmp->has_oob = has_oob;
  g_task_return_pointer (connecting, pcd_qmp_ref (qmp), (GDestroyNotify)pcd_qmp_unref);
}

/* Every step of the handshake ends here; its own deadline is the handshake's. */
static void
handshake_step (PcdQmp *qmp,
                const char *command,
                JsonObject *arguments,
                PcdQmpFlags flags,
                GAsyncReadyCallback next)
{
  pcd_qmp_execute_async (qmp, command, arguments, flags, G_MAXINT32, NULL, next, pcd_qmp_ref (qmp));
}

static void
on_probe (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (PcdQmp) qmp = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) value = pcd_qmp_execute_finish (result, &error);

  if (qmp->connecting)
    handshake_done (qmp, value != NULL);
}

/* The connection is past its greeting: whether OOB was agreed on, only a try can tell. */
static void
probe_oob (PcdQmp *qmp)
{
  handshake_step (qmp, "query-yank", NULL, PCD_QMP_OOB, on_probe);
}

static void
on_plain (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (PcdQmp) qmp = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) value = pcd_qmp_execute_finish (result, &error);

  if (value && qmp->connecting)
    handshake_done (qmp, FALSE);
  else if (!value)
    pcd_qmp_fail (qmp, g_steal_pointer (&error));
}

static void on_capabilities (GObject *source, GAsyncResult *result, gpointer data);

void
pcd_qmp_ask_for_oob (PcdQmp *qmp, gboolean want_oob)
{
  g_autoptr (JsonObject) arguments = json_object_new ();
  JsonArray *enable = json_array_new ();

  qmp->has_asked = TRUE;
  if (want_oob)
    json_array_add_string_element (enable, "oob");
  json_object_set_array_member (arguments, "enable", enable);
  handshake_step (qmp, "qmp_capabilities", arguments, PCD_QMP_IN_BAND,
                  want_oob ? on_capabilities : on_plain);
}

static void
on_capabilities (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (PcdQmp) qmp = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) value = pcd_qmp_execute_finish (result, &error);

  if (!qmp->connecting)
    return;
  if (value)
    handshake_done (qmp, TRUE);
  else if (g_error_matches (error, PCD_QMP_ERROR, PCD_QMP_ERROR_REFUSED) &&
           g_str_has_prefix (error->message, "CommandNotFound"))
    probe_oob (qmp);
  else if (g_error_matches (error, PCD_QMP_ERROR, PCD_QMP_ERROR_REFUSED))
    pcd_qmp_ask_for_oob (qmp, FALSE);
  else
    pcd_qmp_fail (qmp, g_steal_pointer (&error));
}

static gboolean
on_ungreeted (gpointer data)
{
  PcdQmp *qmp = data;

  pcd_qmp_source_clear (&qmp->ungreeted);
  if (!qmp->has_asked)
    pcd_qmp_ask_for_oob (qmp, TRUE);
  return G_SOURCE_REMOVE;
}

static gboolean
on_deadline (gpointer data)
{
  g_autoptr (PcdQmp) qmp = pcd_qmp_ref (data);

  if (!qmp->was_greeted && !qmp->is_tty)
    pcd_qmp_fail (qmp,
                  g_error_new (PCD_QMP_ERROR, PCD_QMP_ERROR_BUSY,
                               "another client holds the control monitor: it sent no greeting"));
  else
    pcd_qmp_fail (qmp,
                  g_error_new (PCD_QMP_ERROR, PCD_QMP_ERROR_TIMEOUT,
                               "QEMU did not finish the handshake of its control monitor: its main "
                               "loop is busy or hangs"));
  return G_SOURCE_REMOVE;
}

/* Connect */

static gboolean
on_connect_cancelled (GCancellable *cancellable, gpointer data)
{
  g_autoptr (PcdQmp) qmp = pcd_qmp_ref (data);

  pcd_qmp_fail (qmp, g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, "the handshake was cancelled"));
  return G_SOURCE_REMOVE;
}

static void
connect_free (gpointer data)
{
  GPtrArray *keep = data;

  g_source_destroy (keep->pdata[1]);
  g_source_unref (keep->pdata[1]);
  pcd_qmp_unref (keep->pdata[0]);
  g_ptr_array_unref (keep);
}

/* @task's data keeps @qmp alive until the handshake ends. */
static PcdQmp *
begin (GTask *task, int fd, guint deadline_ms, const PcdQmpListener *listener, gpointer user_data)
{
  PcdQmp *qmp = pcd_qmp_new (fd, listener, user_data);
  GSource *cancelled = g_cancellable_source_new (g_task_get_cancellable (task));
  GPtrArray *keep = g_ptr_array_new ();

  g_ptr_array_add (keep, qmp);
  g_ptr_array_add (
      keep, pcd_qmp_source_attach (qmp, cancelled, G_SOURCE_FUNC (on_connect_cancelled), qmp));
  g_task_set_task_data (task, keep, connect_free);
  qmp->connecting = g_object_ref (task);
  qmp->deadline = pcd_qmp_source_attach (qmp, g_timeout_source_new (deadline_ms), on_deadline, qmp);
  return qmp;
}

static GTask *
connect_task (GCancellable *cancellable, GAsyncReadyCallback callback, gpointer data)
{
  GTask *task = g_task_new (NULL, cancellable, callback, data);

  g_task_set_source_tag (task, pcd_qmp_connect_async);
  g_task_set_name (task, "pcd_qmp_connect");
  return task;
}

void
pcd_qmp_connect_async (const char *path,
                       guint deadline_ms,
                       const PcdQmpListener *listener,
                       gpointer user_data,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer callback_data)
{
  g_autoptr (GTask) task = connect_task (cancellable, callback, callback_data);
  g_autoptr (GError) error = NULL;
  int fd = pcd_qmp_open (path, &error);
  PcdQmp *qmp;

  if (fd < 0) {
    g_task_return_error (task, g_steal_pointer (&error));
    return;
  }
  qmp = begin (task, fd, deadline_ms, listener, user_data);
  if (qmp->is_tty)
    qmp->ungreeted =
        pcd_qmp_source_attach (qmp, g_timeout_source_new (UNGREETED_MS), on_ungreeted, qmp);
}

void
pcd_qmp_adopt_async (int fd,
                     guint deadline_ms,
                     const PcdQmpListener *listener,
                     gpointer user_data,
                     GCancellable *cancellable,
                     GAsyncReadyCallback callback,
                     gpointer callback_data)
{
  g_autoptr (GTask) task = connect_task (cancellable, callback, callback_data);
  PcdQmp *qmp;

  g_unix_set_fd_nonblocking (fd, TRUE, NULL);
  qmp = begin (task, fd, deadline_ms, listener, user_data);
  qmp->has_asked = qmp->was_greeted = TRUE;
  probe_oob (qmp);
}

PcdQmp *
pcd_qmp_connect_finish (GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_async_result_is_tagged (result, pcd_qmp_connect_async), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}
