/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Knocks by TCP, without libvirt: its own connect has no time-out.
 * Must not know what the answer is wanted for. */
#include "libvirt/pcd-peer.h"

#include <gio/gio.h>
#include <glib/gi18n.h>

#define QUICK_FOR_USEC (10 * (gint64)G_USEC_PER_SEC)
#define QUICK_MSEC     200
#define PATIENT_MSEC   500
#define ANSWERING_MSEC 5000

typedef struct _Knock Knock;
typedef void (*KnockDone) (Knock *knock, GError *error, gpointer data);

/* One connection attempt. Freed by its own end, so that whoever waits may go away before. */
struct _Knock {
  GCancellable *cancellable;
  GSource *timer;
  gboolean timed_out;
  KnockDone done; /* %NULL once nobody waits */
  gpointer data;
};

static void
knock_free (Knock *knock)
{
  if (knock->timer) {
    g_source_destroy (knock->timer);
    g_source_unref (knock->timer);
  }
  g_object_unref (knock->cancellable);
  g_free (knock);
}

static gboolean
on_knock_timeout (gpointer data)
{
  Knock *knock = data;

  knock->timed_out = TRUE;
  g_cancellable_cancel (knock->cancellable);
  return G_SOURCE_REMOVE;
}

static void
on_connected (GObject *object, GAsyncResult *result, gpointer data)
{
  Knock *knock = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocketConnection) connection =
      g_socket_client_connect_to_host_finish (G_SOCKET_CLIENT (object), result, &error);

  if (knock->done && knock->timed_out) {
    g_clear_error (&error);
    g_set_error_literal (&error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, _ ("no answer"));
  }
  if (connection)
    g_io_stream_close (G_IO_STREAM (connection), NULL, NULL);
  if (knock->done)
    knock->done (knock, connection && !knock->timed_out ? NULL : error, knock->data);
  knock_free (knock);
}

/* On the thread-default context; @done is called from its loop, never from here. */
static Knock *
knock_start (const char *host, guint16 port, gint64 timeout_usec, KnockDone done, gpointer data)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  Knock *knock = g_new0 (Knock, 1);

  knock->done = done;
  knock->data = data;
  knock->cancellable = g_cancellable_new ();
  knock->timer = g_timeout_source_new ((guint)(timeout_usec / 1000));
  g_source_set_callback (knock->timer, on_knock_timeout, knock, NULL);
  g_source_attach (knock->timer, g_main_context_get_thread_default ());
  g_socket_client_set_enable_proxy (client, FALSE);
  g_socket_client_connect_to_host_async (client, host, port, knock->cancellable, on_connected,
                                         knock);
  return knock;
}

/* ---- once ---- */

typedef struct {
  GMainLoop *loop;
  GError *error;
} Once;

static void
once_done (Knock *knock, GError *error, gpointer data)
{
  Once *once = data;

  once->error = error ? g_error_copy (error) : NULL;
  g_main_loop_quit (once->loop);
}

gboolean
pcd_peer_knock (const PcdRoute *route, gint64 timeout_usec, GError **error)
{
  g_autoptr (GMainContext) context = NULL;
  g_autoptr (GMainLoop) loop = NULL;
  g_autofree char *host = NULL;
  guint16 port = 0;
  Once once = { 0 };

  if (!pcd_route_get_door (route, &host, &port))
    return TRUE;
  context = g_main_context_new ();
  loop = once.loop = g_main_loop_new (context, FALSE);
  g_main_context_push_thread_default (context);
  knock_start (host, port, timeout_usec, once_done, &once);
  g_main_loop_run (loop);
  g_main_context_pop_thread_default (context);
  if (!once.error)
    return TRUE;
  g_propagate_prefixed_error (error, once.error, _ ("%s port %u: "), host, port);
  return FALSE;
}

/* ---- again and again ---- */

typedef struct {
  PcdPeerWatch *watch;
  PcdRoute *route;
  char *host;
  guint16 port;
  GPtrArray *knocks; /* under way, the oldest first */
  gboolean tried;
  gboolean answers; /* what the last knock that ended says */
} Door;

struct _PcdPeerWatch {
  GPtrArray *doors;
  PcdPeerCallback callback;
  gpointer data;
  gint64 quick_until;
  guint timer;
  PcdFact fact;
  const PcdRoute *first;
};

/* The knocks end by themselves later; their answers go nowhere. */
static void
drop_knocks (Door *door)
{
  for (guint i = 0; i < door->knocks->len; i++) {
    Knock *knock = g_ptr_array_index (door->knocks, i);

    knock->done = NULL;
    g_cancellable_cancel (knock->cancellable);
  }
  g_ptr_array_set_size (door->knocks, 0);
}

static void
door_free (Door *door)
{
  drop_knocks (door);
  g_ptr_array_unref (door->knocks);
  pcd_route_free (door->route);
  g_free (door->host);
  g_free (door);
}

static void knock_all (PcdPeerWatch *watch);

static gboolean
on_timer (gpointer data)
{
  PcdPeerWatch *watch = data;

  watch->timer = 0;
  knock_all (watch);
  return G_SOURCE_REMOVE;
}

static void
schedule (PcdPeerWatch *watch)
{
  guint interval = watch->fact == PCD_FACT_YES                    ? ANSWERING_MSEC
                   : g_get_monotonic_time () < watch->quick_until ? QUICK_MSEC
                                                                  : PATIENT_MSEC;

  g_clear_handle_id (&watch->timer, g_source_remove);
  watch->timer = g_timeout_add (interval, on_timer, watch);
}

/* Tells a yes at once, a no only when all routes have been tried. */
static void
settle (PcdPeerWatch *watch)
{
  const PcdRoute *first = NULL;
  PcdFact fact = PCD_FACT_NO;
  gboolean all_tried = TRUE;

  for (guint i = 0; i < watch->doors->len && !first; i++) {
    Door *door = g_ptr_array_index (watch->doors, i);

    all_tried &= door->tried;
    if (door->answers)
      first = door->route;
  }
  if (first)
    fact = PCD_FACT_YES;
  else if (!all_tried)
    return;
  if (fact == watch->fact && first == watch->first)
    return;
  if (watch->fact == PCD_FACT_YES && fact == PCD_FACT_NO)
    watch->quick_until = g_get_monotonic_time () + QUICK_FOR_USEC;
  watch->fact = fact;
  watch->first = first;
  schedule (watch);
  watch->callback (fact, first, watch->data);
}

static void
on_door (Knock *knock, GError *error, gpointer data)
{
  Door *door = data;

  g_ptr_array_remove (door->knocks, knock);
  door->tried = TRUE;
  door->answers = error == NULL;
  /* Those that began before it and got no answer say nothing about now. */
  if (door->answers)
    drop_knocks (door);
  settle (door->watch);
}

/* Each knock has a fresh SYN, however many of the earlier are still out: what was sent before the
 * network healed is lost, and only the next one finds out. */
static void
knock_all (PcdPeerWatch *watch)
{
  for (guint i = 0; i < watch->doors->len; i++) {
    Door *door = g_ptr_array_index (watch->doors, i);

    if (!door->host)
      door->answers = door->tried = TRUE;
    else
      g_ptr_array_add (door->knocks,
                       knock_start (door->host, door->port, PCD_PEER_TIMEOUT_USEC, on_door, door));
  }
  schedule (watch);
  settle (watch);
}

PcdPeerWatch *
pcd_peer_watch_new (GPtrArray *routes, PcdPeerCallback callback, gpointer data)
{
  PcdPeerWatch *watch = g_new0 (PcdPeerWatch, 1);

  watch->doors = g_ptr_array_new_with_free_func ((GDestroyNotify)door_free);
  watch->callback = callback;
  watch->data = data;
  for (guint i = 0; i < routes->len; i++) {
    Door *door = g_new0 (Door, 1);

    door->watch = watch;
    door->route = pcd_route_copy (g_ptr_array_index (routes, i));
    door->knocks = g_ptr_array_new ();
    pcd_route_get_door (door->route, &door->host, &door->port);
    g_ptr_array_add (watch->doors, door);
  }
  watch->quick_until = g_get_monotonic_time () + QUICK_FOR_USEC;
  watch->timer = g_timeout_add (0, on_timer, watch);
  return watch;
}

void
pcd_peer_watch_free (PcdPeerWatch *watch)
{
  g_clear_handle_id (&watch->timer, g_source_remove);
  g_ptr_array_unref (watch->doors);
  g_free (watch);
}

void
pcd_peer_watch_kick (PcdPeerWatch *watch)
{
  for (guint i = 0; i < watch->doors->len; i++) {
    Door *door = g_ptr_array_index (watch->doors, i);

    drop_knocks (door); /* a SYN of theirs may have been lost just before */
    door->tried = FALSE;
  }
  watch->quick_until = g_get_monotonic_time () + QUICK_FOR_USEC;
  g_clear_handle_id (&watch->timer, g_source_remove);
  watch->timer = g_timeout_add (0, on_timer, watch);
}
