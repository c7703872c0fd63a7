/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way to pcd-webhook-post.c, which is a module of its own: libsoup and what it brings would
 * cost every host 2 MiB, though few have a webhook. Loaded with the first delivery, and resident.
 */
#include "sinks/webhook/pcd-webhook-post.h"

#include <dlfcn.h>
#include <gio/gio.h>

/* Found by the program's own DT_RUNPATH. */
#define MODULE "postcopyd-http.so"

typedef struct {
  void *module;
  char *problem;
  typeof (&pcd_webhook_poster_new) new;
  typeof (&pcd_webhook_poster_free) free;
  typeof (&pcd_webhook_poster_send) send;
} Http;

static gpointer
load (gpointer data)
{
  Http *http = g_new0 (Http, 1);

  http->module = dlopen (MODULE, RTLD_NOW | RTLD_LOCAL);
  if (http->module) {
    http->new = dlsym (http->module, "pcd_webhook_poster_new");
    http->free = dlsym (http->module, "pcd_webhook_poster_free");
    http->send = dlsym (http->module, "pcd_webhook_poster_send");
  }
  if (!http->new || !http->free || !http->send)
    http->problem = g_strdup (dlerror ());
  return http;
}

static const Http *
get_http (void)
{
  static GOnce once = G_ONCE_INIT;

  return g_once (&once, load, NULL);
}

PcdWebhookPoster *
pcd_webhook_poster_new (const PcdWebhookSettings *settings, const PostcopydJob *job, GError **error)
{
  const Http *http = get_http ();

  if (!http->problem)
    return http->new (settings, job, error);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
               "the part of postcopyd that speaks HTTP cannot be loaded: %s", http->problem);
  return NULL;
}

void
pcd_webhook_poster_free (PcdWebhookPoster *poster)
{
  if (poster)
    get_http ()->free (poster);
}

guint
pcd_webhook_poster_send (PcdWebhookPoster *poster,
                         const PcdWebhookPost *post,
                         gint64 *ret_retry_after_usec,
                         GError **error)
{
  return get_http ()->send (poster, post, ret_retry_after_usec, error);
}
