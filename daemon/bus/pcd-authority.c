/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bus knows the uid, polkit the rules. Everything unclear is a no. */
#include "bus/pcd-authority.h"

#include "bus/pcd-bus-error.h"

#define ANSWER_MSEC 5000
/* A person may have to find the password. */
#define INTERACTIVE_MSEC (2 * 60 * 1000)

/* PolkitCheckAuthorizationFlags */
#define ALLOW_USER_INTERACTION 1u

typedef struct {
  GDBusMethodInvocation *invocation;
  const char *action_id;
  GCancellable *cancellable;
  PcdAuthorityCallback callback;
  gpointer data;
  guint uid;
  gboolean interactive; /* a person may be asked for a password */
} Check;

static void ask_polkit (Check *check, guint flags, int timeout_msec);

static void
end (Check *check, GError *error)
{
  g_autoptr (GError) owned = error;
  g_autofree char *who = error ? NULL : g_strdup_printf ("uid %u", check->uid);

  check->callback (who, owned, check->data);
  g_object_unref (check->invocation);
  g_object_unref (check->cancellable);
  g_free (check);
}

static void
deny (Check *check, const char *why)
{
  end (check,
       g_error_new (
           PCD_BUS_ERROR, PCD_BUS_ERROR_NOT_AUTHORIZED,
           "uid %u may not do this: %s; be root (sudo), or have polkit allow it, see postcopyd(8)",
           check->uid, why));
}

static void
on_checked (GObject *source, GAsyncResult *result, gpointer data)
{
  Check *check = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply =
      g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  gboolean allowed = FALSE, challenge = FALSE;

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    end (check, g_steal_pointer (&error));
    return;
  }
  if (!reply) {
    g_dbus_error_strip_remote_error (error);
    g_autofree char *why = g_strdup_printf ("only root may without polkit (%s)", error->message);
    deny (check, why);
    return;
  }
  g_variant_get (reply, "((bba{ss}))", &allowed, &challenge, NULL);
  if (allowed) {
    end (check, NULL);
    return;
  }
  /* Only now, so that a polkit which hangs is not taken for a person who types slowly. */
  if (challenge && check->interactive) {
    check->interactive = FALSE;
    ask_polkit (check, ALLOW_USER_INTERACTION, INTERACTIVE_MSEC);
    return;
  }
  g_autofree char *why = g_strdup_printf ("polkit says no to %s%s", check->action_id,
                                          challenge ? " without a password" : "");
  deny (check, why);
}

/* The subject is the caller's name on this bus: polkit finds the process behind it itself, which a
 * pid given by us could not do without a race. */
static void
ask_polkit (Check *check, guint flags, int timeout_msec)
{
  GVariantBuilder subject;

  g_variant_builder_init (&subject, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (
      &subject, "{sv}", "name",
      g_variant_new_string (g_dbus_method_invocation_get_sender (check->invocation)));
  g_dbus_connection_call (g_dbus_method_invocation_get_connection (check->invocation),
                          "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority",
                          "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization",
                          g_variant_new ("((sa{sv})sa{ss}us)", "system-bus-name", &subject,
                                         check->action_id, NULL, flags, ""),
                          G_VARIANT_TYPE ("((bba{ss}))"), G_DBUS_CALL_FLAGS_NONE, timeout_msec,
                          check->cancellable, on_checked, check);
}

static void
on_uid (GObject *source, GAsyncResult *result, gpointer data)
{
  Check *check = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply =
      g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    end (check, g_steal_pointer (&error));
    return;
  }
  if (!reply) {
    g_dbus_error_strip_remote_error (error);
    end (check, g_error_new (PCD_BUS_ERROR, PCD_BUS_ERROR_NOT_AUTHORIZED,
                             "the bus does not say who calls: %s", error->message));
    return;
  }
  g_variant_get (reply, "(u)", &check->uid);
  if (check->uid == 0)
    end (check, NULL);
  else
    ask_polkit (check, 0, ANSWER_MSEC);
}

void
pcd_authority_check (GDBusMethodInvocation *invocation,
                     const char *action_id,
                     GCancellable *cancellable,
                     PcdAuthorityCallback callback,
                     gpointer data)
{
  Check *check = g_new0 (Check, 1);

  check->invocation = g_object_ref (invocation);
  check->action_id = action_id;
  check->cancellable = g_object_ref (cancellable);
  check->callback = callback;
  check->data = data;
  check->interactive =
      (g_dbus_message_get_flags (g_dbus_method_invocation_get_message (invocation)) &
       G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION) != 0;
  g_dbus_connection_call (
      g_dbus_method_invocation_get_connection (invocation), "org.freedesktop.DBus",
      "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionUnixUser",
      g_variant_new ("(s)", g_dbus_method_invocation_get_sender (invocation)),
      G_VARIANT_TYPE ("(u)"), G_DBUS_CALL_FLAGS_NONE, ANSWER_MSEC, cancellable, on_uid, check);
}
