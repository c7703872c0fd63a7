/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virDomainMigrateToURI3 (POSTCOPY_RESUME) in a thread, QEMU's own word on what came of it, and who
 * stands in its way. Must not know routes, nor when a recovery is due. */
#include "libvirt/pcd-recover-private.h"

#include <gio/gio.h>
#include <libvirt/libvirt-qemu.h>
#include <string.h>

#include "host/pcd-owner.h"
#include "libvirt/pcd-vir-qmp.h"

/* After an error: libvirt 9.0 to 10.10 may report one although QEMU just began to recover. */
#define DOUBT_USEC (300 * 1000)
/* Who else holds the job is given this long to let go of it by itself: an earlier recovery that may
 * just have begun; a call of which the destination says that it is over. */
#define RESUMING_USEC ((gint64)1 * G_USEC_PER_SEC)
#define GRACE_USEC    (200 * 1000)
/* How long to wait for a destination that may be noticing the pause only now. */
#define LATE_USEC (500 * 1000)
/* How often to look whether the destination has found out that it cannot answer libvirt. */
#define INVITED_USEC (500 * 1000)
/* Nobody listens at port 1 ("unable to connect to server at '127.0.0.1:1'"): libvirt takes the job,
 * fails to connect within ms, and lets go of it.
 */
#define NOWHERE_URI  "qemu+tcp://127.0.0.1:1/system"
#define NOWHERE_NAME "127.0.0.1:1'"
#define NOWHERE_USEC ((gint64)2 * G_USEC_PER_SEC)

typedef PcdRecoverAttempt Attempt;

gboolean
pcd_recover_must_end (Attempt *a)
{
  return g_get_monotonic_time () >= a->request->deadline ||
         (a->request->cancelled && a->request->cancelled (a->request->data));
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
call_start (Attempt *a, const char *libvirt_uri)
{
  Call *call = g_new0 (Call, 1);

  g_atomic_ref_count_init (&call->refs);
  g_atomic_ref_count_inc (&call->refs);
  call->uri = g_strdup (a->request->uri);
  call->uuid = g_strdup (a->request->uuid);
  call->libvirt_uri = g_strdup (libvirt_uri);
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

gboolean
pcd_recover_look_for_invitation (Attempt *a)
{
  g_clear_pointer (&a->invitation, g_free);
  return pcd_vir_qmp_find_invitation (a->domain, &a->invitation, &a->listens);
}

/* Returns %TRUE once QEMU recovers; else @ret_message is why not. */
static gboolean
call_and_watch (Attempt *a, char **ret_message)
{
  g_autoptr (Call) call = call_start (a, a->route->libvirt_uri);
  gint64 doubt_until = 0, look_at = g_get_monotonic_time () + INVITED_USEC;

  for (;;) {
    const gboolean ended = g_atomic_int_get (&call->ended);
    const PcdRecoverSign sign = pcd_recover_look (a->domain);

    if (sign == PCD_RECOVER_BEGAN)
      return TRUE;
    /* libvirt's call succeeds once the migration has completed. */
    if (sign == PCD_RECOVER_ENDED && ended) {
      *ret_message = g_strdup (call->error ? PCD_RECOVER_GONE : NULL);
      return !call->error;
    }
    if (ended && doubt_until == 0)
      doubt_until = g_get_monotonic_time () + DOUBT_USEC;
    if (ended && (is_owned (call->error ?: "") || g_get_monotonic_time () >= doubt_until)) {
      *ret_message = g_strdup (call->error ?: "libvirt reports success, but QEMU is still paused");
      return FALSE;
    }
    if (pcd_recover_must_end (a) && !ended) {
      *ret_message = g_strdup ("libvirt is still trying; its call goes on");
      return FALSE;
    }
    if (!ended && g_get_monotonic_time () >= look_at) {
      if (pcd_recover_look_for_invitation (a)) {
        *ret_message = g_strdup ("the destination cannot answer libvirt");
        return FALSE;
      }
      look_at += INVITED_USEC;
    }
    g_usleep (PCD_RECOVER_POLL_USEC);
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
gboolean
pcd_recover_call (Attempt *a, char **ret_message)
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
    if (pcd_recover_look_for_invitation (a))
      return FALSE;
    gint64 patience = a->released || release.n_connections ? PCD_RECOVER_RELEASE_USEC : LATE_USEC;
    if (g_get_monotonic_time () - began >= patience || pcd_recover_must_end (a))
      break;
    g_usleep (PCD_RECOVER_POLL_USEC);
  }
  g_free (*ret_message);
  *ret_message = g_strdup (
      release.n_connections
          ? "libvirt here still waits in an earlier call to the destination"
          : "libvirt here or there still waits for the first migration, which the destination may "
            "take for alive (actively monitored by another thread)");
  return FALSE;
}

/* Waits for the end of a call to nowhere. %NULL if libvirt does not come back from it. */
static char *
ask_nowhere (Attempt *a)
{
  g_autoptr (Call) call = call_start (a, NOWHERE_URI);
  const gint64 until = g_get_monotonic_time () + NOWHERE_USEC;

  while (!g_atomic_int_get (&call->ended)) {
    if (g_get_monotonic_time () >= until)
      return NULL;
    g_usleep (PCD_RECOVER_POLL_USEC / 5);
  }
  return g_strdup (call->error ?: "");
}

gboolean
pcd_recover_make_idle (Attempt *a, char **ret_message)
{
  const gint64 until = g_get_monotonic_time () + PCD_RECOVER_RELEASE_USEC;
  PcdOwnerRelease release;

  a->there_is_over = TRUE; /* no answer can come from there: that is what the invitation says */
  for (;;) {
    g_autofree char *answer = ask_nowhere (a);

    /* It got as far as connecting, so nobody else was in a resume of this migration. */
    if (answer && strstr (answer, NOWHERE_NAME))
      return TRUE;
    if (!answer || !is_owned (answer) || g_get_monotonic_time () >= until ||
        pcd_recover_must_end (a)) {
      *ret_message = g_strdup_printf ("libvirt here does not let go of the migration: %s",
                                      answer ?: "no answer");
      return FALSE;
    }
    if (release_owner (a, TRUE, &release))
      a->released |= release.n_shut > 0;
    g_usleep (PCD_RECOVER_POLL_USEC);
  }
}
