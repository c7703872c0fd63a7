/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What operators ask and order, from the bus: handed to the migration that it is about.
 * Changes nothing of the engine's own. */
#include "engine/pcd-engine-private.h"

#include <gio/gio.h>

/* ---- the daemon ---- */

PcdJournal *
pcd_engine_get_journal (PcdEngine *engine)
{
  return engine->env.journal;
}

PcdPlugins *
pcd_engine_get_plugins (PcdEngine *engine)
{
  return engine->env.turns.plugins;
}

const char *
pcd_engine_get_state_dir (const PcdEngine *engine)
{
  return engine->state_dir;
}

gboolean
pcd_engine_is_connected (PcdEngine *engine, gint64 *ret_since, const char **ret_reason)
{
  if (ret_since)
    *ret_since = engine->connection_time;
  if (ret_reason)
    *ret_reason = engine->connection_reason ? engine->connection_reason : "not tried yet";
  return engine->connected;
}

void
pcd_engine_foreach (PcdEngine *engine,
                    void (*func) (const PcdMigrationView *, gpointer),
                    gpointer data)
{
  for (guint i = 0; i < engine->migrations->len; i++) {
    PcdMigrationView view = pcd_migration_get_view (g_ptr_array_index (engine->migrations, i));

    func (&view, data);
  }
}

GPtrArray *
pcd_engine_get_records (PcdEngine *engine, guint64 after)
{
  return pcd_teller_get_records (engine->teller, after);
}

/* ---- one migration ---- */

static PcdResponse *
find_for_operator (PcdEngine *engine, const char *uuid, PcdRole role, GError **error)
{
  const PcdDomainRef domain = { .uuid = uuid, .role_known = TRUE, .role = role };
  PcdMigration *m = pcd_engine_find (engine, &domain);
  PcdResponse *response = m ? pcd_migration_get_response (m) : NULL;

  if (!m)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "there is no migration of domain %s",
                 uuid);
  else if (!response)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                 "this postcopyd only watches, as it cannot keep a journal; its log says why "
                 "(journalctl -u postcopyd)");
  return response;
}

void
pcd_engine_ask_progress (
    PcdEngine *engine, const char *uuid, PcdRole role, PcdProgressCallback callback, gpointer data)
{
  const PcdDomainRef domain = { .uuid = uuid, .role_known = TRUE, .role = role };
  const PcdProgress unknown = { .rate = -1, .left_usec = -1 };
  PcdMigration *m = pcd_engine_find (engine, &domain);

  if (m)
    pcd_migration_ask_progress (m, callback, data);
  else
    callback (&unknown, "there is no such migration", data);
}

gboolean
pcd_engine_order (PcdEngine *engine,
                  const PcdOrder *order,
                  PcdOrderCallback callback,
                  gpointer data,
                  GError **error)
{
  PcdResponse *response = find_for_operator (engine, order->uuid, order->role, error);

  if (!response)
    return FALSE;
  pcd_response_order (response, order, callback, data);
  return TRUE;
}

gint64
pcd_engine_get_incident (
    PcdEngine *engine, const char *uuid, PcdRole role, const char **ret_state_dir, GError **error)
{
  PcdResponse *response = find_for_operator (engine, uuid, role, error);

  if (!response)
    return -1;
  *ret_state_dir = engine->env.state_dir;
  return pcd_response_get_last_incident (response);
}

gboolean
pcd_engine_hold (PcdEngine *engine,
                 const char *uuid,
                 PcdRole role,
                 gboolean held,
                 const char *who,
                 GError **error)
{
  PcdResponse *response = find_for_operator (engine, uuid, role, error);

  if (!response)
    return FALSE;
  return pcd_response_hold (response, held, who, error);
}

gboolean
pcd_engine_set_policy (PcdEngine *engine,
                       const char *uuid,
                       PcdRole role,
                       const char *name,
                       const char *who,
                       GError **error)
{
  PcdResponse *response = find_for_operator (engine, uuid, role, error);

  return response && pcd_response_set_policy (response, name, who, error);
}
