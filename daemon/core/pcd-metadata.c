/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a domain's metadata says about its policy. Whoever may edit the domain writes it, so it is
 * hostile input. Pure: must not know where the text comes from, nor which policies there are. */
#include "core/pcd-metadata.h"
#include "core/pcd-node.h"
#include "core/pcd-policy.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>

#define EXPECTED "expected <policy name=\"NAME\"/>"

G_DEFINE_QUARK (pcd - metadata - error - quark, pcd_metadata_error)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlDoc, xmlFreeDoc)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlParserCtxt, xmlFreeParserCtxt)

static gboolean refuse (GError **error, PcdMetadataError code, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

/* Always %FALSE, so that a caller may return it. */
static gboolean
refuse (GError **error, PcdMetadataError code, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, PCD_METADATA_ERROR, code, "%s, " EXPECTED, text);
  return FALSE;
}

/* Before libxml2 sees anything: a document type with its entities, CDATA, comments, instructions.
 */
static gboolean
check_text (const char *xml, GError **error)
{
  gsize length = strlen (xml);

  if (length > PCD_METADATA_MAX_BYTES)
    return refuse (error, PCD_METADATA_ERROR_XML, "got %" G_GSIZE_FORMAT " bytes", length);
  if (!g_utf8_validate (xml, length, NULL))
    return refuse (error, PCD_METADATA_ERROR_XML, "got something that is not UTF-8");
  if (strstr (xml, "<!") || strstr (xml, "<?"))
    return refuse (error, PCD_METADATA_ERROR_XML,
                   "got a comment, a document type or an instruction");
  return TRUE;
}

static xmlDoc *
read_xml (const char *xml, GError **error)
{
  g_autoptr (xmlParserCtxt) parser = xmlNewParserCtxt ();
  g_autoptr (xmlDoc) doc = NULL;

  if (parser)
    doc = xmlCtxtReadMemory (parser, xml, strlen (xml), NULL, "UTF-8",
                             XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
  if (!doc || !xmlDocGetRootElement (doc)) {
    g_autofree char *quoted = pcd_node_quote (xml);
    refuse (error, PCD_METADATA_ERROR_XML, "got %s, which is not well-formed", quoted);
    return NULL;
  }
  return g_steal_pointer (&doc);
}

static gboolean
check_attributes (const xmlNode *root, GError **error)
{
  for (const xmlAttr *attr = root->properties; attr; attr = attr->next) {
    if (!attr->ns && xmlStrEqual (attr->name, BAD_CAST "name"))
      continue;
    g_autofree char *quoted = pcd_node_quote ((const char *)attr->name);
    return refuse (error, PCD_METADATA_ERROR_ELEMENT, "got attribute %s", quoted);
  }
  return TRUE;
}

static gboolean
check_element (const xmlNode *root, GError **error)
{
  if (!xmlStrEqual (root->name, BAD_CAST "policy")) {
    g_autofree char *quoted = pcd_node_quote ((const char *)root->name);
    return refuse (error, PCD_METADATA_ERROR_ELEMENT, "got element %s", quoted);
  }
  if (root->ns && !xmlStrEqual (root->ns->href, BAD_CAST PCD_METADATA_URI)) {
    g_autofree char *quoted = pcd_node_quote ((const char *)root->ns->href);
    return refuse (error, PCD_METADATA_ERROR_ELEMENT, "got an element of namespace %s", quoted);
  }
  for (const xmlNode *child = root->children; child; child = child->next)
    if (!xmlIsBlankNode (child))
      return refuse (error, PCD_METADATA_ERROR_ELEMENT, "got an element that is not empty");
  return check_attributes (root, error);
}

gboolean
pcd_metadata_parse (const char *xml, char **ret_policy, GError **error)
{
  g_autoptr (xmlDoc) doc = NULL;
  xmlChar *value;

  if (!check_text (xml, error))
    return FALSE;
  doc = read_xml (xml, error);
  if (!doc || !check_element (xmlDocGetRootElement (doc), error))
    return FALSE;
  value = xmlGetNoNsProp (xmlDocGetRootElement (doc), BAD_CAST "name");
  g_autofree char *name = g_strdup ((const char *)value);
  xmlFree (value);
  if (!name)
    return refuse (error, PCD_METADATA_ERROR_ELEMENT, "got no attribute \"name\"");
  if (!pcd_policy_name_is_good (name)) {
    g_autofree char *quoted = pcd_node_quote (name);
    return refuse (error, PCD_METADATA_ERROR_NAME, "got name %s, which no policy can have (%s)",
                   quoted, PCD_POLICY_NAME_EXPECTED);
  }
  *ret_policy = g_steal_pointer (&name);
  return TRUE;
}
