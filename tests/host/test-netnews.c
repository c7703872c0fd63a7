/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* News of the network, and knocking at a peer's door, in a network namespace of this process's
 * own. */
#include <gio/gio.h>
#include <sched.h>

#include "host/pcd-netnews.h"
#include "libvirt/pcd-peer.h"

typedef struct {
  guint news;
  PcdFact answers;
  char *address;
  gint64 told;
  PcdPeerWatch *watch;
} Seen;

static void
ip (const char *arguments)
{
  g_autofree char *command = g_strconcat ("ip ", arguments, NULL);
  g_autoptr (GError) error = NULL;
  int status = 0;

  g_spawn_command_line_sync (command, NULL, NULL, &status, &error);
  g_assert_no_error (error);
  g_assert_cmpint (status, ==, 0);
}

static void
on_news (gpointer data)
{
  Seen *seen = data;

  seen->news++;
  if (seen->watch)
    pcd_peer_watch_kick (seen->watch);
}

static void
on_answers (PcdFact answers, const PcdRoute *route, gpointer data)
{
  Seen *seen = data;

  seen->answers = answers;
  g_free (seen->address);
  seen->address = g_strdup (route ? route->address : NULL);
  seen->told = g_get_monotonic_time ();
}

static gboolean
stop_waiting (gpointer data)
{
  *(gboolean *)data = TRUE;
  return G_SOURCE_REMOVE;
}

/* How often the loop woke, besides the end of this wait. */
static guint
run_for (guint msec)
{
  gboolean over = FALSE;
  guint turns = 0;

  g_timeout_add (msec, stop_waiting, &over);
  while (!over) {
    g_main_context_iteration (NULL, TRUE);
    turns++;
  }
  return turns - 1;
}

static void
wait_for_answer (Seen *seen, PcdFact wanted, guint msec)
{
  gint64 until = g_get_monotonic_time () + (gint64)msec * 1000;

  while (seen->answers != wanted && g_get_monotonic_time () < until)
    run_for (10);
  g_assert_cmpint (seen->answers, ==, wanted);
}

static void
test_news (void)
{
  Seen seen = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdNetnews) news = pcd_netnews_new (on_news, &seen, &error);

  g_assert_no_error (error);
  run_for (50); /* the loop takes note of new sources */
  g_assert_cmpuint (run_for (300), ==, 0);
  g_assert_cmpuint (seen.news, ==, 0);
  ip ("link set lo up"); /* a link, addresses and routes: one burst */
  run_for (300);
  g_assert_cmpuint (seen.news, >=, 1);
  g_assert_cmpuint (seen.news, <=, 2);
  seen.news = 0;
  ip ("address add 192.0.2.7/32 dev lo");
  run_for (300);
  g_assert_cmpuint (seen.news, ==, 1);
  ip ("route add 198.51.100.0/24 dev lo");
  run_for (300);
  g_assert_cmpuint (seen.news, ==, 2);
  g_assert_cmpuint (run_for (300), ==, 0);
}

static GPtrArray *
routes_to (const char *first, const char *second, guint16 port)
{
  GPtrArray *routes = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_route_free);
  g_autofree char *uri = g_strdup_printf ("qemu+tcp://{address}:%u/system", port);

  g_ptr_array_add (routes, pcd_route_new (first, uri));
  g_ptr_array_add (routes, pcd_route_new (second, uri));
  return routes;
}

/* Nobody there; then somebody on the second address; then on the first one, too. */
static void
test_watch (void)
{
  g_autoptr (GSocketListener) listener = g_socket_listener_new ();
  g_autoptr (GError) error = NULL;
  guint16 port = g_socket_listener_add_any_inet_port (listener, NULL, &error);
  g_autoptr (GPtrArray) routes = routes_to ("203.0.113.1", "203.0.113.2", port);
  Seen seen = { 0 };
  g_autoptr (PcdNetnews) news = pcd_netnews_new (on_news, &seen, &error);
  g_autoptr (PcdPeerWatch) watch = pcd_peer_watch_new (routes, on_answers, &seen);

  g_assert_no_error (error);
  seen.watch = watch;
  wait_for_answer (&seen, PCD_FACT_NO, 2000);
  gint64 began = g_get_monotonic_time ();
  ip ("address add 203.0.113.2/32 dev lo");
  wait_for_answer (&seen, PCD_FACT_YES, 2000);
  g_assert_cmpstr (seen.address, ==, "203.0.113.2");
  g_assert_cmpint (seen.told - began, <, G_USEC_PER_SEC);
  ip ("address add 203.0.113.1/32 dev lo");
  run_for (500);
  g_assert_cmpstr (seen.address, ==, "203.0.113.1");
  g_free (seen.address);
}

/* No news tells of this heal: the listener is just not there at first. */
static void
test_watch_alone (void)
{
  g_autoptr (GPtrArray) routes = routes_to ("127.0.0.1", "127.0.0.1", 17009);
  g_autoptr (GSocketListener) listener = g_socket_listener_new ();
  g_autoptr (GError) error = NULL;
  Seen seen = { 0 };
  g_autoptr (PcdPeerWatch) watch = pcd_peer_watch_new (routes, on_answers, &seen);

  wait_for_answer (&seen, PCD_FACT_NO, 2000);
  g_assert_false (pcd_peer_knock (routes->pdata[0], PCD_PEER_TIMEOUT_USEC, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
  g_clear_error (&error);
  g_socket_listener_add_inet_port (listener, 17009, NULL, &error);
  g_assert_no_error (error);
  gint64 began = g_get_monotonic_time ();
  wait_for_answer (&seen, PCD_FACT_YES, 2000);
  g_assert_cmpint (seen.told - began, <, G_USEC_PER_SEC);
  g_assert_true (pcd_peer_knock (routes->pdata[0], PCD_PEER_TIMEOUT_USEC, &error));
  g_free (seen.address);
}

/* Silence, not refusal: the knock ends by its own time-out, and a watch can go away meanwhile. */
static void
test_silence (void)
{
  g_autoptr (GPtrArray) routes = routes_to ("198.51.100.1", "198.51.100.2", 17009);
  g_autoptr (GError) error = NULL;
  Seen seen = { 0 };

  ip ("link add pcd0 type veth peer name pcd1");
  ip ("link set pcd0 up");
  ip ("link set pcd1 up");
  ip ("route replace 198.51.100.0/24 dev pcd0");
  PcdPeerWatch *watch = pcd_peer_watch_new (routes, on_answers, &seen);
  run_for (50);
  gint64 began = g_get_monotonic_time ();
  g_assert_false (pcd_peer_knock (routes->pdata[0], PCD_PEER_TIMEOUT_USEC, &error));
  gint64 took = g_get_monotonic_time () - began;
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  g_assert_cmpint (took, >=, PCD_PEER_TIMEOUT_USEC - 10000);
  g_assert_cmpint (took, <, 2 * PCD_PEER_TIMEOUT_USEC);
  pcd_peer_watch_free (watch);
  run_for (700); /* what it left behind ends without it */
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (unshare (CLONE_NEWNET) < 0) {
    g_print ("1..0 # SKIP needs root, for a network namespace of its own\n");
    return 0;
  }
  g_test_add_func ("/netnews/news", test_news);
  g_test_add_func ("/netnews/peer-watch", test_watch);
  g_test_add_func ("/netnews/peer-watch-alone", test_watch_alone);
  g_test_add_func ("/netnews/silence", test_silence);
  return g_test_run ();
}
