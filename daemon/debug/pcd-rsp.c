/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `$CONTENT#CHECKSUM`, and the single bytes between.
 * Must not trust the other end. */
#include "debug/pcd-rsp.h"

#include <stdio.h>
#include <string.h>

#define ESCAPE    '}'
#define ESCAPE_BY 0x20

static guint8
sum_of (const guint8 *data, gsize size)
{
  guint8 sum = 0;

  for (gsize i = 0; i < size; i++)
    sum = (guint8)(sum + data[i]);
  return sum;
}

static void
unescape (GString *packet, const guint8 *data, gsize size)
{
  g_string_truncate (packet, 0);
  for (gsize i = 0; i < size; i++) {
    gboolean escaped = data[i] == ESCAPE && i + 1 < size;

    if (escaped)
      i++;
    g_string_append_c (packet, (char)(escaped ? data[i] ^ ESCAPE_BY : data[i]));
  }
}

static PcdRspKind
take_packet (GByteArray *stream, GString *packet)
{
  const guint8 *end = memchr (stream->data, '#', stream->len);
  const gsize size = end ? (gsize)(end - stream->data) - 1 : stream->len;
  int high, low;

  if (size > PCD_RSP_MAX)
    return PCD_RSP_NONSENSE;
  if (!end || stream->len < size + 4)
    return PCD_RSP_NONE;
  high = g_ascii_xdigit_value ((char)end[1]);
  low = g_ascii_xdigit_value ((char)end[2]);
  gboolean good = high >= 0 && low >= 0 && high * 16 + low == sum_of (stream->data + 1, size);
  unescape (packet, stream->data + 1, size);
  g_byte_array_remove_range (stream, 0, (guint)size + 4);
  return good ? PCD_RSP_PACKET : PCD_RSP_DAMAGED;
}

PcdRspKind
pcd_rsp_take (GByteArray *stream, GString *packet)
{
  if (stream->len == 0)
    return PCD_RSP_NONE;
  const guint8 first = stream->data[0];
  if (first == '$')
    return take_packet (stream, packet);
  g_byte_array_remove_range (stream, 0, 1);
  switch (first) {
  case '+':
    return PCD_RSP_ACK;
  case '-':
    return PCD_RSP_NAK;
  case 3:
    return PCD_RSP_INTERRUPT;
  default:
    return PCD_RSP_NONSENSE;
  }
}

void
pcd_rsp_add (GString *stream, const char *content, gsize size)
{
  g_string_append_c (stream, '$');
  const gsize begin = stream->len;
  for (gsize i = 0; i < size; i++) {
    if (content[i] && strchr ("$#}*", content[i])) {
      g_string_append_c (stream, ESCAPE);
      g_string_append_c (stream, (char)(content[i] ^ ESCAPE_BY));
    } else {
      g_string_append_c (stream, content[i]);
    }
  }
  g_string_append_printf (stream, "#%02x",
                          sum_of ((const guint8 *)stream->str + begin, stream->len - begin));
}

void
pcd_rsp_add_hex (GString *content, gconstpointer data, gsize size)
{
  const guint8 *bytes = data;

  for (gsize i = 0; i < size; i++)
    g_string_append_printf (content, "%02x", bytes[i]);
}

void
pcd_rsp_add_part (GString *content, const char *text, gsize size, const char *range)
{
  unsigned long offset = 0, length = 0;

  if (sscanf (range, "%lx,%lx", &offset, &length) != 2) {
    g_string_append (content, "E01");
    return;
  }
  offset = MIN (offset, size);
  /* Escaping may double it. */
  length = MIN (MIN (length, size - offset), PCD_RSP_MAX / 2 - 1);
  g_string_append_c (content, offset + length < size ? 'm' : 'l');
  g_string_append_len (content, text + offset, (gssize)length);
}
