/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kept monitor while it is there, else one of its own, on a main context of its own. */
#include "snapshot/pcd-disk-link.h"

#include "actions/pcd-action-util.h"

#include <errno.h>
#include <gio/gio.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOK_USEC (50 * 1000)
/* A look takes a moment itself, and what it sees may change in any moment. */
#define FRESH_USEC (200 * 1000)

struct _PcdDiskLink {
  pid_t pid;
  int pidfd;
  char *name;
  PcdQmpBlocked blocked; /* when last looked at */
  gint64 looked;
  PcdMonitorKeeper *kept;
  PcdMonitorKeeper *own;
  GMainContext *context;
  GMainLoop *loop;
  GThread *thread;
};

PcdDiskLink *
pcd_disk_link_new (pid_t pid, const char *name, PcdMonitorKeeper *monitor)
{
  PcdDiskLink *self = g_new0 (PcdDiskLink, 1);

  self->pid = pid;
  self->pidfd = (int)syscall (SYS_pidfd_open, pid, 0);
  self->name = g_strdup (name);
  self->kept = monitor ? pcd_monitor_keeper_ref (monitor) : NULL;
  return self;
}

static gboolean
stop_own (gpointer data)
{
  PcdDiskLink *self = data;

  pcd_monitor_keeper_stop (self->own);
  g_main_loop_quit (self->loop);
  return G_SOURCE_REMOVE;
}

void
pcd_disk_link_release (PcdDiskLink *self)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  if (!self->own)
    return;
  g_source_set_callback (source, stop_own, self, NULL);
  g_source_attach (source, self->context);
  g_thread_join (self->thread);
  g_clear_pointer (&self->own, pcd_monitor_keeper_unref);
  g_main_loop_unref (self->loop);
  g_main_context_unref (self->context);
}

void
pcd_disk_link_free (PcdDiskLink *self)
{
  if (!self)
    return;
  pcd_disk_link_release (self);
  g_clear_pointer (&self->kept, pcd_monitor_keeper_unref);
  if (self->pidfd >= 0)
    close (self->pidfd);
  g_free (self->name);
  g_free (self);
}

gboolean
pcd_disk_link_is_alive (const PcdDiskLink *self)
{
  return self->pidfd >= 0 && syscall (SYS_pidfd_send_signal, self->pidfd, 0, NULL, 0) == 0;
}

static gpointer
run_own (gpointer data)
{
  PcdDiskLink *self = data;

  g_main_context_push_thread_default (self->context);
  g_main_loop_run (self->loop);
  /* What was posted last: the end of a search in a thread. */
  while (g_main_context_iteration (self->context, FALSE))
    ;
  g_main_context_pop_thread_default (self->context);
  return NULL;
}

static void
open_own (PcdDiskLink *self)
{
  self->context = g_main_context_new ();
  self->loop = g_main_loop_new (self->context, FALSE);
  g_main_context_push_thread_default (self->context);
  self->own = pcd_monitor_keeper_new (self->pid, self->name, NULL);
  g_main_context_pop_thread_default (self->context);
  self->thread = g_thread_new ("disk-monitor", run_own, self);
}

static PcdMonitorKeeper *
choose (PcdDiskLink *self, gint64 until, GError **error)
{
  g_autofree char *why = NULL;

  if (self->kept && pcd_monitor_keeper_is_ready (self->kept, NULL))
    return self->kept;
  if (!self->own)
    open_own (self);
  while (!pcd_monitor_keeper_is_ready (self->own, NULL) && pcd_disk_link_is_alive (self) &&
         g_get_monotonic_time () < until)
    g_usleep (LOOK_USEC);
  if (pcd_monitor_keeper_is_ready (self->own, &why))
    return self->own;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED, "%s",
               !pcd_disk_link_is_alive (self) ? "QEMU has ended"
               : why                          ? why
                     : "there is no control monitor: libvirt's hook gives QEMU one when it "
                       "comes in by a migration, see 'postcopyctl doctor'");
  return NULL;
}

static const PcdQmpBlocked *
look (PcdDiskLink *self, const char *command)
{
  g_autoptr (PcdThreadReport) threads = NULL;

  if (pcd_qmp_safety (command, NULL) >= PCD_QMP_SAFE)
    return NULL;
  if (self->looked && self->blocked.is_known && self->blocked.others == 0 &&
      g_get_monotonic_time () - self->looked < FRESH_USEC)
    return &self->blocked;
  self->blocked = (PcdQmpBlocked){ .is_known = FALSE };
  threads = pcd_action_look (self->pid, PCD_THREADS_THOROUGH, &self->blocked, NULL, NULL);
  self->looked = g_get_monotonic_time ();
  return &self->blocked;
}

gboolean
pcd_disk_link_may_send (PcdDiskLink *self, const char *command, GError **error)
{
  const PcdQmpBlocked *blocked = look (self, command);
  const char *why = NULL;

  if (!blocked || pcd_qmp_may_send (command, NULL, FALSE, blocked, &why))
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED, "'%s' could hang QEMU: %s", command,
               why);
  return FALSE;
}

JsonNode *
pcd_disk_link_call (
    PcdDiskLink *self, const char *command, JsonObject *arguments, gint64 until, GError **error)
{
  g_autoptr (JsonObject) owned = arguments;
  PcdMonitorKeeper *monitor = choose (self, until, error);

  if (!monitor)
    return NULL;
  return pcd_monitor_keeper_call (monitor, command, owned, PCD_QMP_IN_BAND, look (self, command),
                                  until, error);
}
