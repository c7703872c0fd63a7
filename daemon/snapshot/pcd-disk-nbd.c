/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers are doc/proto.md's. Whatever is out of bounds ends the connection. */
#include "snapshot/pcd-disk-nbd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define MAGIC         G_GUINT64_CONSTANT (0x4e42444d41474943) /* NBDMAGIC */
#define OPTION_MAGIC  G_GUINT64_CONSTANT (0x49484156454f5054) /* IHAVEOPT */
#define REPLY_MAGIC   G_GUINT64_CONSTANT (0x0003e889045565a9)
#define REQUEST_MAGIC 0x25609513u
#define SIMPLE_MAGIC  0x67446698u

#define FIXED_NEWSTYLE 1
#define NO_ZEROES      2
#define FLAGS          (1 | 4 | 64) /* has flags, flush, write zeroes */

#define OPTION_ABORT    2
#define OPTION_INFO     6
#define OPTION_GO       7
#define REPLY_ACK       1u
#define REPLY_INFO      3u
#define REPLY_UNSUPP    0x80000001u
#define REPLY_UNKNOWN   0x80000006u
#define INFO_EXPORT     0
#define INFO_BLOCK_SIZE 3
#define MIN_BLOCK       1u
#define PREFERRED_BLOCK 65536u
#define MAX_REQUEST     (32u << 20)
#define MAX_OPTION      8192u

enum { READ, WRITE, DISCONNECT, FLUSH, TRIM, CACHE, WRITE_ZEROES };

typedef struct {
  int fd;
  PcdDiskExport export;
  guint8 *buffer; /* MAX_REQUEST, as much of it as was ever used */
} Link;

static gboolean
get (Link *link, gpointer data, gsize size)
{
  guint8 *next = data;

  while (size > 0) {
    ssize_t n = recv (link->fd, next, size, 0);

    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return FALSE;
    next += n;
    size -= (gsize)n;
  }
  return TRUE;
}

static gboolean
put (Link *link, gconstpointer data, gsize size)
{
  const guint8 *next = data;

  while (size > 0) {
    ssize_t n = send (link->fd, next, size, MSG_NOSIGNAL);

    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return FALSE;
    next += n;
    size -= (gsize)n;
  }
  return TRUE;
}

static void
add (GByteArray *bytes, guint64 value, guint size)
{
  const guint64 big = GUINT64_TO_BE (value);

  g_byte_array_append (bytes, (const guint8 *)&big + (8 - size), size);
}

static guint64
number (const guint8 *bytes, guint size)
{
  guint64 value = 0;

  for (guint i = 0; i < size; i++)
    value = value << 8 | bytes[i];
  return value;
}

static gboolean
reply (Link *link, guint32 option, guint32 type, const GByteArray *payload)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();

  add (bytes, REPLY_MAGIC, 8);
  add (bytes, option, 4);
  add (bytes, type, 4);
  add (bytes, payload ? payload->len : 0, 4);
  if (payload)
    g_byte_array_append (bytes, payload->data, payload->len);
  return put (link, bytes->data, bytes->len);
}

static gboolean
tell_export (Link *link, guint32 option)
{
  g_autoptr (GByteArray) export = g_byte_array_new ();
  g_autoptr (GByteArray) block = g_byte_array_new ();

  add (export, INFO_EXPORT, 2);
  add (export, link->export.size, 8);
  add (export, FLAGS, 2);
  add (block, INFO_BLOCK_SIZE, 2);
  add (block, MIN_BLOCK, 4);
  add (block, PREFERRED_BLOCK, 4);
  add (block, MAX_REQUEST, 4);
  return reply (link, option, REPLY_INFO, export) && reply (link, option, REPLY_INFO, block) &&
         reply (link, option, REPLY_ACK, NULL);
}

/* u32 length, the name, what else is wanted to be known. */
static char *
name_of (const guint8 *data, guint32 size)
{
  const guint64 length = size >= 6 ? number (data, 4) : G_MAXUINT64;

  return length <= size - 6u ? g_strndup ((const char *)data + 4, (gsize)length) : NULL;
}

/* Returns: whether transmission begins; @ret_goes_on: FALSE if the other end is done with. */
static gboolean
answer_option (Link *link, PcdDiskFind find, gpointer data, gboolean *ret_goes_on)
{
  guint8 head[16], payload[MAX_OPTION];
  g_autofree char *name = NULL;
  guint32 option, size;

  *ret_goes_on = FALSE;
  if (!get (link, head, sizeof head) || number (head, 8) != OPTION_MAGIC)
    return FALSE;
  option = (guint32)number (head + 8, 4);
  size = (guint32)number (head + 12, 4);
  if (size > sizeof payload || !get (link, payload, size))
    return FALSE;
  if (option == OPTION_ABORT) {
    reply (link, option, REPLY_ACK, NULL);
    return FALSE;
  }
  if (option != OPTION_GO && option != OPTION_INFO) {
    *ret_goes_on = reply (link, option, REPLY_UNSUPP, NULL);
    return FALSE;
  }
  name = name_of (payload, size);
  if (!name || !find (name, data, &link->export)) {
    *ret_goes_on = reply (link, option, REPLY_UNKNOWN, NULL);
    return FALSE;
  }
  *ret_goes_on = tell_export (link, option);
  return *ret_goes_on && option == OPTION_GO;
}

static gboolean
shake_hands (Link *link, PcdDiskFind find, gpointer data)
{
  g_autoptr (GByteArray) greeting = g_byte_array_new ();
  guint8 flags[4];
  gboolean goes_on = TRUE, begins = FALSE;

  add (greeting, MAGIC, 8);
  add (greeting, OPTION_MAGIC, 8);
  add (greeting, FIXED_NEWSTYLE | NO_ZEROES, 2);
  if (!put (link, greeting->data, greeting->len) || !get (link, flags, sizeof flags) ||
      !(number (flags, 4) & FIXED_NEWSTYLE))
    return FALSE;
  while (goes_on && !begins)
    begins = answer_option (link, find, data, &goes_on);
  return begins;
}

static gboolean
finish (Link *link, const guint8 *handle, gsize n_data)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();

  add (bytes, SIMPLE_MAGIC, 4);
  add (bytes, 0, 4);
  g_byte_array_append (bytes, handle, 8);
  return put (link, bytes->data, bytes->len) && put (link, link->buffer, n_data);
}

static gboolean
is_sane (const Link *link, guint type, guint64 offset, guint32 size)
{
  const gboolean has_range = type == READ || type == WRITE || type == WRITE_ZEROES;
  const gboolean has_data = type == READ || type == WRITE;

  return !has_range || (offset <= link->export.size && size <= link->export.size - offset &&
                        (!has_data || size <= MAX_REQUEST));
}

static gboolean
answer_request (Link *link)
{
  PcdDiskImage *image = link->export.image;
  guint8 head[28];
  guint64 offset;
  guint32 size;
  guint type;

  if (!get (link, head, sizeof head) || number (head, 4) != REQUEST_MAGIC)
    return FALSE;
  type = (guint)number (head + 6, 2);
  offset = number (head + 16, 8);
  size = (guint32)number (head + 24, 4);
  if (!is_sane (link, type, offset, size))
    return FALSE;
  switch (type) {
  case READ:
    memset (link->buffer, 0, size);
    if (image)
      pcd_disk_image_read (image, offset, link->buffer, size);
    return finish (link, head + 8, size);
  case WRITE:
    if (!get (link, link->buffer, size))
      return FALSE;
    if (image)
      pcd_disk_image_write (image, offset, link->buffer, size);
    return finish (link, head + 8, 0);
  case WRITE_ZEROES:
    if (image)
      pcd_disk_image_write_zeros (image, offset, size);
    return finish (link, head + 8, 0);
  case FLUSH: /* who finishes the bundle flushes */
    return finish (link, head + 8, 0);
  case DISCONNECT:
  default:
    return FALSE;
  }
}

void
pcd_disk_nbd_serve (int fd, PcdDiskFind find, gpointer data)
{
  Link link = { .fd = fd };

  if (!shake_hands (&link, find, data))
    return;
  link.buffer = g_malloc (MAX_REQUEST);
  while (answer_request (&link))
    ;
  g_free (link.buffer);
}
