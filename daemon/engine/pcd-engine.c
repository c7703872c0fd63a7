/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The loop: table of migrations, what libvirt says. All on the main thread.
 * Decides nothing; what becomes of one migration is pcd-migration.c's business, what operators ask
 * pcd-engine-ask.c's. */
#include "engine/pcd-engine-private.h"

#include "debug/pcd-debug-file.h"
#include "engine/pcd-left.h"
#include "engine/pcd-log.h"
#include "engine/pcd-policy-load.h"
#include "snapshot/pcd-snapshot.h"

#include <gio/gio.h>

/* Whether a guest that we hold after its migration was let go by others. */
#define HELD_LOOK_USEC (10 * G_USEC_PER_SEC)

/* Keeps the record and tells it. @m may be %NULL. */
static void
tell (PcdEngine *engine, PcdMigration *m, PcdRecordKind kind, const char *to, const char *detail)
{
  if (m)
    pcd_migration_tell (m, kind, NULL, to, detail);
  else
    pcd_teller_tell (engine->teller, pcd_teller_compose (engine->teller, kind, NULL, to, detail));
}

/* ---- the table ---- */

PcdMigration *
pcd_engine_find (PcdEngine *engine, const PcdDomainRef *domain)
{
  PcdMigration *ended = NULL;

  for (guint i = engine->migrations->len; i > 0; i--) {
    PcdMigration *m = g_ptr_array_index (engine->migrations, i - 1);

    if (!g_str_equal (pcd_migration_get_uuid (m), domain->uuid) ||
        (domain->role_known && pcd_migration_get_state (m)->role != domain->role))
      continue;
    if (!pcd_migration_has_ended (m))
      return m;
    if (!ended)
      ended = m;
  }
  return ended;
}

static void
drop_migration (PcdEngine *engine, PcdMigration *m)
{
  pcd_teller_removed (engine->teller, pcd_migration_get_uuid (m),
                      pcd_migration_get_state (m)->role);
  g_ptr_array_remove (engine->migrations, m);
}

/* What an earlier daemon left of this very migration. */
static PcdOpenIncident *
steal_left (PcdEngine *engine, const PcdDomainRef *domain)
{
  for (guint i = 0; engine->left && i < engine->left->len; i++) {
    const PcdOpenIncident *incident = g_ptr_array_index (engine->left, i);

    if (g_str_equal (incident->uuid, domain->uuid) && incident->role == domain->role)
      return g_ptr_array_steal_index (engine->left, i);
  }
  return NULL;
}

static PcdMigration *
add_migration (PcdEngine *engine, const PcdDomainRef *domain)
{
  PcdMigration *m = pcd_migration_new (&engine->shared, domain);
  PcdOpenIncident *left;

  g_ptr_array_add (engine->migrations, m);
  if (!engine->env.policies)
    return m;
  left = steal_left (engine, domain);
  pcd_migration_enable_actions (
      m, left, engine->flags ? g_hash_table_lookup (engine->flags, domain->uuid) : NULL,
      g_hash_table_lookup (engine->wishes, domain->uuid));
  if (left)
    pcd_open_incident_free (left);
  return m;
}

static void schedule_expiry (PcdEngine *engine);

/* When the list is looked at again for the sake of @m. A guest that stands still by our doing has
 * nobody else who would know of it. */
static gint64
due_at (PcdEngine *engine, const PcdMigration *m, gint64 now)
{
  return pcd_migration_holds_guest (m)
             ? now + HELD_LOOK_USEC
             : pcd_migration_get_state (m)->phase_since + engine->config.keep_ended_usec;
}

static gboolean
expire (gpointer data)
{
  PcdEngine *engine = data;
  gint64 now = g_get_monotonic_time ();

  engine->expiry = 0;
  for (guint i = engine->migrations->len; i > 0; i--) {
    PcdMigration *m = g_ptr_array_index (engine->migrations, i - 1);

    if (!pcd_migration_has_ended (m))
      continue;
    pcd_migration_look_held (m);
    if (due_at (engine, m, now) <= now)
      drop_migration (engine, m);
  }
  schedule_expiry (engine);
  return G_SOURCE_REMOVE;
}

/* One timer, for the migration that ended first; none while no ended one is listed. */
static void
schedule_expiry (PcdEngine *engine)
{
  gint64 now = g_get_monotonic_time (), first = G_MAXINT64;

  g_clear_handle_id (&engine->expiry, g_source_remove);
  for (guint i = 0; i < engine->migrations->len; i++) {
    const PcdMigration *m = g_ptr_array_index (engine->migrations, i);

    if (pcd_migration_has_ended (m))
      first = MIN (first, due_at (engine, m, now));
  }
  if (first != G_MAXINT64)
    engine->expiry = g_timeout_add (MAX (first - now, 0) / 1000 + 1, expire, engine);
}

static void
on_migration_ended (gpointer data)
{
  schedule_expiry (data);
}

/* ---- news of the network ---- */

static void
on_netnews (gpointer data)
{
  PcdEngine *engine = data;

  for (guint i = 0; i < engine->migrations->len; i++)
    pcd_migration_knock (g_ptr_array_index (engine->migrations, i));
}

static gboolean
knocks_at_a_peer (PcdEngine *engine)
{
  for (guint i = 0; i < engine->migrations->len; i++)
    if (pcd_migration_is_knocking (g_ptr_array_index (engine->migrations, i)))
      return TRUE;
  return FALSE;
}

static void
on_migration_knocks (gpointer data)
{
  PcdEngine *engine = data;

  if (!knocks_at_a_peer (engine))
    g_clear_pointer (&engine->netnews, pcd_netnews_free);
  else if (!engine->netnews)
    engine->netnews = pcd_netnews_new (on_netnews, engine, NULL); /* without it: knocking alone */
}

/* ---- what libvirt says ---- */

static gboolean
is_unknown (const PcdEvent *event)
{
  return (event->kind == PCD_EVENT_QEMU_STATUS && event->status == PCD_QEMU_UNKNOWN) ||
         (event->kind == PCD_EVENT_LIFECYCLE && event->lifecycle == PCD_LIFECYCLE_UNKNOWN) ||
         (event->kind == PCD_EVENT_SEEN && event->seen == PCD_SEEN_UNKNOWN);
}

/* DESIGN 5.6: log, resync, do nothing else. Once per word: the resync may bring the same again. */
static void
on_unknown (PcdEngine *engine, const PcdDomainRef *domain, PcdMigration *m, const char *raw)
{
  if (m && !pcd_migration_note_unknown (m, raw))
    return;
  tell (engine, m, PCD_RECORD_UNKNOWN, NULL, raw);
  if (m)
    pcd_source_resync (engine->source, domain->uuid);
}

static void
on_source_event (const PcdDomainRef *domain, const PcdEvent *event, const char *raw, gpointer data)
{
  PcdEngine *engine = data;
  PcdMigration *m = pcd_engine_find (engine, domain);

  if (is_unknown (event)) {
    on_unknown (engine, domain, m, raw);
    return;
  }
  if (pcd_machine_starts_migration (m ? pcd_migration_get_state (m) : NULL, event,
                                    g_get_monotonic_time ())) {
    /* QEMU's MIGRATION event does not say which side this is, nor even that it is a migration and
     * not a save or a dump: ask, the answer starts the record. */
    if (!domain->role_known) {
      pcd_source_resync (engine->source, domain->uuid);
      return;
    }
    if (m)
      drop_migration (engine, m);
    m = add_migration (engine, domain);
  }
  if (m)
    pcd_migration_apply (m, event);
}

static void
on_source_connection (gboolean connected, const char *reason, gpointer data)
{
  PcdEngine *engine = data;
  gboolean news = connected != engine->connected || !engine->connection_reason;

  if (news)
    engine->connection_time = g_get_real_time ();
  engine->connected = connected;
  g_free (engine->connection_reason);
  engine->connection_reason = g_strdup (reason ? reason : "");
  if (news)
    tell (engine, NULL, PCD_RECORD_LIBVIRT, connected ? "connected" : "disconnected", reason);
  pcd_teller_connection (engine->teller, connected);
}

static void
end_left (PcdEngine *engine, const PcdOpenIncident *incident)
{
  pcd_journal_end_incident (engine->env.journal, incident->id, "ended while postcopyd was away",
                            g_get_real_time ());
}

/* A guest that an earlier daemon left held still can be let go by us only: it is listed again. */
static void
on_left_looked (const PcdOpenIncident *incident, pid_t pid, gpointer data)
{
  PcdEngine *engine = data;
  const PcdDomainRef domain = {
    .uuid = incident->uuid,
    .name = incident->name,
    .role_known = TRUE,
    .role = incident->role,
  };

  if (pid <= 0 || pcd_engine_find (engine, &domain)) {
    end_left (engine, incident);
    return;
  }
  PcdMigration *m = pcd_migration_new (&engine->shared, &domain);
  g_ptr_array_add (engine->migrations, m);
  pcd_migration_enable_actions (m, incident, NULL,
                                g_hash_table_lookup (engine->wishes, domain.uuid));
  pcd_migration_revive (m, pid);
}

/* The first full resync after a start knows every domain: whatever an earlier daemon was busy with
 * and is not among them has ended meanwhile. */
static void
settle_left (PcdEngine *engine, GHashTable *uuids)
{
  while (engine->left && engine->left->len > 0) {
    PcdOpenIncident *incident = g_ptr_array_steal_index (engine->left, 0);

    if (incident->role == PCD_ROLE_DESTINATION && g_hash_table_contains (uuids, incident->uuid)) {
      pcd_left_look (incident, engine->cancellable, on_left_looked, engine);
      continue;
    }
    end_left (engine, incident);
    pcd_open_incident_free (incident);
  }
  g_clear_pointer (&engine->left, g_ptr_array_unref);
  g_clear_pointer (&engine->flags, g_hash_table_unref);
}

static void
on_source_resynced (GHashTable *uuids, gpointer data)
{
  PcdEngine *engine = data;
  const PcdEvent absent = { .kind = PCD_EVENT_SEEN, .seen = PCD_SEEN_ABSENT };

  for (guint i = 0; i < engine->migrations->len; i++) {
    PcdMigration *m = g_ptr_array_index (engine->migrations, i);

    if (!pcd_migration_has_ended (m) && !g_hash_table_contains (uuids, pcd_migration_get_uuid (m)))
      pcd_migration_apply (m, &absent);
  }
  settle_left (engine, uuids);
}

/* What the domain's metadata wishes for; a tenant may have written it. It comes before the answer
 * that begins a migration, so it is kept by UUID. */
static void
on_source_metadata (const PcdDomainRef *domain,
                    const char *policy,
                    const char *problem,
                    gpointer data)
{
  PcdEngine *engine = data;
  PcdMigration *m = pcd_engine_find (engine, domain);

  if (problem) {
    tell (engine, m, PCD_RECORD_UNKNOWN, NULL, problem);
    return;
  }
  if (policy)
    g_hash_table_insert (engine->wishes, g_strdup (domain->uuid), g_strdup (policy));
  else
    g_hash_table_remove (engine->wishes, domain->uuid);
  if (m && pcd_migration_get_response (m) && !pcd_migration_has_ended (m))
    pcd_response_set_wish (pcd_migration_get_response (m), policy);
}

static const PcdSourceCallbacks source_callbacks = {
  .event = on_source_event,
  .metadata = on_source_metadata,
  .connection = on_source_connection,
  .resynced = on_source_resynced,
};

/* ---- public ---- */

PcdEngine *
pcd_engine_new (const PcdConfig *config, const char *uri)
{
  PcdEngine *engine = g_new0 (PcdEngine, 1);

  engine->config = pcd_config_copy (config);
  engine->migrations = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_migration_free);
  engine->teller = pcd_teller_new ();
  engine->connection_time = g_get_real_time ();
  engine->uri = g_strdup (uri);
  engine->cancellable = g_cancellable_new ();
  engine->wishes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_queue_init (&engine->env.turns.waiting);
  engine->source = pcd_source_new (uri, &source_callbacks, engine);
  engine->shared = (PcdMigrationEnv){
    .uri = engine->uri,
    .config = &engine->config,
    .source = engine->source,
    .teller = engine->teller,
    .response = &engine->env,
    .ended = on_migration_ended,
    .knocks = on_migration_knocks,
    .data = engine,
  };
  return engine;
}

/* Told when it is configured, and not on the day. */
static void
check_veto (const PcdVetoConfig *veto)
{
  g_autoptr (GError) error = NULL;

  if (!pcd_veto_config_check (veto, &error))
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "MESSAGE_ID", PCD_MESSAGE_VETO_REFUSED,
                      "MESSAGE", "%s; until that is corrected, default = %s holds for it",
                      error->message, veto->deny_unanswered ? "deny" : "allow");
}

static void
use_config (PcdEngine *engine)
{
  engine->env.turns.parallel = engine->config.recover_parallel;
  engine->env.allow_destroy = engine->config.allow_destroy;
  engine->env.veto = engine->config.veto;
  check_veto (engine->env.veto);
  engine->env.matches = pcd_config_matches (&engine->config, &engine->env.n_matches);
}

static gboolean
load_policies (PcdEngine *engine, GError **error)
{
  g_auto (GStrv) directories = pcd_policy_default_directories (engine->policy_dir);
  PcdPolicySet *set = pcd_policy_load_directories ((const char *const *)directories, error);

  if (!set)
    return FALSE;
  g_clear_pointer (&engine->env.policies, pcd_policy_set_unref);
  engine->env.policies = set;
  return TRUE;
}

/* Of a daemon that died while it wrote one. */
static void
sweep_snapshots (const char *state_dir)
{
  guint n = pcd_snapshot_sweep_all (state_dir);

  if (n > 0)
    g_message ("%u unfinished snapshots were removed", n);
}

gboolean
pcd_engine_enable_actions (PcdEngine *engine,
                           const char *state_dir,
                           const char *policy_dir,
                           gboolean dry_run,
                           GError **error)
{
  g_autofree char *notice = NULL;
  g_autoptr (GError) problem = NULL;

  engine->policy_dir = g_strdup (policy_dir);
  /* Without a journal it still watches; nothing is done then, as no intent can be kept (rule 5). */
  engine->env.journal = pcd_journal_open (state_dir, &notice, &problem);
  if (engine->env.journal)
    engine->left = pcd_journal_get_open (engine->env.journal, &problem);
  if (engine->env.journal && !problem)
    engine->flags = pcd_journal_get_flags (engine->env.journal);
  if (problem)
    g_warning ("postcopyd only watches, as it cannot keep a journal: %s", problem->message);
  if (notice)
    g_warning ("%s", notice);
  /* Only one daemon has the journal, and only that one may say what the last one died of. */
  engine->env.turns.plugins = pcd_plugins_new (engine->env.journal ? state_dir : NULL);
  pcd_plugins_load (engine->env.turns.plugins, &engine->config, FALSE);
  if (!load_policies (engine, error))
    return FALSE;
  engine->env.uri = engine->uri;
  engine->state_dir = g_strdup (state_dir);
  engine->env.state_dir = engine->state_dir;
  if (engine->env.journal) {
    sweep_snapshots (state_dir);
    pcd_debug_tidy (state_dir);
  }
  engine->env.dry_run = dry_run;
  use_config (engine);
  return TRUE;
}

void
pcd_engine_free (PcdEngine *engine)
{
  g_clear_handle_id (&engine->expiry, g_source_remove);
  g_cancellable_cancel (engine->cancellable);
  g_clear_object (&engine->cancellable);
  g_clear_pointer (&engine->source, pcd_source_free);
  g_clear_pointer (&engine->netnews, pcd_netnews_free);
  g_ptr_array_unref (engine->migrations);
  g_clear_pointer (&engine->env.journal, pcd_journal_close);
  g_clear_pointer (&engine->env.policies, pcd_policy_set_unref);
  g_clear_pointer (&engine->env.turns.plugins, pcd_plugins_free);
  g_clear_pointer (&engine->left, g_ptr_array_unref);
  g_clear_pointer (&engine->flags, g_hash_table_unref);
  g_hash_table_unref (engine->wishes);
  g_free (engine->uri);
  g_free (engine->state_dir);
  g_free (engine->policy_dir);
  pcd_teller_free (engine->teller);
  g_free (engine->connection_reason);
  pcd_config_clear (&engine->config);
  g_free (engine);
}

void
pcd_engine_add_listener (PcdEngine *engine, const PcdListener *listener, gpointer data)
{
  pcd_teller_add_listener (engine->teller, listener, data);
}

gboolean
pcd_engine_reload_policies (PcdEngine *engine, const PcdConfig *config, GError **error)
{
  pcd_plugins_load (engine->env.turns.plugins, config, TRUE);
  if (!load_policies (engine, error)) {
    pcd_plugins_load (engine->env.turns.plugins, &engine->config, TRUE);
    return FALSE;
  }
  for (guint i = 0; i < engine->migrations->len; i++)
    pcd_migration_reselect (g_ptr_array_index (engine->migrations, i));
  return TRUE;
}

void
pcd_engine_set_config (PcdEngine *engine, const PcdConfig *config)
{
  pcd_config_clear (&engine->config);
  engine->config = pcd_config_copy (config);
  use_config (engine);
  schedule_expiry (engine);
  for (guint i = 0; i < engine->migrations->len; i++)
    pcd_migration_reconfigure (g_ptr_array_index (engine->migrations, i));
}
