/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One migration: feeds the reducer, carries out its effects, tells what changed.
 * Decides nothing: what an event means is core's business. */
#include "engine/pcd-migration.h"

#include "core/pcd-lost.h"
#include "engine/pcd-measured.h"
#include "host/pcd-freezer.h"
#include "host/pcd-process.h"
#include "engine/pcd-watch.h"
#include "libvirt/pcd-peer.h"
#include "qmp/pcd-monitor-keeper.h"

#include <string.h>

#define PEER_FLAG "peer"
#define LOST_FLAG "lost"

struct _PcdMigration {
  const PcdMigrationEnv *env; /* (unowned) */
  char *uuid;
  char *name;
  PcdState state;
  gint64 phase_time;
  PcdWatch *watch;
  PcdTcpLog *tcp_log; /* also over watches that are begun again */
  PcdMeasure *measure;
  PcdMeasured measured;      /* what of it was kept with the incident */
  PcdMonitorKeeper *monitor; /* kept from the start of postcopy on: see its header */
  PcdResponse *response;     /* NULL while actions are not enabled */
  gint pid;                  /* of QEMU when it was last seen, 0 before */
  char *peer_address;        /* of the last connection, without port */
  char *connection;          /* both ends of it; the same text on both hosts */
  PcdLost *lost;             /* the last connection, once it has ended and until there is another */
  gboolean lost_is_kept;     /* in the journal, too */
  gboolean lost_is_recalled; /* it was read there, and the pause it tells of was not seen yet */
  PcdPeerWatch *peer_watch;  /* while a source is paused */
  PcdFact peer_answers;
  PcdGauge *gauge;    /* NULL until somebody asks how far it is */
  char *evidence;     /* the last thing that was noteworthy about the connection */
  char *last_unknown; /* told once, resynced once: an answer that is unknown again must not loop */
};

/* ---- telling ---- */

PcdMigrationView
pcd_migration_get_view (const PcdMigration *m)
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
  if (m->state.phase == PCD_PHASE_PAUSED && m->lost) {
    view.lost = m->lost;
    /* A recovery may have failed since, for a reason that was not seen. */
    view.cause_detail = m->lost->cause == m->state.cause ? m->lost->why : NULL;
  }
  if (pcd_migration_holds_guest (m))
    view.pid = m->pid;
  if (m->response)
    pcd_response_fill_view (m->response, &view);
  return view;
}

static void
notify_changed (PcdMigration *m)
{
  PcdMigrationView view = pcd_migration_get_view (m);

  pcd_teller_changed (m->env->teller, &view);
}

void
pcd_migration_tell (
    PcdMigration *m, PcdRecordKind kind, const char *from, const char *to, const char *detail)
{
  PcdRecord *record = pcd_teller_compose (m->env->teller, kind, from, to, detail);

  record->uuid = g_strdup (m->uuid);
  record->domain = g_strdup (m->name);
  record->role = m->state.role;
  if (m->response && pcd_response_get_incident (m->response))
    pcd_journal_add_record (m->env->response->journal, pcd_response_get_incident (m->response),
                            record);
  pcd_teller_tell (m->env->teller, record);
}

static void
tell_changes (PcdMigration *m, const PcdState *before)
{
  const PcdState *after = &m->state;
  const char *evidence = m->evidence;
  const gboolean flows = after->flow == PCD_FLOW_FLOWING;

  if (after->phase != before->phase)
    pcd_migration_tell (m, PCD_RECORD_PHASE, pcd_phase_to_string (before->phase),
                        pcd_phase_to_string (after->phase), NULL);
  if (after->cause != before->cause && after->cause != PCD_CAUSE_NONE)
    pcd_migration_tell (m, PCD_RECORD_CAUSE, pcd_cause_to_string (before->cause),
                        pcd_cause_to_string (after->cause), evidence);
  if (after->flow != before->flow && after->flow != PCD_FLOW_NONE)
    pcd_migration_tell (m, PCD_RECORD_FLOW, pcd_flow_to_string (before->flow),
                        pcd_flow_to_string (after->flow), flows ? NULL : evidence);
  if (after->unattended != before->unattended)
    pcd_migration_tell (
        m, PCD_RECORD_UNATTENDED, before->unattended ? "yes" : "no",
        after->unattended ? "yes" : "no",
        after->unattended ? "libvirt lost its peer and reports failure; QEMU goes on" : NULL);
}

/* ---- what is done about it ---- */

static void
on_response_tell (
    PcdRecordKind kind, const char *from, const char *to, const char *detail, gpointer data)
{
  PcdMigration *m = data;

  pcd_migration_tell (m, kind, from, to, detail);
}

static void
on_response_changed (gpointer data)
{
  PcdMigration *m = data;

  notify_changed (m);
  if (pcd_phase_has_ended (m->state.phase))
    m->env->ended (m->env->data);
}

static void
fill_request (PcdRequest *request, const char *way, gpointer data)
{
  PcdMigration *m = data;
  const gboolean is_uri = way && strstr (way, "://");
  g_autoptr (GError) error = NULL;

  request->pid = m->pid;
  request->peer_address = m->peer_address;
  request->connection = m->connection;
  request->host.monitor = m->monitor;
  request->host.tcp_log = m->tcp_log;
  if (request->action == PCD_ACTION_SNAPSHOT) {
    request->host.directory = way;
    return;
  }
  /* Where there is no route, the action says so. */
  request->host.peers = pcd_peers_routes (m->env->config->peers, m->peer_address,
                                          is_uri ? NULL : way, is_uri ? way : NULL, &error);
  if (error)
    request->host.no_peers = g_strdup (error->message);
  else
    request->peer_uri = ((const PcdRoute *)g_ptr_array_index (request->host.peers, 0))->libvirt_uri;
}

static gboolean
look_at_guest (gboolean *ret_frozen, gpointer data)
{
  const PcdMigration *m = data;

  *ret_frozen = m->pid > 0 && pcd_freezer_holds (m->pid);
  return m->pid > 0 && pcd_process_check_qemu (m->pid, NULL);
}

static const PcdResponseCallbacks response_callbacks = {
  .tell = on_response_tell,
  .changed = on_response_changed,
  .fill = fill_request,
  .look_at_guest = look_at_guest,
};

/* ---- feeding the reducer ---- */

static void
update_response (PcdMigration *m)
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

/* By these a snapshot of one side is told to belong to one of the other. */
static void
keep_connection (PcdMigration *m, const PcdSocketView *view)
{
  const gboolean in_order = strcmp (view->local, view->remote) < 0;
  g_autofree char *text = g_strdup_printf ("%s %s", in_order ? view->local : view->remote,
                                           in_order ? view->remote : view->local);

  if (g_strcmp0 (m->connection, text) == 0)
    return;
  g_free (m->connection);
  m->connection = g_steal_pointer (&text);
}

/* Things to keep from a look that a later look cannot give any more. */
static void
keep_from_measure (PcdMigration *m, const PcdMeasure *measure)
{
  if (measure->sockets->len > 0) {
    const PcdSocketView *view = g_ptr_array_index (measure->sockets, 0);

    g_autofree char *address = address_of (view->remote);

    keep_connection (m, view);

    if (g_strcmp0 (m->peer_address, address) != 0) {
      g_free (m->peer_address);
      m->peer_address = g_steal_pointer (&address);
      /* A pause has no connection that would tell: a daemon that is started then reads it here. */
      pcd_journal_set_flag (m->env->response->journal, m->uuid, PEER_FLAG, m->peer_address);
    }
  }
  if (measure->pid > 0 && measure->pid != m->pid) {
    m->pid = measure->pid;
    if (m->response && m->state.role == PCD_ROLE_DESTINATION && pcd_freezer_holds (m->pid))
      pcd_response_note_found_held (m->response);
  }
  if (!m->monitor && measure->pid > 0)
    m->monitor = pcd_monitor_keeper_new (measure->pid, m->name, NULL);
}

static void
forget_lost (PcdMigration *m)
{
  if (m->lost_is_kept)
    pcd_journal_set_flag (m->env->response->journal, m->uuid, LOST_FLAG, NULL);
  m->lost_is_kept = m->lost_is_recalled = FALSE;
  g_clear_pointer (&m->lost, pcd_lost_free);
}

/* A pause has no connection that would tell: a daemon that is started in it reads here which it
 * was. After each step, as connection and pause end and begin in any order. */
static void
keep_lost (PcdMigration *m)
{
  if (m->state.phase == PCD_PHASE_RECOVERING)
    m->lost_is_recalled = FALSE;
  if (m->state.phase != PCD_PHASE_PAUSED || !m->lost)
    return;
  if (m->lost_is_recalled)
    pcd_state_recall (&m->state, m->lost->cause);
  m->lost_is_recalled = FALSE;
  if (m->lost_is_kept)
    return;
  m->lost->cause = m->state.cause;
  m->lost_is_kept = TRUE;
  g_autofree char *text = pcd_lost_to_text (m->lost);
  pcd_journal_set_flag (m->env->response->journal, m->uuid, LOST_FLAG, text);
}

static void
recall_lost (PcdMigration *m, const PcdOpenIncident *left, GHashTable *flags)
{
  const char *text = flags ? g_hash_table_lookup (flags, LOST_FLAG) : NULL;

  if (!text)
    return;
  m->lost_is_kept = TRUE;
  m->lost = left && left->same_boot ? pcd_lost_from_text (text) : NULL;
  if (!m->lost) {
    forget_lost (m); /* of another migration */
    return;
  }
  m->lost_is_recalled = TRUE;
  m->evidence = g_strdup_printf ("%s -> %s: %s", m->lost->local, m->lost->remote, m->lost->why);
}

static void
take_measure (PcdMigration *m, const PcdMeasure *measure)
{
  keep_from_measure (m, measure);
  g_clear_pointer (&m->measure, pcd_measure_free);
  m->measure = pcd_measure_copy (measure);
  if (measure->evidence) {
    g_free (m->evidence);
    m->evidence = g_strdup (measure->evidence);
  }
  /* The first to end: QEMU shuts the other channels as a reaction. */
  if (measure->lost && !m->lost)
    m->lost = pcd_lost_copy (measure->lost);
}

/* With the incident only: who follows events is told what changed, not each sample. */
static void
keep_measured (PcdMigration *m, const PcdMeasure *measure)
{
  const gint64 incident = m->response ? pcd_response_get_incident (m->response) : 0;
  g_autoptr (PcdRecord) record = NULL;
  g_autofree char *to = NULL, *detail = NULL;

  if (!pcd_measured_take (&m->measured, incident, g_get_monotonic_time (), measure, &to, &detail))
    return;
  record = pcd_teller_compose_aside (m->env->teller, PCD_RECORD_MEASURED, to, detail);
  record->uuid = g_strdup (m->uuid);
  record->domain = g_strdup (m->name);
  record->role = m->state.role;
  pcd_journal_add_record (m->env->response->journal, incident, record);
}

static void
on_watch_event (const PcdEvent *event, const PcdMeasure *measure, gpointer data)
{
  PcdMigration *m = data;

  take_measure (m, measure);
  if (event->kind == PCD_EVENT_SOCKET_FOUND)
    forget_lost (m);
  pcd_migration_apply (m, event);
  if (event->kind == PCD_EVENT_NET || event->kind == PCD_EVENT_SOCKET_CLOSED)
    keep_measured (m, measure);
}

static void
tell_blocked (PcdMigration *m, const PcdMeasure *measure)
{
  guint before = m->measure ? m->measure->n_blocked_vcpus : 0;
  g_autofree char *from = g_strdup_printf ("%u", before);
  g_autofree char *to = g_strdup_printf ("%u", measure->n_blocked_vcpus);
  g_autofree char *detail = g_strdup_printf ("of %u vCPUs", measure->n_vcpus);

  /* While pages flow, vCPUs wait and go on many times a second: that is no news. */
  if (before != measure->n_blocked_vcpus &&
      (m->state.phase == PCD_PHASE_PAUSED || m->state.flow == PCD_FLOW_STALLED))
    pcd_migration_tell (m, PCD_RECORD_BLOCKED, from, to, detail);
}

static void
on_watch_measured (const PcdMeasure *measure, gpointer data)
{
  PcdMigration *m = data;

  tell_blocked (m, measure);
  take_measure (m, measure);
  keep_measured (m, measure);
  update_response (m);
  notify_changed (m);
}

static void
on_watch_armed (const PcdMeasure *measure, gpointer data)
{
  PcdMigration *m = data;

  take_measure (m, measure);
  for (guint i = 0; i < measure->sockets->len; i++) {
    const PcdSocketView *view = g_ptr_array_index (measure->sockets, i);
    g_autofree char *ends = g_strdup_printf ("%s -> %s", view->local, view->remote);

    pcd_migration_tell (m, PCD_RECORD_ARMED, NULL, view->armed ? "armed" : "found", ends);
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
  PcdMigration *m = data;

  m->peer_answers = answers;
  update_response (m);
}

/* A paused source is recovered as soon as its destination can be reached: knock there. */
static void
keep_peer_watch (PcdMigration *m)
{
  const gboolean wanted =
      m->response && m->state.role == PCD_ROLE_SOURCE && m->state.phase == PCD_PHASE_PAUSED;
  g_autoptr (GPtrArray) routes = NULL;

  if (wanted && !m->peer_watch) {
    routes = pcd_peers_routes (m->env->config->peers, m->peer_address, NULL, NULL, NULL);
    if (routes)
      m->peer_watch = pcd_peer_watch_new (routes, on_peer_answers, m);
  } else if (!wanted && m->peer_watch) {
    g_clear_pointer (&m->peer_watch, pcd_peer_watch_free);
    m->peer_answers = PCD_FACT_UNKNOWN;
  }
  m->env->knocks (m->env->data);
}

/* The host's configuration, where the policy does not say otherwise. */
static PcdConfig
watch_config (const PcdMigration *m)
{
  PcdConfig config = *m->env->config;
  const PcdPolicyArm *arm = m->response ? &pcd_response_get_policy (m->response)->arm : NULL;

  if (!arm)
    return config;
  if (arm->enabled >= 0)
    config.arm = arm->enabled;
  if (arm->network_timeout_usec >= 0)
    config.network_timeout_usec = arm->network_timeout_usec;
  if (arm->backstop_usec >= 0)
    config.backstop_usec = arm->backstop_usec;
  if (m->env->response->dry_run)
    config.arm = FALSE;
  return config;
}

static void
keep_watch (PcdMigration *m, PcdPhase before)
{
  const gboolean wanted = pcd_phase_wants_watch (m->state.phase);
  const PcdConfig config = watch_config (m);

  if (wanted && !m->watch)
    m->watch =
        pcd_watch_start (m->uuid, m->name, m->state.role, &config, m->tcp_log, &watch_callbacks, m);
  else if (!wanted)
    g_clear_pointer (&m->watch, pcd_watch_stop);
  if (!m->watch)
    return;
  pcd_watch_set_arming (m->watch, m->state.phase == PCD_PHASE_POSTCOPY);
  if (m->state.phase != before)
    pcd_watch_look (m->watch); /* a new phase often means a new connection */
}

static void
carry_out (PcdMigration *m, PcdEffects effects)
{
  /* Who only watches, by policy, configuration or dry run, touches nothing. */
  if (effects & PCD_EFFECT_SHUTDOWN && m->watch && watch_config (m).arm) {
    pcd_migration_tell (m, PCD_RECORD_SHUTDOWN, NULL, "dead", m->evidence);
    pcd_watch_shutdown (m->watch);
  }
  if (effects & PCD_EFFECT_QUERY) {
    if (m->state.role == PCD_ROLE_SOURCE)
      pcd_source_query (m->env->source, m->uuid);
    else if (m->watch)
      pcd_watch_look (m->watch);
  }
  if (effects & PCD_EFFECT_RESYNC)
    pcd_source_resync (m->env->source, m->uuid);
}

void
pcd_migration_apply (PcdMigration *m, const PcdEvent *event)
{
  PcdState before = m->state;
  PcdEffects effects = PCD_EFFECT_NONE;

  m->state = pcd_machine_step (&before, event, g_get_monotonic_time (), &effects);
  if (m->state.phase != before.phase)
    m->phase_time = g_get_real_time ();
  keep_lost (m);
  if (m->response)
    pcd_response_note_trouble (m->response, &m->state);
  tell_changes (m, &before);
  keep_watch (m, before.phase);
  keep_peer_watch (m);
  carry_out (m, effects);
  if (pcd_phase_has_ended (m->state.phase) && m->state.phase != before.phase) {
    g_clear_pointer (&m->measure, pcd_measure_free); /* it is about what is no more */
    pcd_journal_set_flag (m->env->response->journal, m->uuid, PEER_FLAG, NULL);
    forget_lost (m);
    m->env->ended (m->env->data);
  }
  update_response (m);
  notify_changed (m);
}

/* ---- for the engine ---- */

PcdMigration *
pcd_migration_new (const PcdMigrationEnv *env, const PcdDomainRef *domain)
{
  PcdMigration *m = g_new0 (PcdMigration, 1);

  m->env = env;
  m->uuid = g_strdup (domain->uuid);
  m->name = g_strdup (domain->name);
  m->state = pcd_state_init (domain->role, g_get_monotonic_time ());
  m->tcp_log = pcd_tcp_log_new ();
  return m;
}

void
pcd_migration_free (PcdMigration *m)
{
  g_clear_pointer (&m->response, pcd_response_free);
  g_clear_pointer (&m->gauge, pcd_gauge_free);
  g_clear_pointer (&m->peer_watch, pcd_peer_watch_free);
  g_clear_pointer (&m->watch, pcd_watch_stop);
  pcd_tcp_log_unref (m->tcp_log);
  g_clear_pointer (&m->measure, pcd_measure_free);
  pcd_measured_clear (&m->measured);
  if (m->monitor)
    pcd_monitor_keeper_stop (m->monitor);
  g_clear_pointer (&m->monitor, pcd_monitor_keeper_unref);
  pcd_lost_free (m->lost);
  g_free (m->connection);
  g_free (m->peer_address);
  g_free (m->uuid);
  g_free (m->name);
  g_free (m->evidence);
  g_free (m->last_unknown);
  g_free (m);
}

void
pcd_migration_enable_actions (PcdMigration *m,
                              const PcdOpenIncident *left,
                              GHashTable *flags,
                              const char *wish)
{
  m->response = pcd_response_new (m->env->response, m->uuid, m->name, m->state.role, left,
                                  &response_callbacks, m);
  pcd_response_set_wish (m->response, wish);
  if (flags)
    m->peer_address = g_strdup (g_hash_table_lookup (flags, PEER_FLAG));
  recall_lost (m, left, flags);
}

void
pcd_migration_revive (PcdMigration *m, pid_t pid)
{
  const PcdEvent completed = { .kind = PCD_EVENT_SEEN, .seen = PCD_SEEN_MIGRATED_IN };

  m->pid = pid;
  m->monitor = pcd_monitor_keeper_new (pid, m->name, NULL);
  pcd_response_note_found_held (m->response);
  pcd_migration_apply (m, &completed);
}

gboolean
pcd_migration_holds_guest (const PcdMigration *m)
{
  return m->response && pcd_response_holds_guest (m->response);
}

void
pcd_migration_look_held (PcdMigration *m)
{
  if (m->response)
    pcd_response_end_incident_if_over (m->response);
}

gboolean
pcd_migration_note_unknown (PcdMigration *m, const char *raw)
{
  if (g_strcmp0 (m->last_unknown, raw) == 0)
    return FALSE;
  g_free (m->last_unknown);
  m->last_unknown = g_strdup (raw);
  return TRUE;
}

void
pcd_migration_reselect (PcdMigration *m)
{
  if (m->response)
    pcd_response_reselect (m->response);
}

void
pcd_migration_reconfigure (PcdMigration *m)
{
  pcd_migration_reselect (m);
  g_clear_pointer (&m->watch, pcd_watch_stop);
  keep_watch (m, m->state.phase);
}

gboolean
pcd_migration_is_knocking (const PcdMigration *m)
{
  return m->peer_watch != NULL;
}

void
pcd_migration_knock (PcdMigration *m)
{
  if (m->peer_watch)
    pcd_peer_watch_kick (m->peer_watch);
}

const char *
pcd_migration_get_uuid (const PcdMigration *m)
{
  return m->uuid;
}

const PcdState *
pcd_migration_get_state (const PcdMigration *m)
{
  return &m->state;
}

void
pcd_migration_ask_progress (PcdMigration *m, PcdProgressCallback callback, gpointer data)
{
  if (!m->gauge)
    m->gauge = pcd_gauge_new (m->env->uri, m->uuid);
  pcd_gauge_ask (m->gauge, &m->state, callback, data);
}

gboolean
pcd_migration_has_ended (const PcdMigration *m)
{
  return pcd_phase_has_ended (m->state.phase);
}

PcdResponse *
pcd_migration_get_response (PcdMigration *m)
{
  return m->response;
}
