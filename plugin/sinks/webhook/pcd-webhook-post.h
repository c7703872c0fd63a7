/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One POST after the other to one URL, with a deadline each. The only file that speaks HTTP.
 * Knows no notes. */
#pragma once

#include <glib.h>

#include "postcopyd-plugin.h"
#include "sinks/webhook/pcd-webhook-settings.h"

G_BEGIN_DECLS

/* A connection to keep for some requests; belongs to the thread that made it. */
typedef struct _PcdWebhookPoster PcdWebhookPoster;

/**
 * pcd_webhook_poster_new:
 * @settings: (transfer none): must outlive it
 * @job: (transfer none): likewise: its deadline and its cancellation end a request
 *
 * Connects to nothing yet. Errors are of %G_TLS_ERROR or %G_FILE_ERROR: about `ca-file`.
 */
PcdWebhookPoster *pcd_webhook_poster_new (const PcdWebhookSettings *settings,
                                          const PostcopydJob *job,
                                          GError **error);
void pcd_webhook_poster_free (PcdWebhookPoster *poster);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdWebhookPoster, pcd_webhook_poster_free)

/**
 * PcdWebhookPost: what is sent.
 * @content_type: media type of @body
 * @body: UTF-8
 * @id, @timestamp: of this request
 * @signature: (nullable): of these three
 * @authorization: (nullable): header Authorization
 */
typedef struct {
  const char *content_type;
  const char *body;
  const char *id;
  gint64 timestamp;
  const char *signature;
  const char *authorization;
} PcdWebhookPost;

/**
 * pcd_webhook_poster_send:
 * @ret_retry_after_usec: (out): as the answer's Retry-After says, or 0
 *
 * TLS is verified, redirects are not followed, and no proxy is used but `proxy`. Of the answer its
 * status counts; up to 64 KiB of its body are read and thrown away, so that the connection can be
 * used again.
 *
 * Returns: the HTTP status; 0 with @error set if there was no answer in time. The message has the
 *   host, never a path or a secret.
 */
guint pcd_webhook_poster_send (PcdWebhookPoster *poster,
                               const PcdWebhookPost *post,
                               gint64 *ret_retry_after_usec,
                               GError **error);

G_END_DECLS
