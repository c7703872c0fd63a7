/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of status codes. */
#include "sinks/webhook/pcd-webhook-answer.h"

/* docs/postcopyd-webhook.rst tells the same to people. The first row that holds the status counts.
 */
static const struct {
  guint from, to;
  PcdWebhookVerdict verdict;
  const char *meaning;
} table[] = {
  { 200, 299, PCD_WEBHOOK_TAKEN, "taken" },
  { 300, 399, PCD_WEBHOOK_MEND, "redirects are not followed: write the new address into `url`" },
  { 401, 401, PCD_WEBHOOK_MEND, "not authorized: look at bearer-token and signing-key" },
  { 402, 402, PCD_WEBHOOK_MEND, "it wants to be paid" },
  { 403, 403, PCD_WEBHOOK_MEND, "forbidden: look at bearer-token and signing-key" },
  { 404, 404, PCD_WEBHOOK_MEND, "nothing there: look at `url`" },
  { 405, 405, PCD_WEBHOOK_MEND, "takes no POST: look at `url`" },
  { 406, 406, PCD_WEBHOOK_MEND, "takes no CloudEvents: look at `mode`" },
  { 407, 407, PCD_WEBHOOK_MEND, "the proxy wants a password" },
  { 408, 408, PCD_WEBHOOK_LATER, "it waited too long for us" },
  { 410, 410, PCD_WEBHOOK_MEND, "gone: look at `url`" },
  { 411, 411, PCD_WEBHOOK_MEND, "takes no such request: look at `url`" },
  { 413, 413, PCD_WEBHOOK_UNWANTED, "too large" },
  { 415, 415, PCD_WEBHOOK_MEND, "takes no CloudEvents of this kind: look at `mode`" },
  { 421, 421, PCD_WEBHOOK_MEND, "not for that host: look at `url`" },
  { 423, 425, PCD_WEBHOOK_LATER, "not now" },
  { 429, 429, PCD_WEBHOOK_LATER, "too many requests" },
  { 400, 499, PCD_WEBHOOK_UNWANTED, "refused as it is" },
  { 500, 599, PCD_WEBHOOK_LATER, "the receiver has a problem" },
};

PcdWebhookVerdict
pcd_webhook_judge (guint status, const char **ret_meaning)
{
  for (guint i = 0; i < G_N_ELEMENTS (table); i++)
    if (status >= table[i].from && status <= table[i].to) {
      *ret_meaning = table[i].meaning;
      return table[i].verdict;
    }
  *ret_meaning = "no HTTP status";
  return PCD_WEBHOOK_LATER;
}
