/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks may be slow: folders are read and files opened in a thread, the rest is on the main one.
 * Names come from strangers: no path, no symbolic link. */
#include "bus/pcd-hand-out.h"

#include "bus/pcd-authority.h"
#include "bus/pcd-bus-error.h"
#include "snapshot/pcd-snapshot.h"

#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <unistd.h>

struct _PcdHandOut {
  PcdEngine *engine;
  PcdDbusManager1 *manager;
  GCancellable *cancellable;
};

/* From a call's arrival to its answer. Needs no PcdHandOut. */
typedef struct {
  GDBusMethodInvocation *invocation;
  char *folder;   /* where snapshots are */
  char *snapshot; /* NULL: to list them */
  char *part;
} Call;

static void
call_free (gpointer data)
{
  Call *call = data;

  g_object_unref (call->invocation);
  g_free (call->folder);
  g_free (call->snapshot);
  g_free (call->part);
  g_free (call);
}

static void
answer_error (Call *call, const GError *error)
{
  PcdBusError code = PCD_BUS_ERROR_FAILED;

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
    code = PCD_BUS_ERROR_NOT_FOUND;
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT))
    code = PCD_BUS_ERROR_BAD_ARGUMENT;
  g_autofree char *message = g_utf8_make_valid (error->message, -1);
  g_autoptr (GError) told = g_error_new_literal (PCD_BUS_ERROR, code, message);
  g_dbus_method_invocation_return_gerror (call->invocation, told);
}

static void
do_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  const Call *call = data;
  GError *error = NULL;

  if (!call->snapshot) {
    g_task_return_pointer (task, pcd_bundle_list (call->folder), (GDestroyNotify)g_strfreev);
    return;
  }
  int fd = pcd_bundle_open_in (call->folder, call->snapshot, call->part, &error);
  if (fd < 0)
    g_task_return_error (task, error);
  else
    g_task_return_int (task, fd);
}

static void
answer_list (Call *call, GTask *task)
{
  g_auto (GStrv) names = g_task_propagate_pointer (task, NULL);

  g_dbus_method_invocation_return_value (call->invocation, g_variant_new ("(^as)", names));
}

static void
answer_part (Call *call, GTask *task)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
  int fd = (int)g_task_propagate_int (task, &error);
  int handle = fd < 0 ? -1 : g_unix_fd_list_append (list, fd, &error);

  if (fd >= 0)
    close (fd);
  if (handle < 0)
    answer_error (call, error);
  else
    g_dbus_method_invocation_return_value_with_unix_fd_list (call->invocation,
                                                             g_variant_new ("(h)", handle), list);
}

static void
on_done (GObject *source, GAsyncResult *result, gpointer data)
{
  GTask *task = G_TASK (result);
  Call *call = g_task_get_task_data (task);

  if (call->snapshot)
    answer_part (call, task);
  else
    answer_list (call, task);
}

static void
on_authority (const char *who, const GError *error, gpointer data)
{
  Call *call = data;
  g_autoptr (GTask) task = NULL;

  if (!who) {
    if (error->domain == PCD_BUS_ERROR)
      g_dbus_method_invocation_return_gerror (call->invocation, error);
    else
      answer_error (call, error);
    call_free (call);
    return;
  }
  if (call->snapshot)
    g_message ("%s is given %s of snapshot %s", who, call->part, call->snapshot);
  task = g_task_new (NULL, NULL, on_done, NULL);
  g_task_set_task_data (task, call, call_free);
  g_task_run_in_thread (task, do_in_thread);
}

static void
begin (PcdHandOut *self, GDBusMethodInvocation *invocation, const char *snapshot, const char *part)
{
  Call *call = g_new0 (Call, 1);

  call->invocation = g_object_ref (invocation);
  call->folder = pcd_snapshot_home (pcd_engine_get_state_dir (self->engine));
  call->snapshot = g_strdup (snapshot);
  call->part = g_strdup (part);
  pcd_authority_check (invocation, PCD_AUTHORITY_MANAGE, self->cancellable, on_authority, call);
}

static gboolean
on_list_snapshots (PcdDbusManager1 *manager, GDBusMethodInvocation *invocation, gpointer data)
{
  begin (data, invocation, NULL, NULL);
  return TRUE;
}

static gboolean
on_open_snapshot_part (PcdDbusManager1 *manager,
                       GDBusMethodInvocation *invocation,
                       GUnixFDList *fds,
                       const char *snapshot,
                       const char *part,
                       gpointer data)
{
  begin (data, invocation, snapshot, part);
  return TRUE;
}

PcdHandOut *
pcd_hand_out_new (PcdEngine *engine, PcdDbusManager1 *manager)
{
  PcdHandOut *self = g_new0 (PcdHandOut, 1);

  self->engine = engine;
  self->manager = g_object_ref (manager);
  self->cancellable = g_cancellable_new ();
  g_signal_connect (manager, "handle-list-snapshots", G_CALLBACK (on_list_snapshots), self);
  g_signal_connect (manager, "handle-open-snapshot-part", G_CALLBACK (on_open_snapshot_part), self);
  return self;
}

void
pcd_hand_out_free (PcdHandOut *self)
{
  if (!self)
    return;
  g_signal_handlers_disconnect_by_data (self->manager, self);
  g_object_unref (self->manager);
  g_cancellable_cancel (self->cancellable);
  g_object_unref (self->cancellable);
  g_free (self);
}
