/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One connection to libvirt with its event subscriptions, from opening to closing.
 * Must not know when to connect, nor what the events mean for a migration. */
#include "libvirt/pcd-link.h"
#include "core/pcd-metadata.h"
#include "libvirt/pcd-lifecycle.h"

#include <libvirt/libvirt-qemu.h>

#define OPEN_DEADLINE      (10 * G_USEC_PER_SEC)
#define CALL_DEADLINE      (5 * G_USEC_PER_SEC)
#define KEEPALIVE_INTERVAL 5 /* seconds */
#define KEEPALIVE_COUNT    3

enum { ON_LIFECYCLE, ON_JOB, ON_ITERATION, ON_METADATA, N_SUBSCRIPTIONS };

/* References: the owner's, and one for each subscription, which libvirt gives back. */
struct _PcdLink {
  gatomicrefcount refs;
  virConnectPtr conn;
  char *uri;
  char *refusal;
  int ids[N_SUBSCRIPTIONS]; /* -1 without */
  int monitor_id;
  gboolean has_close_callback;

  /* The main thread's own: libvirt dispatches events there, and the rest is sent there. */
  GQueue kept; /* PcdLinkEvent */
  PcdLinkEventFunc on_event;
  gpointer event_data;
  PcdLinkClosedFunc on_closed;
  gpointer closed_data;
  const char *close_reason;

  gint retired; /* atomic */
};

static void
event_free (gpointer data)
{
  PcdLinkEvent *event = data;

  g_free (event->uuid);
  g_free (event->name);
  g_free (event->raw);
  g_free (event);
}

static void
link_unref (gpointer data)
{
  PcdLink *link = data;

  if (!g_atomic_ref_count_dec (&link->refs))
    return;
  g_queue_clear_full (&link->kept, event_free);
  g_free (link->uri);
  g_free (link->refusal);
  g_free (link);
}

static PcdLink *
link_ref (PcdLink *link)
{
  g_atomic_ref_count_inc (&link->refs);
  return link;
}

/* --- events: main thread, out of libvirt's dispatch --- */

static void
link_take_event (PcdLink *link, virDomainPtr domain, PcdLinkEvent *event)
{
  char uuid[VIR_UUID_STRING_BUFLEN] = "";

  virDomainGetUUIDString (domain, uuid); /* local: no call to libvirtd */
  event->uuid = g_strdup (uuid);
  event->name = g_strdup (virDomainGetName (domain));
  if (g_atomic_int_get (&link->retired)) {
    event_free (event);
  } else if (link->on_event) {
    link->on_event (event, link->event_data);
    event_free (event);
  } else {
    g_queue_push_tail (&link->kept, event);
  }
}

static int
on_lifecycle (virConnectPtr conn, virDomainPtr domain, int type, int detail, void *opaque)
{
  PcdLinkEvent *event = g_new0 (PcdLinkEvent, 1);
  PcdTold told = pcd_lifecycle_translate (type, detail);

  event->role_known = told.role_known;
  event->role = told.role;
  event->event.kind = PCD_EVENT_LIFECYCLE;
  event->event.lifecycle = told.lifecycle;
  event->raw = g_strdup_printf ("lifecycle event %d, detail %d", type, detail);
  link_take_event (opaque, domain, event);
  return 0;
}

static void
on_monitor (virConnectPtr conn,
            virDomainPtr domain,
            const char *name,
            long long seconds,
            unsigned int micros,
            const char *details,
            void *opaque)
{
  PcdLinkEvent *event = g_new0 (PcdLinkEvent, 1);
  g_autoptr (GError) error = NULL;

  event->event.kind = PCD_EVENT_QEMU_STATUS;
  if (pcd_vir_status_from_json (details, NULL, &event->raw, &error))
    event->event.status = pcd_qemu_status_from_string (event->raw);
  else
    event->raw = g_strdup (error->message);
  link_take_event (opaque, domain, event);
}

static void
take_look (PcdLink *link, virDomainPtr domain, const char *why)
{
  PcdLinkEvent *event = g_new0 (PcdLinkEvent, 1);

  event->look = TRUE;
  event->raw = g_strdup (why);
  link_take_event (link, domain, event);
}

static void
on_job_completed (virConnectPtr conn,
                  virDomainPtr domain,
                  virTypedParameterPtr params,
                  int n_params,
                  void *opaque)
{
  int operation = VIR_DOMAIN_JOB_OPERATION_UNKNOWN;

  virTypedParamsGetInt (params, n_params, VIR_DOMAIN_JOB_OPERATION, &operation);
  if (pcd_job_from_operation (operation) != PCD_JOB_OTHER)
    take_look (opaque, domain, "job completed");
}

/* Only subscribed to where QEMU's own events cannot be had: then it is all that tells of a
 * pre-copy. One look at its start is enough. */
static void
on_iteration (virConnectPtr conn, virDomainPtr domain, int iteration, void *opaque)
{
  if (iteration == 1)
    take_look (opaque, domain, "migration iteration");
}

/* For the live and for the persistent definition alike: the event does not say which. */
static void
on_metadata (virConnectPtr conn, virDomainPtr domain, int type, const char *uri, void *opaque)
{
  PcdLinkEvent *event;

  if (type != VIR_DOMAIN_METADATA_ELEMENT || g_strcmp0 (uri, PCD_METADATA_URI) != 0)
    return;
  event = g_new0 (PcdLinkEvent, 1);
  event->metadata = TRUE;
  event->raw = g_strdup ("metadata changed");
  link_take_event (opaque, domain, event);
}

/* --- closing --- */

typedef struct {
  PcdLink *link;
  int reason;
} PcdLinkClose;

static gboolean
tell_closed (gpointer data)
{
  g_autofree PcdLinkClose *close = data;
  PcdLink *link = close->link;

  if (!link->close_reason) {
    link->close_reason = pcd_vir_close_reason (close->reason);
    if (link->on_closed && !g_atomic_int_get (&link->retired))
      link->on_closed (link->close_reason, link->closed_data);
  }
  link_unref (link);
  return G_SOURCE_REMOVE;
}

/* libvirt calls this in whichever thread found the socket closed. */
static void
on_close (virConnectPtr conn, int reason, void *opaque)
{
  PcdLinkClose *close = g_new0 (PcdLinkClose, 1);

  close->link = link_ref (opaque);
  close->reason = reason;
  pcd_vir_to_main (tell_closed, close);
}

static void
start_thread (GThreadFunc func, PcdLink *link)
{
  g_autoptr (GError) error = NULL;
  GThread *thread = g_thread_try_new ("libvirt-close", func, link, &error);

  if (thread)
    g_thread_unref (thread);
  else
    g_warning ("a connection to libvirt stays open: %s", error->message);
}

static gpointer
close_thread (gpointer data)
{
  PcdLink *link = data;

  virConnectClose (link->conn);
  link_unref (link);
  return NULL;
}

static gboolean
start_closing (gpointer data)
{
  start_thread (close_thread, data);
  return G_SOURCE_REMOVE;
}

static gpointer
unsubscribe_thread (gpointer data)
{
  PcdLink *link = data;

  for (guint i = 0; i < N_SUBSCRIPTIONS; i++)
    if (link->ids[i] >= 0)
      virConnectDomainEventDeregisterAny (link->conn, link->ids[i]);
  if (link->monitor_id >= 0)
    virConnectDomainQemuMonitorEventDeregister (link->conn, link->monitor_id);
  if (link->has_close_callback)
    virConnectUnregisterCloseCallback (link->conn, on_close);
  /* By way of the main thread: if that was dispatching an event of this connection, it held a
   * reference, and had it dropped the last one it would have closed the connection itself, which
   * may take long. After this turn nobody but us has one. */
  pcd_vir_to_main (start_closing, link);
  return NULL;
}

void
pcd_link_retire (PcdLink *link)
{
  g_atomic_int_set (&link->retired, TRUE);
  start_thread (unsubscribe_thread, link);
}

/* --- opening: worker thread --- */

virConnectPtr
pcd_link_open_plain (const char *uri, PcdVirJob *job, GError **error)
{
  virConnectPtr conn;

  pcd_vir_job_begin (job, "virConnectOpen", NULL, OPEN_DEADLINE);
  conn = virConnectOpen (uri);
  if (!conn) {
    pcd_vir_set_error (error, "virConnectOpen");
    g_prefix_error (error, "cannot connect to %s: ", uri ? uri : "libvirt's default URI");
    return NULL;
  }
  pcd_vir_job_begin (job, "virConnectSetKeepAlive", NULL, CALL_DEADLINE);
  /* 1 means that the other side knows no keepalive, which a driver inside this process (test:)
   * does not need; nor does it matter there that the call is not supported. */
  if (virConnectSetKeepAlive (conn, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT) < 0)
    g_debug ("virConnectSetKeepAlive: %s", virGetLastErrorMessage ());
  return conn;
}

static int
subscribe (PcdLink *link, PcdVirJob *job, int event_id, virConnectDomainEventGenericCallback func)
{
  int id;

  pcd_vir_job_begin (job, "virConnectDomainEventRegisterAny", NULL, CALL_DEADLINE);
  id = virConnectDomainEventRegisterAny (link->conn, NULL, event_id, func, link_ref (link),
                                         link_unref);
  if (id < 0)
    link_unref (link);
  return id;
}

static void
subscribe_to_qemu (PcdLink *link, PcdVirJob *job)
{
  pcd_vir_job_begin (job, "virConnectDomainQemuMonitorEventRegister", NULL, CALL_DEADLINE);
  link->monitor_id = virConnectDomainQemuMonitorEventRegister (
      link->conn, NULL, "MIGRATION", on_monitor, link_ref (link), link_unref, 0);
  if (link->monitor_id >= 0)
    return;
  link_unref (link);
  link->refusal = g_strdup (virGetLastErrorMessage ());
  link->ids[ON_ITERATION] = subscribe (link, job, VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION,
                                       VIR_DOMAIN_EVENT_CALLBACK (on_iteration));
}

PcdLink *
pcd_link_open (const char *uri, PcdVirJob *job, GError **error)
{
  virConnectPtr conn = pcd_link_open_plain (uri, job, error);
  PcdLink *link;

  if (!conn)
    return NULL;
  link = g_new0 (PcdLink, 1);
  g_atomic_ref_count_init (&link->refs);
  g_queue_init (&link->kept);
  link->conn = conn;
  link->monitor_id = -1;
  for (guint i = 0; i < N_SUBSCRIPTIONS; i++)
    link->ids[i] = -1;
  {
    char *name = virConnectGetURI (conn);
    link->uri = g_strdup (name ? name : "?");
    free (name);
  }

  link->has_close_callback =
      virConnectRegisterCloseCallback (conn, on_close, link_ref (link), link_unref) == 0;
  if (!link->has_close_callback)
    link_unref (link);

  link->ids[ON_LIFECYCLE] = subscribe (link, job, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                       VIR_DOMAIN_EVENT_CALLBACK (on_lifecycle));
  if (link->ids[ON_LIFECYCLE] < 0) {
    pcd_vir_set_error (error, "virConnectDomainEventRegisterAny");
    pcd_link_retire (link);
    return NULL;
  }
  link->ids[ON_JOB] = subscribe (link, job, VIR_DOMAIN_EVENT_ID_JOB_COMPLETED,
                                 VIR_DOMAIN_EVENT_CALLBACK (on_job_completed));
  /* A driver without this event says what there is with each answer all the same. */
  link->ids[ON_METADATA] = subscribe (link, job, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
                                      VIR_DOMAIN_EVENT_CALLBACK (on_metadata));
  subscribe_to_qemu (link, job);
  return link;
}

/* --- the owner's side --- */

virConnectPtr
pcd_link_ref_conn (PcdLink *link)
{
  virConnectRef (link->conn);
  return link->conn;
}

const char *
pcd_link_uri (PcdLink *link)
{
  return link->uri;
}

const char *
pcd_link_monitor_refusal (PcdLink *link)
{
  return link->refusal;
}

const char *
pcd_link_watch (PcdLink *link, PcdLinkClosedFunc closed, gpointer data)
{
  link->on_closed = closed;
  link->closed_data = data;
  return link->close_reason;
}

void
pcd_link_listen (PcdLink *link, PcdLinkEventFunc func, gpointer data)
{
  PcdLinkEvent *event;

  link_ref (link); /* @func may lead to our retirement */
  link->on_event = func;
  link->event_data = data;
  while ((event = g_queue_pop_head (&link->kept))) {
    if (!g_atomic_int_get (&link->retired))
      func (event, data);
    event_free (event);
  }
  link_unref (link);
}
