/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One connection, one query-migrate, then gone. */
#include "libvirt/pcd-progress-ask.h"

#include "libvirt/pcd-link.h"
#include "libvirt/pcd-vir.h"

#include <libvirt/libvirt-qemu.h>

/* An operator looks at a clock meanwhile. */
#define CALL_DEADLINE (2 * G_USEC_PER_SEC)

/* The worker's. */
typedef struct {
  char *uri;
  char *uuid;
  PcdProgressSample sample;
  GError *error;
} Question;

struct _PcdProgressAsk {
  PcdVirJob *job;
  const PcdProgressAskFuncs *funcs;
  gpointer data;
};

static void
question_free (gpointer task)
{
  Question *question = task;

  g_free (question->uri);
  g_free (question->uuid);
  g_clear_error (&question->error);
  g_free (question);
}

static void
query (PcdVirJob *job, Question *question, virDomainPtr domain)
{
  char *reply = NULL;

  if (!pcd_vir_job_begin (job, "virDomainQemuMonitorCommand", question->uuid, CALL_DEADLINE))
    return;
  if (virDomainQemuMonitorCommand (domain, "{\"execute\":\"query-migrate\"}", &reply, 0) < 0)
    pcd_vir_set_error (&question->error, "query-migrate");
  else
    pcd_progress_parse (reply, g_get_monotonic_time (), &question->sample, &question->error);
  free (reply);
}

static void
work (PcdVirJob *job, gpointer task)
{
  Question *question = task;
  virConnectPtr connection = pcd_link_open_plain (question->uri, job, &question->error);
  g_autoptr (virDomain) domain = NULL;

  if (!connection)
    return;
  if (pcd_vir_job_begin (job, "virDomainLookupByUUIDString", question->uuid, CALL_DEADLINE)) {
    domain = virDomainLookupByUUIDString (connection, question->uuid);
    if (domain)
      query (job, question, domain);
    else
      pcd_vir_set_error (&question->error, "virDomainLookupByUUIDString");
  }
  g_clear_pointer (&domain, virDomainFree); /* it holds the connection */
  pcd_vir_job_begin (job, "virConnectClose", question->uuid, CALL_DEADLINE);
  virConnectClose (connection);
}

static void
on_done (PcdVirJob *job, gpointer task, gpointer data)
{
  PcdProgressAsk *ask = data;
  Question *question = task;

  if (question->error)
    ask->funcs->answered (NULL, FALSE, question->error->message, ask->data);
  else
    ask->funcs->answered (&question->sample, FALSE, NULL, ask->data);
}

static void
on_late (PcdVirJob *job, const char *call, const char *subject, gpointer data)
{
  PcdProgressAsk *ask = data;
  g_autofree char *problem = g_strdup_printf ("libvirt did not answer %s in time", call);

  ask->funcs->answered (NULL, TRUE, problem, ask->data);
}

static void
on_ended (PcdVirJob *job, gpointer data)
{
  PcdProgressAsk *ask = data;

  ask->funcs->ended (ask->data);
}

PcdProgressAsk *
pcd_progress_ask_new (const char *uri,
                      const char *uuid,
                      const PcdProgressAskFuncs *funcs,
                      gpointer data,
                      GError **error)
{
  static const PcdVirJobFuncs job_funcs = { work, on_done, on_late, on_ended, question_free };
  PcdProgressAsk *ask = g_new0 (PcdProgressAsk, 1);
  Question *question = g_new0 (Question, 1);

  question->uri = g_strdup (uri);
  question->uuid = g_strdup (uuid);
  ask->funcs = funcs;
  ask->data = data;
  ask->job = pcd_vir_job_start (&job_funcs, question, ask, error);
  if (!ask->job)
    g_clear_pointer (&ask, g_free);
  return ask;
}

void
pcd_progress_ask_free (PcdProgressAsk *ask)
{
  if (!ask)
    return;
  pcd_vir_job_disown (ask->job);
  g_free (ask);
}
