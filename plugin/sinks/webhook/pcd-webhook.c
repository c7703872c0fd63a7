/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Batches, and what becomes of each. Secrets are read anew for each delivery, so that one that was
 * changed needs no restart. */
#include "sinks/webhook/pcd-webhook.h"

#include "sinks/webhook/pcd-webhook-answer.h"
#include "sinks/webhook/pcd-webhook-event.h"
#include "sinks/webhook/pcd-webhook-post.h"
#include "sinks/webhook/pcd-webhook-secret.h"
#include "sinks/webhook/pcd-webhook-settings.h"

#include <string.h>

/* One call of deliver. */
typedef struct {
  const PcdWebhookSettings *settings;
  PcdWebhookPoster *poster;
  PcdSecret *key;      /* nullable */
  char *authorization; /* nullable */
  const PostcopydNote *const *notes;
  guint limit; /* most notes in a request now */
  PostcopydDelivery *delivery;
  char *reason;
  gsize reason_size;
} Call;

static void
call_clear (Call *call)
{
  pcd_webhook_poster_free (call->poster);
  pcd_secret_free (call->key);
  if (call->authorization)
    explicit_bzero (call->authorization, strlen (call->authorization));
  g_free (call->authorization);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Call, call_clear)

static gboolean
read_secrets (Call *call, GError **error)
{
  const PcdWebhookSettings *settings = call->settings;

  if (settings->signing_key && !(call->key = pcd_secret_read (settings->signing_key, error)))
    return FALSE;
  if (!settings->bearer_token)
    return TRUE;
  g_autoptr (PcdSecret) token = pcd_secret_read (settings->bearer_token, error);
  call->authorization =
      token ? pcd_secret_authorization (token, settings->bearer_token, error) : NULL;
  return call->authorization != NULL;
}

/* Returns: HTTP's status, 0 with @error set */
static guint
post (Call *call, const PostcopydNote *const *notes, guint n, const char *body, GError **error)
{
  const PcdWebhookSettings *settings = call->settings;
  const gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  g_autofree char *id = pcd_webhook_message_id (notes, n);
  g_autofree char *signature = NULL;

  if (call->key &&
      !(signature = pcd_secret_sign (call->key, settings->signing_key, id, now, body, error)))
    return 0;
  const PcdWebhookPost letter = {
    .content_type = settings->batched ? PCD_WEBHOOK_BATCHED : PCD_WEBHOOK_STRUCTURED,
    .body = body,
    .id = id,
    .timestamp = now,
    .signature = signature,
    .authorization = call->authorization,
  };
  return pcd_webhook_poster_send (call->poster, &letter, &call->delivery->retry_after_usec, error);
}

static PcdWebhookVerdict
send_some (Call *call, const PostcopydNote *const *notes, guint n)
{
  g_autofree char *host = g_strdup (g_get_host_name ());
  g_autofree char *body = pcd_webhook_body (host, call->settings->batched, notes, n);
  g_autoptr (GError) error = NULL;
  const char *meaning = NULL;

  if (!body) {
    g_snprintf (call->reason, call->reason_size, "not a JSON object");
    return PCD_WEBHOOK_UNWANTED;
  }
  const guint status = post (call, notes, n, body, &error);
  if (!status) {
    g_snprintf (call->reason, call->reason_size, "%s", error->message);
    return PCD_WEBHOOK_LATER;
  }
  const PcdWebhookVerdict verdict = pcd_webhook_judge (status, &meaning);
  if (verdict != PCD_WEBHOOK_TAKEN)
    g_snprintf (call->reason, call->reason_size, "it answered %u%s: %s", status,
                verdict == PCD_WEBHOOK_MEND ? ", needs mending" : "", meaning);
  return verdict;
}

static PostcopydOutcome
send_all (Call *call, guint n_notes)
{
  PostcopydDelivery *delivery = call->delivery;

  while (delivery->n_delivered < n_notes) {
    const guint from = delivery->n_delivered;
    const guint n = MIN (call->limit, n_notes - from);
    const PcdWebhookVerdict verdict = send_some (call, call->notes + from, n);

    if (verdict == PCD_WEBHOOK_TAKEN)
      delivery->n_delivered += n;
    else if (verdict != PCD_WEBHOOK_UNWANTED)
      return POSTCOPYD_FAILED;
    else if (n == 1)
      return POSTCOPYD_REFUSED;
    else
      call->limit = n / 2; /* too large, or one of them is bad: find out which */
    delivery->retry_after_usec = 0;
  }
  *call->reason = 0; /* of a batch that was split */
  return POSTCOPYD_DONE;
}

static PostcopydOutcome
deliver (gpointer sink,
         const PostcopydNote *const *notes,
         uint32_t n_notes,
         const PostcopydJob *job,
         PostcopydDelivery *ret_delivery,
         char *reason,
         size_t reason_size)
{
  const PcdWebhookSettings *settings = sink;
  g_autoptr (GError) error = NULL;
  g_auto (Call) call = {
    .settings = settings,
    .notes = notes,
    .limit = settings->batched ? settings->max_batch : 1,
    .delivery = ret_delivery,
    .reason = reason,
    .reason_size = reason_size,
  };

  call.poster =
      read_secrets (&call, &error) ? pcd_webhook_poster_new (settings, job, &error) : NULL;
  if (!call.poster) {
    g_snprintf (reason, reason_size, "%s", error->message);
    return POSTCOPYD_FAILED;
  }
  return send_all (&call, n_notes);
}

static gpointer
create (GHashTable *keys, GError **error)
{
  return pcd_webhook_settings_new (keys, error);
}

static void
destroy (gpointer sink)
{
  pcd_webhook_settings_free (sink);
}

/* `timeout` is meant for one request: a slow server that takes each event in its time is not to be
 * called off in the middle. One that hangs fails with its first request. A batch may have to be
 * halved until the one bad event is found. */
static gint64
budget (gpointer sink, gint64 timeout_usec)
{
  const PcdWebhookSettings *settings = sink;

  return timeout_usec * (settings->batched ? 8 : PCD_WEBHOOK_MAX_BATCH);
}

const PcdSinkType pcd_webhook_sink_type = {
  .name = "webhook",
  .max_batch = PCD_WEBHOOK_MAX_BATCH,
  .create = create,
  .free = destroy,
  .deliver = deliver,
  .budget_usec = budget,
};
