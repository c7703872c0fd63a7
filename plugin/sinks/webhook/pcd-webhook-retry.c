/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When a receiver wants to be asked again. Apart from the table of status codes, as its dates need
 * libsoup, which only the HTTP module has. */
#include "sinks/webhook/pcd-webhook-answer.h"

#include <libsoup/soup.h>

#define MAX_SECONDS (24 * 60 * 60)

static gint64
parse_date (const char *text)
{
  g_autoptr (GDateTime) date = text ? soup_date_time_new_from_http_string (text) : NULL;

  return date ? g_date_time_to_unix (date) : -1;
}

gint64
pcd_webhook_retry_after (const char *value, const char *date, gint64 now)
{
  guint64 seconds = 0;

  if (!value)
    return 0;
  if (g_ascii_string_to_unsigned (value, 10, 0, G_MAXINT64, &seconds, NULL))
    return (gint64)MIN (seconds, MAX_SECONDS) * G_USEC_PER_SEC;
  const gint64 when = parse_date (value);
  const gint64 its_now = parse_date (date);
  if (when < 0)
    return 0;
  return CLAMP (when - (its_now >= 0 ? its_now : now), 0, MAX_SECONDS) * G_USEC_PER_SEC;
}
