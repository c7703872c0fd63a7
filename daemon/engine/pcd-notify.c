/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sd_notify(3) for a daemon that follows an engine. */
#include "engine/pcd-notify.h"

#include <systemd/sd-daemon.h>

struct _PcdNotify {
  PcdEngine *engine;
  char *uri;
  char *status;
  gboolean ready;
  guint watchdog_id;
};

static void
count_running (const PcdMigrationView *migration, gpointer data)
{
  guint *n = data;

  if (!pcd_phase_has_ended (migration->state.phase))
    (*n)++;
}

/* Measurements change often, the line seldom: only a new line is worth a message. */
static void
update_status (PcdNotify *self)
{
  const char *reason = NULL;
  gint64 since = 0;
  guint n = 0;

  if (!self->ready)
    return;
  pcd_engine_foreach (self->engine, count_running, &n);
  gboolean connected = pcd_engine_is_connected (self->engine, &since, &reason);
  g_autofree char *text = connected
                              ? g_strdup_printf ("%u migration%s, connected to %s", n,
                                                 n == 1 ? "" : "s", self->uri ?: "libvirt")
                              : g_strdup_printf ("not connected to %s: %s", self->uri ?: "libvirt",
                                                 reason ?: "no reason given");
  if (g_strcmp0 (text, self->status) == 0)
    return;
  g_free (self->status);
  self->status = g_steal_pointer (&text);
  g_strdelimit (self->status, "\n", ' ');
  sd_notifyf (FALSE, "STATUS=%s", self->status);
}

static void
on_changed (const PcdMigrationView *migration, gpointer data)
{
  update_status (data);
}

static void
on_removed (const char *uuid, PcdRole role, gpointer data)
{
  update_status (data);
}

static void
on_connection (gboolean connected, gpointer data)
{
  update_status (data);
}

static const PcdListener listener = {
  .changed = on_changed,
  .removed = on_removed,
  .connection = on_connection,
};

static gboolean
feed_watchdog (gpointer data)
{
  sd_notify (FALSE, "WATCHDOG=1");
  return G_SOURCE_CONTINUE;
}

PcdNotify *
pcd_notify_new (PcdEngine *engine, const char *uri)
{
  PcdNotify *self = g_new0 (PcdNotify, 1);
  guint64 usec = 0;

  self->engine = engine;
  self->uri = g_strdup (uri);
  pcd_engine_add_listener (engine, &listener, self);
  /* Half of it, as sd_watchdog_enabled(3) recommends. */
  if (sd_watchdog_enabled (FALSE, &usec) > 0)
    self->watchdog_id = g_timeout_add ((guint)MAX (usec / 2 / 1000, 1), feed_watchdog, NULL);
  return self;
}

void
pcd_notify_free (PcdNotify *self)
{
  if (!self)
    return;
  g_clear_handle_id (&self->watchdog_id, g_source_remove);
  g_free (self->uri);
  g_free (self->status);
  g_free (self);
}

void
pcd_notify_ready (PcdNotify *self)
{
  sd_notify (FALSE, "READY=1");
  self->ready = TRUE;
  update_status (self);
}

void
pcd_notify_reloading (PcdNotify *self)
{
  sd_notifyf (FALSE, "RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT, g_get_monotonic_time ());
}

void
pcd_notify_stopping (PcdNotify *self)
{
  sd_notify (FALSE, "STOPPING=1");
}
