/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In place of libvirt: one domain whose migration from here is paused, for as long as it is asked.
 * All else of the daemon that this is linked with is the real one. */
#include "libvirt/pcd-source.h"

#define UUID "11111111-2222-3333-4444-555555555555"

struct _PcdSource {
  const PcdSourceCallbacks *callbacks;
  gpointer data;
  guint idle;
};

static const PcdDomainRef domain = { UUID, "vm1", TRUE, PCD_ROLE_SOURCE };

void
pcd_source_init_event_loop (void)
{
}

static void
tell_paused (PcdSource *source)
{
  const PcdEvent paused = { .kind = PCD_EVENT_QEMU_STATUS, .status = PCD_QEMU_POSTCOPY_PAUSED };

  source->callbacks->event (&domain, &paused, "postcopy-paused", source->data);
}

/* In the order that pcd-source.h promises. */
static gboolean
on_connected (gpointer data)
{
  PcdSource *source = data;
  const PcdEvent seen = { .kind = PCD_EVENT_SEEN, .seen = PCD_SEEN_POSTCOPY };
  g_autoptr (GHashTable) uuids = g_hash_table_new (g_str_hash, g_str_equal);

  source->idle = 0;
  g_hash_table_add (uuids, (gpointer)UUID);
  source->callbacks->event (&domain, &seen, "running", source->data);
  source->callbacks->resynced (uuids, source->data);
  source->callbacks->connection (TRUE, NULL, source->data);
  tell_paused (source);
  return G_SOURCE_REMOVE;
}

static gboolean
on_asked (gpointer data)
{
  PcdSource *source = data;

  source->idle = 0;
  tell_paused (source);
  return G_SOURCE_REMOVE;
}

PcdSource *
pcd_source_new (const char *uri, const PcdSourceCallbacks *callbacks, gpointer data)
{
  PcdSource *source = g_new0 (PcdSource, 1);

  source->callbacks = callbacks;
  source->data = data;
  source->idle = g_idle_add (on_connected, source);
  return source;
}

void
pcd_source_free (PcdSource *source)
{
  g_clear_handle_id (&source->idle, g_source_remove);
  g_free (source);
}

void
pcd_source_query (PcdSource *source, const char *uuid)
{
  if (!source->idle)
    source->idle = g_idle_add (on_asked, source);
}

void
pcd_source_resync (PcdSource *source, const char *uuid)
{
  pcd_source_query (source, uuid);
}
