/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The thread gets a copy of what it needs, for the state may be replaced meanwhile. */
#include "ctl/pcd-top-look.h"

#include "host/pcd-process.h"

#include <gio/gio.h>
#include <glib/gi18n.h>

typedef struct {
  const PcdCtl *ctl;
  char *path;
  PcdClientMigration migration; /* only what is looked at */
  gboolean threads;
  PcdTopLooked looked;
  gpointer data;
} Look;

void
pcd_top_seen_free (PcdTopSeen *seen)
{
  if (!seen)
    return;
  g_free (seen->path);
  pcd_show_look_clear (&seen->look);
  g_clear_pointer (&seen->report, pcd_thread_report_free);
  g_free (seen->problem);
  g_free (seen);
}

static void
look_free (gpointer data)
{
  Look *self = data;

  g_free (self->path);
  g_ptr_array_unref (self->migration.sockets);
  g_free (self);
}

static void
socket_free (gpointer data)
{
  PcdClientSocket *socket = data;

  g_free (socket->local);
  g_free (socket);
}

static PcdThreadReport *
read_threads (int pid, char **ret_problem)
{
  g_autoptr (GError) error = NULL;
  PcdThreadReport *report = NULL;

  if (pid <= 0)
    *ret_problem = g_strdup (_ ("it has no process"));
  else if (pcd_process_check_qemu (pid, &error))
    report = pcd_threads_read (pid, PCD_THREADS_THOROUGH, &error);
  if (error)
    *ret_problem = g_strdup (error->message);
  return report;
}

static void
look (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  const Look *self = data;
  PcdTopSeen *seen = g_new0 (PcdTopSeen, 1);

  seen->path = g_strdup (self->path);
  if (self->threads)
    seen->report = read_threads (self->migration.pid, &seen->problem);
  else
    seen->has_look = pcd_look (self->ctl, &self->migration, &seen->look);
  seen->time = g_get_real_time ();
  g_task_return_pointer (task, seen, (GDestroyNotify)pcd_top_seen_free);
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer data)
{
  const Look *self = g_task_get_task_data (G_TASK (result));

  self->looked (g_task_propagate_pointer (G_TASK (result), NULL), self->data);
}

void
pcd_top_look (const PcdCtl *ctl,
              const PcdClientMigration *migration,
              gboolean threads,
              PcdTopLooked looked,
              gpointer data)
{
  Look *self = g_new0 (Look, 1);
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_looked, NULL);

  *self = (Look){ .ctl = ctl,
                  .path = g_strdup (migration->path),
                  .threads = threads,
                  .looked = looked,
                  .data = data };
  self->migration.pid = migration->pid;
  self->migration.n_blocked_vcpus = migration->n_blocked_vcpus;
  self->migration.n_blocked_others = migration->n_blocked_others;
  self->migration.sockets = g_ptr_array_new_with_free_func (socket_free);
  for (guint i = 0; i < migration->sockets->len; i++) {
    PcdClientSocket *socket = g_new0 (PcdClientSocket, 1);
    socket->local =
        g_strdup (((const PcdClientSocket *)g_ptr_array_index (migration->sockets, i))->local);
    g_ptr_array_add (self->migration.sockets, socket);
  }
  g_task_set_task_data (task, self, look_free);
  g_task_run_in_thread (task, look);
}
