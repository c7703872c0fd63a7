/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A tokeniser for tags, comments, CDATA and processing instructions; nothing else matters here.
 * Must not know what the elements mean. */
#include "pcd-xml-spans.h"

#include <string.h>

typedef struct {
  const char *xml;
  gsize length;
  gsize at;
  guint depth; /* of the next element that opens */
  GArray *spans;
  guint open[PCD_XML_SPANS_DEPTH + 1]; /* index of the open span of each depth */
} Scan;

static gboolean
looking_at (const Scan *scan, const char *what)
{
  gsize n = strlen (what);

  return scan->length - scan->at >= n && memcmp (scan->xml + scan->at, what, n) == 0;
}

/* To the byte after the next @what at or behind the current place. */
static gboolean
skip_past (Scan *scan, const char *what)
{
  const char *hit = memmem (scan->xml + scan->at, scan->length - scan->at, what, strlen (what));

  if (!hit)
    return FALSE;
  scan->at = hit - scan->xml + strlen (what);
  return TRUE;
}

/* To the byte after the tag's `>`; a `>` inside a quoted value is not it. */
static gboolean
skip_tag (Scan *scan)
{
  char quote = 0;

  for (; scan->at < scan->length; scan->at++) {
    char c = scan->xml[scan->at];

    if (quote)
      quote = c == quote ? 0 : quote;
    else if (c == '"' || c == '\'')
      quote = c;
    else if (c == '>') {
      scan->at++;
      return TRUE;
    }
  }
  return FALSE;
}

static gboolean
end_tag (Scan *scan)
{
  gsize start = scan->at;

  if (scan->depth == 0 || !skip_tag (scan))
    return FALSE;
  scan->depth--;
  if (scan->depth <= PCD_XML_SPANS_DEPTH) {
    PcdXmlSpan *span = &g_array_index (scan->spans, PcdXmlSpan, scan->open[scan->depth]);
    span->close = start;
    span->end = scan->at;
  }
  return TRUE;
}

static gboolean
start_tag (Scan *scan)
{
  PcdXmlSpan span = { .start = scan->at, .name = scan->at + 1, .depth = scan->depth };
  gboolean is_empty;

  span.name_length = strcspn (scan->xml + span.name, " \t\r\n/>");
  if (!skip_tag (scan) || span.name + span.name_length >= scan->at)
    return FALSE;
  is_empty = scan->xml[scan->at - 2] == '/';
  if (is_empty)
    span.close = span.end = scan->at;
  if (scan->depth <= PCD_XML_SPANS_DEPTH) {
    scan->open[scan->depth] = scan->spans->len;
    g_array_append_val (scan->spans, span);
  }
  if (!is_empty)
    scan->depth++;
  return TRUE;
}

static gboolean
next_token (Scan *scan)
{
  if (looking_at (scan, "<!--")) {
    scan->at += 4;
    return skip_past (scan, "-->");
  }
  if (looking_at (scan, "<![CDATA["))
    return skip_past (scan, "]]>");
  if (looking_at (scan, "<?"))
    return skip_past (scan, "?>");
  if (looking_at (scan, "<!")) /* a document type: entities could hide anything */
    return FALSE;
  return looking_at (scan, "</") ? end_tag (scan) : start_tag (scan);
}

GArray *
pcd_xml_spans (const char *xml, gsize length)
{
  /* A copy with a terminator, so that string functions stop. */
  g_autofree char *text = g_strndup (xml, length);
  g_autoptr (GArray) spans = g_array_new (FALSE, TRUE, sizeof (PcdXmlSpan));
  Scan scan = { .xml = text, .length = length, .spans = spans };

  if (memchr (xml, 0, length))
    return NULL;
  while (scan.at < length) {
    const char *tag = memchr (text + scan.at, '<', length - scan.at);

    if (!tag)
      break;
    scan.at = tag - text;
    if (!next_token (&scan))
      return NULL;
  }
  return scan.depth == 0 && spans->len > 0 ? g_steal_pointer (&spans) : NULL;
}
