/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Single libvirt calls that may wait, each on a connection and in a thread of its own. Rule 7.
 * Must not know when they are wanted. */
#include "libvirt/pcd-own-call.h"

#include "host/pcd-deadline.h"
#include "libvirt/pcd-vir.h"

#include <gio/gio.h>
#include <libvirt/libvirt-qemu.h>
#include <stdlib.h>

typedef struct _Work Work;
typedef void (*WorkFunc) (virDomainPtr domain, Work *work);

struct _Work {
  char *uri;
  char *uuid;
  WorkFunc func;
  gboolean is_gone; /* libvirt knows no such domain */
  gboolean is_active;
  char *command;
  gboolean is_hmp;
  char *text;
  GError *error;
};

static void
work_free (gpointer data)
{
  Work *work = data;

  g_free (work->uri);
  g_free (work->uuid);
  g_free (work->command);
  free (work->text); /* libvirt's */
  g_clear_error (&work->error);
  g_free (work);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Work, work_free)

static void
note_error (Work *work, const char *call)
{
  work->is_gone = virGetLastErrorCode () == VIR_ERR_NO_DOMAIN;
  pcd_vir_set_error (&work->error, call);
}

static void
work_thread (gpointer data)
{
  Work *work = data;
  g_autoptr (virConnect) connection = virConnectOpen (work->uri);
  g_autoptr (virDomain) domain = NULL;

  if (!connection) {
    pcd_vir_set_error (&work->error, "virConnectOpen");
    return;
  }
  /* So that a call to a host that died ends before the thread is a burden; 5 s times 2. */
  virConnectSetKeepAlive (connection, 5, 2);
  domain = virDomainLookupByUUIDString (connection, work->uuid);
  if (!domain)
    note_error (work, "virDomainLookupByUUIDString");
  else
    work->func (domain, work);
}

/* (transfer full) (nullable) */
static Work *
run_command (const char *uri,
             const char *uuid,
             WorkFunc func,
             const char *command,
             gboolean is_hmp,
             gint64 until,
             GError **error)
{
  Work *work = g_new0 (Work, 1);

  pcd_vir_init ();
  work->command = g_strdup (command);
  work->is_hmp = is_hmp;
  work->uri = g_strdup (uri);
  work->uuid = g_strdup (uuid);
  work->func = func;
  work = pcd_deadline_wait (pcd_deadline_start ("own-call", work_thread, work, work_free), until);
  if (!work)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "libvirt did not answer in time");
  return work;
}

static Work *
run (const char *uri, const char *uuid, WorkFunc func, gint64 until, GError **error)
{
  return run_command (uri, uuid, func, NULL, FALSE, until, error);
}

static void
abort_postcopy (virDomainPtr domain, Work *work)
{
  if (virDomainAbortJobFlags (domain, VIR_DOMAIN_ABORT_JOB_POSTCOPY) < 0)
    note_error (work, "virDomainAbortJobFlags");
}

static void
destroy (virDomainPtr domain, Work *work)
{
  if (virDomainDestroy (domain) < 0)
    note_error (work, "virDomainDestroy");
}

static void
is_active (virDomainPtr domain, Work *work)
{
  int active = virDomainIsActive (domain);

  if (active < 0)
    note_error (work, "virDomainIsActive");
  work->is_active = active > 0;
}

static void
get_xml (virDomainPtr domain, Work *work)
{
  work->text = virDomainGetXMLDesc (domain, 0);
  if (!work->text)
    note_error (work, "virDomainGetXMLDesc");
}

static void
ask_monitor (virDomainPtr domain, Work *work)
{
  if (virDomainQemuMonitorCommand (domain, work->command, &work->text,
                                   work->is_hmp ? VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP : 0) < 0)
    note_error (work, "virDomainQemuMonitorCommand");
}

gboolean
pcd_own_call_abort_postcopy (const char *uri, const char *uuid, gint64 until, GError **error)
{
  g_autoptr (Work) work = run (uri, uuid, abort_postcopy, until, error);

  if (work && work->error)
    g_propagate_error (error, g_steal_pointer (&work->error));
  else if (work)
    return TRUE;
  return FALSE;
}

gboolean
pcd_own_call_destroy (const char *uri, const char *uuid, gint64 until, GError **error)
{
  g_autoptr (Work) work = run (uri, uuid, destroy, until, error);

  if (work && work->error && !work->is_gone)
    g_propagate_error (error, g_steal_pointer (&work->error));
  else if (work)
    return TRUE;
  return FALSE;
}

gboolean
pcd_own_call_is_active (
    const char *uri, const char *uuid, gint64 until, gboolean *ret_active, GError **error)
{
  g_autoptr (Work) work = run (uri, uuid, is_active, until, error);

  if (!work)
    return FALSE;
  if (work->error && !work->is_gone) {
    g_propagate_error (error, g_steal_pointer (&work->error));
    return FALSE;
  }
  *ret_active = work->is_active;
  return TRUE;
}

static char *
text_of (Work *work, GError **error)
{
  if (work && work->error)
    g_propagate_error (error, g_steal_pointer (&work->error));
  return work && work->text ? g_strdup (work->text) : NULL;
}

char *
pcd_own_call_get_xml (const char *uri, const char *uuid, gint64 until, GError **error)
{
  g_autoptr (Work) work = run (uri, uuid, get_xml, until, error);

  return text_of (work, error);
}

char *
pcd_own_call_monitor (const char *uri,
                      const char *uuid,
                      const char *command,
                      gboolean is_hmp,
                      gint64 until,
                      GError **error)
{
  g_autoptr (Work) work = run_command (uri, uuid, ask_monitor, command, is_hmp, until, error);

  return text_of (work, error);
}
