/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GDBus calls whose answers nobody gets who does not want them any more. */
#include "ctl/pcd-client-ask.h"

#include "bus/pcd-address.h"
#include "bus/pcd-bus-error.h"

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

  /* Who asked may be gone then. */
  if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    question->answer (reply, error, question->data);
  if (question->data_free)
    question->data_free (question->data);
}

void
pcd_client_aim_ask (const PcdClientAim *aim,
                    const char *path,
                    const char *interface,
                    const char *method,
                    GVariant *arguments,
                    const char *reply_type,
                    int timeout_msec,
                    PcdClientAnswer answer,
                    gpointer data,
                    GDestroyNotify data_free)
{
  Question *question = g_new0 (Question, 1);

  (void)pcd_bus_error_quark ();
  *question = (Question){ answer, data, data_free };
  g_dbus_connection_call (
      aim->connection, aim->owner, path, interface, method, arguments, G_VARIANT_TYPE (reply_type),
      G_DBUS_CALL_FLAGS_NO_AUTO_START | G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION,
      timeout_msec, aim->cancellable, on_answer, question);
}

/* ---- everything ---- */

typedef struct {
  PcdClientAim aim;
  int timeout_msec;
  PcdClientStateAnswer answer;
  gpointer data;
  GVariant *objects; /* half of the answer */
} StateQuestion;

static void
state_question_clear (gpointer data)
{
  StateQuestion *question = data;

  g_object_unref (question->aim.connection);
  g_free ((char *)question->aim.owner);
  g_object_unref (question->aim.cancellable);
  g_clear_pointer (&question->objects, g_variant_unref);
}

static void
state_question_unref (gpointer data)
{
  g_rc_box_release_full (data, state_question_clear);
}

static void
on_manager (GVariant *reply, const GError *error, gpointer data)
{
  StateQuestion *question = data;

  question->answer (reply ? pcd_client_state_parse (reply, question->objects) : NULL, error,
                    question->data);
}

static void
on_objects (GVariant *reply, const GError *error, gpointer data)
{
  StateQuestion *question = data;

  if (!reply) {
    question->answer (NULL, error, question->data);
    return;
  }
  question->objects = g_variant_ref (reply);
  /* The connection to libvirt is asked last: if it was lost in between, the rows are called old. */
  pcd_client_aim_ask (&question->aim, PCD_BUS_PATH, "org.freedesktop.DBus.Properties", "GetAll",
                      g_variant_new ("(s)", "org.postcopyd.Manager1"), "(a{sv})",
                      question->timeout_msec, on_manager, g_rc_box_acquire (question),
                      state_question_unref);
}

void
pcd_client_aim_ask_state (const PcdClientAim *aim,
                          int timeout_msec,
                          PcdClientStateAnswer answer,
                          gpointer data)
{
  StateQuestion *question = g_rc_box_new0 (StateQuestion);

  question->aim.connection = g_object_ref (aim->connection);
  question->aim.owner = g_strdup (aim->owner);
  question->aim.cancellable = g_object_ref (aim->cancellable);
  question->timeout_msec = timeout_msec;
  question->answer = answer;
  question->data = data;
  pcd_client_aim_ask (aim, PCD_BUS_PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects",
                      NULL, "(a{oa{sa{sv}}})", timeout_msec, on_objects, question,
                      state_question_unref);
}
