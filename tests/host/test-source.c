/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The event source against a real libvirtd and real QEMUs, in namespaces of their own: killed,
 * restarted, stopped, hanging. Whatever happens here ends with this process. */
#include "libvirt/pcd-source.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <libvirt/libvirt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define URI    "qemu:///system"
#define SOCKET "/run/libvirt/libvirt-sock"
#define ALPHA  "a1a1a1a1-0000-4000-8000-000000000001"
#define BETA   "b2b2b2b2-0000-4000-8000-000000000002"

/* --- what the source told --- */

typedef struct {
  gint64 time;
  char *line;
} Told;

/* @told: every callback as a line: "up REASON", "down REASON", "resynced N", "UUID seen idle"... */
typedef struct {
  PcdSource *source;
  GPtrArray *told;
  gboolean resync_on_status;
} Watch;

static void
told_free (gpointer data)
{
  Told *told = data;

  g_free (told->line);
  g_free (told);
}

static void G_GNUC_PRINTF (2, 3) tell (Watch *watch, const char *format, ...)
{
  Told *told = g_new0 (Told, 1);
  va_list args;

  va_start (args, format);
  told->line = g_strdup_vprintf (format, args);
  va_end (args);
  told->time = g_get_monotonic_time ();
  g_test_message ("%.3f %s", told->time / 1e6, told->line);
  g_ptr_array_add (watch->told, told);
}

static void
on_event (const PcdDomainRef *domain, const PcdEvent *event, const char *raw, gpointer data)
{
  Watch *watch = data;

  if (event->kind == PCD_EVENT_SEEN)
    tell (watch, "%s seen %s %s", domain->uuid, pcd_seen_to_string (event->seen), raw ? raw : "");
  else if (event->kind == PCD_EVENT_LIFECYCLE)
    tell (watch, "%s lifecycle %s %s", domain->uuid, pcd_lifecycle_to_string (event->lifecycle),
          raw);
  else
    tell (watch, "%s status %s", domain->uuid, raw);
  if (event->kind == PCD_EVENT_QEMU_STATUS && watch->resync_on_status)
    pcd_source_resync (watch->source, domain->uuid);
}

static void
on_connection (gboolean connected, const char *reason, gpointer data)
{
  tell (data, "%s %s", connected ? "up" : "down", reason);
}

static void
on_resynced (GHashTable *uuids, gpointer data)
{
  tell (data, "resynced %u", g_hash_table_size (uuids));
}

static void
on_metadata (const PcdDomainRef *domain, const char *policy, const char *problem, gpointer data)
{
  g_assert_true (!policy || !problem);
  tell (data, "%s metadata %s", domain->uuid, policy ? policy : problem ? problem : "none");
}

static void
watch_init (Watch *watch, const char *uri)
{
  static const PcdSourceCallbacks callbacks = { on_event, on_connection, on_resynced, on_metadata };

  watch->told = g_ptr_array_new_with_free_func (told_free);
  watch->resync_on_status = FALSE;
  watch->source = pcd_source_new (uri, &callbacks, watch);
}

static void
watch_clear (Watch *watch)
{
  pcd_source_free (watch->source);
  g_ptr_array_unref (watch->told);
}

static gboolean
wake (gpointer data)
{
  return G_SOURCE_CONTINUE;
}

/* The first line from @from on that begins with @prefix; -1 if none came in @seconds. */
static int
wait_for (Watch *watch, guint from, const char *prefix, double seconds)
{
  gint64 end = g_get_monotonic_time () + seconds * G_USEC_PER_SEC;
  guint timer = g_timeout_add (10, wake, NULL);
  int found = -1;

  while (found < 0 && g_get_monotonic_time () < end) {
    for (guint i = from; i < watch->told->len && found < 0; i++)
      if (g_str_has_prefix (((Told *)g_ptr_array_index (watch->told, i))->line, prefix))
        found = i;
    if (found < 0)
      g_main_context_iteration (NULL, TRUE);
  }
  g_source_remove (timer);
  return found;
}

static Told *
expect (Watch *watch, guint from, const char *prefix, double seconds)
{
  int found = wait_for (watch, from, prefix, seconds);

  if (found < 0)
    g_error ("\"%s\" did not come in %.1f s", prefix, seconds);
  return g_ptr_array_index (watch->told, found);
}

/* --- libvirtd and its domains --- */

static GPid libvirtd_pid;

static void
start_libvirtd (void)
{
  char *argv[] = { (char *)"libvirtd", NULL };
  g_autoptr (GError) error = NULL;

  g_spawn_async (NULL, argv, NULL,
                 G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL |
                     G_SPAWN_STDERR_TO_DEV_NULL,
                 NULL, NULL, &libvirtd_pid, &error);
  g_assert_no_error (error);
}

static void
kill_libvirtd (void)
{
  if (libvirtd_pid)
    kill (libvirtd_pid, SIGKILL);
  if (libvirtd_pid)
    waitpid (libvirtd_pid, NULL, 0);
  libvirtd_pid = 0;
}

static gboolean
libvirtd_listens (void)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SOCKET };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  gboolean connected = connect (fd, (struct sockaddr *)&address, sizeof address) == 0;

  close (fd);
  return connected;
}

static void
spin (double seconds)
{
  Watch none = { .told = NULL };
  g_autoptr (GPtrArray) told = g_ptr_array_new ();

  none.told = told;
  wait_for (&none, 0, "?", seconds);
}

static void
wait_for_libvirtd (void)
{
  for (guint i = 0; i < 1000 && !libvirtd_listens (); i++)
    spin (0.01);
  g_assert_true (libvirtd_listens ());
}

static void
on_virsh_done (GObject *object, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;

  g_subprocess_wait_check_finish (G_SUBPROCESS (object), result, &error);
  g_assert_no_error (error);
  *(gboolean *)data = TRUE;
}

/* The main loop goes on meanwhile. */
static void
virsh (const char *const *args)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_autoptr (GSubprocess) process = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) argv = NULL;
  gboolean done = FALSE;

  g_strv_builder_add_many (builder, "timeout", "60", "virsh", "-q", "-c", URI, NULL);
  g_strv_builder_addv (builder, (const char **)args);
  argv = g_strv_builder_end (builder);
  process =
      g_subprocess_newv ((const char *const *)argv, G_SUBPROCESS_FLAGS_STDOUT_SILENCE, &error);
  g_assert_no_error (error);
  g_subprocess_wait_check_async (process, NULL, on_virsh_done, &done);
  while (!done)
    g_main_context_iteration (NULL, TRUE);
}
#define VIRSH(...) virsh ((const char *const[]){ __VA_ARGS__, NULL })

static void
create_domain (const char *name, const char *uuid)
{
  g_autofree char *path = g_strdup_printf ("/run/libvirt/%s.xml", name);
  g_autofree char *xml = g_strdup_printf (
      "<domain type='%s'><name>%s</name><uuid>%s</uuid><memory unit='MiB'>64</memory>"
      "<os><type arch='x86_64'>hvm</type></os><on_crash>destroy</on_crash>"
      "<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>"
      "<memballoon model='none'/></devices></domain>",
      access ("/dev/kvm", R_OK | W_OK) == 0 ? "kvm" : "qemu", name, uuid);
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, xml, -1, &error);
  g_assert_no_error (error);
  VIRSH ("create", path);
}

static pid_t
qemu_pid (const char *name)
{
  g_autofree char *path = g_strdup_printf ("/run/libvirt/qemu/%s.pid", name);
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  return atoi (text);
}

/* --- how long the main loop was held up --- */

static gint64 last_tick, worst_gap;

static gboolean
on_tick (gpointer data)
{
  gint64 now = g_get_monotonic_time ();

  worst_gap = MAX (worst_gap, now - last_tick);
  last_tick = now;
  return G_SOURCE_CONTINUE;
}

static guint
start_ticking (void)
{
  worst_gap = 0;
  last_tick = g_get_monotonic_time ();
  return g_timeout_add (20, on_tick, NULL);
}

static void
stop_ticking (guint timer)
{
  g_source_remove (timer);
  g_test_message ("longest time between two 20 ms ticks: %.1f ms", worst_gap / 1e3);
  g_assert_cmpint (worst_gap, <, 200 * 1000);
}

/* --- the tests; they build upon one another --- */

static void
test_bad_uri (void)
{
  Watch watch;
  Told *told;

  watch_init (&watch, "qemu+pigeon:///system");
  told = expect (&watch, 0, "down ", 5);
  g_assert_nonnull (strstr (told->line, "pigeon"));
  spin (2);
  g_assert_cmpuint (watch.told->len, ==, 1); /* once, however often it is tried */
  watch_clear (&watch);
}

static void
test_test_driver (void)
{
  Watch watch;
  virConnectPtr conn;
  virDomainPtr domain;
  char uuid[VIR_UUID_STRING_BUFLEN];
  const char *expected[] = { "lifecycle other lifecycle event 3, detail 0",
                             "lifecycle other lifecycle event 4, detail 0",
                             "lifecycle stopped lifecycle event 5, detail 1" };

  watch_init (&watch, "test:///default");
  expect (&watch, 0, "up connected to test:///default", 5);
  conn = virConnectOpen ("test:///default"); /* shared with the source's by the driver */
  domain = virDomainLookupByName (conn, "test");
  virDomainGetUUIDString (domain, uuid);
  g_assert_cmpint (virDomainSuspend (domain), ==, 0);
  g_assert_cmpint (virDomainResume (domain), ==, 0);
  g_assert_cmpint (virDomainDestroy (domain), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (expected); i++) {
    g_autofree char *line = g_strdup_printf ("%s %s", uuid, expected[i]);
    expect (&watch, 0, line, 5);
  }
  pcd_source_resync (watch.source, uuid);
  {
    g_autofree char *line = g_strdup_printf ("%s seen absent", uuid);
    expect (&watch, 0, line, 5);
  }
  virDomainFree (domain);
  virConnectClose (conn);
  watch_clear (&watch);
}

static void
test_no_libvirtd_then_one (void)
{
  Watch watch;
  Told *told;
  gint64 listening;

  watch_init (&watch, URI);
  told = expect (&watch, 0, "down ", 5);
  g_assert_nonnull (strstr (told->line, "libvirt-sock"));
  spin (3); /* into the longest pause between two attempts */
  g_assert_cmpuint (watch.told->len, ==, 1);
  start_libvirtd ();
  wait_for_libvirtd ();
  listening = g_get_monotonic_time ();
  told = expect (&watch, 0, "up ", 10);
  g_test_message ("connected %.0f ms after libvirtd listened", (told->time - listening) / 1e3);
  g_assert_cmpint (told->time - listening, <, 2 * G_USEC_PER_SEC);
  watch_clear (&watch);
}

static void
test_domains (void)
{
  Watch watch;
  guint mark;

  create_domain ("alpha", ALPHA);
  watch_init (&watch, URI);
  expect (&watch, 0, "up ", 5);
  g_assert_cmpint (wait_for (&watch, 0, ALPHA " seen idle", 0.1), ==, 0);
  g_assert_cmpint (wait_for (&watch, 0, "resynced 1", 0.1), ==, 1);
  g_assert_cmpint (wait_for (&watch, 0, "up ", 0.1), ==, 2);

  create_domain ("beta", BETA);
  expect (&watch, 0, BETA " lifecycle other lifecycle event 2, detail 0", 2);
  VIRSH ("suspend", "beta");
  expect (&watch, 0, BETA " lifecycle other lifecycle event 3, detail 0", 2);
  mark = watch.told->len;
  for (guint i = 0; i < 100; i++)
    pcd_source_resync (watch.source, BETA);
  expect (&watch, mark, BETA " seen idle", 2);
  spin (0.5);
  g_assert_cmpuint (watch.told->len - mark, <=, 2); /* a hundred requests, two passes at most */
  VIRSH ("resume", "beta");
  expect (&watch, 0, BETA " lifecycle other lifecycle event 4, detail 0", 2);
  mark = watch.told->len;
  pcd_source_query (watch.source, BETA); /* is no source: must not be asked */
  pcd_source_resync (watch.source, NULL);
  expect (&watch, mark, "resynced 2", 2);
  spin (0.5);
  g_assert_cmpint (wait_for (&watch, mark, BETA " status", 0.1), ==, -1);
  watch_clear (&watch);
}

#define SET_POLICY(domain, ...)                                                                    \
  VIRSH ("metadata", domain, "--uri", "https://postcopyd.org/policy/1", "--key", "postcopyd",      \
         "--live", __VA_ARGS__)

/* Set, replaced by a bad one, removed, and another's that is none of our business. */
static void
test_metadata (void)
{
  Watch watch;
  guint mark;

  watch_init (&watch, URI);
  expect (&watch, 0, "up ", 5);
  mark = watch.told->len;
  SET_POLICY ("beta", "--set", "<policy name=\"protect\"/>");
  expect (&watch, mark, BETA " metadata protect", 2);
  mark = watch.told->len;
  SET_POLICY ("beta", "--set", "<policy name=\"fence\" allow-destroy=\"yes\"/>");
  expect (&watch, mark, BETA " metadata got attribute \"allow-destroy\", expected <policy", 2);
  mark = watch.told->len;
  SET_POLICY ("beta", "--remove");
  expect (&watch, mark, BETA " metadata none", 2);
  mark = watch.told->len;
  VIRSH ("metadata", "beta", "--uri", "urn:other", "--key", "o", "--live", "--set", "<policy/>");
  pcd_source_resync (watch.source, BETA);
  expect (&watch, mark, BETA " seen idle", 2);
  g_assert_cmpint (wait_for (&watch, mark, BETA " metadata", 0.5), ==, -1);
  watch_clear (&watch);
}

/* QEMU migrates to a file then, and says so by the same events. */
static void
test_dump_is_no_migration (void)
{
  Watch watch;
  guint mark;

  watch_init (&watch, URI);
  expect (&watch, 0, "up ", 5);
  watch.resync_on_status = TRUE;
  mark = watch.told->len;
  VIRSH ("dump", "beta", "/run/libvirt/beta.core");
  expect (&watch, mark, BETA " status setup", 2);
  expect (&watch, mark, BETA " status completed", 2);
  expect (&watch, mark, BETA " seen idle", 2);
  spin (0.5);
  g_assert_cmpint (wait_for (&watch, mark, BETA " seen precopy", 0.1), ==, -1);
  watch_clear (&watch);
}

static void
test_killed_and_restarted (void)
{
  Watch watch;
  guint ticking = start_ticking ();

  watch_init (&watch, URI);
  expect (&watch, 0, "up ", 5);
  for (guint i = 0; i < 5; i++) {
    gint64 killed = g_get_monotonic_time (), listening;
    guint mark = watch.told->len;
    Told *down, *up;

    kill_libvirtd ();
    down = expect (&watch, mark, "down ", 2);
    g_assert_cmpint (down->time - killed, <, 200 * 1000);
    spin (i * 0.4); /* hits different moments of the back-off */
    start_libvirtd ();
    wait_for_libvirtd ();
    listening = g_get_monotonic_time ();
    up = expect (&watch, mark, "up ", 10);
    g_test_message ("told of the loss after %.1f ms; resynced %.0f ms after libvirtd listened",
                    (down->time - killed) / 1e3, (up->time - listening) / 1e3);
    g_assert_cmpint (up->time - listening, <, 2 * G_USEC_PER_SEC);
    expect (&watch, mark, ALPHA " seen idle", 0.1);
    expect (&watch, mark, BETA " seen idle", 0.1);
    expect (&watch, mark, "resynced 2", 0.1);
  }
  watch_clear (&watch);
  stop_ticking (ticking);
}

/* One domain's QEMU hangs and holds the domain's job: neither the connection nor the other domain
 * may suffer. */
static void
test_hanging_qemu (void)
{
  const char *const argv[] = { "timeout", "60",
                               "virsh",   "-c",
                               URI,       "qemu-monitor-command",
                               "alpha",   "{\"execute\":\"query-status\"}",
                               NULL };
  g_autoptr (GSubprocess) holder = NULL;
  g_autoptr (GError) error = NULL;
  guint mark, ticking = start_ticking ();
  Watch watch;
  Told *told;

  watch_init (&watch, URI);
  expect (&watch, 0, "up ", 5);
  kill (qemu_pid ("alpha"), SIGSTOP);
  holder = g_subprocess_newv (argv, G_SUBPROCESS_FLAGS_STDOUT_SILENCE, &error);
  g_assert_no_error (error);
  spin (0.5);
  mark = watch.told->len;
  pcd_source_resync (watch.source, NULL);
  told = expect (&watch, mark, ALPHA " seen", 8);
  g_assert_nonnull (strstr (told->line, "unknown"));
  g_assert_nonnull (strstr (told->line, "hanging"));
  expect (&watch, mark, BETA " seen idle", 0.1);
  VIRSH ("suspend", "beta");
  expect (&watch, mark, BETA " lifecycle other lifecycle event 3, detail 0", 1);
  VIRSH ("resume", "beta");
  g_assert_cmpint (wait_for (&watch, 0, "down ", 0.1), ==, -1);

  kill (qemu_pid ("alpha"), SIGCONT);
  g_subprocess_wait (holder, NULL, NULL);
  mark = watch.told->len;
  pcd_source_resync (watch.source, ALPHA);
  expect (&watch, mark, ALPHA " seen idle", 2);
  watch_clear (&watch);
  stop_ticking (ticking);
}

static void
test_stopped_libvirtd (void)
{
  guint mark, ticking = start_ticking ();
  gint64 stopped, continued;
  Watch watch;
  Told *told;

  watch_init (&watch, URI);
  expect (&watch, 0, "up ", 5);

  /* A question finds out after its deadline, 5 s. */
  stopped = g_get_monotonic_time ();
  kill (libvirtd_pid, SIGSTOP);
  pcd_source_resync (watch.source, NULL);
  told = expect (&watch, 0, "down libvirt did not answer", 8);
  g_test_message ("a question found out after %.1f s", (told->time - stopped) / 1e6);
  expect (&watch, 0, "down libvirt did not answer virConnectOpen", 15);
  mark = watch.told->len;
  continued = g_get_monotonic_time ();
  kill (libvirtd_pid, SIGCONT);
  told = expect (&watch, mark, "up ", 5);
  g_test_message ("up %.0f ms after it went on", (told->time - continued) / 1e3);
  g_assert_cmpint (told->time - continued, <, 2 * G_USEC_PER_SEC);

  /* Without a question keepalives find out: 5 s, three times unanswered, and the next. */
  mark = watch.told->len;
  stopped = g_get_monotonic_time ();
  kill (libvirtd_pid, SIGSTOP);
  told = expect (&watch, mark, "down libvirt stopped answering keepalives", 25);
  g_test_message ("keepalives found out after %.1f s", (told->time - stopped) / 1e6);
  mark = watch.told->len;
  kill (libvirtd_pid, SIGCONT);
  expect (&watch, mark, "up ", 5);

  /* Freeing it while a call is under way must not wait either. */
  kill (libvirtd_pid, SIGSTOP);
  pcd_source_resync (watch.source, NULL);
  spin (0.1);
  watch_clear (&watch);
  spin (0.1);
  kill (libvirtd_pid, SIGCONT);
  spin (0.5);
  stop_ticking (ticking);
}

/* --- the stage --- */

static void
bind_over (const char *base, const char *name, const char *target)
{
  g_autofree char *path = g_build_filename (base, name, NULL);

  g_mkdir_with_parents (path, 0755);
  g_mkdir_with_parents (target, 0755);
  if (mount (path, target, NULL, MS_BIND, NULL) != 0)
    g_error ("cannot mount %s on %s: %s", path, target, g_strerror (errno));
}

static void
write_file (const char *path, const char *text)
{
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
}

/* libvirt with an empty configuration: no networks, no autostart, nothing of this host's. */
static void
prepare_libvirt (const char *base)
{
  if (mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
      mount ("proc", "/proc", "proc", 0, NULL) != 0)
    g_error ("cannot prepare mounts: %s", g_strerror (errno));
  bind_over (base, "run", "/run/libvirt");
  bind_over (base, "lib", "/var/lib/libvirt");
  bind_over (base, "log", "/var/log/libvirt");
  bind_over (base, "cache", "/var/cache/libvirt");
  bind_over (base, "etc", "/etc/libvirt");
  write_file ("/etc/libvirt/libvirtd.conf",
              "listen_tls = 0\nauth_unix_ro = \"none\"\n"
              "auth_unix_rw = \"none\"\n"
              "host_uuid = \"c0ffee00-1111-4222-8333-444444444444\"\n");
  write_file ("/etc/libvirt/qemu.conf", "user = \"root\"\ngroup = \"root\"\n"
                                        "security_driver = \"none\"\ncgroup_controllers = []\n"
                                        "namespaces = []\nremember_owner = 0\n"
                                        "stdio_handler = \"file\"\n");
}

static void
drop_message (const char *domain, GLogLevelFlags level, const char *message, gpointer data)
{
}

static int
run_tests (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* libvirt-glib's event loop, which logs every step and which GTest would print. */
  g_log_set_handler (NULL, G_LOG_LEVEL_DEBUG, drop_message, NULL);
  pcd_source_init_event_loop ();
  g_test_add_func ("/source/bad-uri", test_bad_uri);
  g_test_add_func ("/source/test-driver", test_test_driver);
  g_test_add_func ("/source/no-libvirtd-then-one", test_no_libvirtd_then_one);
  g_test_add_func ("/source/domains", test_domains);
  g_test_add_func ("/source/metadata", test_metadata);
  g_test_add_func ("/source/dump-is-no-migration", test_dump_is_no_migration);
  g_test_add_func ("/source/killed-and-restarted", test_killed_and_restarted);
  g_test_add_func ("/source/hanging-qemu", test_hanging_qemu);
  g_test_add_func ("/source/stopped-libvirtd", test_stopped_libvirtd);
  return g_test_run ();
}

/* PID 1 of the namespace: reaps, and when the tests end takes everything with it. */
static int
run_as_init (const char *base, int argc, char **argv)
{
  pid_t tests, ended;
  int status;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  prepare_libvirt (base);
  tests = fork ();
  if (tests == 0) {
    status = run_tests (argc, argv);
    fflush (stdout);
    _exit (status);
  }
  while ((ended = wait (&status)) != tests)
    if (ended < 0 && errno != EINTR)
      return 1;
  return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}

static int
skip (const char *why)
{
  printf ("1..0 # SKIP %s\n", why);
  return 0;
}

static void
remove_tree (const char *base)
{
  const char *const argv[] = { "rm", "-rf", "--one-file-system", base, NULL };

  g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
}

#define NO_NAMESPACES 77

static int
wait_status (pid_t pid)
{
  int status;

  while (waitpid (pid, &status, 0) < 0)
    if (errno != EINTR)
      return 1;
  return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}

static int
run_in_namespaces (const char *base, int argc, char **argv)
{
  pid_t init;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (unshare (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC) != 0)
    return NO_NAMESPACES;
  init = fork ();
  if (init == 0)
    _exit (run_as_init (base, argc, argv));
  return wait_status (init);
}

int
main (int argc, char **argv)
{
  g_autofree char *libvirtd = g_find_program_in_path ("libvirtd");
  g_autofree char *base = NULL;
  pid_t stage;
  int status;

  if (!libvirtd || access ("/usr/bin/qemu-system-x86_64", X_OK) != 0)
    return skip ("libvirtd or qemu-system-x86_64 is not installed");
  base = g_dir_make_tmp ("pcd-source-XXXXXX", NULL);
  stage = fork ();
  if (stage == 0)
    _exit (run_in_namespaces (base, argc, argv));
  status = wait_status (stage);
  remove_tree (base);
  return status == NO_NAMESPACES ? skip ("needs root, for namespaces") : status;
}
