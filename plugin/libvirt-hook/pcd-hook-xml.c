/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libxml2 says what the XML means, byte spans say where it stands: it is edited, not written anew.
 * Pure: no file, no process, no log. */
#include "pcd-hook-xml.h"

#include "pcd-xml-spans.h"
#include "qmp/pcd-monitor.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>

#define OWN_ELEMENT                                                                                \
  "<qemu:commandline xmlns:qemu='" PCD_HOOK_QEMU_NS "'>\n"                                         \
  "    <qemu:arg value='-chardev'/>\n"                                                             \
  "    <qemu:arg value='" PCD_MONITOR_CHARDEV "'/>\n"                                              \
  "    <qemu:arg value='-mon'/>\n"                                                                 \
  "    <qemu:arg value='" PCD_MONITOR_MON "'/>\n"                                                  \
  "  </qemu:commandline>\n"

G_DEFINE_QUARK (pcd - hook - error - quark, pcd_hook_error)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlDoc, xmlFreeDoc)

typedef struct {
  char *value;
  PcdXmlSpan span;
  guint parent; /* index of its commandline */
  gboolean is_ours;
} Arg;

/* One <commandline> in QEMU's namespace. */
typedef struct {
  PcdXmlSpan span;
  guint n_kept; /* children of it that are not our arguments */
  guint n_ours;
} Commandline;

typedef struct {
  GArray *args;         /* Arg, in the order QEMU gets them */
  GArray *commandlines; /* Commandline */
  PcdXmlSpan root;
} Domain;

static void
arg_clear (gpointer data)
{
  g_free (((Arg *)data)->value);
}

static void
domain_clear (Domain *domain)
{
  g_clear_pointer (&domain->args, g_array_unref);
  g_clear_pointer (&domain->commandlines, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Domain, domain_clear)

static gboolean
doubt (GError **error, const char *what)
{
  g_set_error_literal (error, PCD_HOOK_ERROR, PCD_HOOK_ERROR_DOUBT, what);
  return FALSE;
}

static gboolean
is_qemu (const xmlNode *node, const char *name)
{
  return node->ns && xmlStrEqual (node->ns->href, BAD_CAST PCD_HOOK_QEMU_NS) &&
         xmlStrEqual (node->name, BAD_CAST name);
}

/* The span that belongs to @node, if the next one has its name and depth. */
static gboolean
take_span (const char *xml,
           GArray *spans,
           guint *at,
           const xmlNode *node,
           guint depth,
           PcdXmlSpan *ret_span)
{
  g_autofree char *name = NULL;
  PcdXmlSpan *span;

  if (*at >= spans->len)
    return FALSE;
  span = &g_array_index (spans, PcdXmlSpan, (*at)++);
  name = node->ns && node->ns->prefix ? g_strdup_printf ("%s:%s", node->ns->prefix, node->name)
                                      : g_strdup ((const char *)node->name);
  if (span->depth != depth || span->name_length != strlen (name) ||
      strncmp (xml + span->name, name, span->name_length) != 0)
    return FALSE;
  *ret_span = *span;
  return TRUE;
}

static void
add_arg (Domain *domain, xmlNode *node, const PcdXmlSpan *span)
{
  xmlChar *value = xmlGetProp (node, BAD_CAST "value");
  Arg arg = { .value = g_strdup ((const char *)value), .span = *span };

  arg.parent = domain->commandlines->len - 1;
  g_array_append_val (domain->args, arg);
  xmlFree (value);
}

static gboolean
read_children (Domain *domain, const char *xml, GArray *spans, guint *at, xmlNode *parent)
{
  gboolean is_commandline = is_qemu (parent, "commandline");

  for (xmlNode *node = parent->children; node; node = node->next) {
    PcdXmlSpan span;

    if (node->type == XML_ELEMENT_NODE) {
      if (!take_span (xml, spans, at, node, 2, &span))
        return FALSE;
      if (is_commandline && is_qemu (node, "arg")) {
        add_arg (domain, node, &span);
        continue;
      }
    }
    if (is_commandline && !xmlIsBlankNode (node))
      g_array_index (domain->commandlines, Commandline, domain->commandlines->len - 1).n_kept++;
  }
  return TRUE;
}

static gboolean
read_domain (Domain *domain, const char *xml, GArray *spans, xmlNode *root, GError **error)
{
  guint at = 0;

  domain->args = g_array_new (FALSE, TRUE, sizeof (Arg));
  g_array_set_clear_func (domain->args, arg_clear);
  domain->commandlines = g_array_new (FALSE, TRUE, sizeof (Commandline));
  if (!take_span (xml, spans, &at, root, 0, &domain->root))
    return doubt (error, "cannot find the root element in the text");
  for (xmlNode *node = root->children; node; node = node->next) {
    Commandline commandline = { 0 };

    if (node->type != XML_ELEMENT_NODE)
      continue;
    if (!take_span (xml, spans, &at, node, 1, &commandline.span))
      return doubt (error, "cannot find an element in the text");
    if (is_qemu (node, "commandline"))
      g_array_append_val (domain->commandlines, commandline);
    if (!read_children (domain, xml, spans, &at, node))
      return doubt (error, "cannot find an element in the text");
  }
  return at == spans->len || doubt (error, "the text has more elements than the document");
}

/* No network, no external entity, no recovery; undeclared prefixes count as malformed too. */
static xmlDoc *
read_strictly (const char *xml, gsize length)
{
  xmlParserCtxt *parser = xmlNewParserCtxt ();
  xmlDoc *doc = NULL;

  if (!parser)
    return NULL;
  doc = xmlCtxtReadMemory (parser, xml, length, NULL, NULL,
                           XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
  if (!parser->wellFormed || !parser->nsWellFormed)
    g_clear_pointer (&doc, xmlFreeDoc);
  xmlFreeParserCtxt (parser);
  return doc;
}

static xmlDoc *
parse (const char *xml, gsize length, GError **error)
{
  g_autoptr (xmlDoc) doc = read_strictly (xml, length);
  xmlNode *root = doc ? xmlDocGetRootElement (doc) : NULL;
  xmlChar *type;
  gboolean is_qemu_domain;

  if (!root) {
    doubt (error, "not well-formed XML");
    return NULL;
  }
  if (doc->intSubset || doc->extSubset) {
    doubt (error, "it has a document type");
    return NULL;
  }
  /* The edit is done on the bytes as they came, so they must be what the parser saw. */
  if (doc->encoding && g_ascii_strcasecmp ((const char *)doc->encoding, "UTF-8") != 0) {
    doubt (error, "its encoding is not UTF-8");
    return NULL;
  }
  type = xmlGetNoNsProp (root, BAD_CAST "type");
  is_qemu_domain = !root->ns && xmlStrEqual (root->name, BAD_CAST "domain") &&
                   (xmlStrEqual (type, BAD_CAST "kvm") || xmlStrEqual (type, BAD_CAST "qemu"));
  xmlFree (type);
  if (!is_qemu_domain) {
    doubt (error, "the root is not a KVM or QEMU domain");
    return NULL;
  }
  return g_steal_pointer (&doc);
}

/* Whether a QEMU option value has `key=PCD_MONITOR_ID`. A doubled comma is a comma in a value:
 * splitting there can only make more pieces, and the worst of that is doubt. */
static gboolean
names_our_id (const char *value, const char *key)
{
  g_auto (GStrv) options = g_strsplit (value, ",", -1);
  g_autofree char *wanted = g_strdup_printf ("%s=" PCD_MONITOR_ID, key);

  return g_strv_contains ((const char *const *)options, wanted);
}

/* Any other use, also in QEMU's JSON form of an option. */
static gboolean
mentions_our_id (const char *value)
{
  g_auto (GStrv) options = g_strsplit (value, ",", -1);

  for (char **option = options; *option; option++) {
    const char *equals = strchr (*option, '=');

    if (g_str_equal (equals ? equals + 1 : *option, PCD_MONITOR_ID))
      return TRUE;
  }
  return strstr (value, "\"" PCD_MONITOR_ID "\"") != NULL;
}

static gboolean
asks_for_a_pty (const char *value)
{
  return g_str_equal (value, "pty") || g_str_has_prefix (value, "pty,") ||
         g_str_has_prefix (value, "pty:") || strstr (value, "backend=pty");
}

/* Marks our arguments. FALSE: someone else's stand in the way. */
static gboolean
classify (Domain *domain, GError **error)
{
  GArray *args = domain->args;

  for (guint i = 0; i < args->len; i++) {
    Arg *arg = &g_array_index (args, Arg, i);
    Arg *next = i + 1 < args->len ? &g_array_index (args, Arg, i + 1) : NULL;
    gboolean is_ours = FALSE;

    if (!arg->value)
      return doubt (error, "an argument for QEMU has no value");
    if (next && next->value && g_str_equal (arg->value, "-chardev"))
      is_ours = names_our_id (next->value, "id");
    else if (next && next->value && g_str_equal (arg->value, "-mon"))
      is_ours = names_our_id (next->value, "chardev");
    if (is_ours) {
      arg->is_ours = next->is_ours = TRUE;
      i++;
    } else if (mentions_our_id (arg->value))
      return doubt (error, "someone else uses the id " PCD_MONITOR_ID);
    else if (asks_for_a_pty (arg->value))
      return doubt (error, "it asks QEMU for another pty");
  }
  for (guint i = 0; i < args->len; i++) {
    Arg *arg = &g_array_index (args, Arg, i);
    Commandline *parent = &g_array_index (domain->commandlines, Commandline, arg->parent);

    *(arg->is_ours ? &parent->n_ours : &parent->n_kept) += 1;
  }
  return TRUE;
}

static gboolean
is_complete (const Domain *domain)
{
  static const char *const wanted[] = { "-chardev", PCD_MONITOR_CHARDEV, "-mon", PCD_MONITOR_MON };
  guint n = 0;

  for (guint i = 0; i < domain->args->len; i++) {
    Arg *arg = &g_array_index (domain->args, Arg, i);

    if (!arg->is_ours)
      continue;
    if (n == G_N_ELEMENTS (wanted) || !g_str_equal (arg->value, wanted[n++]))
      return FALSE;
  }
  return n == G_N_ELEMENTS (wanted);
}

/* Leaves out [start, end) of the original, and the white space before it. */
static void
copy_until (GString *out, const char *xml, gsize *done, gsize start, gsize end)
{
  gsize stop = start;

  while (stop > *done && g_ascii_isspace (xml[stop - 1]))
    stop--;
  g_string_append_len (out, xml + *done, stop - *done);
  *done = end;
}

static char *
rewrite (const Domain *domain, const char *xml, gsize length)
{
  GString *out = g_string_sized_new (length + sizeof (OWN_ELEMENT) + 8);
  gsize done = 0;

  for (guint i = 0; i < domain->args->len; i++) {
    Arg *arg = &g_array_index (domain->args, Arg, i);
    Commandline *parent = &g_array_index (domain->commandlines, Commandline, arg->parent);

    if (!arg->is_ours || arg->span.start < done)
      continue;
    if (parent->n_kept == 0)
      copy_until (out, xml, &done, parent->span.start, parent->span.end);
    else
      copy_until (out, xml, &done, arg->span.start, arg->span.end);
  }
  g_string_append_len (out, xml + done, domain->root.close - done);
  g_string_append (out, "  " OWN_ELEMENT);
  g_string_append_len (out, xml + domain->root.close, length - domain->root.close);
  return g_string_free (out, FALSE);
}

char *
pcd_hook_xml_add_monitor (const char *xml, gsize length, GError **error)
{
  g_autoptr (GArray) spans = NULL;
  g_autoptr (xmlDoc) doc = NULL;
  g_auto (Domain) domain = { 0 };

  if (length == 0 || length > PCD_HOOK_MAX_XML) {
    doubt (error, length ? "it is too long" : "it is empty");
    return NULL;
  }
  spans = pcd_xml_spans (xml, length);
  if (!spans) {
    doubt (error, "not well-formed XML, or it has a document type");
    return NULL;
  }
  doc = parse (xml, length, error);
  if (!doc || !read_domain (&domain, xml, spans, xmlDocGetRootElement (doc), error) ||
      !classify (&domain, error) || is_complete (&domain))
    return NULL;
  if (domain.root.close == domain.root.end) {
    doubt (error, "the domain is empty");
    return NULL;
  }
  return rewrite (&domain, xml, length);
}
