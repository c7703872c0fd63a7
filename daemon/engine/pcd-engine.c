/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The loop: table of migrations, reducer, effects, listeners. All on the main thread.
 * Decides nothing: what an event means is core's business. */
#include "engine/pcd-engine.h"

#include "engine/pcd-policy-load.h"
#include "engine/pcd-response.h"
#include "engine/pcd-watch.h"
#include "host/pcd-netnews.h"
#include "libvirt/pcd-peer.h"
#include "libvirt/pcd-source.h"
#include "qmp/pcd-monitor-keeper.h"

#include <string.h>

#define KEEP_RECORDS 1000

#define PEER_FLAG "peer"

typedef struct {
  PcdEngine *engine; /* (unowned) */
  char *uuid;
  char *name;
  PcdState state;
  gint64 phase_time;
  PcdWatch *watch;
  PcdMeasure *measure;
  PcdMonitorKeeper *monitor; /* kept from the start of postcopy on: see its header */
  PcdResponse *response;     /* NULL while actions are not enabled */
  gint pid;                  /* of QEMU when it was last seen, 0 before */
  char *peer_address;        /* of the last connection, without port */
  PcdPeerWatch *peer_watch;  /* while a source is paused */
  PcdFact peer_answers;
  char *evidence;     /* the last thing that was noteworthy about the connection */
  char *last_unknown; /* told once, resynced once: an answer that is unknown again must not loop */
} Migration;

typedef struct {
  const PcdListener *listener;
  gpointer data;
} Follower;

struct _PcdEngine {
  PcdConfig config;
  PcdSource *source;
  GPtrArray *migrations; /* (element-type Migration): in the order in which they began */
  GArray *followers;
  GQueue records;
  guint64 seq;
  gboolean connected;
  gint64 connection_time;
  char *connection_reason;
  guint expiry;
  GHashTable *wishes;  /* utf8 UUID -> utf8 policy: metadata that was read before its migration */
  PcdNetnews *netnews; /* while a peer is watched */
  PcdResponseEnv env;  /* no policies while actions are not enabled */
  char *uri;
  char *policy_dir;
  GHashTable *flags; /* utf8 -> (utf8 -> utf8): what an earlier daemon knew; NULL once used */
  GPtrArray *left; /* (element-type PcdOpenIncident): what an earlier daemon left; NULL once told */
};

/* ---- telling ---- */

static PcdMigrationView
view_of (const Migration *m)
{
  PcdMigrationView view = {
    .uuid = m->uuid,
    .name = m->name,
    .state = m->state,
    .phase_time = m->phase_time,
  };

  if (m->measure) {
    view.measured = TRUE;
    view.pid = m->measure->pid;
    view.n_vcpus = m->measure->n_vcpus;
    view.n_blocked_vcpus = m->measure->n_blocked_vcpus;
    view.n_blocked_others = m->measure->n_blocked_others;
    view.sockets = m->measure->sockets;
    view.note = m->measure->note;
  }
  if (m->response)
    pcd_response_fill_view (m->response, &view);
  return view;
}

static void
notify_changed (Migration *m)
{
  PcdMigrationView view = view_of (m);

  for (guint i = 0; i < m->engine->followers->len; i++) {
    Follower *follower = &g_array_index (m->engine->followers, Follower, i);

    if (follower->listener->changed)
      follower->listener->changed (&view, follower->data);
  }
}

/* Keeps the record and tells it. @m may be %NULL. */
static void
tell (PcdEngine *engine,
      const Migration *m,
      PcdRecordKind kind,
      const char *from,
      const char *to,
      const char *detail)
{
  PcdRecord *record = g_new0 (PcdRecord, 1);

  record->seq = ++engine->seq;
  record->time = g_get_real_time ();
  record->monotonic = g_get_monotonic_time ();
  record->kind = kind;
  if (m) {
    record->uuid = g_strdup (m->uuid);
    record->domain = g_strdup (m->name);
    record->role = m->state.role;
  }
  record->from = g_strdup (from);
  record->to = g_strdup (to);
  record->detail = g_strdup (detail);
  g_queue_push_tail (&engine->records, record);
  if (m && m->response && pcd_response_get_incident (m->response))
    pcd_journal_add_record (engine->env.journal, pcd_response_get_incident (m->response), record);
  if (engine->records.length > KEEP_RECORDS)
    pcd_record_free (g_queue_pop_head (&engine->records));

  for (guint i = 0; i < engine->followers->len; i++) {
    Follower *follower = &g_array_index (engine->followers, Follower, i);

    if (follower->listener->record)
      follower->listener->record (record, follower->data);
  }
}

static void
tell_changes (Migration *m, const PcdState *before)
{
  const PcdState *after = &m->state;
  const char *evidence = m->evidence;
  const gboolean flows = after->flow == PCD_FLOW_FLOWING;

  if (after->phase != before->phase)
    tell (m->engine, m, PCD_RECORD_PHASE, pcd_phase_to_string (before->phase),
          pcd_phase_to_string (after->phase), NULL);
  if (after->cause != before->cause && after->cause != PCD_CAUSE_NONE)
    tell (m->engine, m, PCD_RECORD_CAUSE, pcd_cause_to_string (before->cause),
          pcd_cause_to_string (after->cause), evidence);
  if (after->flow != before->flow && after->flow != PCD_FLOW_NONE)
    tell (m->engine, m, PCD_RECORD_FLOW, pcd_flow_to_string (before->flow),
          pcd_flow_to_string (after->flow), flows ? NULL : evidence);
  if (after->unattended != before->unattended)
    tell (m->engine, m, PCD_RECORD_UNATTENDED, before->unattended ? "yes" : "no",
          after->unattended ? "yes" : "no",
          after->unattended ? "libvirt lost its peer and reports failure; QEMU goes on" : NULL);
}

/* ---- the table ---- */

static void
migration_free (Migration *m)
{
  g_clear_pointer (&m->response, pcd_response_free);
  g_clear_pointer (&m->peer_watch, pcd_peer_watch_free);
  g_clear_pointer (&m->watch, pcd_watch_stop);
  g_clear_pointer (&m->measure, pcd_measure_free);
  if (m->monitor)
    pcd_monitor_keeper_stop (m->monitor);
  g_clear_pointer (&m->monitor, pcd_monitor_keeper_unref);
  g_free (m->peer_address);
  g_free (m->uuid);
  g_free (m->name);
  g_free (m->evidence);
  g_free (m->last_unknown);
  g_free (m);
}

/* The migration that an event is about: that of the same role, or, where the role is not known, the
 * one that has not ended; an ended one serves only if there is no other. */
static Migration *
find_migration (PcdEngine *engine, const PcdDomainRef *domain)
{
  Migration *ended = NULL;

  for (guint i = engine->migrations->len; i > 0; i--) {
    Migration *m = g_ptr_array_index (engine->migrations, i - 1);

    if (!g_str_equal (m->uuid, domain->uuid) ||
        (domain->role_known && m->state.role != domain->role))
      continue;
    if (!pcd_phase_has_ended (m->state.phase))
      return m;
    if (!ended)
      ended = m;
  }
  return ended;
}

static void
drop_migration (PcdEngine *engine, Migration *m)
{
  for (guint i = 0; i < engine->followers->len; i++) {
    Follower *follower = &g_array_index (engine->followers, Follower, i);

    if (follower->listener->removed)
      follower->listener->removed (m->uuid, m->state.role, follower->data);
  }
  g_ptr_array_remove (engine->migrations, m);
}

static void
on_response_tell (
    PcdRecordKind kind, const char *from, const char *to, const char *detail, gpointer data)
{
  Migration *m = data;

  tell (m->engine, m, kind, from, to, detail);
}

static void
on_response_changed (gpointer data)
{
  notify_changed (data);
}

static void
fill_request (PcdRequest *request, const char *way, gpointer data)
{
  Migration *m = data;
  const gboolean is_uri = way && strstr (way, "://");

  request->pid = m->pid;
  request->peer_address = m->peer_address;
  request->host.monitor = m->monitor;
  request->host.phase_since_usec = m->state.phase_since;
  /* Where there is no route, the action says so. */
  request->host.peers = pcd_peers_routes (m->engine->config.peers, m->peer_address,
                                          is_uri ? NULL : way, is_uri ? way : NULL, NULL);
  if (request->host.peers)
    request->host.peer_uri =
        ((const PcdRoute *)g_ptr_array_index (request->host.peers, 0))->libvirt_uri;
}

static const PcdResponseCallbacks response_callbacks = {
  .tell = on_response_tell,
  .changed = on_response_changed,
  .fill = fill_request,
};

/* What an earlier daemon left of this very migration. */
static PcdOpenIncident *
steal_left (PcdEngine *engine, const Migration *m)
{
  for (guint i = 0; engine->left && i < engine->left->len; i++) {
    const PcdOpenIncident *incident = g_ptr_array_index (engine->left, i);

    if (g_str_equal (incident->uuid, m->uuid) && incident->role == m->state.role)
      return g_ptr_array_steal_index (engine->left, i);
  }
  return NULL;
}

static void
add_response (Migration *m)
{
  PcdOpenIncident *left = steal_left (m->engine, m);

  m->response = pcd_response_new (&m->engine->env, m->uuid, m->name, m->state.role, left,
                                  &response_callbacks, m);
  if (left)
    pcd_open_incident_free (left);
  pcd_response_set_wish (m->response, g_hash_table_lookup (m->engine->wishes, m->uuid));
  if (m->engine->flags) {
    GHashTable *flags = g_hash_table_lookup (m->engine->flags, m->uuid);

    m->peer_address = flags ? g_strdup (g_hash_table_lookup (flags, PEER_FLAG)) : NULL;
  }
}

static Migration *
add_migration (PcdEngine *engine, const PcdDomainRef *domain)
{
  Migration *m = g_new0 (Migration, 1);

  m->engine = engine;
  m->uuid = g_strdup (domain->uuid);
  m->name = g_strdup (domain->name);
  m->state = pcd_state_init (domain->role, g_get_monotonic_time ());
  g_ptr_array_add (engine->migrations, m);
  if (engine->env.policies)
    add_response (m);
  return m;
}

static void schedule_expiry (PcdEngine *engine);

static gboolean
expire (gpointer data)
{
  PcdEngine *engine = data;
  gint64 now = g_get_monotonic_time ();

  engine->expiry = 0;
  for (guint i = engine->migrations->len; i > 0; i--) {
    Migration *m = g_ptr_array_index (engine->migrations, i - 1);

    if (pcd_phase_has_ended (m->state.phase) &&
        now - m->state.phase_since >= engine->config.keep_ended_usec)
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
    Migration *m = g_ptr_array_index (engine->migrations, i);

    if (pcd_phase_has_ended (m->state.phase))
      first = MIN (first, m->state.phase_since + engine->config.keep_ended_usec);
  }
  if (first != G_MAXINT64)
    engine->expiry = g_timeout_add (MAX (first - now, 0) / 1000 + 1, expire, engine);
}

/* ---- feeding the reducer ---- */

static void apply (Migration *m, const PcdEvent *event);

static void
update_response (Migration *m)
{
  if (m->response)
    pcd_response_update (m->response, &m->state, m->measure, m->peer_answers);
}

/* "10.9.0.2:49152" and "[fe80::1]:49152" -> the address. */
static char *
address_of (const char *endpoint)
{
  const char *colon = strrchr (endpoint, ':');

  if (endpoint[0] == '[' && colon && colon - endpoint > 2)
    return g_strndup (endpoint + 1, colon - endpoint - 2);
  return colon ? g_strndup (endpoint, colon - endpoint) : g_strdup (endpoint);
}

/* Things to keep from a look that a later look cannot give any more. */
static void
keep_from_measure (Migration *m, const PcdMeasure *measure)
{
  if (measure->sockets->len > 0) {
    const PcdSocketView *view = g_ptr_array_index (measure->sockets, 0);

    g_autofree char *address = address_of (view->remote);

    if (g_strcmp0 (m->peer_address, address) != 0) {
      g_free (m->peer_address);
      m->peer_address = g_steal_pointer (&address);
      /* A pause has no connection that would tell: a daemon that is started then reads it here. */
      pcd_journal_set_flag (m->engine->env.journal, m->uuid, PEER_FLAG, m->peer_address);
    }
  }
  if (measure->pid > 0)
    m->pid = measure->pid;
  if (!m->monitor && measure->pid > 0)
    m->monitor = pcd_monitor_keeper_new (measure->pid, m->name, NULL);
}

static void
take_measure (Migration *m, const PcdMeasure *measure)
{
  keep_from_measure (m, measure);
  g_clear_pointer (&m->measure, pcd_measure_free);
  m->measure = pcd_measure_copy (measure);
  if (measure->evidence) {
    g_free (m->evidence);
    m->evidence = g_strdup (measure->evidence);
  }
}

static void
on_watch_event (const PcdEvent *event, const PcdMeasure *measure, gpointer data)
{
  Migration *m = data;

  take_measure (m, measure);
  apply (m, event);
}

static void
tell_blocked (Migration *m, const PcdMeasure *measure)
{
  guint before = m->measure ? m->measure->n_blocked_vcpus : 0;
  g_autofree char *from = g_strdup_printf ("%u", before);
  g_autofree char *to = g_strdup_printf ("%u", measure->n_blocked_vcpus);
  g_autofree char *detail = g_strdup_printf ("of %u vCPUs", measure->n_vcpus);

  /* While pages flow, vCPUs wait and go on many times a second: that is no news. */
  if (before != measure->n_blocked_vcpus &&
      (m->state.phase == PCD_PHASE_PAUSED || m->state.flow == PCD_FLOW_STALLED))
    tell (m->engine, m, PCD_RECORD_BLOCKED, from, to, detail);
}

static void
on_watch_measured (const PcdMeasure *measure, gpointer data)
{
  Migration *m = data;

  tell_blocked (m, measure);
  take_measure (m, measure);
  update_response (m);
  notify_changed (m);
}

static void
on_watch_armed (const PcdMeasure *measure, gpointer data)
{
  Migration *m = data;

  take_measure (m, measure);
  for (guint i = 0; i < measure->sockets->len; i++) {
    const PcdSocketView *view = g_ptr_array_index (measure->sockets, i);
    g_autofree char *ends = g_strdup_printf ("%s -> %s", view->local, view->remote);

    tell (m->engine, m, PCD_RECORD_ARMED, NULL, view->armed ? "armed" : "found", ends);
  }
  notify_changed (m);
}

static const PcdWatchCallbacks watch_callbacks = {
  .event = on_watch_event,
  .measured = on_watch_measured,
  .armed = on_watch_armed,
};

static void
on_peer_answers (PcdFact answers, const PcdRoute *route, gpointer data)
{
  Migration *m = data;

  m->peer_answers = answers;
  update_response (m);
}

static void
on_netnews (gpointer data)
{
  PcdEngine *engine = data;

  for (guint i = 0; i < engine->migrations->len; i++) {
    Migration *m = g_ptr_array_index (engine->migrations, i);

    if (m->peer_watch)
      pcd_peer_watch_kick (m->peer_watch);
  }
}

static gboolean
watches_a_peer (PcdEngine *engine)
{
  for (guint i = 0; i < engine->migrations->len; i++)
    if (((Migration *)g_ptr_array_index (engine->migrations, i))->peer_watch)
      return TRUE;
  return FALSE;
}

/* A paused source is recovered as soon as its destination can be reached: knock there. */
static void
keep_peer_watch (Migration *m)
{
  PcdEngine *engine = m->engine;
  const gboolean wanted =
      m->response && m->state.role == PCD_ROLE_SOURCE && m->state.phase == PCD_PHASE_PAUSED;
  g_autoptr (GPtrArray) routes = NULL;

  if (wanted && !m->peer_watch) {
    routes = pcd_peers_routes (engine->config.peers, m->peer_address, NULL, NULL, NULL);
    if (routes)
      m->peer_watch = pcd_peer_watch_new (routes, on_peer_answers, m);
  } else if (!wanted && m->peer_watch) {
    g_clear_pointer (&m->peer_watch, pcd_peer_watch_free);
    m->peer_answers = PCD_FACT_UNKNOWN;
  }
  if (!watches_a_peer (engine))
    g_clear_pointer (&engine->netnews, pcd_netnews_free);
  else if (!engine->netnews)
    engine->netnews = pcd_netnews_new (on_netnews, engine, NULL); /* without it: knocking alone */
}

/* The host's configuration, where the policy does not say otherwise. */
static PcdConfig
watch_config (const Migration *m)
{
  PcdConfig config = m->engine->config;
  const PcdPolicyArm *arm = m->response ? &pcd_response_get_policy (m->response)->arm : NULL;

  if (!arm)
    return config;
  if (arm->enabled >= 0)
    config.arm = arm->enabled;
  if (arm->network_timeout_usec >= 0)
    config.network_timeout_usec = arm->network_timeout_usec;
  if (arm->backstop_usec >= 0)
    config.backstop_usec = arm->backstop_usec;
  if (m->engine->env.dry_run)
    config.arm = FALSE;
  return config;
}

static void
keep_watch (Migration *m, PcdPhase before)
{
  const gboolean wanted = pcd_phase_wants_watch (m->state.phase);
  const PcdConfig config = watch_config (m);

  if (wanted && !m->watch)
    m->watch = pcd_watch_start (m->uuid, m->name, m->state.role, &config, &watch_callbacks, m);
  else if (!wanted)
    g_clear_pointer (&m->watch, pcd_watch_stop);
  if (!m->watch)
    return;
  pcd_watch_set_arming (m->watch, m->state.phase == PCD_PHASE_POSTCOPY);
  if (m->state.phase != before)
    pcd_watch_look (m->watch); /* a new phase often means a new connection */
}

static void
carry_out (Migration *m, PcdEffects effects)
{
  PcdEngine *engine = m->engine;

  /* Who only watches, by policy, configuration or dry run, touches nothing. */
  if (effects & PCD_EFFECT_SHUTDOWN && m->watch && watch_config (m).arm) {
    tell (engine, m, PCD_RECORD_SHUTDOWN, NULL, "dead", m->evidence);
    pcd_watch_shutdown (m->watch);
  }
  if (effects & PCD_EFFECT_QUERY) {
    if (m->state.role == PCD_ROLE_SOURCE)
      pcd_source_query (engine->source, m->uuid);
    else if (m->watch)
      pcd_watch_look (m->watch);
  }
  if (effects & PCD_EFFECT_RESYNC)
    pcd_source_resync (engine->source, m->uuid);
}

static void
apply (Migration *m, const PcdEvent *event)
{
  PcdState before = m->state;
  PcdEffects effects = PCD_EFFECT_NONE;

  m->state = pcd_machine_step (&before, event, g_get_monotonic_time (), &effects);
  if (m->state.phase != before.phase)
    m->phase_time = g_get_real_time ();
  tell_changes (m, &before);
  keep_watch (m, before.phase);
  keep_peer_watch (m);
  carry_out (m, effects);
  if (pcd_phase_has_ended (m->state.phase) && m->state.phase != before.phase) {
    g_clear_pointer (&m->measure, pcd_measure_free); /* it is about what is no more */
    pcd_journal_set_flag (m->engine->env.journal, m->uuid, PEER_FLAG, NULL);
    schedule_expiry (m->engine);
  }
  update_response (m);
  notify_changed (m);
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
on_unknown (PcdEngine *engine, const PcdDomainRef *domain, Migration *m, const char *raw)
{
  if (m && g_strcmp0 (m->last_unknown, raw) == 0)
    return;
  tell (engine, m, PCD_RECORD_UNKNOWN, NULL, NULL, raw);
  if (!m)
    return;
  g_free (m->last_unknown);
  m->last_unknown = g_strdup (raw);
  pcd_source_resync (engine->source, domain->uuid);
}

static void
on_source_event (const PcdDomainRef *domain, const PcdEvent *event, const char *raw, gpointer data)
{
  PcdEngine *engine = data;
  Migration *m = find_migration (engine, domain);

  if (is_unknown (event)) {
    on_unknown (engine, domain, m, raw);
    return;
  }
  if (pcd_machine_starts_migration (m ? &m->state : NULL, event, g_get_monotonic_time ())) {
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
    apply (m, event);
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
    tell (engine, NULL, PCD_RECORD_LIBVIRT, NULL, connected ? "connected" : "disconnected", reason);
  for (guint i = 0; i < engine->followers->len; i++) {
    Follower *follower = &g_array_index (engine->followers, Follower, i);

    if (follower->listener->connection)
      follower->listener->connection (connected, follower->data);
  }
}

/* The first full resync after a start knows every domain: whatever an earlier daemon was busy with
 * and is not among them has ended meanwhile. */
static void
end_left (PcdEngine *engine)
{
  for (guint i = 0; engine->left && i < engine->left->len; i++) {
    const PcdOpenIncident *incident = g_ptr_array_index (engine->left, i);

    pcd_journal_end_incident (engine->env.journal, incident->id, "ended while postcopyd was away",
                              g_get_real_time ());
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
    Migration *m = g_ptr_array_index (engine->migrations, i);

    if (!pcd_phase_has_ended (m->state.phase) && !g_hash_table_contains (uuids, m->uuid))
      apply (m, &absent);
  }
  end_left (engine);
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
  Migration *m = find_migration (engine, domain);

  if (problem) {
    tell (engine, m, PCD_RECORD_UNKNOWN, NULL, NULL, problem);
    return;
  }
  if (policy)
    g_hash_table_insert (engine->wishes, g_strdup (domain->uuid), g_strdup (policy));
  else
    g_hash_table_remove (engine->wishes, domain->uuid);
  if (m && m->response && !pcd_phase_has_ended (m->state.phase))
    pcd_response_set_wish (m->response, policy);
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
  engine->migrations = g_ptr_array_new_with_free_func ((GDestroyNotify)migration_free);
  engine->followers = g_array_new (FALSE, FALSE, sizeof (Follower));
  g_queue_init (&engine->records);
  engine->connection_time = g_get_real_time ();
  engine->uri = g_strdup (uri);
  engine->wishes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_queue_init (&engine->env.waiting);
  engine->source = pcd_source_new (uri, &source_callbacks, engine);
  return engine;
}

static void
use_config (PcdEngine *engine)
{
  engine->env.parallel = engine->config.recover_parallel;
  engine->env.allow_destroy = engine->config.allow_destroy;
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
  if (!load_policies (engine, error))
    return FALSE;
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
  engine->env.uri = engine->uri;
  engine->env.dry_run = dry_run;
  use_config (engine);
  return TRUE;
}

void
pcd_engine_free (PcdEngine *engine)
{
  g_clear_handle_id (&engine->expiry, g_source_remove);
  g_clear_pointer (&engine->source, pcd_source_free);
  g_clear_pointer (&engine->netnews, pcd_netnews_free);
  g_ptr_array_unref (engine->migrations);
  g_array_unref (engine->followers);
  g_queue_clear_full (&engine->records, (GDestroyNotify)pcd_record_free);
  g_free (engine->connection_reason);
  pcd_config_clear (&engine->config);
  g_free (engine);
}

void
pcd_engine_add_listener (PcdEngine *engine, const PcdListener *listener, gpointer data)
{
  const Follower follower = { listener, data };

  g_array_append_val (engine->followers, follower);
}

gboolean
pcd_engine_reload_policies (PcdEngine *engine, GError **error)
{
  if (!load_policies (engine, error))
    return FALSE;
  for (guint i = 0; i < engine->migrations->len; i++) {
    Migration *m = g_ptr_array_index (engine->migrations, i);

    if (m->response)
      pcd_response_reselect (m->response);
  }
  return TRUE;
}

static Migration *
find_for_operator (PcdEngine *engine, const char *uuid, const PcdRole *role, GError **error)
{
  const PcdDomainRef domain = { .uuid = uuid,
                                .role_known = role != NULL,
                                .role = role ? *role : PCD_ROLE_SOURCE };
  Migration *m = find_migration (engine, &domain);

  if (!m)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "there is no migration of domain %s",
                 uuid);
  else if (!m->response)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                 "this postcopyd only watches: actions are not enabled");
  return m && m->response ? m : NULL;
}

gboolean
pcd_engine_order (PcdEngine *engine,
                  const PcdOrder *order,
                  PcdOrderCallback callback,
                  gpointer data,
                  GError **error)
{
  Migration *m = find_for_operator (engine, order->uuid, &order->role, error);

  if (!m)
    return FALSE;
  pcd_response_order (m->response, order, callback, data);
  return TRUE;
}

gboolean
pcd_engine_hold (
    PcdEngine *engine, const char *uuid, gboolean held, const char *who, GError **error)
{
  Migration *m = find_for_operator (engine, uuid, NULL, error);

  if (!m)
    return FALSE;
  pcd_response_hold (m->response, held, who);
  return TRUE;
}

gboolean
pcd_engine_set_policy (
    PcdEngine *engine, const char *uuid, const char *name, const char *who, GError **error)
{
  Migration *m = find_for_operator (engine, uuid, NULL, error);

  return m && pcd_response_set_policy (m->response, name, who, error);
}

void
pcd_engine_set_config (PcdEngine *engine, const PcdConfig *config)
{
  pcd_config_clear (&engine->config);
  engine->config = pcd_config_copy (config);
  use_config (engine);
  schedule_expiry (engine);
  for (guint i = 0; i < engine->migrations->len; i++) {
    Migration *m = g_ptr_array_index (engine->migrations, i);

    if (m->response)
      pcd_response_reselect (m->response);
    g_clear_pointer (&m->watch, pcd_watch_stop);
    keep_watch (m, m->state.phase);
  }
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
    PcdMigrationView view = view_of (g_ptr_array_index (engine->migrations, i));

    func (&view, data);
  }
}

GPtrArray *
pcd_engine_get_records (PcdEngine *engine, guint64 after)
{
  GPtrArray *found = g_ptr_array_new ();

  for (GList *l = engine->records.head; l; l = l->next)
    if (((PcdRecord *)l->data)->seq > after)
      g_ptr_array_add (found, l->data);
  return found;
}
