/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* System calls on a duplicate, tried on a loopback connection of this very process. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/pcd-sockets.h"

typedef struct {
  int client;
  int server;
} Pair;

static Pair
connect_pair (void)
{
  struct sockaddr_in6 address = { .sin6_family = AF_INET6 };
  socklen_t len = sizeof address;
  int listener = socket (AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  Pair pair;

  /* IPv4 through an IPv6 socket, as QEMU listens on [::]. */
  address.sin6_addr = (struct in6_addr)IN6ADDR_ANY_INIT;
  g_assert_cmpint (bind (listener, (void *)&address, len), ==, 0);
  g_assert_cmpint (listen (listener, 1), ==, 0);
  g_assert_cmpint (getsockname (listener, (void *)&address, &len), ==, 0);
  pair.client = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in to = { .sin_family = AF_INET,
                            .sin_port = address.sin6_port,
                            .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  g_assert_cmpint (connect (pair.client, (void *)&to, sizeof to), ==, 0);
  pair.server = accept (listener, NULL, NULL);
  g_assert_cmpint (pair.server, >=, 0);
  close (listener);
  return pair;
}

static PcdSocket *
take (int fd)
{
  g_autoptr (GError) error = NULL;
  PcdSocket *socket = pcd_socket_new_take (dup (fd), getpid (), fd, &error);

  g_assert_no_error (error);
  return socket;
}

static int
get (int fd, int level, int name)
{
  int value = -1;
  socklen_t len = sizeof value;

  g_assert_cmpint (getsockopt (fd, level, name, &value, &len), ==, 0);
  return value;
}

static void
test_arm (void)
{
  Pair pair = connect_pair ();
  g_autoptr (PcdSocket) socket = take (pair.client);
  g_autoptr (GError) error = NULL;
  int idle = get (pair.client, IPPROTO_TCP, TCP_KEEPIDLE);

  g_assert_true (pcd_socket_arm (socket, 2 * G_USEC_PER_SEC, 15 * G_USEC_PER_SEC, &error));
  g_assert_cmpint (get (pair.client, SOL_SOCKET, SO_KEEPALIVE), ==, 1);
  g_assert_cmpint (get (pair.client, IPPROTO_TCP, TCP_KEEPIDLE), ==, 1);
  g_assert_cmpint (get (pair.client, IPPROTO_TCP, TCP_USER_TIMEOUT), ==, 15000);
  g_assert_true (pcd_socket_set_backstop (socket, FALSE, &error));
  g_assert_cmpint (get (pair.client, IPPROTO_TCP, TCP_USER_TIMEOUT), ==, 0);
  g_assert_true (pcd_socket_set_backstop (socket, TRUE, &error));
  g_assert_cmpint (get (pair.client, IPPROTO_TCP, TCP_USER_TIMEOUT), ==, 15000);
  /* Again, with a time-out that the backstop must stay above; the former values are kept. */
  g_assert_true (pcd_socket_arm (socket, 10 * G_USEC_PER_SEC, 15 * G_USEC_PER_SEC, &error));
  g_assert_cmpint (get (pair.client, IPPROTO_TCP, TCP_USER_TIMEOUT), ==, 20000);
  g_assert_cmpint (get (pair.client, IPPROTO_TCP, TCP_KEEPIDLE), ==, 5);
  g_assert_true (pcd_socket_disarm (socket, &error));
  g_assert_cmpint (get (pair.client, SOL_SOCKET, SO_KEEPALIVE), ==, 0);
  g_assert_cmpint (get (pair.client, IPPROTO_TCP, TCP_KEEPIDLE), ==, idle);
  g_assert_cmpint (get (pair.client, IPPROTO_TCP, TCP_USER_TIMEOUT), ==, 0);
  g_assert_cmpint (get (pair.server, SOL_SOCKET, SO_KEEPALIVE), ==, 0);
  close (pair.client);
  close (pair.server);
}

/* A probe is answered by the peer's kernel, and leaves no trace in the options. */
static void
test_probe (void)
{
  Pair pair = connect_pair ();
  g_autoptr (PcdSocket) socket = NULL;
  g_autoptr (GError) error = NULL;
  PcdNetSample before, after;
  int one = 1;

  setsockopt (pair.server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  socket = take (pair.server);
  g_usleep (60 * 1000);
  g_assert_true (pcd_socket_sample (socket, &before, &error));
  if (!pcd_socket_can_probe (socket)) {
    g_test_skip ("needs CAP_NET_ADMIN");
  } else {
    g_usleep (20 * 1000);
    g_assert_true (pcd_socket_sample (socket, &after, &error));
    g_assert_cmpuint (after.segs_out, ==, before.segs_out + 1);
    g_assert_cmpuint (after.last_ack_recv, <, before.last_ack_recv);
    g_assert_cmpuint (after.bytes_acked, ==, before.bytes_acked);
    g_assert_cmpint (get (pair.server, SOL_SOCKET, SO_REUSEADDR), ==, 1);
  }
  close (pair.client);
  close (pair.server);
}

static PcdCause
cause_of (PcdSocket *socket, const PcdNetHistory *history)
{
  static const PcdNetConfig config = { 2 * G_USEC_PER_SEC, FALSE };
  g_autoptr (GError) error = NULL;
  PcdNetClose seen;

  g_assert_true (pcd_socket_close_evidence (socket, &seen, &error));
  return pcd_net_cause (history, &seen, &config, NULL);
}

static void
judge_once (PcdSocket *socket, PcdNetHistory *history)
{
  static const PcdNetConfig config = { 2 * G_USEC_PER_SEC, FALSE };
  g_autoptr (GError) error = NULL;
  PcdNetSample sample;
  PcdNetVerdict verdict;

  g_assert_true (pcd_socket_sample (socket, &sample, &error));
  pcd_net_judge (NULL, &sample, &config, history, &verdict);
  g_assert_cmpint (verdict.flow, ==, PCD_FLOW_FLOWING);
}

/* Looked at late, when both ends have long reacted: TIME_WAIT tells who was first. */
static void
test_late_cause (void)
{
  for (guint first = 0; first < 2; first++) {
    Pair pair = connect_pair ();
    g_autoptr (PcdSocket) client = take (pair.client);
    g_autoptr (PcdSocket) server = take (pair.server);
    PcdNetHistory of_client = { 0 }, of_server = { 0 };

    judge_once (client, &of_client);
    judge_once (server, &of_server);
    shutdown (first ? pair.server : pair.client, SHUT_RDWR);
    shutdown (first ? pair.client : pair.server, SHUT_RDWR);
    g_usleep (20 * 1000);
    g_assert_cmpint (cause_of (client, &of_client), ==,
                     first ? PCD_CAUSE_PEER_CLOSED : PCD_CAUSE_OPERATOR);
    g_assert_cmpint (cause_of (server, &of_server), ==,
                     first ? PCD_CAUSE_OPERATOR : PCD_CAUSE_PEER_CLOSED);
    close (pair.client);
    close (pair.server);
  }
}

/* A socket that was shut down and then gets data is reset by its own kernel: no TIME_WAIT. */
static void
test_reset_on_data (void)
{
  Pair pair = connect_pair ();
  g_autoptr (PcdSocket) client = take (pair.client);
  PcdNetHistory history = { 0 };

  g_assert_cmpint (write (pair.client, "before", 6), ==, 6);
  g_usleep (5000);
  judge_once (client, &history);
  shutdown (pair.client, SHUT_RDWR);
  g_assert_cmpint (write (pair.server, "late", 4), ==, 4);
  g_usleep (20 * 1000);
  g_assert_cmpint (cause_of (client, &history), ==, PCD_CAUSE_OPERATOR);
  close (pair.client);
  close (pair.server);
}

static void
test_shutdown (void)
{
  Pair pair = connect_pair ();
  g_autoptr (PcdSocket) client = take (pair.client);
  g_autoptr (PcdSocket) server = take (pair.server);
  g_autoptr (GError) error = NULL;
  PcdNetHistory history = { 0 };
  char byte;

  judge_once (server, &history);
  g_assert_true (pcd_socket_shutdown (client, &error));
  g_assert_cmpint (cause_of (client, NULL), ==, PCD_CAUSE_NETWORK);
  g_assert_cmpint (recv (pair.client, &byte, 1, MSG_DONTWAIT), ==, 0);
  g_assert_cmpint (cause_of (server, &history), ==, PCD_CAUSE_PEER_CLOSED);
  g_assert_true (pcd_socket_is_held (client));
  close (pair.client);
  g_assert_false (pcd_socket_is_held (client));
  g_clear_pointer (&client, pcd_socket_free);
  /* The last close resets; without it the server would sit in CLOSE_WAIT. */
  struct pollfd poller = { .fd = pair.server };
  g_assert_cmpint (poll (&poller, 1, 1000), ==, 1);
  g_assert_true (poller.revents & POLLERR);
  close (pair.server);
}

static void
test_addresses (void)
{
  Pair pair = connect_pair ();
  g_autoptr (PcdSocket) server = take (pair.server);
  const PcdSocketCandidate *c = pcd_socket_get_candidate (server);
  const PcdEndpoint six = { "fe80::1", 80 };
  g_autofree char *text = pcd_socket_endpoint_to_string (&six);
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdSocket) none = pcd_socket_new_take (dup (0), getpid (), 0, &error);

  g_assert_null (none);
  g_assert_nonnull (error);
  g_assert_cmpstr (text, ==, "[fe80::1]:80");
  g_assert_cmpstr (c->local.address, ==, "127.0.0.1");
  g_assert_cmpstr (c->peer.address, ==, "127.0.0.1");
  g_assert_cmpuint (c->state, ==, PCD_TCP_ESTABLISHED);
  g_assert_cmpuint (c->inode, !=, 0);
  close (pair.client);
  close (pair.server);
}

static gpointer
block_in_recv (gpointer data)
{
  char byte;

  while (recv (GPOINTER_TO_INT (data), &byte, 1, 0) > 0)
    ;
  return NULL;
}

/* This process as a destination: a thread with QEMU's name sleeps on one of two connections. */
static void
test_scan (void)
{
  Pair decoy = connect_pair (), pair = connect_pair ();
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdSockets) self = pcd_sockets_open (getpid (), &error);
  GThread *thread = g_thread_new ("postcopy/listen", block_in_recv, GINT_TO_POINTER (pair.server));
  g_autoptr (GPtrArray) found = NULL;
  g_autofree char *note = NULL;

  g_assert_no_error (error);
  g_usleep (50 * 1000);
  found = pcd_sockets_scan (self, PCD_ROLE_DESTINATION, NULL, 0, FALSE, &note, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (found->len, ==, 1);
  g_assert_cmpint (pcd_socket_get_candidate (found->pdata[0])->fd, ==, pair.server);
  g_assert_null (note);
  g_clear_pointer (&found, g_ptr_array_unref);
  shutdown (pair.server, SHUT_RDWR);
  g_thread_join (thread);
  found = pcd_sockets_scan (self, PCD_ROLE_DESTINATION, NULL, 0, TRUE, &note, &error);
  g_assert_cmpuint (found->len, ==, 0);
  g_assert_nonnull (strstr (note, "127.0.0.1:"));
  close (pair.client);
  close (pair.server);
  close (decoy.client);
  close (decoy.server);
}

static gboolean
is_connecting (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdSockets) sockets = pcd_sockets_open (getpid (), &error);
  gboolean connecting = FALSE;

  g_assert_no_error (error);
  g_assert_true (pcd_sockets_is_connecting (sockets, &connecting, &error));
  g_assert_no_error (error);
  return connecting;
}

/* A SYN to a full queue is dropped: the socket waits for its answer. */
static void
test_connecting (void)
{
  struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr = { htonl (INADDR_LOOPBACK) } };
  socklen_t size = sizeof here;
  int listener = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int fds[8];

  g_assert_cmpint (bind (listener, (struct sockaddr *)&here, size), ==, 0);
  g_assert_cmpint (getsockname (listener, (struct sockaddr *)&here, &size), ==, 0);
  g_assert_cmpint (listen (listener, 0), ==, 0);
  g_assert_false (is_connecting ());
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++) {
    fds[i] = socket (AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    connect (fds[i], (struct sockaddr *)&here, size);
  }
  g_assert_true (is_connecting ());
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    close (fds[i]);
  close (listener);
  g_assert_false (is_connecting ());
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sockets/arm", test_arm);
  g_test_add_func ("/sockets/probe", test_probe);
  g_test_add_func ("/sockets/late-cause", test_late_cause);
  g_test_add_func ("/sockets/reset-on-data", test_reset_on_data);
  g_test_add_func ("/sockets/shutdown", test_shutdown);
  g_test_add_func ("/sockets/addresses", test_addresses);
  g_test_add_func ("/sockets/scan", test_scan);
  g_test_add_func ("/sockets/connecting", test_connecting);
  return g_test_run ();
}
