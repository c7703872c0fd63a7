/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an HTTP answer means for the events that were sent.
 * Pure: no I/O, no clock. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdWebhookVerdict:
 * @PCD_WEBHOOK_TAKEN: the receiver has them
 * @PCD_WEBHOOK_LATER: it may have them later
 * @PCD_WEBHOOK_MEND: likewise, but somebody must mend something first. Nothing is dropped for a
 *   token that has run out
 * @PCD_WEBHOOK_UNWANTED: one of them is never wanted, as it is; which one, only smaller batches
 * tell
 */
typedef enum {
  PCD_WEBHOOK_TAKEN,
  PCD_WEBHOOK_LATER,
  PCD_WEBHOOK_MEND,
  PCD_WEBHOOK_UNWANTED,
} PcdWebhookVerdict;

/**
 * pcd_webhook_judge:
 * @status: of HTTP
 * @ret_meaning: (out): one clause for people; never what the receiver wrote: it may repeat our
 *   headers
 */
PcdWebhookVerdict pcd_webhook_judge (guint status, const char **ret_meaning);

/**
 * pcd_webhook_retry_after:
 * @value: (nullable): header Retry-After: seconds or an HTTP date (RFC 9110, 10.2.3)
 * @date: (nullable): header Date: the receiver's clock, which may not be ours
 * @now: seconds since the epoch, for want of @date
 *
 * Returns: microseconds, at most a day; 0 if it does not say, or nonsense
 */
gint64 pcd_webhook_retry_after (const char *value, const char *date, gint64 now);

G_END_DECLS
