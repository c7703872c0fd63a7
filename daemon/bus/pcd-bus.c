/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Skeletons that live as long as the daemon, and a bus connection under them that need not. */
#include "bus/pcd-bus.h"

#include "bus/pcd-dbus-generated.h"
#include "bus/pcd-hand-out.h"
#include "bus/pcd-operate.h"
#include "bus/pcd-tell-progress.h"
#include "engine/pcd-log.h"

#include <string.h>

/* The three socket figures change with every sample; nobody reads them five times a second. */
#define MEASURE_INTERVAL_USEC ((gint64)G_USEC_PER_SEC)
#define CONNECT_TIMEOUT_SEC   5
#define RETRY_FIRST_MSEC      200
#define RETRY_CEILING_MSEC    10000

#define DBUS_NAME         "org.freedesktop.DBus"
#define DBUS_PATH         "/org/freedesktop/DBus"
#define NAME_DO_NOT_QUEUE 4u
#define NAME_IS_OURS      1u /* DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER */

struct _PcdBus {
  PcdEngine *engine;
  char *address;
  const PcdBusCallbacks *callbacks;
  gpointer data;
  PcdDbusManager1 *manager;
  GDBusObjectManagerServer *objects;
  GHashTable *migrations; /* object path -> Migration */
  PcdOperate *operate;
  PcdHandOut *hand_out;
  GDBusConnection *connection;
  GCancellable *attempt; /* set while an attempt to get onto the bus is under way */
  guint attempt_timeout_id;
  guint retry_id;
  guint retry_msec;
  guint name_lost_id;
  gboolean settled;
  gboolean lost_told;
};

typedef struct {
  PcdDbusMigration1 *skeleton;
  char *ends; /* the sockets without their figures */
  PcdPhase phase;
  PcdFlow flow;
  gint64 measured_at;
} Migration;

static void start_attempt (PcdBus *self);

static void
migration_free (gpointer data)
{
  Migration *migration = data;

  g_object_unref (migration->skeleton);
  g_free (migration->ends);
  g_free (migration);
}

/* D-Bus strings are UTF-8 or the connection is closed. */
static char *
valid (const char *text)
{
  return g_utf8_make_valid (text ?: "", -1);
}

static char *
describe_ends (const GPtrArray *sockets)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; sockets && i < sockets->len; i++) {
    const PcdSocketView *s = g_ptr_array_index (sockets, i);
    g_string_append_printf (text, "%s %s %d\n", s->local, s->remote, s->armed);
  }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static GVariant *
sockets_to_variant (const GPtrArray *sockets)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(ssbxuu)"));
  for (guint i = 0; sockets && i < sockets->len; i++) {
    const PcdSocketView *s = g_ptr_array_index (sockets, i);
    g_autofree char *local = valid (s->local), *remote = valid (s->remote);
    g_variant_builder_add (&builder, "(ssbxuu)", local, remote, s->armed, s->heard_usec, s->unacked,
                           s->retransmits);
  }
  return g_variant_builder_end (&builder);
}

static void
show_sockets (Migration *migration, const PcdMigrationView *view)
{
  g_autofree char *ends = describe_ends (view->sockets);
  gint64 now = g_get_monotonic_time ();
  gboolean news = g_strcmp0 (ends, migration->ends) != 0 || migration->phase != view->state.phase ||
                  migration->flow != view->state.flow;

  if (!news && now - migration->measured_at < MEASURE_INTERVAL_USEC)
    return;
  g_free (migration->ends);
  migration->ends = g_steal_pointer (&ends);
  migration->phase = view->state.phase;
  migration->flow = view->state.flow;
  migration->measured_at = now;
  pcd_dbus_migration1_set_sockets (migration->skeleton, sockets_to_variant (view->sockets));
}

static GVariant *
lost_to_variant (const PcdLost *lost)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(sssttuu)"));
  if (lost) {
    g_autofree char *local = valid (lost->local), *remote = valid (lost->remote),
                    *interface = valid (lost->interface);
    g_variant_builder_add (&builder, "(sssttuu)", local, remote, interface, (guint64)lost->heard,
                           (guint64)lost->acked, lost->unacked, lost->retransmits);
  }
  return g_variant_builder_end (&builder);
}

static GVariant *
vetoes_to_variant (const GArray *vetoes)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(ssstt)"));
  for (guint i = 0; vetoes && i < vetoes->len; i++) {
    const PcdVetoView *veto = &g_array_index (vetoes, PcdVetoView, i);
    g_autofree char *author = valid (veto->author), *reason = valid (veto->reason);

    g_variant_builder_add (&builder, "(ssstt)", veto->action, author, reason, (guint64)veto->since,
                           (guint64)veto->until);
  }
  return g_variant_builder_end (&builder);
}

static void
show_policy (PcdDbusMigration1 *skeleton, const PcdMigrationView *view)
{
  g_autofree char *reason = valid (view->last_reason);

  pcd_dbus_migration1_set_policy (skeleton, view->policy ?: "");
  pcd_dbus_migration1_set_policy_source (skeleton, view->policy_source ?: "");
  pcd_dbus_migration1_set_held (skeleton, view->held);
  pcd_dbus_migration1_set_vetoes (skeleton, vetoes_to_variant (view->vetoes));
  pcd_dbus_migration1_set_incident (skeleton, (guint64)view->incident);
  pcd_dbus_migration1_set_doing (skeleton, view->doing ?: "");
  pcd_dbus_migration1_set_doing_text (skeleton, view->doing_text ?: "");
  pcd_dbus_migration1_set_doing_done (skeleton, view->doing_done);
  pcd_dbus_migration1_set_doing_total (skeleton, view->doing_total);
  pcd_dbus_migration1_set_last_action (skeleton, view->last_action ?: "");
  pcd_dbus_migration1_set_last_outcome (skeleton, view->last_outcome ?: "");
  pcd_dbus_migration1_set_last_reason (skeleton, reason);
  pcd_dbus_migration1_set_next_action (skeleton, view->next_action ?: "");
  pcd_dbus_migration1_set_next_time (skeleton, view->next_action ? (guint64)view->next_time : 0);
}

/* The generated setters tell the bus only of values that differ, once per turn of the loop. */
static void
show_migration (Migration *migration, const PcdMigrationView *view)
{
  PcdDbusMigration1 *skeleton = migration->skeleton;
  g_autofree char *name = valid (view->name), *note = valid (view->note),
                  *detail = valid (view->cause_detail);

  pcd_dbus_migration1_set_uuid (skeleton, view->uuid);
  pcd_dbus_migration1_set_name (skeleton, name);
  pcd_dbus_migration1_set_role (skeleton, pcd_role_to_string (view->state.role));
  pcd_dbus_migration1_set_phase (skeleton, pcd_phase_to_string (view->state.phase));
  pcd_dbus_migration1_set_phase_time (skeleton, (guint64)view->phase_time);
  pcd_dbus_migration1_set_flow (skeleton, pcd_flow_to_string (view->state.flow));
  pcd_dbus_migration1_set_cause (skeleton, pcd_cause_to_string (view->state.cause));
  pcd_dbus_migration1_set_cause_detail (skeleton, detail);
  pcd_dbus_migration1_set_lost_connection (skeleton, lost_to_variant (view->lost));
  pcd_dbus_migration1_set_unattended (skeleton, view->state.unattended);
  pcd_dbus_migration1_set_qemu_status (skeleton, pcd_qemu_status_to_string (view->state.qemu));
  pcd_dbus_migration1_set_pid (skeleton, view->pid);
  pcd_dbus_migration1_set_measured (skeleton, view->measured);
  pcd_dbus_migration1_set_vcpus (skeleton, view->n_vcpus);
  pcd_dbus_migration1_set_blocked_vcpus (skeleton, view->n_blocked_vcpus);
  pcd_dbus_migration1_set_blocked_others (skeleton, view->n_blocked_others);
  pcd_dbus_migration1_set_note (skeleton, note);
  show_policy (skeleton, view);
  show_sockets (migration, view);
}

static void
on_changed (const PcdMigrationView *view, gpointer data)
{
  PcdBus *self = data;
  g_autofree char *path = pcd_bus_migration_path (view->uuid, view->state.role);
  Migration *migration = g_hash_table_lookup (self->migrations, path);

  if (migration) {
    show_migration (migration, view);
    return;
  }
  if (!g_variant_is_object_path (path)) {
    g_warning ("a domain's UUID is not one, so it is not shown on D-Bus: %s", path);
    return;
  }
  /* Filled before it is exported, so that InterfacesAdded already says everything. */
  migration = g_new0 (Migration, 1);
  migration->skeleton = pcd_dbus_migration1_skeleton_new ();
  show_migration (migration, view);
  pcd_operate_migration (self->operate, migration->skeleton, view->uuid, view->state.role);
  pcd_tell_progress_of (migration->skeleton, self->engine, view->uuid, view->state.role);
  g_autoptr (PcdDbusObjectSkeleton) object = pcd_dbus_object_skeleton_new (path);
  pcd_dbus_object_skeleton_set_migration1 (object, migration->skeleton);
  g_dbus_object_manager_server_export (self->objects, G_DBUS_OBJECT_SKELETON (object));
  g_hash_table_insert (self->migrations, g_steal_pointer (&path), migration);
}

static void
on_removed (const char *uuid, PcdRole role, gpointer data)
{
  PcdBus *self = data;
  g_autofree char *path = pcd_bus_migration_path (uuid, role);

  if (g_hash_table_remove (self->migrations, path))
    g_dbus_object_manager_server_unexport (self->objects, path);
}

static void
on_record (const PcdRecord *record, gpointer data)
{
  PcdBus *self = data;
  g_autofree char *json = pcd_record_to_json (record);

  pcd_dbus_manager1_emit_record (self->manager, json);
}

static void
on_connection (gboolean connected, gpointer data)
{
  PcdBus *self = data;
  const char *reason = NULL;
  gint64 since = 0;

  connected = pcd_engine_is_connected (self->engine, &since, &reason);
  g_autofree char *text = valid (connected ? NULL : reason);
  pcd_dbus_manager1_set_connected (self->manager, connected);
  pcd_dbus_manager1_set_connection_since (self->manager, (guint64)since);
  pcd_dbus_manager1_set_connection_reason (self->manager, text);
}

static const PcdListener listener = {
  .changed = on_changed,
  .removed = on_removed,
  .record = on_record,
  .connection = on_connection,
};

static gboolean
on_get_records (PcdDbusManager1 *manager,
                GDBusMethodInvocation *invocation,
                guint64 after,
                gpointer data)
{
  PcdBus *self = data;
  g_autoptr (GPtrArray) records = pcd_engine_get_records (self->engine, after);
  g_autoptr (GStrvBuilder) lines = g_strv_builder_new ();

  for (guint i = 0; i < records->len; i++) {
    g_autofree char *json = pcd_record_to_json (g_ptr_array_index (records, i));
    g_strv_builder_add (lines, json);
  }
  g_auto (GStrv) strv = g_strv_builder_end (lines);
  pcd_dbus_manager1_complete_get_records (manager, invocation, (const char *const *)strv);
  return TRUE;
}

static gboolean
on_get_sinks (PcdDbusManager1 *manager, GDBusMethodInvocation *invocation, gpointer data)
{
  PcdBus *self = data;
  g_auto (GStrv) sinks = self->callbacks->sinks (self->data);

  pcd_dbus_manager1_complete_get_sinks (manager, invocation, (const char *const *)sinks);
  return TRUE;
}

static gboolean
reload (gpointer data, GError **error)
{
  PcdBus *self = data;

  return self->callbacks->reload (self->data, error);
}

static void
settle (PcdBus *self)
{
  if (self->settled)
    return;
  self->settled = TRUE;
  self->callbacks->settled (self->data);
}

/* Takes everything off a connection, which may be closed already. */
static void
leave_bus (PcdBus *self)
{
  if (!self->connection)
    return;
  g_signal_handlers_disconnect_by_data (self->connection, self);
  g_dbus_connection_signal_unsubscribe (self->connection, self->name_lost_id);
  g_dbus_object_manager_server_set_connection (self->objects, NULL);
  g_dbus_interface_skeleton_unexport (G_DBUS_INTERFACE_SKELETON (self->manager));
  g_dbus_connection_close (self->connection, NULL, NULL, NULL);
  g_clear_object (&self->connection);
}

static void
end_attempt (PcdBus *self)
{
  g_clear_handle_id (&self->attempt_timeout_id, g_source_remove);
  g_clear_object (&self->attempt);
}

static gboolean
on_retry (gpointer data)
{
  PcdBus *self = data;

  self->retry_id = 0;
  start_attempt (self);
  return G_SOURCE_REMOVE;
}

static void
retry_later (PcdBus *self, const char *why)
{
  if (!self->lost_told)
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "MESSAGE_ID", PCD_MESSAGE_BUS_LOST,
                      "MESSAGE", "not on D-Bus (%s): %s; trying again", self->address, why);
  self->lost_told = TRUE;
  end_attempt (self);
  leave_bus (self);
  self->retry_id = g_timeout_add (self->retry_msec, on_retry, self);
  self->retry_msec = MIN (self->retry_msec * 2, RETRY_CEILING_MSEC);
  settle (self);
}

static void
refuse (PcdBus *self, const GError *error)
{
  end_attempt (self);
  leave_bus (self);
  settle (self);
  self->callbacks->refused (error, self->data);
}

static void
on_closed (GDBusConnection *connection, gboolean remote_vanished, GError *error, gpointer data)
{
  PcdBus *self = data;

  if (self->attempt)
    g_cancellable_cancel (self->attempt);
  retry_later (self, error ? error->message : "the connection was closed");
}

static void
on_name_lost (GDBusConnection *connection,
              const char *sender,
              const char *path,
              const char *interface,
              const char *signal,
              GVariant *parameters,
              gpointer data)
{
  g_autoptr (GError) error = NULL;
  const char *name = NULL;

  g_variant_get (parameters, "(&s)", &name);
  if (!g_str_equal (name, PCD_BUS_NAME))
    return;
  error = g_error_new (G_DBUS_ERROR, G_DBUS_ERROR_ADDRESS_IN_USE,
                       "the name " PCD_BUS_NAME " was taken away from us");
  refuse (data, error);
}

static void
on_owner_pid (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) call_error = NULL;
  g_autoptr (GVariant) reply =
      g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &call_error);
  guint pid = 0;

  if (g_error_matches (call_error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;
  if (reply)
    g_variant_get (reply, "(u)", &pid);
  g_autofree char *who = pid ? g_strdup_printf ("process %u", pid) : g_strdup ("another process");
  g_autoptr (GError) error =
      g_error_new (G_DBUS_ERROR, G_DBUS_ERROR_ADDRESS_IN_USE,
                   "%s already has the name " PCD_BUS_NAME " on this bus; is another postcopyd "
                   "running?",
                   who);
  refuse (data, error);
}

static void
call_bus (PcdBus *self,
          const char *method,
          GVariant *arguments,
          const char *reply_type,
          GAsyncReadyCallback done)
{
  g_dbus_connection_call (self->connection, DBUS_NAME, DBUS_PATH, DBUS_NAME, method, arguments,
                          G_VARIANT_TYPE (reply_type), G_DBUS_CALL_FLAGS_NONE,
                          CONNECT_TIMEOUT_SEC * 1000, self->attempt, done, self);
}

static void
on_name_requested (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply =
      g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  PcdBus *self = data;
  guint answer = 0;

  if (!reply) {
    if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
      return;
    g_dbus_error_strip_remote_error (error);
    if (g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_ACCESS_DENIED))
      refuse (self, error);
    else
      retry_later (self, error->message);
    return;
  }
  g_variant_get (reply, "(u)", &answer);
  if (answer != NAME_IS_OURS) {
    call_bus (self, "GetConnectionUnixProcessID", g_variant_new ("(s)", PCD_BUS_NAME), "(u)",
              on_owner_pid);
    return;
  }
  end_attempt (self);
  if (self->lost_told)
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, "MESSAGE_ID", PCD_MESSAGE_BUS_FOUND,
                      "MESSAGE", "on D-Bus again (%s)", self->address);
  self->lost_told = FALSE;
  self->retry_msec = RETRY_FIRST_MSEC;
  settle (self);
}

/* Exports first, asks for the name then: who finds the name finds everything behind it. */
static void
join_bus (PcdBus *self)
{
  g_autoptr (GError) error = NULL;

  g_signal_connect (self->connection, "closed", G_CALLBACK (on_closed), self);
  self->name_lost_id = g_dbus_connection_signal_subscribe (
      self->connection, DBUS_NAME, DBUS_NAME, "NameLost", DBUS_PATH, NULL,
      G_DBUS_SIGNAL_FLAGS_NO_MATCH_RULE, on_name_lost, self, NULL);
  if (!g_dbus_interface_skeleton_export (G_DBUS_INTERFACE_SKELETON (self->manager),
                                         self->connection, PCD_BUS_PATH, &error)) {
    retry_later (self, error->message);
    return;
  }
  g_dbus_object_manager_server_set_connection (self->objects, self->connection);
  call_bus (self, "RequestName", g_variant_new ("(su)", PCD_BUS_NAME, NAME_DO_NOT_QUEUE), "(u)",
            on_name_requested);
}

static void
on_connected (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDBusConnection) connection =
      g_dbus_connection_new_for_address_finish (result, &error);
  PcdBus *self = data;

  /* Who cancelled did the rest already, and @self may be gone. */
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;
  if (!connection) {
    retry_later (self, error->message);
    return;
  }
  self->connection = g_steal_pointer (&connection);
  join_bus (self);
}

static gboolean
on_attempt_timeout (gpointer data)
{
  PcdBus *self = data;

  self->attempt_timeout_id = 0;
  g_cancellable_cancel (self->attempt);
  retry_later (self, "no answer in time");
  return G_SOURCE_REMOVE;
}

static void
start_attempt (PcdBus *self)
{
  self->attempt = g_cancellable_new ();
  self->attempt_timeout_id = g_timeout_add_seconds (CONNECT_TIMEOUT_SEC, on_attempt_timeout, self);
  g_dbus_connection_new_for_address (self->address,
                                     G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                         G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                     NULL, self->attempt, on_connected, self);
}

static void
show_first (const PcdMigrationView *view, gpointer data)
{
  on_changed (view, data);
}

PcdBus *
pcd_bus_new (PcdEngine *engine,
             const char *address,
             const char *uri,
             const PcdBusCallbacks *callbacks,
             gpointer data)
{
  PcdBus *self = g_new0 (PcdBus, 1);
  g_autofree char *shown_uri = valid (uri);

  self->engine = engine;
  self->address = g_strdup (address);
  self->callbacks = callbacks;
  self->data = data;
  self->retry_msec = RETRY_FIRST_MSEC;
  self->manager = pcd_dbus_manager1_skeleton_new ();
  self->objects = g_dbus_object_manager_server_new (PCD_BUS_PATH);
  self->migrations = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, migration_free);
  pcd_dbus_manager1_set_version (self->manager, PCD_VERSION);
  pcd_dbus_manager1_set_libvirt_uri (self->manager, shown_uri);
  g_signal_connect (self->manager, "handle-get-records", G_CALLBACK (on_get_records), self);
  g_signal_connect (self->manager, "handle-get-sinks", G_CALLBACK (on_get_sinks), self);
  self->operate = pcd_operate_new (engine, self->manager, self->objects, reload, self);
  self->hand_out = pcd_hand_out_new (engine, self->manager);
  on_connection (FALSE, self);
  pcd_engine_foreach (engine, show_first, self);
  pcd_engine_add_listener (engine, &listener, self);
  start_attempt (self);
  return self;
}

void
pcd_bus_free (PcdBus *self)
{
  if (!self)
    return;
  if (self->attempt)
    g_cancellable_cancel (self->attempt);
  end_attempt (self);
  g_clear_handle_id (&self->retry_id, g_source_remove);
  pcd_operate_free (self->operate);
  pcd_hand_out_free (self->hand_out);
  leave_bus (self);
  g_hash_table_unref (self->migrations);
  g_object_unref (self->objects);
  g_object_unref (self->manager);
  g_free (self->address);
  g_free (self);
}
