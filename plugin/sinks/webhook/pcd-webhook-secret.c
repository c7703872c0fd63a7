/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Secrets: who may read the file is checked on the open file, so nothing can be put in between. */
#include "sinks/webhook/pcd-webhook-secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES 4096
#define MIN_KEY   16
#define MAX_KEYS  4

struct _PcdSecret {
  gsize length;
  char text[MAX_BYTES + 2]; /* one to find a file too long, one for the NUL */
};

void
pcd_secret_free (PcdSecret *secret)
{
  if (!secret)
    return;
  explicit_bzero (secret, sizeof *secret);
  g_free (secret);
}

static gboolean
refuse (GError **error, const char *path, const char *what)
{
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_PERM, "credential %s: %s", path, what);
  return FALSE;
}

/* systemd's own are root's and 0400, in a file system of their own. */
static gboolean
check_owner (const char *path, const struct stat *st, GError **error)
{
  g_autofree char *what = NULL;

  if (!S_ISREG (st->st_mode))
    return refuse (error, path, "not a regular file");
  if (st->st_uid != 0 && st->st_uid != geteuid ())
    what = g_strdup_printf ("belongs to uid %u, expected root", st->st_uid);
  else if (st->st_mode & 077)
    what = g_strdup_printf ("mode %04o lets others read or write it, expected 0600 or 0400",
                            st->st_mode & 07777);
  return !what || refuse (error, path, what);
}

static gboolean
read_all (int fd, const char *path, PcdSecret *secret, GError **error)
{
  gssize n = 0;

  while (secret->length <= MAX_BYTES &&
         (n = read (fd, secret->text + secret->length, MAX_BYTES + 1 - secret->length)) > 0)
    secret->length += (gsize)n;
  if (n < 0)
    return refuse (error, path, g_strerror (errno));
  if (secret->length > MAX_BYTES)
    return refuse (error, path, "more than 4 KiB");
  while (secret->length && g_ascii_isspace (secret->text[secret->length - 1]))
    secret->length--;
  secret->text[secret->length] = 0;
  if (!secret->length || strlen (secret->text) != secret->length)
    return refuse (error, path, "expected a line of text");
  return TRUE;
}

static char *
find_path (const char *credential, GError **error)
{
  const char *folder = g_getenv ("CREDENTIALS_DIRECTORY");

  if (g_path_is_absolute (credential))
    return g_strdup (credential);
  if (folder && *folder)
    return g_build_filename (folder, credential, NULL);
  refuse (error, credential, "there are no credentials; expected LoadCredential= in the unit");
  return NULL;
}

PcdSecret *
pcd_secret_read (const char *credential, GError **error)
{
  g_autofree char *path = find_path (credential, error);
  g_autoptr (PcdSecret) secret = g_new0 (PcdSecret, 1);
  struct stat st;

  if (!path)
    return NULL;
  /* Never blocks on a FIFO. */
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    refuse (error, path, g_strerror (errno));
    return NULL;
  }
  gboolean good =
      fstat (fd, &st) == 0 && check_owner (path, &st, error) && read_all (fd, path, secret, error);
  close (fd);
  return good ? g_steal_pointer (&secret) : NULL;
}

char *
pcd_secret_authorization (const PcdSecret *token, const char *credential, GError **error)
{
  for (gsize i = 0; i < token->length; i++)
    if (!g_ascii_isgraph (token->text[i])) {
      refuse (error, credential, "expected a token of one line without blanks");
      return NULL;
    }
  return g_strconcat ("Bearer ", token->text, NULL);
}

/* Returns: (transfer full) (nullable): the key's bytes */
static guchar *
decode_key (const char *line, gsize *ret_length)
{
  if (g_str_has_prefix (line, "whsec_"))
    return g_base64_decode (line + strlen ("whsec_"), ret_length);
  *ret_length = strlen (line);
  return (guchar *)g_strdup (line);
}

static void
wipe (gpointer bytes, gsize length)
{
  if (bytes)
    explicit_bzero (bytes, length);
  g_free (bytes);
}

static char *
sign_with (const guchar *key, gsize length, const char *signed_text)
{
  g_autoptr (GHmac) hmac = g_hmac_new (G_CHECKSUM_SHA256, key, length);
  guint8 digest[32];
  gsize size = sizeof digest;

  g_hmac_update (hmac, (const guchar *)signed_text, -1);
  g_hmac_get_digest (hmac, digest, &size);
  g_autofree char *base64 = g_base64_encode (digest, size);
  return g_strconcat ("v1,", base64, NULL);
}

static gboolean
add_signature (GString *signatures, char *line, const char *signed_text)
{
  gsize length = 0;
  guchar *key = decode_key (g_strchomp (line), &length);
  const gboolean good = length >= MIN_KEY;

  if (good) {
    g_autofree char *one = sign_with (key, length, signed_text);
    g_string_append_printf (signatures, "%s%s", signatures->len ? " " : "", one);
  }
  wipe (key, length);
  return good;
}

char *
pcd_secret_sign (const PcdSecret *key,
                 const char *credential,
                 const char *id,
                 gint64 timestamp,
                 const char *body,
                 GError **error)
{
  g_autofree char *text = g_strdup_printf ("%s.%" G_GINT64_FORMAT ".%s", id, timestamp, body);
  g_autoptr (GString) signatures = g_string_new (NULL);
  g_autoptr (PcdSecret) copy = g_memdup2 (key, sizeof *key);
  char *rest = copy->text, *line;
  guint n = 0;
  gboolean good = TRUE;

  while (good && (line = strsep (&rest, "\n")))
    good = *g_strstrip (line) ? n++ < MAX_KEYS && add_signature (signatures, line, text) : TRUE;
  if (good)
    return g_string_free (g_steal_pointer (&signatures), FALSE);
  refuse (error, credential, "expected up to 4 lines, each a key of 16 bytes or more");
  return NULL;
}
