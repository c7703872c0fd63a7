/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What status says of a migration: the right words, in a pipe, at 80 columns and at 200. */
#include "core/pcd-types.h"
#include "ctl/pcd-show-block.h"
#include "ctl/pcd-show.h"

#include <string.h>

#define U   "11111111-2222-3333-4444-555555555555"
#define NOW ((gint64)1700000000 * G_USEC_PER_SEC)

static PcdClientSocket connection = {
  .local = (char *)"10.0.1.2:49152",
  .remote = (char *)"10.0.1.1:40000",
  .armed = TRUE,
  .heard_usec = 14200000,
  .unacked = 3,
  .retransmits = 5,
};

static PcdClientMigration
make (const char *name, PcdRole role, PcdPhase phase)
{
  PcdClientMigration m = {
    .uuid = (char *)U,
    .name = (char *)name,
    .role = (char *)pcd_role_to_string (role),
    .phase = (char *)pcd_phase_to_string (phase),
    .phase_time = NOW - 14 * G_USEC_PER_SEC,
    .flow = (char *)"none",
    .cause = (char *)"none",
    .cause_detail = (char *)"",
    .qemu_status = (char *)"postcopy-paused",
    .pid = 4242,
    .sockets = g_ptr_array_new (),
    .vetoes = g_ptr_array_new (),
    .note = (char *)"",
    .policy = (char *)"recover",
    .policy_source = (char *)"default",
    .doing = (char *)"",
    .doing_text = (char *)"",
    .last_action = (char *)"",
    .last_outcome = (char *)"",
    .last_reason = (char *)"",
    .next_action = (char *)"",
    .problem = (char *)"",
  };
  return m;
}

static char *
show (const PcdClientMigration *m, const PcdShowLook *look, guint columns)
{
  const PcdClientState state = { .connected = TRUE };
  const PcdTerminal terminal = { .columns = columns, .unicode = columns > 0 };

  return pcd_show_block (&state, m, look, &terminal, NOW);
}

/* Words that must be there, and none of those that must not. */
static void
test_words (void)
{
  static const struct {
    PcdRole role;
    PcdPhase phase;
    const char *flow, *cause;
    guint blocked;
    PcdAnswer kickable;
    gboolean held;
    const char *words[5];
    const char *never;
  } cases[] = {
    { PCD_ROLE_SOURCE,
      PCD_PHASE_PAUSED,
      "none",
      "network",
      0,
      PCD_ANSWER_UNKNOWN,
      FALSE,
      { "paused for 14 s: the network failed", "never resume it here",
        "postcopyctl recover g --wait", "postcopyctl hold g" },
      "freeze" },
    { PCD_ROLE_SOURCE,
      PCD_PHASE_PAUSED,
      "none",
      "unknown",
      0,
      PCD_ANSWER_UNKNOWN,
      TRUE,
      { "the cause is unknown", "held", "postcopyctl release g" },
      "hold g" },
    { PCD_ROLE_DESTINATION,
      PCD_PHASE_PAUSED,
      "none",
      "peer-closed",
      2,
      PCD_ANSWER_YES,
      FALSE,
      { "the other host closed", "2 of 4 vCPUs wait for missing memory; it can be stopped",
        "postcopyctl stop g" },
      "freeze" },
    { PCD_ROLE_DESTINATION,
      PCD_PHASE_PAUSED,
      "none",
      "operator",
      1,
      PCD_ANSWER_NO,
      FALSE,
      { "paused on this host", "cannot be stopped now, only frozen: CPU 0/KVM",
        "postcopyctl freeze g", "postcopyctl snapshot g" },
      "postcopyctl stop" },
    { PCD_ROLE_DESTINATION,
      PCD_PHASE_PAUSED,
      "none",
      "network",
      1,
      PCD_ANSWER_UNKNOWN,
      FALSE,
      { "is not known: CPU 0/KVM", "postcopyctl freeze g" },
      "postcopyctl stop" },
    { PCD_ROLE_DESTINATION,
      PCD_PHASE_POSTCOPY,
      "flowing",
      "none",
      0,
      PCD_ANSWER_UNKNOWN,
      FALSE,
      { "postcopy for 14 s: pages flow", "none of 4 vCPUs waits", "status g --watch" },
      "recover g" },
    { PCD_ROLE_SOURCE,
      PCD_PHASE_POSTCOPY,
      "stalled",
      "none",
      0,
      PCD_ANSWER_UNKNOWN,
      FALSE,
      { "nothing arrives", "postcopyctl force-pause g" },
      "recover g" },
    { PCD_ROLE_SOURCE,
      PCD_PHASE_PRECOPY,
      "none",
      "none",
      0,
      PCD_ANSWER_UNKNOWN,
      FALSE,
      { "precopy for 14 s" },
      "runs on the destination" },
    { PCD_ROLE_SOURCE,
      PCD_PHASE_COMPLETED,
      "none",
      "none",
      0,
      PCD_ANSWER_UNKNOWN,
      FALSE,
      { "completed 14 s ago" },
      "status g" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    PcdClientMigration m = make ("g", cases[i].role, cases[i].phase);
    PcdShowLook look = { .kickable = cases[i].kickable, .obstacle = (char *)"CPU 0/KVM" };
    m.flow = (char *)cases[i].flow;
    m.cause = (char *)cases[i].cause;
    m.held = cases[i].held;
    m.measured = TRUE;
    m.n_vcpus = 4;
    m.n_blocked_vcpus = cases[i].blocked;
    m.next_action = (char *)"recover";
    g_autofree char *text = show (&m, &look, 0);
    for (guint k = 0; k < G_N_ELEMENTS (cases[i].words) && cases[i].words[k]; k++)
      if (!strstr (text, cases[i].words[k]))
        g_error ("case %u: no '%s' in:\n%s", i, cases[i].words[k], text);
    if (strstr (text, cases[i].never))
      g_error ("case %u: '%s' in:\n%s", i, cases[i].never, text);
    g_ptr_array_unref (m.sockets);
    g_ptr_array_unref (m.vetoes);
  }
}

/* Held still, it is not offered to be held, but to be let go. */
static void
test_held_still (void)
{
  static const struct {
    const char *action, *outcome;
    PcdPhase phase;
    guint blocked;
    const char *says, *never;
  } cases[] = {
    { "freeze", "done", PCD_PHASE_PAUSED, 2,
      "2 of 2 vCPUs wait for missing memory; it is held still by freeze", "only frozen" },
    { "freeze", "done", PCD_PHASE_PAUSED, 2, "postcopyctl resume g", "postcopyctl freeze" },
    { "stop", "done", PCD_PHASE_POSTCOPY, 0, "waits for missing memory; it is held still by stop",
      "resume g" },
    { "freeze", "failed", PCD_PHASE_PAUSED, 2, "postcopyctl freeze g", "held still" },
    { "freeze", "done", PCD_PHASE_COMPLETED, 0, "held still by freeze; nothing else", "freeze g" },
    { "freeze", "done", PCD_PHASE_COMPLETED, 0, "postcopyctl resume g", "is recovered" },
    { "freeze", "failed", PCD_PHASE_COMPLETED, 0, "completed 14 s ago", "resume g" },
    { "freeze", "done", PCD_PHASE_GONE, 0, "gone", "resume g" },
    { "resume", "done", PCD_PHASE_PAUSED, 2, "postcopyctl freeze g", "held still" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    PcdClientMigration m = make ("g", PCD_ROLE_DESTINATION, cases[i].phase);
    PcdShowLook look = { .kickable = PCD_ANSWER_NO, .obstacle = (char *)"CPU 0/KVM" };
    m.cause = (char *)"network";
    m.measured = TRUE;
    m.n_vcpus = 2;
    m.n_blocked_vcpus = cases[i].blocked;
    m.last_action = (char *)cases[i].action;
    m.last_outcome = (char *)cases[i].outcome;
    g_autofree char *text = show (&m, &look, 0);
    if (!strstr (text, cases[i].says) || strstr (text, cases[i].never))
      g_error ("case %u: '%s', not '%s', in:\n%s", i, cases[i].says, cases[i].never, text);
    g_ptr_array_unref (m.sockets);
    g_ptr_array_unref (m.vetoes);
  }
}

static void
test_width (void)
{
  PcdClientMigration m = make ("g", PCD_ROLE_DESTINATION, PCD_PHASE_PAUSED);
  const PcdShowLook look = {
    .interface = (char *)"eth1",
    .kickable = PCD_ANSWER_NO,
    .obstacle =
        (char *)"CPU 0/KVM (thread 77) waits on the kernel-side-copy path: no signal reaches "
                "it until its page comes",
  };

  m.cause = (char *)"network";
  m.measured = TRUE;
  m.n_vcpus = m.n_blocked_vcpus = 2;
  m.incident = 3;
  m.last_action = (char *)"recover";
  m.last_outcome = (char *)"failed";
  m.last_reason =
      (char *)"10.9.0.2 port 16509: Could not connect to 10.9.0.2: Network is unreachable";
  g_ptr_array_add (m.sockets, &connection);
  for (guint columns = 60; columns <= 200; columns += 20) {
    g_autofree char *text = show (&m, &look, columns);
    g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
    for (guint i = 0; lines[i]; i++)
      if (g_utf8_strlen (lines[i], -1) > (glong)columns)
        g_error ("%u columns: '%s'", columns, lines[i]);
    g_assert_true (g_str_has_prefix (text, "● g (destination): paused"));
    g_assert_nonnull (strstr (text, "eth1, 10.0.1.2:49152 → 10.0.1.1:49152")
                          ?: strstr (text, "eth1,"));
  }
  g_autofree char *plain = show (&m, &look, 0);
  g_assert_nonnull (strstr (plain, "Waits:     for the source, which is the one that recovers"));
  m.last_action = (char *)"notify";
  m.last_outcome = (char *)"done";
  g_autofree char *told = show (&m, &look, 0);
  g_assert_null (strstr (told, "Did:"));
  g_assert_nonnull (strstr (plain, "eth1, 10.0.1.2:49152 to 10.0.1.1:40000, armed, heard 14 s ago, "
                                   "3 unacknowledged, 5 retransmissions\n"));
  g_assert_nonnull (strstr (plain, ", incident 3\n"));
  g_assert_null (strchr (plain, '\033'));
  for (const char *at = plain; *at; at++)
    g_assert_true (g_ascii_isprint (*at) || *at == '\n');
  g_ptr_array_unref (m.sockets);
  g_ptr_array_unref (m.vetoes);
}

/* Which network failed, and how that is known; or that nobody saw it. */
static void
test_lost (void)
{
  PcdClientLost lost = {
    .local = (char *)"10.9.0.1:40000",
    .remote = (char *)"10.9.0.2:49152",
    .interface = (char *)"eth1",
    .heard = NOW - 16 * G_USEC_PER_SEC,
    .acked = NOW - 15 * G_USEC_PER_SEC,
    .unacked = 12,
    .retransmits = 5,
  };
  static const struct {
    gboolean seen;
    const char *interface;
    PcdLink link;
    gint64 heard;
    const char *says;
  } cases[] = {
    { TRUE, "eth1", PCD_LINK_DOWN, 1,
      "Network:   lost: 10.9.0.1:40000 to 10.9.0.2:49152, over eth1 (it is down now); last heard "
      "16 s ago, acknowledged 15 s ago, 12 unacknowledged, 5 retransmissions\n"
      "  Evidence:  peer silent for 2.0 s\n" },
    { TRUE, "eth1", PCD_LINK_NO_CARRIER, 1, "over eth1 (it has no link now);" },
    { TRUE, "eth1", PCD_LINK_GONE, 1, "over eth1 (it is gone now);" },
    { TRUE, "eth1", PCD_LINK_UP, 1, "over eth1 (it is up now);" },
    { TRUE, "eth1", PCD_LINK_UNKNOWN, 1, "over eth1;" },
    { TRUE, "", PCD_LINK_UNKNOWN, 1, "10.9.0.2:49152; last heard 16 s" },
    { TRUE, "", PCD_LINK_UNKNOWN, 0, "last heard at an unknown time, acknowledged 15 s" },
    { FALSE, "", PCD_LINK_UNKNOWN, 0, "Network:   the connection that was lost is not known" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    PcdClientMigration m = make ("g", PCD_ROLE_SOURCE, PCD_PHASE_PAUSED);
    const PcdShowLook look = { .lost_link = cases[i].link };
    PcdClientLost this = lost;
    this.interface = (char *)cases[i].interface;
    this.heard *= cases[i].heard;
    m.lost = cases[i].seen ? &this : NULL;
    m.cause_detail = (char *)(cases[i].seen ? "peer silent for 2.0 s" : "");
    g_autofree char *text = show (&m, &look, 0);
    if (!strstr (text, cases[i].says))
      g_error ("case %u: no '%s' in:\n%s", i, cases[i].says, text);
    m.phase = (char *)pcd_phase_to_string (PCD_PHASE_POSTCOPY);
    g_autofree char *flowing = show (&m, &look, 0);
    g_assert_null (strstr (flowing, "Network:"));
    g_ptr_array_unref (m.sockets);
    g_ptr_array_unref (m.vetoes);
  }
}

/* A domain's name is a tenant's to choose: it must not reach a terminal or a shell raw. */
static void
test_hostile_name (void)
{
  PcdClientMigration m = make ("a\033[31m;$(reboot) 'b", PCD_ROLE_SOURCE, PCD_PHASE_PAUSED);
  g_autofree char *text = show (&m, NULL, 0);

  g_assert_null (strchr (text, '\033'));
  const char *command = strstr (text, "postcopyctl recover ");
  g_assert_nonnull (command);
  g_auto (GStrv) words = NULL;
  g_autofree char *line = g_strndup (command, strcspn (command, "\n"));
  g_assert_true (g_shell_parse_argv (line, NULL, &words, NULL));
  g_assert_nonnull (strstr (words[2], "$(reboot) 'b"));
  g_ptr_array_unref (m.sockets);
  g_ptr_array_unref (m.vetoes);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/show/words", test_words);
  g_test_add_func ("/show/held-still", test_held_still);
  g_test_add_func ("/show/lost", test_lost);
  g_test_add_func ("/show/width", test_width);
  g_test_add_func ("/show/hostile-name", test_hostile_name);
  return g_test_run ();
}
