/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One attempt to recover: what may be tried, and over which route.
 * Must not know when a recovery is due. */
#include "libvirt/pcd-recover-private.h"

#include <gio/gio.h>
#include <string.h>

#include "host/pcd-deadline.h"
#include "libvirt/pcd-peer.h"
#include "libvirt/pcd-vir-qmp.h"

/* A destination's daemon that took the connection and does not say its version is hanging. */
#define VERSION_USEC ((gint64)2 * G_USEC_PER_SEC)

typedef PcdRecoverAttempt Attempt;

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

/* QEMU 9.1's postcopy-recover-setup is but a try to connect: it may fall back to paused. */
PcdRecoverSign
pcd_recover_judge_sign (PcdQemuStatus status, gboolean is_gone, int state, int reason)
{
  if (is_gone)
    return state == VIR_DOMAIN_SHUTOFF && reason == VIR_DOMAIN_SHUTOFF_MIGRATED ? PCD_RECOVER_BEGAN
                                                                                : PCD_RECOVER_ENDED;
  return status == PCD_QEMU_POSTCOPY_RECOVER || status == PCD_QEMU_POSTCOPY_ACTIVE ||
                 status == PCD_QEMU_COMPLETED
             ? PCD_RECOVER_BEGAN
             : PCD_RECOVER_WAITS;
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

gboolean
pcd_recover_is_paused (virDomainPtr domain, PcdOutcome *ret_outcome, char **ret_reason)
{
  g_autofree char *word = NULL;
  g_autoptr (GError) error = NULL;
  PcdQemuStatus status = pcd_vir_qmp_query_migrate (domain, &word, &error);
  gboolean gone = g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);

  if (!error)
    return pcd_recover_judge_status (status, word, ret_outcome, ret_reason);
  *ret_outcome = gone ? PCD_OUTCOME_REFUSED : PCD_OUTCOME_FAILED;
  *ret_reason = g_strdup (gone ? PCD_RECOVER_GONE : error->message);
  return FALSE;
}

PcdRecoverSign
pcd_recover_look (virDomainPtr domain)
{
  g_autofree char *word = NULL;
  g_autoptr (GError) error = NULL;
  PcdQemuStatus status = pcd_vir_qmp_query_migrate (domain, &word, &error);
  gboolean gone = g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  int state = -1, reason = 0;

  if (gone && virDomainGetState (domain, &state, &reason, 0) < 0)
    state = -1;
  return pcd_recover_judge_sign (status, gone, state, reason);
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

/* ---- routes ---- */

static void
note_failure (Attempt *a, const char *message)
{
  const gboolean names_it = g_str_has_prefix (message, a->route->address);

  g_string_append_printf (a->tried, "%s%s%s%s", a->tried->len ? "; " : "",
                          names_it ? "" : a->route->address, names_it ? "" : ": ", message);
}

/* By libvirt, or, if the destination says that it cannot answer libvirt, past it. */
static gboolean
connect_qemu (Attempt *a, char **ret_message)
{
  if (!pcd_recover_look_for_invitation (a) && pcd_recover_call (a, ret_message))
    return TRUE;
  if (!a->invitation)
    return FALSE;
  g_clear_pointer (ret_message, g_free);
  return pcd_recover_accept (a, ret_message);
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
  if (!connect_qemu (a, &message)) {
    note_failure (a, message);
    return FALSE;
  }
  *ret_outcome = PCD_OUTCOME_DONE;
  *ret_reason =
      g_strdup_printf ("QEMU recovers over %s%s%s", a->route->address,
                       a->invitation ? ", at the destination's invitation" : "",
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
    if (pcd_recover_must_end (a))
      break;
  }
  *ret_reason = g_strdup (a->tried->str);
  return outcome;
}

static PcdOutcome
run_on_domain (Attempt *a, char **ret_reason)
{
  PcdOutcome outcome = PCD_OUTCOME_FAILED;

  if (!pcd_recover_is_paused (a->domain, &outcome, ret_reason))
    return outcome;
  const char *bug = pcd_recover_judge_version (a->here, 0);
  if (bug && !a->request->override) {
    *ret_reason = g_strdup (bug);
    return PCD_OUTCOME_REFUSED;
  }
  a->extra_flags = pcd_vir_qmp_uses_tls (a->domain) ? VIR_MIGRATE_TLS : 0;
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
    *ret_reason = gone ? g_strdup (PCD_RECOVER_GONE) : g_strdup (error->message);
    return gone ? PCD_OUTCOME_REFUSED : PCD_OUTCOME_FAILED;
  }
  PcdOutcome outcome = run_on_domain (&attempt, ret_reason);
  g_free (attempt.invitation);
  return outcome;
}
