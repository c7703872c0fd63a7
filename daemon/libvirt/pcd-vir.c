/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's handles and errors made fit for GLib code: autoptr, GError.
 * Must not know what the calls are for. */
#include "libvirt/pcd-vir.h"

#include <gio/gio.h>
#include <glib/gi18n.h>
#include <json-glib/json-glib.h>

G_DEFINE_QUARK (pcd - vir - error - quark, pcd_vir_error)

static void
drop_error (void *data, virErrorPtr error)
{
}

void
pcd_vir_init (void)
{
  virSetErrorFunc (NULL, drop_error);
}

const char *
pcd_vir_connect_advice (void)
{
  /* A user whom polkit refuses, and a certificate, of which libvirt says only that it could not be
   * verified. */
  if (virGetLastErrorCode () == VIR_ERR_AUTH_FAILED)
    return _ ("may this user connect? Over TLS, does its certificate suit? It has to be valid "
              "now, for that name, by a trusted CA");
  return _ ("is its daemon running? Or name another by --connect URI");
}

void
pcd_vir_set_error (GError **error, const char *call)
{
  virErrorPtr last = virGetLastError ();

  if (!last || last->code == VIR_ERR_OK)
    g_set_error (error, PCD_VIR_ERROR, VIR_ERR_INTERNAL_ERROR, _ ("%s: failed without a reason"),
                 call);
  else
    g_set_error (error, PCD_VIR_ERROR, last->code, "%s: %s", call,
                 last->message ? last->message : _ ("no message"));
}

const char *
pcd_vir_close_reason (int reason)
{
  switch (reason) {
  case VIR_CONNECT_CLOSE_REASON_ERROR:
    return _ ("the connection to libvirt broke");
  case VIR_CONNECT_CLOSE_REASON_EOF:
    return _ ("libvirt closed the connection");
  case VIR_CONNECT_CLOSE_REASON_KEEPALIVE:
    return _ ("libvirt stopped answering keepalives");
  case VIR_CONNECT_CLOSE_REASON_CLIENT:
    return _ ("closed from this side");
  default:
    return _ ("closed for an unknown reason");
  }
}

gboolean
pcd_vir_status_from_json (const char *json, const char *member, char **ret_word, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonNode *node;
  JsonObject *object;

  if (!json || !json_parser_load_from_data (parser, json, -1, error))
    return json || (g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, _ ("no JSON")), FALSE);
  node = json_parser_get_root (parser);
  if (member && node && JSON_NODE_HOLDS_OBJECT (node))
    node = json_object_get_member (json_node_get_object (node), member);
  if (!node || !JSON_NODE_HOLDS_OBJECT (node)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _ ("expected an object with a status: %s"), json);
    return FALSE;
  }
  object = json_node_get_object (node);
  *ret_word = g_strdup (json_object_get_string_member_with_default (object, "status", "none"));
  return TRUE;
}

/* As virsh: vshLookupDomainBy () of tools/virsh-util.c. */
virDomainPtr
pcd_vir_find_domain (virConnectPtr connection, const char *name)
{
  gint64 id = 0;
  virDomainPtr domain = NULL;

  if (g_ascii_string_to_signed (name, 10, 0, G_MAXINT, &id, NULL))
    domain = virDomainLookupByID (connection, (int)id);
  if (!domain && g_uuid_string_is_valid (name))
    domain = virDomainLookupByUUIDString (connection, name);
  return domain ? domain : virDomainLookupByName (connection, name);
}
