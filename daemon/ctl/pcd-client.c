/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plain GDBus calls with deadlines; everything about the daemon comes in two of them. */
#include "ctl/pcd-client.h"

#include "bus/pcd-address.h"
#include "bus/pcd-bus-error.h"

#include <string.h>

#define DEADLINE_MSEC 5000

struct _PcdClient {
  GDBusConnection *connection;
  char *owner; /* unique name: a daemon that was replaced is another one */
  char *bus;   /* as the user called it */
  gboolean quiet;
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
  g_printerr ("%s: no answer from postcopyd on the %s: %s\n", g_get_prgname (), self->bus, reason);
}

static void
complain_error (const PcdClient *self, GError *error)
{
  if (g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_NAME_HAS_NO_OWNER) ||
      g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_SERVICE_UNKNOWN)) {
    complain (self, "it is not running there; start it (systemctl start postcopyd), or name its "
                    "bus with --bus");
  } else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT) ||
             g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ||
             g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_NO_REPLY)) {
    complain (self, "it did not answer within 5 s");
  } else {
    g_dbus_error_strip_remote_error (error);
    complain (self, error->message);
  }
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
  GVariant *reply = g_dbus_connection_call_sync (
      self->connection, name, path, interface, method, arguments, G_VARIANT_TYPE (reply_type),
      G_DBUS_CALL_FLAGS_NO_AUTO_START, DEADLINE_MSEC, NULL, &error);

  if (!reply)
    complain_error (self, error);
  return reply;
}

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

/* A bus that accepts and says nothing must not hold us: hence a loop and not a …_sync (). */
static GDBusConnection *
connect_to (const char *address, GError **error)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Attempt attempt = { .loop = loop };
  guint deadline_id = g_timeout_add (DEADLINE_MSEC, on_deadline, cancellable);

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

static char *
call_the_bus (const char *bus)
{
  if (!bus || g_str_equal (bus, "system"))
    return g_strdup ("system bus");
  if (g_str_equal (bus, "session"))
    return g_strdup ("session bus");
  return g_strdup_printf ("bus %s", bus);
}

static PcdClient *
open_client (const PcdCtl *ctl, gboolean quiet, int *ret_exit)
{
  g_autoptr (PcdClient) self = g_new0 (PcdClient, 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *address = pcd_bus_resolve (ctl->bus, &error);

  self->quiet = quiet;
  if (!address) {
    if (!quiet)
      g_printerr ("%s: --bus: %s\n", g_get_prgname (), error->message);
    *ret_exit = PCD_EXIT_USAGE;
    return NULL;
  }
  *ret_exit = PCD_EXIT_NO_DAEMON;
  self->bus = call_the_bus (ctl->bus);
  self->connection = connect_to (address, &error);
  if (!self->connection) {
    complain_error (self, error);
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

static void
socket_free (gpointer data)
{
  PcdClientSocket *s = data;

  g_free (s->local);
  g_free (s->remote);
  g_free (s);
}

static void
migration_free (gpointer data)
{
  PcdClientMigration *migration = data;

  g_free (migration->path);
  g_free (migration->uuid);
  g_free (migration->name);
  g_free (migration->role);
  g_free (migration->phase);
  g_free (migration->flow);
  g_free (migration->cause);
  g_free (migration->qemu_status);
  g_free (migration->note);
  g_free (migration->policy);
  g_free (migration->policy_source);
  g_free (migration->doing);
  g_free (migration->last_action);
  g_free (migration->last_outcome);
  g_free (migration->last_reason);
  g_free (migration->next_action);
  g_ptr_array_unref (migration->sockets);
  g_free (migration);
}

void
pcd_client_state_free (PcdClientState *state)
{
  if (!state)
    return;
  g_free (state->version);
  g_free (state->libvirt_uri);
  g_free (state->connection_reason);
  g_ptr_array_unref (state->migrations);
  g_free (state);
}

/* An older daemon may not have a property: empty then, not a crash. */
static char *
get_string (GVariantDict *dict, const char *name)
{
  char *value = NULL;

  return g_variant_dict_lookup (dict, name, "s", &value) ? value : g_strdup ("");
}

static gboolean
get_boolean (GVariantDict *dict, const char *name)
{
  gboolean value = FALSE;

  g_variant_dict_lookup (dict, name, "b", &value);
  return value;
}

static guint
get_uint (GVariantDict *dict, const char *name)
{
  guint value = 0;

  g_variant_dict_lookup (dict, name, "u", &value);
  return value;
}

static gint64
get_time (GVariantDict *dict, const char *name)
{
  guint64 value = 0;

  g_variant_dict_lookup (dict, name, "t", &value);
  return (gint64)value;
}

static GPtrArray *
get_sockets (GVariantDict *dict)
{
  GPtrArray *sockets = g_ptr_array_new_with_free_func (socket_free);
  g_autoptr (GVariant) array =
      g_variant_dict_lookup_value (dict, "Sockets", G_VARIANT_TYPE ("a(ssbxuu)"));

  for (gsize i = 0; array && i < g_variant_n_children (array); i++) {
    PcdClientSocket *s = g_new0 (PcdClientSocket, 1);
    g_variant_get_child (array, i, "(ssbxuu)", &s->local, &s->remote, &s->armed, &s->heard_usec,
                         &s->unacked, &s->retransmits);
    g_ptr_array_add (sockets, s);
  }
  return sockets;
}

static PcdClientMigration *
parse_migration (const char *path, GVariant *properties)
{
  g_auto (GVariantDict) dict = G_VARIANT_DICT_INIT (properties);
  PcdClientMigration *migration = g_new0 (PcdClientMigration, 1);

  migration->path = g_strdup (path);
  migration->uuid = get_string (&dict, "Uuid");
  migration->name = get_string (&dict, "Name");
  migration->role = get_string (&dict, "Role");
  migration->phase = get_string (&dict, "Phase");
  migration->phase_time = get_time (&dict, "PhaseTime");
  migration->flow = get_string (&dict, "Flow");
  migration->cause = get_string (&dict, "Cause");
  migration->unattended = get_boolean (&dict, "Unattended");
  migration->qemu_status = get_string (&dict, "QemuStatus");
  g_variant_dict_lookup (&dict, "Pid", "i", &migration->pid);
  migration->measured = get_boolean (&dict, "Measured");
  migration->n_vcpus = get_uint (&dict, "Vcpus");
  migration->n_blocked_vcpus = get_uint (&dict, "BlockedVcpus");
  migration->n_blocked_others = get_uint (&dict, "BlockedOthers");
  migration->sockets = get_sockets (&dict);
  migration->note = get_string (&dict, "Note");
  migration->policy = get_string (&dict, "Policy");
  migration->policy_source = get_string (&dict, "PolicySource");
  migration->held = get_boolean (&dict, "Held");
  migration->incident = get_time (&dict, "Incident");
  migration->doing = get_string (&dict, "Doing");
  migration->last_action = get_string (&dict, "LastAction");
  migration->last_outcome = get_string (&dict, "LastOutcome");
  migration->last_reason = get_string (&dict, "LastReason");
  migration->next_action = get_string (&dict, "NextAction");
  migration->next_time = get_time (&dict, "NextTime");
  return migration;
}

static gint
compare_migrations (gconstpointer a, gconstpointer b)
{
  const PcdClientMigration *x = *(gpointer const *)a, *y = *(gpointer const *)b;
  int by_name = strcmp (x->name, y->name);

  return by_name ? by_name : strcmp (x->role, y->role);
}

static GPtrArray *
parse_migrations (GVariant *objects)
{
  GPtrArray *migrations = g_ptr_array_new_with_free_func (migration_free);
  g_autoptr (GVariantIter) iter = NULL;
  GVariant *interfaces = NULL;
  const char *path = NULL;

  g_variant_get (objects, "(a{oa{sa{sv}}})", &iter);
  while (g_variant_iter_loop (iter, "{&o@a{sa{sv}}}", &path, &interfaces)) {
    g_autoptr (GVariant) properties =
        g_variant_lookup_value (interfaces, "org.postcopyd.Migration1", G_VARIANT_TYPE_VARDICT);
    if (properties)
      g_ptr_array_add (migrations, parse_migration (path, properties));
  }
  g_ptr_array_sort (migrations, compare_migrations);
  return migrations;
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
  g_autoptr (GVariant) properties = g_variant_get_child_value (reply, 0);
  g_auto (GVariantDict) dict = G_VARIANT_DICT_INIT (properties);
  PcdClientState *state = g_new0 (PcdClientState, 1);
  state->version = get_string (&dict, "Version");
  state->libvirt_uri = get_string (&dict, "LibvirtUri");
  state->connected = get_boolean (&dict, "Connected");
  state->connection_since = get_time (&dict, "ConnectionSince");
  state->connection_reason = get_string (&dict, "ConnectionReason");
  state->migrations = parse_migrations (objects);
  return state;
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
complain_answer (const PcdClient *self, const char *method, GError *error)
{
  PcdBusError code = error->code;

  if (error->domain != PCD_BUS_ERROR) {
    if (g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_METHOD)) {
      g_printerr ("%s: the migration is gone, or this postcopyd knows no %s\n", g_get_prgname (),
                  method);
      return PCD_EXIT_NOT_FOUND;
    }
    complain_error (self, error);
    return PCD_EXIT_NO_DAEMON;
  }
  g_dbus_error_strip_remote_error (error);
  g_autofree char *text = pcd_text_printable (error->message);
  g_printerr ("%s: %s%s\n", g_get_prgname (), code == PCD_BUS_ERROR_REFUSED ? "refused: " : "",
              text);
  return code == PCD_BUS_ERROR_NOT_FOUND      ? PCD_EXIT_NOT_FOUND
         : code == PCD_BUS_ERROR_BAD_ARGUMENT ? PCD_EXIT_USAGE
                                              : PCD_EXIT_FAILED;
}

int
pcd_client_call (PcdClient *self,
                 const char *path,
                 const char *interface,
                 const char *method,
                 GVariant *arguments,
                 const char *reply_type,
                 int timeout_msec,
                 GVariant **ret_reply)
{
  g_autoptr (GError) error = NULL;

  (void)pcd_bus_error_quark ();
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      self->connection, self->owner, path, interface, method, arguments,
      G_VARIANT_TYPE (reply_type),
      G_DBUS_CALL_FLAGS_NO_AUTO_START | G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION,
      timeout_msec, NULL, &error);
  if (!reply && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)) {
    g_autofree char *reason =
        g_strdup_printf ("it did not answer within %.3g s", (double)timeout_msec / 1000);
    complain (self, reason);
    return PCD_EXIT_NO_DAEMON;
  }
  if (!reply)
    return complain_answer (self, method, error);
  if (ret_reply)
    *ret_reply = g_steal_pointer (&reply);
  return PCD_EXIT_DONE;
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
  complain (data, "it went away");
  pcd_client_end (data, PCD_EXIT_NO_DAEMON);
}

static void
on_closed (GDBusConnection *connection, gboolean vanished, GError *error, gpointer data)
{
  complain (data, "the bus went away");
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
