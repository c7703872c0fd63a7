/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Of all the sockets that a QEMU can have, only the migration's are matched; in doubt, none. */
#include "core/pcd-net.h"
#include "core/pcd-socket-match.h"

#include <string.h>

#define MIB (1024 * 1024)
#define UP  PCD_TCP_ESTABLISHED

/* A source: VNC with a client, an NBD client to storage, a serial console, two migration channels.
 */
static const PcdSocketCandidate source[] = {
  { 3, 100, PCD_TCP_LISTEN, { "10.0.0.1", 5900 }, { "", 0 }, 0, 0 },
  { 20, 101, UP, { "10.0.0.1", 5900 }, { "10.0.0.9", 40000 }, 80 * MIB, 4000 },
  { 21, 102, UP, { "10.0.0.1", 40100 }, { "10.0.0.8", 10809 }, 900 * MIB, 700 * MIB },
  { 22, 103, UP, { "10.0.0.1", 7000 }, { "10.0.0.9", 40001 }, 2000, 10 },
  { 30, 104, UP, { "10.0.0.1", 45000 }, { "10.0.0.2", 49152 }, 300 * MIB, 9000 },
  { 31, 105, UP, { "10.0.0.1", 45001 }, { "10.0.0.2", 49152 }, 30000, 0 },
};
static const PcdSocketCandidate destination[] = {
  { 16, 110, PCD_TCP_LISTEN, { "10.0.0.2", 49152 }, { "", 0 }, 0, 0 },
  { 17, 111, UP, { "10.0.0.2", 49152 }, { "10.0.0.1", 45000 }, 9000, 300 * MIB },
  { 18, 112, UP, { "10.0.0.2", 49152 }, { "10.0.0.1", 45001 }, 0, 30000 },
  { 19, 113, UP, { "10.0.0.2", 41000 }, { "10.0.0.8", 10809 }, 4000, 600 * MIB },
  { 20, 114, PCD_TCP_CLOSE_WAIT, { "10.0.0.2", 49152 }, { "10.0.0.1", 44000 }, 1, 100 * MIB },
};
static const PcdSocketExclusion storage[] = {
  { { "10.0.0.8", 10809 }, TRUE, "NBD disk" },
  { { "", 5900 }, FALSE, "VNC" },
};

typedef struct {
  const char *name;
  PcdRole role;
  PcdThreadWait waits[3];
  gboolean exclude;
  gboolean eliminate;
  int fds[3]; /* matched, in the order of the candidates */
  PcdSocketHow how[3];
} Case;

#define THREAD  PCD_SOCKET_BY_THREAD
#define SIBLING PCD_SOCKET_BY_SIBLING
#define REST    PCD_SOCKET_BY_ELIMINATION

static const Case cases[] = {
  { "return-path",
    PCD_ROLE_SOURCE,
    { { 9, "return path", 0, 0, 30 } },
    0,
    0,
    { 30, 31 },
    { THREAD, SIBLING } },
  { "new-names",
    PCD_ROLE_SOURCE,
    { { 9, "mig/src/return", 0, 0, 30 }, { 8, "mig/src/main", 0, 0, 31 } },
    0,
    0,
    { 30, 31 },
    { THREAD, THREAD } },
  { "polling-after-recovery",
    PCD_ROLE_SOURCE,
    { { 9, "return path", 0, 1, 30 } },
    0,
    0,
    { 30, 31 },
    { THREAD, SIBLING } },
  { "listen",
    PCD_ROLE_DESTINATION,
    { { 9, "postcopy/listen", 0, 0, 17 } },
    0,
    0,
    { 17, 18 },
    { THREAD, SIBLING } },
  { "listen-and-preempt",
    PCD_ROLE_DESTINATION,
    { { 9, "postcopy/listen", 0, 0, 17 }, { 8, "fault-fast", 0, 0, 18 } },
    0,
    0,
    { 17, 18 },
    { THREAD, THREAD } },
  { "preempt-only",
    PCD_ROLE_DESTINATION,
    { { 8, "mig/dst/preempt", 0, 0, 18 } },
    0,
    0,
    { 17, 18 },
    { SIBLING, THREAD } },
  /* The thread is busy copying a page right now, and its name is known: wait, no guess. */
  { "busy", PCD_ROLE_DESTINATION, { { 9, "postcopy/listen", 0, 0, -1 } }, 0, 0, { 0 }, { 0 } },
  { "old-connection",
    PCD_ROLE_DESTINATION,
    { { 9, "postcopy/listen", 0, 0, 20 } },
    0,
    0,
    { 0 },
    { 0 } },
  { "main-thread-on-vnc",
    PCD_ROLE_SOURCE,
    { { 7, "qemu-system-x86", 1, 1, 20 } },
    0,
    0,
    { 0 },
    { 0 } },
  { "iothread-and-vcpu",
    PCD_ROLE_SOURCE,
    { { 7, "IO iothread1", 0, 1, 21 }, { 6, "CPU 0/KVM", 0, 0, 22 } },
    0,
    0,
    { 0 },
    { 0 } },
  { "renamed",
    PCD_ROLE_SOURCE,
    { { 9, "qemu-system-x86", 0, 0, 30 } },
    0,
    0,
    { 30, 31 },
    { THREAD, SIBLING } },
  { "stranger-on-small-talk", PCD_ROLE_SOURCE, { { 9, "msgr", 0, 0, 22 } }, 0, 0, { 0 }, { 0 } },
  { "two-strangers",
    PCD_ROLE_SOURCE,
    { { 9, "a", 0, 0, 30 }, { 8, "b", 0, 0, 20 } },
    0,
    0,
    { 0 },
    { 0 } },
  { "stranger-beside-a-name",
    PCD_ROLE_SOURCE,
    { { 9, "msgr", 0, 0, 20 }, { 8, "live_migration", 0, 0, 30 } },
    0,
    0,
    { 30, 31 },
    { THREAD, SIBLING } },
  { "excluded-wins", PCD_ROLE_SOURCE, { { 9, "return path", 0, 0, 20 } }, 1, 0, { 0 }, { 0 } },
  { "nothing-yet", PCD_ROLE_SOURCE, { { 0 } }, 1, 0, { 0 }, { 0 } },
  { "what-is-left", PCD_ROLE_SOURCE, { { 0 } }, 1, 1, { 30 }, { REST } },
  { "ambiguous", PCD_ROLE_SOURCE, { { 0 } }, 0, 1, { 0 }, { 0 } },
  { "what-is-left-destination", PCD_ROLE_DESTINATION, { { 0 } }, 1, 1, { 17 }, { REST } },
  { "ambiguous-destination", PCD_ROLE_DESTINATION, { { 0 } }, 0, 1, { 0 }, { 0 } },
};

static void
test_case (gconstpointer data)
{
  const Case *c = data;
  gboolean src = c->role == PCD_ROLE_SOURCE;
  PcdSocketMatch m[G_N_ELEMENTS (source)];
  PcdSocketMatchInput in = { .role = c->role,
                             .candidates = src ? source : destination,
                             .n_candidates =
                                 src ? G_N_ELEMENTS (source) : G_N_ELEMENTS (destination),
                             .waits = c->waits,
                             .exclusions = storage,
                             .n_exclusions = c->exclude ? G_N_ELEMENTS (storage) : 0,
                             .eliminate = c->eliminate };
  gsize n, k = 0;

  while (in.n_waits < 3 && c->waits[in.n_waits].tid)
    in.n_waits++;
  n = pcd_socket_match (&in, m);
  for (gsize i = 0; i < in.n_candidates; i++) {
    g_test_message ("fd %d: %s", in.candidates[i].fd, m[i].reason);
    g_assert_cmpstr (m[i].reason, !=, "");
    if (m[i].how == PCD_SOCKET_NO)
      continue;
    g_assert_cmpint (in.candidates[i].fd, ==, c->fds[k]);
    g_assert_cmpint (m[i].how, ==, c->how[k]);
    k++;
  }
  g_assert_cmpuint (n, ==, k);
  g_assert_cmpint (c->fds[k], ==, 0);
}

static void
test_names (void)
{
  g_assert_true (pcd_socket_thread_is_migration ("mig/dst/listen"));
  g_assert_true (pcd_socket_thread_is_migration ("multifdrecv_12"));
  g_assert_false (pcd_socket_thread_is_migration ("migraine"));
  g_assert_false (pcd_socket_thread_is_migration ("worker"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = g_strdup_printf ("/socket-match/%s", cases[i].name);
    g_test_add_data_func (path, &cases[i], test_case);
  }
  g_test_add_func ("/socket-match/names", test_names);
  return g_test_run ();
}
