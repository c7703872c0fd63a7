/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each key of a webhook's section: its reader, and what it expects. */
#include "sinks/webhook/pcd-webhook-settings.h"

#include "core/pcd-duration.h"

#include <string.h>

#define S G_USEC_PER_SEC

typedef gboolean (*Reader) (PcdWebhookSettings *settings, const char *value);

static gboolean
keep (char **member, const char *value, gboolean good)
{
  if (!good)
    return FALSE;
  g_free (*member);
  *member = g_strdup (value);
  return TRUE;
}

/* User information is a secret, and a configuration is no place for one; a fragment is never sent.
 */
static gboolean
is_url (const char *value, gboolean only_http)
{
  g_autoptr (GUri) uri = g_uri_parse (value, G_URI_FLAGS_ENCODED, NULL);

  if (!uri || !g_uri_get_host (uri) || !*g_uri_get_host (uri))
    return FALSE;
  if (g_uri_get_userinfo (uri) || g_uri_get_fragment (uri))
    return FALSE;
  return g_str_equal (g_uri_get_scheme (uri), "http") ||
         (!only_http && g_str_equal (g_uri_get_scheme (uri), "https"));
}

static gboolean
read_url (PcdWebhookSettings *settings, const char *value)
{
  return keep (&settings->url, value, is_url (value, FALSE));
}

static gboolean
read_proxy (PcdWebhookSettings *settings, const char *value)
{
  return keep (&settings->proxy, value, is_url (value, TRUE));
}

static gboolean
read_mode (PcdWebhookSettings *settings, const char *value)
{
  settings->batched = g_str_equal (value, "batched");
  return settings->batched || g_str_equal (value, "structured");
}

static gboolean
read_max_batch (PcdWebhookSettings *settings, const char *value)
{
  guint64 count = 0;

  if (!g_ascii_string_to_unsigned (value, 10, 1, PCD_WEBHOOK_MAX_BATCH, &count, NULL))
    return FALSE;
  settings->max_batch = (guint)count;
  return TRUE;
}

/* As systemd wants a credential's name; a relative path would depend on who starts us. */
static gboolean
is_credential (const char *value)
{
  if (g_path_is_absolute (value))
    return TRUE;
  return *value && *value != '.' && !strchr (value, '/') && !strchr (value, ':') &&
         strlen (value) < 256;
}

static gboolean
read_signing_key (PcdWebhookSettings *settings, const char *value)
{
  return keep (&settings->signing_key, value, is_credential (value));
}

static gboolean
read_bearer_token (PcdWebhookSettings *settings, const char *value)
{
  return keep (&settings->bearer_token, value, is_credential (value));
}

static gboolean
read_ca_file (PcdWebhookSettings *settings, const char *value)
{
  return keep (&settings->ca_file, value, g_path_is_absolute (value));
}

static gboolean
read_time (const char *value, gint64 *ret_usec)
{
  gint64 usec = 0;

  if (!pcd_duration_parse (value, &usec, NULL) || usec < S / 10 || usec > 60 * S)
    return FALSE;
  *ret_usec = usec;
  return TRUE;
}

static gboolean
read_request_timeout (PcdWebhookSettings *settings, const char *value)
{
  return read_time (value, &settings->request_timeout_usec);
}

static gboolean
read_connect_timeout (PcdWebhookSettings *settings, const char *value)
{
  return read_time (value, &settings->connect_timeout_usec);
}

#define CREDENTIAL_EXPECTED                                                                        \
  "the name of a systemd credential, or the absolute path of a file that only root may read; "     \
  "never the secret itself"

/* docs/postcopyd-webhook.rst tells the same to people. */
static const struct {
  const char *key;
  Reader read;
  const char *expected;
} readers[] = {
  { "url", read_url, "an https or http URL without user, password and fragment" },
  { "mode", read_mode, "structured or batched" },
  { "max-batch", read_max_batch, "a number from 1 to 50" },
  { "signing-key", read_signing_key, CREDENTIAL_EXPECTED },
  { "bearer-token", read_bearer_token, CREDENTIAL_EXPECTED },
  { "ca-file", read_ca_file, "the absolute path of a file of certificates" },
  { "proxy", read_proxy, "an http URL without user and password, such as http://proxy:3128" },
  { "request-timeout", read_request_timeout, "a duration such as 10s (100ms to 60s)" },
  { "connect-timeout", read_connect_timeout, "a duration such as 5s (100ms to 60s)" },
};

void
pcd_webhook_settings_free (PcdWebhookSettings *settings)
{
  if (!settings)
    return;
  g_free (settings->url);
  g_free (settings->signing_key);
  g_free (settings->bearer_token);
  g_free (settings->ca_file);
  g_free (settings->proxy);
  g_free (settings);
}

static gboolean
refuse (GError **error, int code, const char *key, const char *what, const char *expected)
{
  g_set_error (error, G_KEY_FILE_ERROR, code, "%s: %s%s", key, what, expected);
  return FALSE;
}

static gboolean
refuse_unknown (const char *key, GError **error)
{
  g_autoptr (GString) known = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (readers); i++)
    g_string_append_printf (known, "%s%s", i ? ", " : "", readers[i].key);
  return refuse (error, G_KEY_FILE_ERROR_KEY_NOT_FOUND, key,
                 "unknown key, expected one of: ", known->str);
}

static gboolean
set (PcdWebhookSettings *settings, const char *key, const char *value, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (readers); i++)
    if (g_str_equal (readers[i].key, key))
      return readers[i].read (settings, value) ||
             refuse (error, G_KEY_FILE_ERROR_INVALID_VALUE, key, "expected ", readers[i].expected);
  return refuse_unknown (key, error);
}

static gboolean
check (const PcdWebhookSettings *settings, GError **error)
{
  const int code = G_KEY_FILE_ERROR_INVALID_VALUE;

  if (!settings->url)
    return refuse (error, code, "url", "missing, expected ", readers[0].expected);
  if (settings->bearer_token && !g_ascii_strncasecmp (settings->url, "http:", 5))
    return refuse (error, code, "bearer-token", "would be sent in the clear, ",
                   "expected an https `url`");
  return TRUE;
}

PcdWebhookSettings *
pcd_webhook_settings_new (GHashTable *keys, GError **error)
{
  g_autoptr (PcdWebhookSettings) settings = g_new0 (PcdWebhookSettings, 1);
  GHashTableIter iter;
  gpointer key, value;

  settings->max_batch = PCD_WEBHOOK_MAX_BATCH;
  settings->request_timeout_usec = 10 * S;
  settings->connect_timeout_usec = 5 * S;
  g_hash_table_iter_init (&iter, keys);
  while (g_hash_table_iter_next (&iter, &key, &value))
    if (!set (settings, key, value, error))
      return NULL;
  return check (settings, error) ? g_steal_pointer (&settings) : NULL;
}
