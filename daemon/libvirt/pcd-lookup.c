/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One read-only connection, one domain, then gone.
 * Must not keep a connection: what needs one has pcd-source.h. */
#include "libvirt/pcd-lookup.h"

#include "host/pcd-deadline.h"
#include "libvirt/pcd-vir.h"

#include <gio/gio.h>
#include <glib/gi18n.h>

typedef struct {
  char *uri;
  char *domain;
  char *uuid;
  char *name;
  GError *error;
} Lookup;

static void
lookup_free (gpointer data)
{
  Lookup *lookup = data;

  g_free (lookup->uri);
  g_free (lookup->domain);
  g_free (lookup->uuid);
  g_free (lookup->name);
  g_clear_error (&lookup->error);
  g_free (lookup);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Lookup, lookup_free)

static void
set_lookup_error (Lookup *lookup, gboolean connected)
{
  virErrorPtr last = virGetLastError ();
  int code =
      last && last->code == VIR_ERR_NO_DOMAIN ? G_IO_ERROR_NOT_FOUND : G_IO_ERROR_NOT_CONNECTED;

  if (code == G_IO_ERROR_NOT_FOUND)
    g_set_error (&lookup->error, G_IO_ERROR, code, _ ("libvirt knows no domain '%s'"),
                 lookup->domain);
  else if (!connected)
    g_set_error (&lookup->error, G_IO_ERROR, code, _ ("cannot connect to libvirt: %s; %s"),
                 last && last->message ? last->message : _ ("failed without a reason"),
                 pcd_vir_connect_advice ());
  else
    g_set_error (&lookup->error, G_IO_ERROR, code, "libvirt: %s",
                 last && last->message ? last->message : _ ("failed without a reason"));
}

static void
lookup_work (gpointer data)
{
  Lookup *lookup = data;
  g_autoptr (virConnect) connection = virConnectOpenReadOnly (lookup->uri);
  g_autoptr (virDomain) domain =
      connection ? pcd_vir_find_domain (connection, lookup->domain) : NULL;
  char uuid[VIR_UUID_STRING_BUFLEN];

  if (!domain || virDomainGetUUIDString (domain, uuid) < 0) {
    set_lookup_error (lookup, connection != NULL);
    return;
  }
  lookup->uuid = g_strdup (uuid);
  lookup->name = g_strdup (virDomainGetName (domain));
  if (virDomainIsActive (domain) == 0)
    g_set_error (&lookup->error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, _ ("domain '%s' is not running"),
                 lookup->name);
}

gboolean
pcd_lookup_domain (const char *uri,
                   const char *domain,
                   gint64 timeout_usec,
                   char **ret_uuid,
                   char **ret_name,
                   GError **error)
{
  Lookup *task = g_new0 (Lookup, 1);

  pcd_vir_init ();
  task->uri = g_strdup (uri);
  task->domain = g_strdup (domain);
  g_autoptr (Lookup) lookup =
      pcd_deadline_wait (pcd_deadline_start ("lookup", lookup_work, task, lookup_free),
                         g_get_monotonic_time () + timeout_usec);
  if (!lookup) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                 _ ("libvirt did not answer within %.1f s"), (double)timeout_usec / G_USEC_PER_SEC);
    return FALSE;
  }
  if (lookup->error) {
    g_propagate_error (error, g_steal_pointer (&lookup->error));
    return FALSE;
  }
  *ret_uuid = g_steal_pointer (&lookup->uuid);
  *ret_name = g_steal_pointer (&lookup->name);
  return TRUE;
}
