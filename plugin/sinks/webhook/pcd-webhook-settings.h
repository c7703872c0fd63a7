/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of a `[sink NAME]` with `type = webhook`, checked.
 * Knows no file and no line; holds no secret, only where secrets are. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdWebhookSettings:
 * @url: `url`: https or http, without user information
 * @batched: `mode`: batched rather than structured
 * @max_batch: `max-batch`: most events in a request if @batched; 1 to 50, the default
 * @signing_key: (nullable): `signing-key`: a credential's name, or an absolute path
 * @bearer_token: (nullable): `bearer-token`: likewise
 * @ca_file: (nullable): `ca-file`: certificates to trust instead of the system's
 * @proxy: (nullable): `proxy`: an http URL; none unless given, whatever the environment says
 * @request_timeout_usec: `request-timeout`: from its beginning to its answer; default 10 s
 * @connect_timeout_usec: `connect-timeout`: until the connection stands, TLS included; default 5 s
 */
typedef struct {
  char *url;
  gboolean batched;
  guint max_batch;
  char *signing_key;
  char *bearer_token;
  char *ca_file;
  char *proxy;
  gint64 request_timeout_usec;
  gint64 connect_timeout_usec;
} PcdWebhookSettings;

#define PCD_WEBHOOK_MAX_BATCH 50

/**
 * pcd_webhook_settings_new:
 * @keys: (element-type utf8 utf8): of the section, without those that all sinks have
 *
 * Errors are of %G_KEY_FILE_ERROR, "KEY: expected ..."; a value is never repeated, as it may be a
 * secret in the wrong place.
 */
PcdWebhookSettings *pcd_webhook_settings_new (GHashTable *keys, GError **error);
void pcd_webhook_settings_free (PcdWebhookSettings *settings);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdWebhookSettings, pcd_webhook_settings_free)

G_END_DECLS
