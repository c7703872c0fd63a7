/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libsoup 3 in a thread of its own: a session belongs to the main context that was the thread's
 * default when it was made, so each poster has one, and turns it while it waits. */
#include "sinks/webhook/pcd-webhook-post.h"

#include "sinks/webhook/pcd-webhook-answer.h"

#include <libsoup/soup.h>
#include <string.h>

#define MAX_ANSWER      (64 * 1024)
#define ASK_CANCELLED   100 /* ms: how often the job is asked */
#define BODY_PATIENCE   (2 * G_USEC_PER_SEC)
#define DEADLINE_MARGIN (G_USEC_PER_SEC / 5) /* to tell the queue in time what became of it */

struct _PcdWebhookPoster {
  const PcdWebhookSettings *settings;
  const PostcopydJob *job;
  GMainContext *context;
  SoupSession *session;
  GUri *uri;
};

/* One request under way. */
typedef struct {
  PcdWebhookPoster *poster;
  GCancellable *cancellable;
  gint64 deadline;   /* monotonic */
  gint64 connect_by; /* likewise; G_MAXINT64 once connected */
  const char *late;  /* why it was called off */
  gboolean done;
  GInputStream *stream;
  GBytes *bytes;
  GError *error;
} Request;

static GTlsDatabase *
load_authorities (const char *path, GError **error)
{
  g_autoptr (GTlsDatabase) database = g_tls_file_database_new (path, error);

  if (!database)
    g_prefix_error (error, "ca-file %s: ", path);
  return g_steal_pointer (&database);
}

/* Nothing that libsoup would do by itself: no decoders (a small answer can be a large one), no
 * passwords, no proxy out of the environment. */
static void
strip_session (PcdWebhookPoster *poster)
{
  const char *proxy = poster->settings->proxy;
  g_autoptr (GProxyResolver) resolver = proxy ? g_simple_proxy_resolver_new (proxy, NULL) : NULL;

  soup_session_remove_feature_by_type (poster->session, SOUP_TYPE_CONTENT_DECODER);
  soup_session_remove_feature_by_type (poster->session, SOUP_TYPE_AUTH_MANAGER);
  soup_session_set_proxy_resolver (poster->session, resolver);
  soup_session_set_user_agent (poster->session, "postcopyd/" PCD_VERSION);
}

PcdWebhookPoster *
pcd_webhook_poster_new (const PcdWebhookSettings *settings, const PostcopydJob *job, GError **error)
{
  g_autoptr (GTlsDatabase) authorities = NULL;

  if (settings->ca_file && !(authorities = load_authorities (settings->ca_file, error)))
    return NULL;
  PcdWebhookPoster *poster = g_new0 (PcdWebhookPoster, 1);
  poster->settings = settings;
  poster->job = job;
  poster->uri = g_uri_parse (settings->url, SOUP_HTTP_URI_FLAGS, NULL);
  poster->context = g_main_context_new ();
  g_main_context_push_thread_default (poster->context);
  poster->session = soup_session_new ();
  if (authorities)
    soup_session_set_tls_database (poster->session, authorities);
  strip_session (poster);
  return poster;
}

void
pcd_webhook_poster_free (PcdWebhookPoster *poster)
{
  if (!poster)
    return;
  soup_session_abort (poster->session);
  g_clear_object (&poster->session);
  while (g_main_context_iteration (poster->context, FALSE))
    ;
  g_main_context_pop_thread_default (poster->context);
  g_main_context_unref (poster->context);
  g_clear_pointer (&poster->uri, g_uri_unref);
  g_free (poster);
}

static gboolean
watch_the_clock (gpointer data)
{
  Request *request = data;
  const PostcopydJob *job = request->poster->job;
  const gint64 now = g_get_monotonic_time ();

  if (job->cancelled && job->cancelled (job))
    request->late = "called off";
  else if (now >= request->connect_by)
    request->late = "no connection within connect-timeout";
  else if (now >= request->deadline)
    request->late = "no answer in time";
  if (request->late)
    g_cancellable_cancel (request->cancellable);
  return G_SOURCE_CONTINUE;
}

static void
on_wrote_headers (SoupMessage *message, gpointer data)
{
  ((Request *)data)->connect_by = G_MAXINT64;
}

static void
on_sent (GObject *session, GAsyncResult *result, gpointer data)
{
  Request *request = data;

  request->stream = soup_session_send_finish (SOUP_SESSION (session), result, &request->error);
  request->done = TRUE;
}

static void
on_read (GObject *stream, GAsyncResult *result, gpointer data)
{
  Request *request = data;

  request->bytes = g_input_stream_read_bytes_finish (G_INPUT_STREAM (stream), result, NULL);
  request->done = TRUE;
}

static void
on_closed (GObject *stream, GAsyncResult *result, gpointer data)
{
  g_input_stream_close_finish (G_INPUT_STREAM (stream), result, NULL);
  ((Request *)data)->done = TRUE;
}

static void
wait_for (Request *request)
{
  while (!request->done)
    g_main_context_iteration (request->poster->context, TRUE);
  request->done = FALSE;
}

/* The status is known and counts whatever becomes of this: what is too long or too late ends the
 * connection. */
static void
swallow_body (Request *request)
{
  gsize total = 0, n = 1;

  request->deadline = MIN (request->deadline, g_get_monotonic_time () + BODY_PATIENCE);
  while (n > 0 && total < MAX_ANSWER) {
    g_input_stream_read_bytes_async (request->stream, 4096, G_PRIORITY_DEFAULT,
                                     request->cancellable, on_read, request);
    wait_for (request);
    n = request->bytes ? g_bytes_get_size (request->bytes) : 0;
    total += n;
    g_clear_pointer (&request->bytes, g_bytes_unref);
  }
  /* To close is to read on to the end, unless it is called off: hence no more patience. */
  if (n > 0)
    g_cancellable_cancel (request->cancellable);
  g_input_stream_close_async (request->stream, G_PRIORITY_DEFAULT, request->cancellable, on_closed,
                              request);
  wait_for (request);
}

static char *
describe_certificate (SoupMessage *message)
{
  static const struct {
    GTlsCertificateFlags flag;
    const char *text;
  } table[] = {
    { G_TLS_CERTIFICATE_UNKNOWN_CA, "signed by nobody that is trusted here" },
    { G_TLS_CERTIFICATE_BAD_IDENTITY, "for another name" },
    { G_TLS_CERTIFICATE_NOT_ACTIVATED, "not valid yet" },
    { G_TLS_CERTIFICATE_EXPIRED, "expired" },
    { G_TLS_CERTIFICATE_REVOKED, "revoked" },
    { G_TLS_CERTIFICATE_INSECURE, "made with an insecure algorithm" },
  };
  const GTlsCertificateFlags flags = soup_message_get_tls_peer_certificate_errors (message);

  for (guint i = 0; i < G_N_ELEMENTS (table); i++)
    if (flags & table[i].flag)
      return g_strdup_printf ("its certificate is not accepted: %s", table[i].text);
  return flags ? g_strdup ("its certificate is not accepted") : NULL;
}

static void
tell_error (const Request *request, SoupMessage *message, GError **error)
{
  GUri *uri = request->poster->uri;
  g_autofree char *certificate = describe_certificate (message);
  const char *what = request->late    ? request->late
                     : certificate    ? certificate
                     : request->error ? request->error->message
                                      : "no answer";

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s port %d: %s", g_uri_get_host (uri),
               g_uri_get_port (uri), what);
}

static SoupMessage *
compose (PcdWebhookPoster *poster, const PcdWebhookPost *post)
{
  SoupMessage *message = soup_message_new_from_uri (SOUP_METHOD_POST, poster->uri);
  SoupMessageHeaders *headers = soup_message_get_request_headers (message);
  g_autofree char *timestamp = g_strdup_printf ("%" G_GINT64_FORMAT, post->timestamp);
  g_autofree char *type = g_strconcat (post->content_type, "; charset=utf-8", NULL);
  g_autoptr (GBytes) body = g_bytes_new (post->body, strlen (post->body));

  soup_message_set_flags (message, SOUP_MESSAGE_NO_REDIRECT);
  soup_message_set_request_body_from_bytes (message, type, body);
  soup_message_headers_replace (headers, "webhook-id", post->id);
  soup_message_headers_replace (headers, "webhook-timestamp", timestamp);
  if (post->signature)
    soup_message_headers_replace (headers, "webhook-signature", post->signature);
  if (post->authorization)
    soup_message_headers_replace (headers, "Authorization", post->authorization);
  return message;
}

static gint64
read_retry_after (SoupMessage *message)
{
  SoupMessageHeaders *headers = soup_message_get_response_headers (message);

  return pcd_webhook_retry_after (soup_message_headers_get_one (headers, "Retry-After"),
                                  soup_message_headers_get_one (headers, "Date"),
                                  g_get_real_time () / G_USEC_PER_SEC);
}

guint
pcd_webhook_poster_send (PcdWebhookPoster *poster,
                         const PcdWebhookPost *post,
                         gint64 *ret_retry_after_usec,
                         GError **error)
{
  const gint64 now = g_get_monotonic_time ();
  g_autoptr (SoupMessage) message = compose (poster, post);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GSource) clock = g_timeout_source_new (ASK_CANCELLED);
  Request request = {
    .poster = poster,
    .cancellable = cancellable,
    .deadline = MIN (now + poster->settings->request_timeout_usec,
                     poster->job->deadline_usec - DEADLINE_MARGIN),
    .connect_by = now + poster->settings->connect_timeout_usec,
  };
  guint status = 0;

  g_source_set_callback (clock, watch_the_clock, &request, NULL);
  g_source_attach (clock, poster->context);
  g_signal_connect (message, "wrote-headers", G_CALLBACK (on_wrote_headers), &request);
  soup_session_send_async (poster->session, message, G_PRIORITY_DEFAULT, cancellable, on_sent,
                           &request);
  wait_for (&request);
  if (request.stream) {
    status = soup_message_get_status (message);
    *ret_retry_after_usec = read_retry_after (message);
    swallow_body (&request);
  } else {
    tell_error (&request, message, error);
  }
  g_source_destroy (clock);
  g_clear_object (&request.stream);
  g_clear_error (&request.error);
  return status;
}
