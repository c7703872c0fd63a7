/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opens a libvirt and asks for its versions and its host's capabilities.
 * Must not know what they are wanted for. */
#include "libvirt/pcd-vir-self.h"

#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <stdlib.h>
#include <string.h>

#include "libvirt/pcd-vir.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlDoc, xmlFreeDoc)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlXPathContext, xmlXPathFreeContext)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlXPathObject, xmlXPathFreeObject)

void
pcd_vir_self_clear (PcdVirSelf *self)
{
  g_free (self->uuid);
  g_free (self->models);
  g_free (self->label);
  *self = (PcdVirSelf){ 0 };
}

/* All matches, with commas; %NULL if there is none. */
static char *
find (xmlXPathContext *context, const char *path)
{
  g_autoptr (xmlXPathObject) object = xmlXPathEvalExpression ((const xmlChar *)path, context);
  g_autoptr (GString) text = g_string_new (NULL);

  for (int i = 0; object && object->nodesetval && i < object->nodesetval->nodeNr; i++) {
    xmlChar *content = xmlNodeGetContent (object->nodesetval->nodeTab[i]);

    g_string_append_printf (text, "%s%s", text->len ? "," : "", (const char *)content);
    xmlFree (content);
  }
  return text->len ? g_string_free (g_steal_pointer (&text), FALSE) : NULL;
}

static void
read_capabilities (virConnectPtr connection, PcdVirSelf *self)
{
  char *xml = virConnectGetCapabilities (connection);
  g_autoptr (xmlDoc) doc =
      xml ? xmlReadMemory (xml, (int)strlen (xml), NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR)
          : NULL;
  g_autoptr (xmlXPathContext) context = doc ? xmlXPathNewContext (doc) : NULL;

  free (xml);
  if (!context)
    return;
  self->uuid = find (context, "/capabilities/host/uuid");
  self->models = find (context, "/capabilities/host/secmodel/model");
  self->label = find (context, "/capabilities/host/secmodel[model='dac']/baselabel[@type='kvm']");
}

/* Else ssh would ask on the terminal. */
static char *
without_terminal (const char *uri)
{
  g_autofree char *scheme = g_uri_parse_scheme (uri);

  if (!scheme || !strstr (scheme, "ssh") || strstr (uri, "no_tty="))
    return g_strdup (uri);
  return g_strconcat (uri, strchr (uri, '?') ? "&" : "?", "no_tty=1", NULL);
}

gboolean
pcd_vir_self_ask (
    const char *uri, gboolean readonly, PcdVirSelfFunc told, gpointer data, GError **error)
{
  PcdVirSelf self = { 0 };
  g_autofree char *quiet = without_terminal (uri);

  pcd_vir_init ();
  g_autoptr (virConnect) connection =
      readonly ? virConnectOpenReadOnly (quiet) : virConnectOpen (quiet);
  if (!connection) {
    pcd_vir_set_error (error, "virConnectOpen");
    return FALSE;
  }
  if (virConnectGetLibVersion (connection, &self.libvirt) < 0) {
    pcd_vir_set_error (error, "virConnectGetLibVersion");
    return FALSE;
  }
  told (&self, data);
  virConnectGetVersion (connection, &self.qemu);
  read_capabilities (connection, &self);
  told (&self, data);
  pcd_vir_self_clear (&self);
  return TRUE;
}
