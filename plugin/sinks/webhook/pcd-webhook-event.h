/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Notes as CloudEvents 1.0 in JSON: structured and batched content.
 * Pure; knows no HTTP beyond the media types. */
#pragma once

#include <glib.h>

#include "postcopyd-plugin.h"

G_BEGIN_DECLS

#define PCD_WEBHOOK_STRUCTURED "application/cloudevents+json"
#define PCD_WEBHOOK_BATCHED    "application/cloudevents-batch+json"

/* What `data` is. docs/postcopyd.schema.json has this $id. */
#define PCD_WEBHOOK_DATA_SCHEMA "https://postcopyd.org/schema/1/postcopyd.schema.json#/$defs/"

/**
 * pcd_webhook_body:
 * @host: this host's name
 * @batched: an array of @n_notes events; else one event, @n_notes is 1
 *
 * Returns: (transfer full) (nullable): %NULL if a note is no JSON object
 */
char *pcd_webhook_body (const char *host,
                        gboolean batched,
                        const PostcopydNote *const *notes,
                        guint n_notes);

/**
 * pcd_webhook_message_id:
 *
 * The request's own id: the note's, or one that stands for exactly these notes in this order. The
 * same first note may come again among others, and must then not be taken for a repetition.
 *
 * Returns: (transfer full)
 */
char *pcd_webhook_message_id (const PostcopydNote *const *notes, guint n_notes);

G_END_DECLS
