/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The decisions around a recovery: routes, doors, QEMU's status, versions, dead connections. */
#include <gio/gio.h>

#include "actions/pcd-actions.h"
#include "core/pcd-invitation.h"
#include "engine/pcd-executor.h"
#include "engine/pcd-peers.h"
#include "host/pcd-owner.h"
#include "libvirt/pcd-recover.h"

static PcdPeers *
two_peers (void)
{
  PcdPeers *peers = pcd_peers_new ();
  PcdPeer *b = pcd_peers_add (peers, "b"), *c = pcd_peers_add (peers, "c");

  b->addresses = pcd_peers_parse_addresses ("10.9.0.2 10.9.1.2,fd00:9::2");
  c->addresses = pcd_peers_parse_addresses ("10.9.0.3\t10.9.1.3");
  c->libvirt_uri = g_strdup ("qemu+ssh://root@{address}:2222/system");
  return peers;
}

static void
test_routes (void)
{
  static const struct {
    const char *peer;
    const char *network;
    const char *uri;
    const char *routes; /* "libvirt URI=stream URI …", or a part of the error */
  } rows[] = {
    { "10.9.0.9", NULL, NULL, "qemu+tls://10.9.0.9/system=tcp://10.9.0.9" },
    { "10.9.1.2", NULL, NULL,
      "qemu+tls://10.9.1.2/system=tcp://10.9.1.2 qemu+tls://10.9.0.2/system=tcp://10.9.0.2 "
      "qemu+tls://[fd00:9::2]/system=tcp://[fd00:9::2]" },
    { "10.9.0.3", "10.9.1.0/24", NULL, "qemu+ssh://root@10.9.1.3:2222/system=tcp://10.9.1.3" },
    { "10.9.0.2", "fd00:9::/64", NULL, "qemu+tls://[fd00:9::2]/system=tcp://[fd00:9::2]" },
    { "10.9.0.3", "10.9.0.0/24", "qemu+tcp://b/system", "qemu+tcp://b/system=tcp://10.9.0.3" },
    { "10.9.0.3", "10.7.0.0/16", NULL,
      "no known address of the peer in 10.7.0.0/16: it has 10.9.0.3, 10.9.1.3; add one to [peer] "
      "(addresses = ...), or name the libvirt with --uri" },
    { "10.9.0.9", "10.8.0.0/24", NULL, "in 10.8.0.0/24: it has 10.9.0.9; add" },
    { "10.9.0.2", "10.9.1.2", NULL, "qemu+tls://10.9.1.2/system=tcp://10.9.1.2" },
    { "10.9.0.3", "10.7/x", NULL, "10.7/x" },
    { NULL, NULL, NULL, "address is not known" },
  };
  g_autoptr (PcdPeers) peers = two_peers ();

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GPtrArray) routes =
        pcd_peers_routes (peers, rows[i].peer, rows[i].network, rows[i].uri, &error);
    g_autoptr (GString) text = g_string_new (NULL);

    g_test_message ("row %u", i);
    g_assert_true ((routes == NULL) == (error != NULL));
    for (guint j = 0; routes && j < routes->len; j++) {
      const PcdRoute *route = g_ptr_array_index (routes, j);
      g_string_append_printf (text, "%s%s=%s", j ? " " : "", route->libvirt_uri, route->stream_uri);
    }
    if (routes)
      g_assert_cmpstr (text->str, ==, rows[i].routes);
    else
      g_assert_nonnull (g_strstr_len (error->message, -1, rows[i].routes));
  }
}

static void
test_routes_in_words (void)
{
  static const struct {
    const char *network;
    const char *uri;
    const char *words;
  } rows[] = {
    { NULL, NULL,
      "over 10.9.0.2 (qemu+tls://10.9.0.2/system), then over 10.9.1.2 "
      "(qemu+tls://10.9.1.2/system), "
      "then over fd00:9::2 (qemu+tls://[fd00:9::2]/system)" },
    { "10.9.1.0/24", NULL, "over 10.9.1.2 (qemu+tls://10.9.1.2/system)" },
    { "10.9.0.0/24", "qemu+tcp://b/system", "over 10.9.0.2 (qemu+tcp://b/system)" },
  };
  g_autoptr (PcdPeers) peers = two_peers ();

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GPtrArray) routes =
        pcd_peers_routes (peers, "10.9.0.2", rows[i].network, rows[i].uri, NULL);
    g_autofree char *words = pcd_routes_to_string (routes);

    g_assert_cmpstr (words, ==, rows[i].words);
  }
}

static void
test_doors (void)
{
  static const struct {
    const char *uri;
    const char *host; /* NULL: no door */
    guint16 port;
  } rows[] = {
    { "qemu+tls://{address}/system", "fd00::2", 16514 },
    { "qemu://{address}/system", "fd00::2", 16514 },
    { "qemu+tcp://b.example/system", "b.example", 16509 },
    { "qemu+tcp://b.example:17000/system", "b.example", 17000 },
    { "qemu+ssh://root@b/system?keyfile=/x", "b", 22 },
    { "qemu+libssh2://b/system", "b", 22 },
    { "qemu+ext://b/system?command=x", NULL, 0 },
    { "qemu:///system", NULL, 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (PcdRoute) route = pcd_route_new ("fd00::2", rows[i].uri);
    g_autofree char *host = NULL;
    guint16 port = 0;

    g_assert_true (pcd_route_get_door (route, &host, &port) == (rows[i].host != NULL));
    g_assert_cmpstr (host, ==, rows[i].host);
    g_assert_cmpuint (port, ==, rows[i].port);
  }
}

static void
test_status (void)
{
  for (guint i = 0; i < PCD_N_QEMU_STATUSES; i++) {
    g_autofree char *reason = NULL;
    PcdOutcome outcome = PCD_OUTCOME_FAILED;
    const char *word = pcd_qemu_status_to_string (i);
    gboolean go = pcd_recover_judge_status (i, word, &outcome, &reason);
    gboolean is_done = i == PCD_QEMU_POSTCOPY_RECOVER || i == PCD_QEMU_POSTCOPY_RECOVER_SETUP ||
                       i == PCD_QEMU_COMPLETED;

    g_test_message ("%s", word);
    g_assert_true (go == (i == PCD_QEMU_POSTCOPY_PAUSED));
    if (!go) {
      g_assert_cmpint (outcome, ==, is_done ? PCD_OUTCOME_DONE : PCD_OUTCOME_REFUSED);
      g_assert_nonnull (reason);
    }
  }
}

static void
test_status_words (void)
{
  static const struct {
    PcdQemuStatus status;
    const char *reason;
  } words[] = {
    { PCD_QEMU_POSTCOPY_RECOVER, "QEMU is recovering already" },
    { PCD_QEMU_COMPLETED, "the migration has completed" },
    { PCD_QEMU_POSTCOPY_ACTIVE,
      "QEMU goes on migrating (postcopy-active): there is nothing to recover" },
    { PCD_QEMU_FAILED, "QEMU's migration is failed, expected postcopy-paused" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (words); i++) {
    PcdOutcome ignored;
    g_autofree char *said = NULL;

    pcd_recover_judge_status (words[i].status, pcd_qemu_status_to_string (words[i].status),
                              &ignored, &said);
    g_assert_cmpstr (said, ==, words[i].reason);
  }
}

/* After a recovery was asked for. */
static void
test_sign (void)
{
  static const struct {
    const char *what;
    PcdQemuStatus status;
    gboolean is_gone;
    int state, reason;
    PcdRecoverSign sign;
  } rows[] = {
    { "paused still", PCD_QEMU_POSTCOPY_PAUSED, FALSE, -1, 0, PCD_RECOVER_WAITS },
    { "tries to connect", PCD_QEMU_POSTCOPY_RECOVER_SETUP, FALSE, -1, 0, PCD_RECOVER_WAITS },
    { "could not be asked", PCD_QEMU_UNKNOWN, FALSE, -1, 0, PCD_RECOVER_WAITS },
    { "failed", PCD_QEMU_FAILED, FALSE, -1, 0, PCD_RECOVER_WAITS },
    { "recovers", PCD_QEMU_POSTCOPY_RECOVER, FALSE, -1, 0, PCD_RECOVER_BEGAN },
    { "recovered", PCD_QEMU_POSTCOPY_ACTIVE, FALSE, -1, 0, PCD_RECOVER_BEGAN },
    { "completed, not yet ended", PCD_QEMU_COMPLETED, FALSE, -1, 0, PCD_RECOVER_BEGAN },
    { "completed and ended by libvirt", PCD_QEMU_UNKNOWN, TRUE, VIR_DOMAIN_SHUTOFF,
      VIR_DOMAIN_SHUTOFF_MIGRATED, PCD_RECOVER_BEGAN },
    { "killed", PCD_QEMU_UNKNOWN, TRUE, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_CRASHED,
      PCD_RECOVER_ENDED },
    { "destroyed", PCD_QEMU_UNKNOWN, TRUE, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_DESTROYED,
      PCD_RECOVER_ENDED },
    { "crashed", PCD_QEMU_UNKNOWN, TRUE, VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_PANICKED,
      PCD_RECOVER_ENDED },
    { "same number, another state", PCD_QEMU_UNKNOWN, TRUE, VIR_DOMAIN_PAUSED,
      VIR_DOMAIN_SHUTOFF_MIGRATED, PCD_RECOVER_ENDED },
    { "transient, and no trace is left", PCD_QEMU_UNKNOWN, TRUE, -1, 0, PCD_RECOVER_ENDED },
    { "a word from before it went", PCD_QEMU_COMPLETED, TRUE, -1, 0, PCD_RECOVER_ENDED },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_test_message ("%s", rows[i].what);
    g_assert_cmpint (
        pcd_recover_judge_sign (rows[i].status, rows[i].is_gone, rows[i].state, rows[i].reason), ==,
        rows[i].sign);
  }
}

static void
test_versions (void)
{
  static const char here_is_old[] =
      "this host's libvirt is older than 9.0, which cannot resume a failed post-copy";
  static const char there_is_old[] =
      "the destination's libvirt is older than 9.0, which cannot resume a failed post-copy";
  static const char crashes[] =
      "the destination's libvirt is 11.2 or 11.3, whose daemon crashes on a resume";
  static const struct {
    gulong here, there;
    const char *bug;
  } rows[] = {
    { 9000000, 9000000, NULL },
    { 8010000, 9000000, here_is_old },
    { 9000000, 8010000, there_is_old },
    { 11002000, 11001000, NULL },
    { 11001000, 11002000, crashes },
    { 9000000, 11003000, crashes },
    { 9000000, 11004000, NULL },
    { 9000000, 0, NULL },
    { 0, 0, NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    g_assert_cmpstr (pcd_recover_judge_version (rows[i].here, rows[i].there), ==, rows[i].bug);
}

/* As lived in the lab: numbers of samples of libvirtd's connection. */
static void
test_dead_connection (void)
{
  static const struct {
    const char *what;
    PcdNetSample sample;
    gboolean unreachable, over, dead;
  } rows[] = {
    { "idle, waits in Finish", { .state = 1, .last_ack_recv = 4000 }, FALSE, FALSE, FALSE },
    { "idle, unreachable", { .state = 1, .last_ack_recv = 2000 }, TRUE, FALSE, TRUE },
    { "heard lately, unreachable", { .state = 1, .last_ack_recv = 1999 }, TRUE, FALSE, FALSE },
    { "repeats in vain",
      { .state = 1, .last_ack_recv = 2100, .unacked = 1, .retransmits = 2 },
      FALSE,
      FALSE,
      TRUE },
    { "repeats for the first time",
      { .state = 1, .last_ack_recv = 300, .unacked = 1, .retransmits = 1 },
      FALSE,
      FALSE,
      FALSE },
    { "just sent after a long silence",
      { .state = 1, .last_ack_recv = 9000, .unacked = 1, .outq = 28 },
      FALSE,
      FALSE,
      FALSE },
    { "the answer was lost", { .state = 1, .last_ack_recv = 100 }, FALSE, TRUE, TRUE },
    { "closing by itself", { .state = 4, .last_ack_recv = 9000 }, TRUE, TRUE, FALSE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_test_message ("%s", rows[i].what);
    g_assert_cmpint (
        pcd_owner_connection_is_dead (&rows[i].sample, rows[i].unreachable, rows[i].over), ==,
        rows[i].dead);
  }
}

static void
test_invitation (void)
{
  static const struct {
    const char *address;
    guint16 port;
    const char *id;
    const char *uri;
  } good[] = {
    { "10.9.0.2", 49215, "postcopyd-recover_10.9.0.2_49215", "tcp:10.9.0.2:49215" },
    { "fd00:9::2", 1, "postcopyd-recover_fd00-9--2_1", "tcp:[fd00:9::2]:1" },
  };
  static const char *const bad[] = {
    "",
    "pcd-monitor",
    "postcopyd-recover",
    "postcopyd-recover_",
    "postcopyd-recover_10.9.0.2",
    "postcopyd-recover_10.9.0.2_0",
    "postcopyd-recover_10.9.0.2_65536",
    "postcopyd-recover_10.9.0.2_49215_1",
    "postcopyd-recover_10.9.0.2_+5",
    "postcopyd-recover_example.org_49215",
    "postcopyd-recover_10.9.0.2,server=on_49215",
    "xpostcopyd-recover_10.9.0.2_49215",
  };
  PcdEndpoint endpoint;

  for (guint i = 0; i < G_N_ELEMENTS (good); i++) {
    PcdEndpoint from = { .port = good[i].port };
    g_autofree char *id = NULL;
    g_autofree char *uri = NULL;

    g_strlcpy (from.address, good[i].address, sizeof from.address);
    id = pcd_invitation_to_id (&from);
    uri = pcd_invitation_to_uri (&from);
    g_assert_cmpstr (id, ==, good[i].id);
    g_assert_cmpstr (uri, ==, good[i].uri);
    g_assert_true (pcd_invitation_from_id (id, &endpoint));
    g_assert_cmpstr (endpoint.address, ==, good[i].address);
    g_assert_cmpuint (endpoint.port, ==, good[i].port);
  }
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_test_message ("'%s'", bad[i]);
    g_assert_false (pcd_invitation_from_id (bad[i], &endpoint));
  }
}

static void
test_invitation_in_reply (void)
{
  static const struct {
    const char *reply;
    const char *id;
  } rows[] = {
    { NULL, NULL },
    { "", NULL },
    { "[]", NULL },
    { "{\"return\":{}}", NULL },
    { "{\"return\":[]}", NULL },
    { "{\"return\":[1,{},{\"label\":\"charserial0\"}]}", NULL },
    { "{\"return\":[{\"label\":\"charserial0\"},"
      "{\"label\":\"postcopyd-recover_10.9.0.2_49215\",\"filename\":\"null\"}],\"id\":\"x\"}",
      "postcopyd-recover_10.9.0.2_49215" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *id = NULL;
    PcdEndpoint endpoint;

    g_test_message ("row %u", i);
    g_assert_cmpint (pcd_invitation_find (rows[i].reply, &id, &endpoint), ==, rows[i].id != NULL);
    g_assert_cmpstr (id, ==, rows[i].id);
  }
}

/* Refused before anything is asked of libvirt. */
static void
test_not_the_source (void)
{
  const PostcopydPlugin *plugin = pcd_actions_find ("recover");
  const PostcopydJob job = { .struct_size = sizeof job };
  PostcopydMigration migration = { .struct_size = sizeof migration,
                                   .uuid = "0",
                                   .role = "destination",
                                   .libvirt_uri = "qemu+tcp://192.0.2.1/system",
                                   .peer_address = "192.0.2.1" };
  char reason[64] = "";

  g_assert_nonnull (plugin);
  g_assert_cmpint (plugin->action->run (&migration, &job, reason, sizeof reason), ==,
                   POSTCOPYD_REFUSED);
  g_assert_nonnull (g_strstr_len (reason, -1, "only the source"));
}

/* An operator's network excluded all routes: the peer's address is known, and is not taken. */
static void
test_no_way (void)
{
  const PostcopydPlugin *plugin = pcd_actions_find ("recover");
  const PostcopydJob job = { .struct_size = sizeof job };
  const PcdActionHost host = { .no_peers = "no known address of the peer in 192.0.3.0/24" };
  PostcopydMigration migration = { .struct_size = sizeof migration,
                                   .uuid = "0",
                                   .role = "source",
                                   .libvirt_uri = "test:///default",
                                   .peer_address = "192.0.2.1",
                                   .internal = (gpointer)&host };
  char reason[64] = "";

  g_assert_cmpint (plugin->action->run (&migration, &job, reason, sizeof reason), ==,
                   POSTCOPYD_REFUSED);
  g_assert_cmpstr (reason, ==, host.no_peers);
  migration.internal = NULL;
  g_assert_cmpint (plugin->action->run (&migration, &job, reason, sizeof reason), ==,
                   POSTCOPYD_REFUSED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/recover/routes", test_routes);
  g_test_add_func ("/recover/routes-in-words", test_routes_in_words);
  g_test_add_func ("/recover/doors", test_doors);
  g_test_add_func ("/recover/status", test_status);
  g_test_add_func ("/recover/status-words", test_status_words);
  g_test_add_func ("/recover/sign", test_sign);
  g_test_add_func ("/recover/versions", test_versions);
  g_test_add_func ("/recover/dead-connection", test_dead_connection);
  g_test_add_func ("/recover/invitation", test_invitation);
  g_test_add_func ("/recover/invitation-in-reply", test_invitation_in_reply);
  g_test_add_func ("/recover/not-the-source", test_not_the_source);
  g_test_add_func ("/recover/no-way", test_no_way);
  return g_test_run ();
}
