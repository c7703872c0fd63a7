/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/pcd-left.h"

#include "host/pcd-freezer.h"
#include "host/pcd-process.h"

typedef struct {
  PcdOpenIncident *incident;
  PcdLeftCallback callback;
  gpointer data;
} Look;

static void
look_free (gpointer data)
{
  Look *look = data;

  pcd_open_incident_free (look->incident);
  g_free (look);
}

static void
look_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  const PcdOpenIncident *incident = ((const Look *)data)->incident;
  const gboolean stopped =
      incident->same_boot && g_hash_table_contains (incident->flags, "stopped");
  const pid_t pid = pcd_process_find_qemu (incident->uuid, incident->name, NULL, NULL);

  g_task_return_int (task, pid > 0 && (stopped || pcd_freezer_holds (pid)) ? pid : 0);
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer data)
{
  Look *look = g_task_get_task_data (G_TASK (result));
  const gssize pid = g_task_propagate_int (G_TASK (result), NULL);

  if (pid >= 0) /* else cancelled */
    look->callback (look->incident, (pid_t)pid, look->data);
}

void
pcd_left_look (PcdOpenIncident *incident,
               GCancellable *cancellable,
               PcdLeftCallback callback,
               gpointer data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, on_looked, NULL);
  Look *look = g_new0 (Look, 1);

  look->incident = incident;
  look->callback = callback;
  look->data = data;
  g_task_set_task_data (task, look, look_free);
  g_task_run_in_thread (task, look_in_thread);
}
