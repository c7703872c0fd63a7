/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP through libvirt, and the few commands that both sides of a recovery need. */
#include "libvirt/pcd-vir-qmp.h"

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <libvirt/libvirt-qemu.h>
#include <stdlib.h>
#include <string.h>

static gboolean
is_refusal (const char *reply, GError **error)
{
  g_autoptr (JsonNode) root = json_from_string (reply, NULL);
  JsonObject *object = root && JSON_NODE_HOLDS_OBJECT (root) ? json_node_get_object (root) : NULL;
  JsonNode *fault = object ? json_object_get_member (object, "error") : NULL;

  if (object && !fault)
    return FALSE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s",
               fault && JSON_NODE_HOLDS_OBJECT (fault)
                   ? json_object_get_string_member_with_default (json_node_get_object (fault),
                                                                 "desc", "refused")
                   : "what QEMU answered is not QMP");
  return TRUE;
}

char *
pcd_vir_qmp (virDomainPtr domain, const char *line, GError **error)
{
  char *reply = NULL;
  char *copy;

  if (virDomainQemuMonitorCommand (domain, line, &reply, 0) < 0) {
    pcd_vir_set_error (error, "virDomainQemuMonitorCommand");
    return NULL;
  }
  copy = is_refusal (reply, error) ? NULL : g_strdup (reply);
  free (reply);
  return copy;
}

static gboolean
is_gone (virDomainPtr domain, const GError *failure)
{
  if (g_error_matches (failure, PCD_VIR_ERROR, VIR_ERR_NO_DOMAIN))
    return TRUE;
  return g_error_matches (failure, PCD_VIR_ERROR, VIR_ERR_OPERATION_INVALID) &&
         virDomainIsActive (domain) != 1;
}

PcdQemuStatus
pcd_vir_qmp_query_migrate (virDomainPtr domain, char **ret_word, GError **error)
{
  g_autofree char *reply = NULL;
  g_autofree char *word = NULL;
  g_autoptr (GError) failure = NULL;

  reply = pcd_vir_qmp (domain, "{\"execute\":\"query-migrate\"}", &failure);
  if (!reply && is_gone (domain, failure))
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, failure->message);
  else if (!reply)
    g_propagate_prefixed_error (error, g_steal_pointer (&failure), "query-migrate: ");
  if (!reply || !pcd_vir_status_from_json (reply, "return", &word, error))
    return PCD_QEMU_UNKNOWN;
  *ret_word = g_steal_pointer (&word);
  return pcd_qemu_status_from_string (*ret_word);
}

gboolean
pcd_vir_qmp_find_invitation (virDomainPtr domain, char **ret_id, PcdEndpoint *ret_listens)
{
  g_autofree char *reply = pcd_vir_qmp (domain, "{\"execute\":\"query-chardev\"}", NULL);

  return pcd_invitation_find (reply, ret_id, ret_listens);
}

void
pcd_vir_qmp_remove_invitation (virDomainPtr domain, const char *id)
{
  g_autofree char *line =
      g_strdup_printf ("{\"execute\":\"chardev-remove\",\"arguments\":{\"id\":\"%s\"}}", id);
  g_autofree char *reply = pcd_vir_qmp (domain, line, NULL);
}

gboolean
pcd_vir_qmp_uses_tls (virDomainPtr domain)
{
  g_autofree char *reply = pcd_vir_qmp (domain, "{\"execute\":\"query-migrate-parameters\"}", NULL);

  return reply && strstr (reply, "\"tls-creds\":\"") && !strstr (reply, "\"tls-creds\":\"\"");
}
