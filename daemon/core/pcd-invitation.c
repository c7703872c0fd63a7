/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a destination listens, as the id of a character device and back. */
#include "core/pcd-invitation.h"

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <string.h>

char *
pcd_invitation_to_id (const PcdEndpoint *listens)
{
  g_autofree char *address = g_strdelimit (g_strdup (listens->address), ":", '-');

  return g_strdup_printf (PCD_INVITATION_PREFIX "%s_%u", address, listens->port);
}

gboolean
pcd_invitation_from_id (const char *id, PcdEndpoint *ret_listens)
{
  g_auto (GStrv) words = NULL;
  guint64 port = 0;

  if (!g_str_has_prefix (id, PCD_INVITATION_PREFIX))
    return FALSE;
  words = g_strsplit (id + strlen (PCD_INVITATION_PREFIX), "_", 0);
  if (g_strv_length (words) != 2 || !g_hostname_is_ip_address (g_strdelimit (words[0], "-", ':')) ||
      !g_ascii_string_to_unsigned (words[1], 10, 1, G_MAXUINT16, &port, NULL) ||
      strlen (words[0]) >= sizeof ret_listens->address)
    return FALSE;
  g_strlcpy (ret_listens->address, words[0], sizeof ret_listens->address);
  ret_listens->port = (guint16)port;
  return TRUE;
}

gboolean
pcd_invitation_find (const char *reply, char **ret_id, PcdEndpoint *ret_listens)
{
  g_autoptr (JsonNode) root = reply ? json_from_string (reply, NULL) : NULL;
  JsonNode *list = root && JSON_NODE_HOLDS_OBJECT (root)
                       ? json_object_get_member (json_node_get_object (root), "return")
                       : NULL;
  JsonArray *devices = list && JSON_NODE_HOLDS_ARRAY (list) ? json_node_get_array (list) : NULL;

  for (guint i = 0; devices && i < json_array_get_length (devices); i++) {
    JsonNode *device = json_array_get_element (devices, i);
    const char *label = JSON_NODE_HOLDS_OBJECT (device)
                            ? json_object_get_string_member_with_default (
                                  json_node_get_object (device), "label", "")
                            : "";

    if (!pcd_invitation_from_id (label ?: "", ret_listens))
      continue;
    *ret_id = g_strdup (label);
    return TRUE;
  }
  return FALSE;
}

char *
pcd_invitation_to_uri (const PcdEndpoint *listens)
{
  const gboolean is_six = strchr (listens->address, ':') != NULL;

  return g_strdup_printf (is_six ? "tcp:[%s]:%u" : "tcp:%s:%u", listens->address, listens->port);
}
