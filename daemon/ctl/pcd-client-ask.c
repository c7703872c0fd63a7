/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GDBus calls whose answers nobody gets who does not want them any more. */
#include "ctl/pcd-client-ask.h"

#include "bus/pcd-address.h"
#include "bus/pcd-bus-error.h"

typedef struct {
  PcdClientAnswer answer;
  gpointer data;
  GDestroyNotify data_free;
} Waiting;

static void
on_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autofree Waiting *waiting = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply =
      g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);

  /* Who asked may be gone then. */
  if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    waiting->answer (reply, error, waiting->data);
  if (waiting->data_free)
    waiting->data_free (waiting->data);
}

const char *
pcd_client_question_get_interface (const PcdClientQuestion *question)
{
  return question->interface ?: "org.postcopyd.Migration1";
}

void
pcd_client_aim_ask (const PcdClientAim *aim,
                    const PcdClientQuestion *question,
                    PcdClientAnswer answer,
                    gpointer data,
                    GDestroyNotify data_free)
{
  Waiting *waiting = g_new0 (Waiting, 1);

  (void)pcd_bus_error_quark ();
  *waiting = (Waiting){ answer, data, data_free };
  g_dbus_connection_call (
      aim->connection, aim->owner, question->path, pcd_client_question_get_interface (question),
      question->method, question->arguments, G_VARIANT_TYPE (question->reply_type),
      PCD_CLIENT_ASK_FLAGS, question->timeout_msec, aim->cancellable, on_answer, waiting);
}

/* ---- everything ---- */

typedef struct {
  PcdClientAim aim;
  int timeout_msec;
  PcdClientStateAnswer answer;
  gpointer data;
  GVariant *objects; /* half of the answer */
} WaitingState;

static void
state_clear (gpointer data)
{
  WaitingState *self = data;

  g_object_unref (self->aim.connection);
  g_free ((char *)self->aim.owner);
  g_object_unref (self->aim.cancellable);
  g_clear_pointer (&self->objects, g_variant_unref);
}

static void
state_unref (gpointer data)
{
  g_rc_box_release_full (data, state_clear);
}

static void
on_manager (GVariant *reply, const GError *error, gpointer data)
{
  WaitingState *self = data;

  self->answer (reply ? pcd_client_state_parse (reply, self->objects) : NULL, error, self->data);
}

static void
on_objects (GVariant *reply, const GError *error, gpointer data)
{
  WaitingState *self = data;

  if (!reply) {
    self->answer (NULL, error, self->data);
    return;
  }
  self->objects = g_variant_ref (reply);
  /* The connection to libvirt is asked last: if it was lost in between, the rows are called old. */
  const PcdClientQuestion manager = {
    .path = PCD_BUS_PATH,
    .interface = "org.freedesktop.DBus.Properties",
    .method = "GetAll",
    .arguments = g_variant_new ("(s)", "org.postcopyd.Manager1"),
    .reply_type = "(a{sv})",
    .timeout_msec = self->timeout_msec,
  };
  pcd_client_aim_ask (&self->aim, &manager, on_manager, g_rc_box_acquire (self), state_unref);
}

void
pcd_client_aim_ask_state (const PcdClientAim *aim,
                          int timeout_msec,
                          PcdClientStateAnswer answer,
                          gpointer data)
{
  const PcdClientQuestion objects = {
    .path = PCD_BUS_PATH,
    .interface = "org.freedesktop.DBus.ObjectManager",
    .method = "GetManagedObjects",
    .reply_type = "(a{oa{sa{sv}}})",
    .timeout_msec = timeout_msec,
  };
  WaitingState *self = g_rc_box_new0 (WaitingState);

  self->aim.connection = g_object_ref (aim->connection);
  self->aim.owner = g_strdup (aim->owner);
  self->aim.cancellable = g_object_ref (aim->cancellable);
  self->timeout_msec = timeout_msec;
  self->answer = answer;
  self->data = data;
  pcd_client_aim_ask (aim, &objects, on_objects, self, state_unref);
}
