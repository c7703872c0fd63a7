/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virDomainMigrateToURI3 (POSTCOPY_RESUME) in a thread, and QEMU's own word on what came of it.
 * Must not know when a recovery is due. */
#include "libvirt/pcd-recover.h"

#include <gio/gio.h>
#include <libvirt/libvirt-qemu.h>
#include <string.h>

#include "host/pcd-deadline.h"
#include "host/pcd-owner.h"
#include "libvirt/pcd-peer.h"
#include "libvirt/pcd-vir.h"

#define POLL_USEC (25 * 1000)
/* After an error: libvirt 9.0 to 10.10 may report one although QEMU just began to recover. */
#define DOUBT_USEC (300 * 1000)
/* A destination's daemon that took the connection and does not say its version is hanging. */
#define VERSION_USEC ((gint64)2 * G_USEC_PER_SEC)
/* Who else holds the job is given this long to let go of it by itself: an earlier recovery that may
 * just have begun; a call of which the destination says that it is over. */
#define RESUMING_USEC ((gint64)1 * G_USEC_PER_SEC)
#define GRACE_USEC    (200 * 1000)
/* How long to wait for a destination that may be noticing the pause only now, and for a daemon here
 * whose connection was or may have to be shut down. */
#define LATE_USEC    (500 * 1000)
#define RELEASE_USEC ((gint64)2 * G_USEC_PER_SEC)

typedef struct {
  const PcdRecoverRequest *request;
  virConnectPtr connection;
  virDomainPtr domain;
  gulong here;
  unsigned int extra_flags;
  const PcdRoute *route;
  gboolean released;      /* a dead connection of the daemon's was shut down */
  gboolean there_is_over; /* the destination's libvirt no longer waits for the migration */
  GPtrArray *unreachable; /* addresses that did not answer */
  GString *tried;         /* what each route said */
} Attempt;

/* ---- decisions ---- */

gboolean
pcd_recover_judge_status (PcdQemuStatus status,
                          const char *word,
                          PcdOutcome *ret_outcome,
                          char **ret_reason)
{
  switch (status) {
  case PCD_QEMU_POSTCOPY_PAUSED:
    return TRUE;
  case PCD_QEMU_POSTCOPY_RECOVER_SETUP:
  case PCD_QEMU_POSTCOPY_RECOVER:
    *ret_outcome = PCD_OUTCOME_DONE;
    *ret_reason = g_strdup ("QEMU is recovering already");
    return FALSE;
  case PCD_QEMU_COMPLETED:
    *ret_outcome = PCD_OUTCOME_DONE;
    *ret_reason = g_strdup ("the migration has completed");
    return FALSE;
  case PCD_QEMU_POSTCOPY_ACTIVE:
    *ret_outcome = PCD_OUTCOME_REFUSED;
    *ret_reason =
        g_strdup ("QEMU goes on migrating (postcopy-active): there is nothing to recover");
    return FALSE;
  default:
    *ret_outcome = PCD_OUTCOME_REFUSED;
    *ret_reason = g_strdup_printf ("QEMU's migration is %s, expected postcopy-paused", word);
    return FALSE;
  }
}

const char *
pcd_recover_judge_version (gulong here, gulong there)
{
  if (here != 0 && here < 9000000)
    return "this host's libvirt is older than 9.0, which cannot resume a failed post-copy";
  if (there != 0 && there < 9000000)
    return "the destination's libvirt is older than 9.0, which cannot resume a failed post-copy";
  if (there >= 11002000 && there < 11004000)
    return "the destination's libvirt is 11.2 or 11.3, whose daemon crashes on a resume";
  return NULL;
}

/* ---- QEMU's word ---- */

/* "completed" too when the domain is gone from here, as libvirt ends it on completion. */
static PcdQemuStatus
query_status (Attempt *a, char **ret_word, GError **error)
{
  char *reply = NULL;
  g_autofree char *word = NULL;

  if (virDomainQemuMonitorCommand (a->domain, "{\"execute\":\"query-migrate\"}", &reply, 0) < 0) {
    virErrorPtr last = virGetLastError ();

    if (last && (last->code == VIR_ERR_NO_DOMAIN ||
                 (last->code == VIR_ERR_OPERATION_INVALID && virDomainIsActive (a->domain) != 1))) {
      *ret_word = g_strdup ("completed");
      return PCD_QEMU_COMPLETED;
    }
    pcd_vir_set_error (error, "query-migrate");
    return PCD_QEMU_UNKNOWN;
  }
  gboolean ok = pcd_vir_status_from_json (reply, "return", &word, error);
  free (reply);
  if (!ok)
    return PCD_QEMU_UNKNOWN;
  PcdQemuStatus status = pcd_qemu_status_from_string (word);
  *ret_word = g_steal_pointer (&word);
  return status;
}

static gboolean
has_left_paused (Attempt *a)
{
  g_autofree char *word = NULL;
  PcdQemuStatus status = query_status (a, &word, NULL);

  return status == PCD_QEMU_POSTCOPY_RECOVER || status == PCD_QEMU_POSTCOPY_ACTIVE ||
         status == PCD_QEMU_COMPLETED;
}

/* A stream that was encrypted must be again: its end on the destination still expects TLS. */
static gboolean
uses_tls (Attempt *a)
{
  char *reply = NULL;
  gboolean tls = FALSE;

  if (virDomainQemuMonitorCommand (a->domain, "{\"execute\":\"query-migrate-parameters\"}", &reply,
                                   0) == 0)
    tls = strstr (reply, "\"tls-creds\":\"") && !strstr (reply, "\"tls-creds\":\"\"");
  free (reply);
  return tls;
}

static gboolean
must_end (Attempt *a)
{
  return g_get_monotonic_time () >= a->request->deadline ||
         (a->request->cancelled && a->request->cancelled (a->request->data));
}

/* ---- the destination's libvirt ---- */

typedef struct {
  char *uri;
  char *uuid;
  gulong version;
  gboolean is_over;
  char *error;
} Hello;

static void
hello_free (gpointer data)
{
  Hello *hello = data;

  g_free (hello->uri);
  g_free (hello->uuid);
  g_free (hello->error);
  g_free (hello);
}

/* The destination's Finish has ended once the domain there is "post-copy failed". */
static gboolean
is_over_there (virConnectPtr connection, const char *uuid)
{
  g_autoptr (virDomain) domain = virDomainLookupByUUIDString (connection, uuid);
  int state = 0, reason = 0;

  return domain && virDomainGetState (domain, &state, &reason, 0) == 0 &&
         ((state == VIR_DOMAIN_RUNNING && reason == VIR_DOMAIN_RUNNING_POSTCOPY_FAILED) ||
          (state == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED));
}

static void
hello_work (gpointer data)
{
  Hello *hello = data;
  g_autoptr (virConnect) connection = virConnectOpenReadOnly (hello->uri);
  g_autoptr (GError) error = NULL;

  if (connection && virConnectGetLibVersion (connection, &hello->version) == 0) {
    hello->is_over = is_over_there (connection, hello->uuid);
    return;
  }
  pcd_vir_set_error (&error, "connect");
  hello->error = g_strdup (error->message);
}

/* A destination that does not let us in may well let this host's libvirt in: go on, unless it
 * hangs. By ssh a hello would cost more than the recovery. */
static gboolean
say_hello (Attempt *a, PcdOutcome *ret_outcome, char **ret_reason)
{
  const char *uri = a->route->libvirt_uri;
  const char *bug = NULL;

  if (!strstr (uri, "ssh:")) {
    Hello *task = g_new0 (Hello, 1);
    task->uri = g_strdup (uri);
    task->uuid = g_strdup (a->request->uuid);
    Hello *hello = pcd_deadline_wait (pcd_deadline_start ("hello", hello_work, task, hello_free),
                                      g_get_monotonic_time () + VERSION_USEC);
    if (!hello) {
      *ret_outcome = PCD_OUTCOME_FAILED;
      *ret_reason = g_strdup_printf ("%s took the connection and then said nothing for 2 s", uri);
      return FALSE;
    }
    bug = pcd_recover_judge_version (a->here, hello->version);
    a->there_is_over = hello->is_over;
    hello_free (hello);
  }
  if (!bug || a->request->override)
    return TRUE;
  *ret_outcome = PCD_OUTCOME_REFUSED;
  *ret_reason = g_strdup (bug);
  return FALSE;
}

/* ---- libvirt's call ---- */

typedef struct {
  gatomicrefcount refs;
  char *uri;
  char *uuid;
  char *libvirt_uri;
  char *stream_uri;
  unsigned int flags;
  gint ended; /* atomic; @error is written before */
  char *error;
} Call;

static void
call_unref (Call *call)
{
  if (!g_atomic_ref_count_dec (&call->refs))
    return;
  g_free (call->uri);
  g_free (call->uuid);
  g_free (call->libvirt_uri);
  g_free (call->stream_uri);
  g_free (call->error);
  g_free (call);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Call, call_unref)

static gboolean
migrate (Call *call, GError **error)
{
  g_autoptr (virConnect) connection = virConnectOpen (call->uri);
  g_autoptr (virDomain) domain =
      connection ? virDomainLookupByUUIDString (connection, call->uuid) : NULL;
  virTypedParameterPtr params = NULL;
  int n = 0, max = 0;
  gboolean ok;

  ok =
      domain &&
      virTypedParamsAddString (&params, &n, &max, VIR_MIGRATE_PARAM_URI, call->stream_uri) == 0 &&
      virDomainMigrateToURI3 (domain, call->libvirt_uri, params, (unsigned int)n, call->flags) == 0;
  if (!ok)
    pcd_vir_set_error (error, "virDomainMigrateToURI3");
  virTypedParamsFree (params, n);
  return ok;
}

static gpointer
call_thread (gpointer data)
{
  g_autoptr (Call) call = data;
  g_autoptr (GError) error = NULL;

  if (!migrate (call, &error))
    call->error = g_strdup (error->message);
  g_atomic_int_set (&call->ended, 1);
  return NULL;
}

static Call *
call_start (Attempt *a)
{
  Call *call = g_new0 (Call, 1);

  g_atomic_ref_count_init (&call->refs);
  g_atomic_ref_count_inc (&call->refs);
  call->uri = g_strdup (a->request->uri);
  call->uuid = g_strdup (a->request->uuid);
  call->libvirt_uri = g_strdup (a->route->libvirt_uri);
  call->stream_uri = g_strdup (a->route->stream_uri);
  call->flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_POSTCOPY |
                VIR_MIGRATE_POSTCOPY_RESUME | a->extra_flags;
  g_thread_unref (g_thread_new ("recover-call", call_thread, call));
  return call;
}

/* An earlier recovery of somebody's, which may just have begun. */
static gboolean
is_resuming (const char *message)
{
  return strstr (message, "already in progress") != NULL;
}

static gboolean
is_owned (const char *message)
{
  return is_resuming (message) || strstr (message, "actively monitored by another thread") != NULL;
}

/* Returns %TRUE once QEMU recovers; else @ret_message is why not. */
static gboolean
call_and_watch (Attempt *a, char **ret_message)
{
  g_autoptr (Call) call = call_start (a);
  gint64 doubt_until = 0;

  for (;;) {
    gboolean ended = g_atomic_int_get (&call->ended);

    if (has_left_paused (a))
      return TRUE;
    if (ended && doubt_until == 0)
      doubt_until = g_get_monotonic_time () + DOUBT_USEC;
    if (ended && (is_owned (call->error ?: "") || g_get_monotonic_time () >= doubt_until)) {
      *ret_message = g_strdup (call->error ?: "libvirt reports success, but QEMU is still paused");
      return FALSE;
    }
    if (must_end (a) && !ended) {
      *ret_message = g_strdup ("libvirt is still trying; its call goes on");
      return FALSE;
    }
    g_usleep (POLL_USEC);
  }
}

/* ---- who owns the job ---- */

/* Another migration from this host that is not in post-copy would be cancelled if the connection
 * that it needs were shut down. Any doubt is a yes. */
static gboolean
others_at_risk (Attempt *a)
{
  virDomainPtr *domains = NULL;
  int n = virConnectListAllDomains (a->connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
  gboolean risk = n < 0;

  for (int i = 0; i < n; i++) {
    virDomainJobInfo info;
    int state = 0;

    if (virDomainGetState (domains[i], &state, NULL, 0) < 0)
      risk = TRUE;
    else if (state != VIR_DOMAIN_PAUSED)
      risk |= virDomainGetJobInfo (domains[i], &info) < 0 || info.type != VIR_DOMAIN_JOB_NONE;
    virDomainFree (domains[i]);
  }
  free (domains);
  return risk;
}

/* The daemon here may be waiting for an answer over the network that died. @patient: it was given a
 * moment to take the answer that the destination says it has sent. */
static gboolean
release_owner (Attempt *a, gboolean patient, PcdOwnerRelease *ret_release)
{
  g_autoptr (GPtrArray) addresses = g_ptr_array_new ();
  g_autofree char *host = NULL;
  PcdOwnerEvidence evidence = { .call_is_over = patient && a->there_is_over };

  if (a->request->pid <= 0 || !pcd_route_get_door (a->route, &host, &evidence.port))
    return FALSE;
  for (guint i = 0; i < a->request->routes->len; i++)
    g_ptr_array_add (addresses, ((PcdRoute *)g_ptr_array_index (a->request->routes, i))->address);
  g_ptr_array_add (addresses, host);
  g_ptr_array_add (addresses, NULL);
  evidence.addresses = (const char *const *)addresses->pdata;
  evidence.unreachable = (const char *const *)a->unreachable->pdata;
  evidence.only_one = others_at_risk (a);
  return pcd_owner_release (a->request->pid, &evidence, ret_release, NULL);
}

/* Each refusal costs libvirt some 20 ms; a daemon whose connection was shut down lets go in less.
 */
static gboolean
call_until_owner_gone (Attempt *a, char **ret_message)
{
  gint64 began = g_get_monotonic_time ();
  PcdOwnerRelease release = { 0 };

  for (;;) {
    g_clear_pointer (ret_message, g_free);
    if (call_and_watch (a, ret_message))
      return TRUE;
    if (!is_owned (*ret_message))
      return FALSE;
    gint64 grace = is_resuming (*ret_message) ? RESUMING_USEC : GRACE_USEC;
    if (!release_owner (a, g_get_monotonic_time () - began > grace, &release))
      release = (PcdOwnerRelease){ 0 };
    a->released |= release.n_shut > 0;
    gint64 patience = a->released || release.n_connections ? RELEASE_USEC : LATE_USEC;
    if (g_get_monotonic_time () - began >= patience || must_end (a))
      break;
    g_usleep (POLL_USEC);
  }
  g_free (*ret_message);
  *ret_message = g_strdup (
      release.n_connections
          ? "libvirt here still waits in an earlier call to the destination"
          : "libvirt here or there still waits for the first migration, which the destination may "
            "take for alive (actively monitored by another thread)");
  return FALSE;
}

/* ---- routes ---- */

static void
note_failure (Attempt *a, const char *message)
{
  g_string_append_printf (a->tried, "%s%s: %s", a->tried->len ? "; " : "", a->route->address,
                          message);
}

static gboolean
try_route (Attempt *a, PcdOutcome *ret_outcome, char **ret_reason)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *message = NULL;
  g_autofree char *refusal = NULL;
  PcdOutcome outcome;

  if (a->request->progress)
    a->request->progress (a->route->address, a->request->data);
  if (!pcd_peer_knock (a->route, PCD_PEER_TIMEOUT_USEC, &error)) {
    note_failure (a, error->message);
    g_ptr_array_insert (a->unreachable, 0, a->route->address); /* before the final NULL */
    return FALSE;
  }
  if (!say_hello (a, &outcome, &refusal)) {
    note_failure (a, refusal);
    if (outcome == PCD_OUTCOME_REFUSED)
      *ret_outcome = outcome;
    return FALSE;
  }
  if (!call_until_owner_gone (a, &message)) {
    note_failure (a, message);
    return FALSE;
  }
  *ret_outcome = PCD_OUTCOME_DONE;
  *ret_reason =
      g_strdup_printf ("QEMU recovers over %s%s", a->route->address,
                       a->released ? "; a dead connection of libvirt's was shut down" : "");
  return TRUE;
}

static PcdOutcome
try_routes (Attempt *a, char **ret_reason)
{
  PcdOutcome outcome = PCD_OUTCOME_FAILED;

  for (guint i = 0; i < a->request->routes->len; i++) {
    a->route = g_ptr_array_index (a->request->routes, i);
    if (try_route (a, &outcome, ret_reason))
      return outcome;
    if (must_end (a))
      break;
  }
  *ret_reason = g_strdup (a->tried->str);
  return outcome;
}

static PcdOutcome
run_on_domain (Attempt *a, char **ret_reason)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *word = NULL;
  PcdOutcome outcome = PCD_OUTCOME_FAILED;
  PcdQemuStatus status = query_status (a, &word, &error);

  if (error) {
    *ret_reason = g_strdup (error->message);
    return PCD_OUTCOME_FAILED;
  }
  if (!pcd_recover_judge_status (status, word, &outcome, ret_reason))
    return outcome;
  const char *bug = pcd_recover_judge_version (a->here, 0);
  if (bug && !a->request->override) {
    *ret_reason = g_strdup (bug);
    return PCD_OUTCOME_REFUSED;
  }
  a->extra_flags = uses_tls (a) ? VIR_MIGRATE_TLS : 0;
  return try_routes (a, ret_reason);
}

PcdOutcome
pcd_recover_run (const PcdRecoverRequest *request, char **ret_reason)
{
  g_autoptr (GString) tried = g_string_new (NULL);
  g_autoptr (GPtrArray) unreachable = g_ptr_array_new ();
  g_autoptr (virConnect) connection = virConnectOpen (request->uri);
  g_autoptr (virDomain) domain =
      connection ? virDomainLookupByUUIDString (connection, request->uuid) : NULL;
  g_autoptr (GError) error = NULL;
  Attempt attempt = { .request = request,
                      .connection = connection,
                      .domain = domain,
                      .unreachable = unreachable,
                      .tried = tried };

  g_ptr_array_add (unreachable, NULL);
  if (!domain || virConnectGetLibVersion (connection, &attempt.here) < 0) {
    virErrorPtr last = virGetLastError ();
    gboolean gone = last && last->code == VIR_ERR_NO_DOMAIN;

    pcd_vir_set_error (&error, "libvirt here");
    *ret_reason =
        gone ? g_strdup ("the domain is not on this host any more") : g_strdup (error->message);
    return gone ? PCD_OUTCOME_REFUSED : PCD_OUTCOME_FAILED;
  }
  return run_on_domain (&attempt, ret_reason);
}
