/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One round of questions to libvirt about some or all domains, asked in a worker thread.
 * Must not know why it is asked, nor keep anything between rounds. */
#include "libvirt/pcd-pass.h"
#include "core/pcd-metadata.h"
#include "libvirt/pcd-lifecycle.h"
#include "libvirt/pcd-link.h"

#include <libvirt/libvirt-qemu.h>

#define CALL_DEADLINE (5 * G_USEC_PER_SEC)

/* @asking: the connection for calls that may wait, %NULL until it is needed
 * @refused: why there is none; not tried again for each domain */
typedef struct {
  PcdVirJob *job;
  PcdPass *pass;
  virConnectPtr asking;
  GError *refused;
} PcdRound;

static void
answer_free (gpointer data)
{
  PcdAnswer *answer = data;

  g_free (answer->uuid);
  g_free (answer->name);
  g_free (answer->raw);
  g_free (answer->status_word);
  g_free (answer->metadata);
  g_free (answer);
}

PcdPass *
pcd_pass_new (virConnectPtr conn, const char *uri)
{
  PcdPass *pass = g_new0 (PcdPass, 1);

  pass->conn = conn;
  pass->uri = g_strdup (uri);
  pass->wants = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  pass->answers = g_ptr_array_new_with_free_func (answer_free);
  return pass;
}

/* After pcd_pass_run () @conn has been closed in the worker. Before, that is if there was no
 * thread to be had, the link has a reference too, so that nothing is really closed here. */
void
pcd_pass_free (PcdPass *pass)
{
  if (pass->conn)
    virConnectClose (pass->conn);
  g_free (pass->uri);
  g_hash_table_unref (pass->wants);
  g_ptr_array_unref (pass->answers);
  g_clear_error (&pass->error);
  g_free (pass);
}

/* libvirt has no error of its own for "not connected any more". */
static gboolean
connection_is_lost (PcdRound *round, const char *call)
{
  if (virConnectIsAlive (round->pass->conn) == 1)
    return FALSE;
  if (!round->pass->error)
    pcd_vir_set_error (&round->pass->error, call);
  return TRUE;
}

static void
set_sight (PcdAnswer *answer, PcdSight sight)
{
  answer->has_seen = TRUE;
  answer->seen = sight.seen;
  answer->role_known = sight.role_known;
  answer->role = sight.role;
}

static gboolean
error_means_absent (void)
{
  int code = virGetLastErrorCode ();

  return code == VIR_ERR_NO_DOMAIN || code == VIR_ERR_OPERATION_INVALID;
}

/* --- calls that may wait for the domain's job or for QEMU --- */

/* The domain by way of the asking connection. */
static virDomainPtr
lookup_for_asking (PcdRound *round, const char *uuid, GError **error)
{
  virDomainPtr domain;

  if (!round->asking && !round->refused)
    round->asking = pcd_link_open_plain (round->pass->uri, round->job, &round->refused);
  if (!round->asking) {
    g_propagate_error (error, g_error_copy (round->refused));
    return NULL;
  }
  pcd_vir_job_begin (round->job, "virDomainLookupByUUIDString", uuid, CALL_DEADLINE);
  domain = virDomainLookupByUUIDString (round->asking, uuid);
  if (!domain)
    pcd_vir_set_error (error, "virDomainLookupByUUIDString");
  return domain;
}

/* libvirt's QEMU driver refuses at once while it receives a migration, and with this code alone;
 * a driver without job statistics at all says VIR_ERR_NO_SUPPORT. */
static PcdJob
job_from_error (PcdAnswer *answer)
{
  switch (virGetLastErrorCode ()) {
  case VIR_ERR_OPERATION_UNSUPPORTED:
    return PCD_JOB_MIGRATION_IN;
  case VIR_ERR_NO_SUPPORT:
    return PCD_JOB_NONE;
  case VIR_ERR_NO_DOMAIN:
  case VIR_ERR_OPERATION_INVALID: /* "domain is not running" */
    set_sight (answer, (PcdSight){ .seen = PCD_SEEN_ABSENT });
    return PCD_JOB_NONE;
  default:
    answer->raw = g_strdup_printf ("virDomainGetJobStats: %s", virGetLastErrorMessage ());
    return PCD_JOB_UNKNOWN;
  }
}

static PcdJob
ask_job (PcdRound *round, PcdAnswer *answer)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (virDomain) domain = lookup_for_asking (round, answer->uuid, &error);
  virTypedParameterPtr params = NULL;
  int n_params = 0, type = VIR_DOMAIN_JOB_NONE;
  int operation = VIR_DOMAIN_JOB_OPERATION_UNKNOWN;

  if (!domain) {
    answer->raw = g_strdup (error->message);
    return PCD_JOB_UNKNOWN;
  }
  if (!pcd_vir_job_begin (round->job, "virDomainGetJobStats", answer->uuid, CALL_DEADLINE))
    return PCD_JOB_UNKNOWN;
  if (virDomainGetJobStats (domain, &type, &params, &n_params, 0) < 0)
    return job_from_error (answer);
  virTypedParamsGetInt (params, n_params, VIR_DOMAIN_JOB_OPERATION, &operation);
  virTypedParamsFree (params, n_params);
  if (type == VIR_DOMAIN_JOB_NONE)
    return PCD_JOB_NONE;
  if (pcd_job_from_operation (operation) == PCD_JOB_UNKNOWN)
    answer->raw = g_strdup_printf ("job operation %d", operation);
  return pcd_job_from_operation (operation);
}

static void
ask_status (PcdRound *round, PcdAnswer *answer)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (virDomain) domain = lookup_for_asking (round, answer->uuid, &error);
  char *reply = NULL;

  if (domain &&
      !pcd_vir_job_begin (round->job, "virDomainQemuMonitorCommand", answer->uuid, CALL_DEADLINE))
    return;
  if (domain &&
      virDomainQemuMonitorCommand (domain, "{\"execute\":\"query-migrate\"}", &reply, 0) < 0)
    pcd_vir_set_error (&error, "query-migrate");
  else if (domain)
    pcd_vir_status_from_json (reply, "return", &answer->status_word, &error);
  free (reply);
  if (error)
    g_info ("no migration status of %s: %s", answer->name, error->message);
}

/* --- calls that answer at once --- */

static gboolean
get_state (PcdRound *round, virDomainPtr domain, PcdAnswer *answer, int *ret_state, int *ret_reason)
{
  int state, reason;

  pcd_vir_job_begin (round->job, "virDomainGetState", NULL, CALL_DEADLINE);
  if (virDomainGetState (domain, &state, &reason, 0) == 0) {
    *ret_state = state;
    *ret_reason = reason;
    return TRUE;
  }
  if (error_means_absent ()) {
    set_sight (answer, (PcdSight){ .seen = PCD_SEEN_ABSENT });
    return FALSE;
  }
  if (!connection_is_lost (round, "virDomainGetState")) {
    set_sight (answer, (PcdSight){ .seen = PCD_SEEN_UNKNOWN });
    answer->raw = g_strdup_printf ("virDomainGetState: %s", virGetLastErrorMessage ());
  }
  return FALSE;
}

/* Takes no job, so that it answers at once on a domain whose migration job is held (libvirt 9.0.0
 * and 11.3.0, qemuDomainGetMetadata () and virDomainObjGetMetadata (): ACL, then a look into the
 * definition). One that cannot be read says nothing: what was read before stays good. */
static void
get_metadata (PcdRound *round, virDomainPtr domain, PcdAnswer *answer)
{
  char *xml;

  pcd_vir_job_begin (round->job, "virDomainGetMetadata", NULL, CALL_DEADLINE);
  xml = virDomainGetMetadata (domain, VIR_DOMAIN_METADATA_ELEMENT, PCD_METADATA_URI,
                              VIR_DOMAIN_AFFECT_LIVE);
  answer->has_metadata = xml || virGetLastErrorCode () == VIR_ERR_NO_DOMAIN_METADATA;
  if (xml) {
    /* Too long is found out by who parses it: this is enough to tell. */
    answer->metadata = g_strndup (xml, PCD_METADATA_MAX_BYTES + 1);
    free (xml);
  } else if (!answer->has_metadata && !error_means_absent () &&
             !connection_is_lost (round, "virDomainGetMetadata")) {
    g_info ("no metadata of %s: %s", answer->name, virGetLastErrorMessage ());
  }
}

static gboolean
is_migrating (PcdSeen seen)
{
  return seen == PCD_SEEN_PRECOPY || seen == PCD_SEEN_POSTCOPY || seen == PCD_SEEN_POSTCOPY_FAILED;
}

/* QEMU is asked on a source only: on a destination libvirt would hold the call for 30 s. */
static void
look_at (PcdRound *round, virDomainPtr domain, PcdAnswer *answer, PcdWant want)
{
  gboolean may_wait = !(want & PCD_WANT_NO_WAIT) && !round->pass->no_wait;
  PcdJob job = PCD_JOB_UNKNOWN;
  gboolean in_postcopy;
  PcdSight sight;
  int state, reason;

  if (!get_state (round, domain, answer, &state, &reason))
    return;
  if (want == PCD_WANT_METADATA) {
    if (state != VIR_DOMAIN_SHUTOFF)
      get_metadata (round, domain, answer);
    return;
  }
  if (pcd_seen_needs_job (state, reason) && may_wait)
    job = ask_job (round, answer);
  else if (pcd_seen_needs_job (state, reason))
    answer->raw = g_strdup ("the job was not asked: libvirt or QEMU is hanging");
  if (answer->has_seen)
    return; /* it went away between the two calls */
  sight = pcd_seen_translate (state, reason, job);
  if (sight.seen == PCD_SEEN_UNKNOWN && !answer->raw)
    answer->raw = g_strdup_printf ("domain state %d, reason %d", state, reason);

  in_postcopy = sight.seen == PCD_SEEN_POSTCOPY || sight.seen == PCD_SEEN_POSTCOPY_FAILED;
  if (may_wait && sight.role_known && sight.role == PCD_ROLE_SOURCE &&
      (in_postcopy || (want & PCD_WANT_STATUS)))
    ask_status (round, answer);
  if (is_migrating (sight.seen) || (want & PCD_WANT_METADATA))
    get_metadata (round, domain, answer);
  if (want & PCD_WANT_SEEN)
    set_sight (answer, sight);
}

static PcdAnswer *
add_answer (PcdPass *pass, const char *uuid, const char *name)
{
  PcdAnswer *answer = g_new0 (PcdAnswer, 1);

  answer->uuid = g_strdup (uuid);
  answer->name = g_strdup (name);
  g_ptr_array_add (pass->answers, answer);
  return answer;
}

static void
look_at_listed (PcdRound *round, virDomainPtr domain)
{
  char uuid[VIR_UUID_STRING_BUFLEN] = "";
  PcdWant want;

  virDomainGetUUIDString (domain, uuid);
  want = GPOINTER_TO_UINT (g_hash_table_lookup (round->pass->wants, uuid)) | PCD_WANT_SEEN;
  g_hash_table_remove (round->pass->wants, uuid);
  look_at (round, domain, add_answer (round->pass, uuid, virDomainGetName (domain)), want);
}

static void
look_at_all (PcdRound *round)
{
  virDomainPtr *domains = NULL;
  int n;

  pcd_vir_job_begin (round->job, "virConnectListAllDomains", NULL, CALL_DEADLINE);
  n = virConnectListAllDomains (round->pass->conn, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
  if (n < 0) {
    pcd_vir_set_error (&round->pass->error, "virConnectListAllDomains");
    return;
  }
  for (int i = 0; i < n; i++) {
    if (!round->pass->error)
      look_at_listed (round, domains[i]);
    virDomainFree (domains[i]);
  }
  free (domains);
}

static void
look_at_one (PcdRound *round, const char *uuid, PcdWant want)
{
  g_autoptr (virDomain) domain = NULL;
  PcdAnswer *answer;

  pcd_vir_job_begin (round->job, "virDomainLookupByUUIDString", NULL, CALL_DEADLINE);
  domain = virDomainLookupByUUIDString (round->pass->conn, uuid);
  if (domain) {
    look_at (round, domain, add_answer (round->pass, uuid, virDomainGetName (domain)), want);
    return;
  }
  if (!error_means_absent () && connection_is_lost (round, "virDomainLookupByUUIDString"))
    return;
  answer = add_answer (round->pass, uuid, "");
  if (error_means_absent ()) {
    set_sight (answer, (PcdSight){ .seen = PCD_SEEN_ABSENT });
  } else {
    set_sight (answer, (PcdSight){ .seen = PCD_SEEN_UNKNOWN });
    answer->raw = g_strdup_printf ("virDomainLookupByUUIDString: %s", virGetLastErrorMessage ());
  }
}

void
pcd_pass_run (PcdVirJob *job, PcdPass *pass)
{
  PcdRound round = { .job = job, .pass = pass };
  GHashTableIter iter;
  gpointer uuid, want;

  if (pass->full)
    look_at_all (&round);
  g_hash_table_iter_init (&iter, pass->wants);
  while (!pass->error && g_hash_table_iter_next (&iter, &uuid, &want))
    look_at_one (&round, uuid, GPOINTER_TO_UINT (want));
  if (round.asking) {
    pcd_vir_job_begin (job, "virConnectClose", "", CALL_DEADLINE);
    virConnectClose (round.asking);
  }
  g_clear_error (&round.refused);
  virConnectClose (g_steal_pointer (&pass->conn));
}
