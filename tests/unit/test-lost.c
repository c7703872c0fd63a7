/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is kept of a lost connection over a restart of the daemon, and its interface. */
#include "core/pcd-lost.h"
#include "core/pcd-machine.h"
#include "host/pcd-interface.h"

static void
test_round_trip (void)
{
  const PcdLost lost = {
    .cause = PCD_CAUSE_NETWORK,
    .why = (char *)"peer silent for 2.0 s of 2.0 s allowed, \"7\" tries",
    .local = (char *)"[fe80::1]:40000",
    .remote = (char *)"[fe80::2]:49152",
    .interface = (char *)"eth1",
    .heard = 1700000000123456,
    .acked = 1,
    .unacked = G_MAXUINT,
    .retransmits = 7,
  };
  PcdLost nameless = lost;
  nameless.interface = NULL;
  const PcdLost *const all[] = { &lost, &nameless };

  for (guint i = 0; i < G_N_ELEMENTS (all); i++) {
    g_autofree char *text = pcd_lost_to_text (all[i]);
    g_autoptr (PcdLost) back = pcd_lost_from_text (text);
    g_assert_nonnull (back);
    g_assert_cmpint (back->cause, ==, PCD_CAUSE_NETWORK);
    g_assert_cmpstr (back->why, ==, lost.why);
    g_assert_cmpstr (back->local, ==, lost.local);
    g_assert_cmpstr (back->remote, ==, lost.remote);
    g_assert_cmpstr (back->interface, ==, all[i]->interface);
    g_assert_cmpint (back->heard, ==, lost.heard);
    g_assert_cmpint (back->acked, ==, 1);
    g_assert_cmpuint (back->unacked, ==, G_MAXUINT);
    g_assert_cmpuint (back->retransmits, ==, 7);
  }
}

/* It comes from a disk: with a member missing, or of another kind, it is not believed. */
static void
test_damaged (void)
{
  static const char good[] =
      "{\"cause\":\"network\",\"why\":\"w\",\"local\":\"l\",\"remote\":\"r\","
      "\"interface\":\"\",\"heard\":1,\"acked\":2,\"unacked\":3,"
      "\"retransmits\":4}";
  static const char *const changes[][2] = {
    { "\"network\"", "\"moon\"" },
    { "\"network\"", "1" },
    { "\"w\"", "[]" },
    { "\"l\"", "null" },
    { "\"r\"", "{}" },
    { "\"interface\"", "\"other\"" },
    { "\"heard\":1", "\"heard\":-1" },
    { ":2", ":\"2\"" },
    { ":3", ":5000000000" },
    { ":4}", ":4" },
    { "{", "[{" },
    { good, "[]" },
  };
  g_autoptr (PcdLost) lost = pcd_lost_from_text (good);

  g_assert_nonnull (lost);
  for (guint i = 0; i < G_N_ELEMENTS (changes); i++) {
    g_autoptr (GString) text = g_string_new (good);
    g_assert_cmpuint (g_string_replace (text, changes[i][0], changes[i][1], 1), ==, 1);
    if (pcd_lost_from_text (text->str))
      g_error ("believed: %s", text->str);
  }
}

/* Only a pause without evidence of its own is told by another's. */
static void
test_recall (void)
{
  static const struct {
    PcdPhase phase;
    PcdCause cause, recalled, after;
  } cases[] = {
    { PCD_PHASE_PAUSED, PCD_CAUSE_UNKNOWN, PCD_CAUSE_NETWORK, PCD_CAUSE_NETWORK },
    { PCD_PHASE_PAUSED, PCD_CAUSE_UNKNOWN, PCD_CAUSE_OPERATOR, PCD_CAUSE_OPERATOR },
    { PCD_PHASE_PAUSED, PCD_CAUSE_UNKNOWN, PCD_CAUSE_NONE, PCD_CAUSE_UNKNOWN },
    { PCD_PHASE_PAUSED, PCD_CAUSE_PEER_CLOSED, PCD_CAUSE_NETWORK, PCD_CAUSE_PEER_CLOSED },
    { PCD_PHASE_POSTCOPY, PCD_CAUSE_NONE, PCD_CAUSE_NETWORK, PCD_CAUSE_NONE },
    { PCD_PHASE_RECOVERING, PCD_CAUSE_NONE, PCD_CAUSE_NETWORK, PCD_CAUSE_NONE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    PcdState state = { .phase = cases[i].phase, .cause = cases[i].cause };
    pcd_state_recall (&state, cases[i].recalled);
    g_assert_cmpint (state.cause, ==, cases[i].after);
  }
}

static void
test_interface (void)
{
  g_autofree char *none = pcd_interface_of ("192.0.2.77:1");
  g_autofree char *bare = pcd_interface_of ("");
  g_autofree char *four = pcd_interface_of ("127.0.0.1:49152");
  g_autofree char *six = pcd_interface_of ("[::1]:49152");
  g_autofree char *flags = NULL;

  g_assert_null (none);
  g_assert_null (bare);
  g_assert_cmpint (pcd_interface_link ("pcd-no-such"), ==, PCD_LINK_GONE);
  if (!g_file_get_contents ("/sys/class/net/lo/flags", &flags, NULL, NULL)) {
    g_test_skip ("no loopback interface to be seen");
    return;
  }
  const gboolean is_up = g_ascii_strtoull (flags, NULL, 16) & 1; /* IFF_UP */
  g_assert_cmpint (pcd_interface_link ("lo"), ==, is_up ? PCD_LINK_UP : PCD_LINK_DOWN);
  /* A network namespace of a build may have it without its addresses. */
  if (is_up)
    g_assert_cmpstr (four, ==, "lo");
  g_assert_true (!six || g_str_equal (six, "lo"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/lost/round-trip", test_round_trip);
  g_test_add_func ("/lost/damaged", test_damaged);
  g_test_add_func ("/lost/recall", test_recall);
  g_test_add_func ("/lost/interface", test_interface);
  return g_test_run ();
}
