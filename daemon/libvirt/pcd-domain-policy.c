/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One writable connection in a thread of its own, one call, then gone. */
#include "libvirt/pcd-domain-policy.h"

#include "core/pcd-metadata.h"
#include "host/pcd-deadline.h"
#include "libvirt/pcd-vir.h"

#include <gio/gio.h>
#include <glib/gi18n.h>

typedef struct {
  char *uri;
  char *domain;
  char *element;
  GError *error;
} Task;

static void
task_free (gpointer data)
{
  Task *task = data;

  g_free (task->uri);
  g_free (task->domain);
  g_free (task->element);
  g_clear_error (&task->error);
  g_free (task);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Task, task_free)

static gboolean
fail (Task *task, int code)
{
  virErrorPtr last = virGetLastError ();

  if (last && last->code == VIR_ERR_NO_DOMAIN)
    g_set_error (&task->error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, _ ("libvirt knows no domain '%s'"),
                 task->domain);
  else
    g_set_error (&task->error, G_IO_ERROR, code, "libvirt: %s",
                 last && last->message ? last->message : _ ("failed without a reason"));
  return FALSE;
}

static void
work (gpointer data)
{
  Task *task = data;
  g_autoptr (virConnect) connection = virConnectOpen (task->uri);
  g_autoptr (virDomain) domain = connection ? pcd_vir_find_domain (connection, task->domain) : NULL;

  if (!connection) {
    virErrorPtr last = virGetLastError ();
    g_set_error (&task->error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED,
                 _ ("cannot connect to libvirt: %s; %s"),
                 last && last->message ? last->message : _ ("failed without a reason"),
                 pcd_vir_connect_advice ());
    return;
  }
  if (!domain) {
    fail (task, G_IO_ERROR_NOT_CONNECTED);
    return;
  }
  int active = virDomainIsActive (domain), persistent = virDomainIsPersistent (domain);
  if (active < 0 || persistent < 0) {
    fail (task, G_IO_ERROR_NOT_CONNECTED);
    return;
  }
  guint flags = (active ? VIR_DOMAIN_AFFECT_LIVE : 0) | (persistent ? VIR_DOMAIN_AFFECT_CONFIG : 0);
  if (virDomainSetMetadata (domain, VIR_DOMAIN_METADATA_ELEMENT, task->element, PCD_METADATA_KEY,
                            PCD_METADATA_URI, flags) < 0)
    fail (task, G_IO_ERROR_FAILED);
}

gboolean
pcd_domain_policy_set (
    const char *uri, const char *domain, const char *policy, gint64 timeout_usec, GError **error)
{
  Task *started = g_new0 (Task, 1);

  pcd_vir_init ();
  started->uri = g_strdup (uri);
  started->domain = g_strdup (domain);
  if (policy)
    started->element = g_markup_printf_escaped ("<policy name=\"%s\"/>", policy);
  g_autoptr (Task) task =
      pcd_deadline_wait (pcd_deadline_start ("metadata", work, started, task_free),
                         g_get_monotonic_time () + timeout_usec);
  if (!task) {
    g_set_error (
        error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
        _ ("libvirt did not answer within %.1f s; a domain that migrates cannot be written"),
        (double)timeout_usec / G_USEC_PER_SEC);
    return FALSE;
  }
  if (!task->error)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&task->error));
  return FALSE;
}
