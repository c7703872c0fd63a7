/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the outer elements of an XML text begin and end, in bytes, so that it can be edited
 * without being written anew. Must not know what the elements mean. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Children of the root have depth 1. */
#define PCD_XML_SPANS_DEPTH 2

/**
 * PcdXmlSpan:
 * @start: offset of the start tag's `<`
 * @close: offset of the end tag's `<`; equals @end for an empty-element tag
 * @end: offset after the element
 * @name: offset of its qualified name
 * @name_length: and the name's length
 * @depth: 0 for the root
 */
typedef struct {
  gsize start;
  gsize close;
  gsize end;
  gsize name;
  gsize name_length;
  guint depth;
} PcdXmlSpan;

/**
 * pcd_xml_spans:
 * @xml: a text
 * @length: its length
 *
 * The spans of all elements of depth 0 to %PCD_XML_SPANS_DEPTH in document order. Whether the text
 * is well-formed is for a real parser to say; this never reads out of bounds whatever it is.
 *
 * Returns: (transfer full) (nullable): of #PcdXmlSpan; %NULL if the elements do not nest, or the
 *   text has a document type declaration
 */
GArray *pcd_xml_spans (const char *xml, gsize length);

G_END_DECLS
