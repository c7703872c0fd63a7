/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Freezes of a real QEMU whose guest does port I/O all the time, so that its vCPU thread often
 * holds QEMU's big lock; another thread asks the monitor without a pause. ROUNDS says how many. */
#include "host/pcd-cgroup.h"
#include "host/pcd-freezer.h"
#include "qmp/pcd-monitor-keeper.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
  const char *accel;
  char *folder;
  GPid pid;
  PcdMonitorKeeper *keeper;
  GMainLoop *loop;
  GThreadFunc test; /* in a thread of its own, as actions are */
  gint stop_asking;
  gint64 worst_usec, worst_unexplained_usec;
  guint n_late, n_asked, n_failed;
} Fixture;

static void
die_with_parent (gpointer data)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

static void
up (Fixture *f, gconstpointer accel)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) argv = NULL;
  g_autofree char *line = NULL;

  f->accel = accel;
  f->folder = g_dir_make_tmp ("pcd-freezer-XXXXXX", NULL);
  f->loop = g_main_loop_new (NULL, FALSE);
  line = g_strdup_printf ("qemu-system-x86_64 -accel %s -smp 2 -m 32 -nodefaults -display none "
                          "-name guest=pcd-freezer,debug-threads=on "
                          "-drive file=%s,format=raw,if=ide,file.locking=off,snapshot=on "
                          "-serial file:serial -chardev pty,id=pcd-monitor "
                          "-mon chardev=pcd-monitor,mode=control",
                          f->accel, g_getenv ("GUEST"));
  g_assert_true (g_shell_parse_argv (line, NULL, &argv, &error));
  g_assert_true (g_spawn_async (f->folder, argv, NULL,
                                G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD |
                                    G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                                die_with_parent, NULL, &f->pid, &error));
  g_usleep (500 * 1000); /* exec () and the pty: the keeper would try again anyway */
  f->keeper = pcd_monitor_keeper_new (f->pid, NULL, NULL);
}

static void
down (Fixture *f, gconstpointer data)
{
  g_autofree char *serial = g_build_filename (f->folder, "serial", NULL);
  g_autoptr (GError) error = NULL;

  pcd_monitor_keeper_stop (f->keeper);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  pcd_monitor_keeper_unref (f->keeper);
  pcd_freezer_thaw (f->pid, NULL, NULL);
  kill (f->pid, SIGKILL);
  waitpid (f->pid, NULL, 0);
  g_unlink (serial);
  g_rmdir (f->folder);
  g_free (f->folder);
  g_main_loop_unref (f->loop);
}

/* ---- in the test's thread ---- */

static goffset
said (const Fixture *f)
{
  g_autofree char *serial = g_build_filename (f->folder, "serial", NULL);
  struct stat st;

  return stat (serial, &st) == 0 ? st.st_size : 0;
}

static gboolean
says_more (const Fixture *f, goffset than, gint64 within)
{
  gint64 until = g_get_monotonic_time () + within;

  while (said (f) <= than) {
    if (g_get_monotonic_time () > until)
      return FALSE;
    g_usleep (2000);
  }
  return TRUE;
}

static void
wait_ready (Fixture *f)
{
  g_autofree char *why = NULL;

  for (guint i = 0; i < 200 && !pcd_monitor_keeper_is_ready (f->keeper, NULL); i++)
    g_usleep (50 * 1000);
  g_assert_true (pcd_monitor_keeper_is_ready (f->keeper, &why));
  g_assert_true (says_more (f, 0, 20 * G_USEC_PER_SEC));
}

static gboolean
ask (gint64 until, gpointer data)
{
  g_autofree char *status = pcd_monitor_keeper_get_status (data, "query-status", until, NULL);

  return status != NULL;
}

/* How long threads of a process were ready to run and did not (schedstat, second number). */
static gint64
run_delay_usec (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task", (int)pid);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;
  gint64 sum = 0;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *file = g_build_filename (path, name, "schedstat", NULL);
    g_autofree char *text = NULL;
    const char *second;

    if (g_file_get_contents (file, &text, NULL, NULL) && (second = strchr (text, ' ')))
      sum += (gint64)(g_ascii_strtoull (second, NULL, 10) / 1000);
  }
  return sum;
}

static gint64
busy_usec (const Fixture *f)
{
  return run_delay_usec (f->pid) + run_delay_usec (getpid ());
}

static gpointer
ask_all_the_time (gpointer data)
{
  Fixture *f = data;

  while (!g_atomic_int_get (&f->stop_asking)) {
    gint64 busy = busy_usec (f), began = g_get_monotonic_time (), took;

    f->n_failed += !ask (began + 5 * G_USEC_PER_SEC, f->keeper);
    took = g_get_monotonic_time () - began;
    busy = MAX (0, busy_usec (f) - busy); /* a thread that ended takes its own along */
    f->n_asked++;
    f->n_late += took > PCD_FREEZER_ANSWER_USEC;
    /* What other processes' hold of the CPUs does not explain: a frozen thread waits for none. */
    f->worst_unexplained_usec = MAX (f->worst_unexplained_usec, took - busy);
    f->worst_usec = MAX (f->worst_usec, took);
    g_usleep (500);
  }
  return NULL;
}

static guint
count_folders (const Fixture *f)
{
  g_autofree char *prefix = g_strdup_printf (PCD_CGROUP_PREFIX "%d-", (int)f->pid);
  g_autofree char *mount = pcd_cgroup_find_mount (NULL);
  g_autofree char *here = pcd_cgroup_of_thread (mount, getpid (), getpid (), NULL);
  g_autoptr (GDir) dir = g_dir_open (here, 0, NULL);
  const char *name;
  guint n = 0;

  while ((name = g_dir_read_name (dir)))
    n += g_str_has_prefix (name, prefix);
  return n;
}

/* What the asking costs by itself, on a machine as loaded as this one is now. */
static gint64
baseline (Fixture *f)
{
  g_autoptr (GThread) asker = NULL;
  gint64 worst;

  asker = g_thread_new ("asker", ask_all_the_time, f);
  g_usleep (2 * G_USEC_PER_SEC);
  g_atomic_int_set (&f->stop_asking, 1);
  g_thread_join (g_steal_pointer (&asker));
  worst = f->worst_usec;
  f->worst_unexplained_usec = f->worst_usec = f->n_asked = f->n_late = 0;
  f->stop_asking = 0;
  return worst;
}

typedef struct {
  GArray *took;
  guint n_tries;
  gint64 longest_usec;
} Figures;

static int
compare (gconstpointer one, gconstpointer other)
{
  const gint64 *a = one, *b = other;

  return *a < *b ? -1 : *a > *b;
}

static void
one_round (Fixture *f, Figures *figures)
{
  g_autoptr (GError) error = NULL;
  PcdFreezeReport report;
  goffset before;
  guint thawed = 0;

  pcd_freezer_freeze (f->pid, ask, f->keeper, g_get_monotonic_time () + 10 * G_USEC_PER_SEC,
                      &report, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (report.n_vcpus, ==, 2);
  g_assert_cmpuint (report.n_frozen, ==, 2);
  g_assert_cmpuint (report.n_marked, ==, 2);
  before = said (f);
  /* Longer than an answer may take, so that a freeze that was wrongly taken for good shows. */
  g_usleep (3 * PCD_FREEZER_ANSWER_USEC / 2);
  g_assert_cmpint (said (f), ==, before);
  g_assert_true (pcd_freezer_thaw (f->pid, &thawed, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (thawed, ==, 2);
  g_assert_true (says_more (f, before, 5 * G_USEC_PER_SEC));
  g_array_append_val (figures->took, report.took_usec);
  figures->n_tries += report.n_tries;
  figures->longest_usec = MAX (figures->longest_usec, report.longest_usec);
}

static gpointer
campaign (gpointer data)
{
  Fixture *f = data;
  const char *rounds = g_getenv ("ROUNDS");
  guint n = rounds ? (guint)atoi (rounds) : 30;
  g_autoptr (GArray) took = g_array_new (FALSE, FALSE, sizeof (gint64));
  Figures figures = { .took = took };
  GThread *asker;
  guint folders;
  gint64 alone;

  wait_ready (f);
  folders = count_folders (f);
  alone = baseline (f);
  asker = g_thread_new ("asker", ask_all_the_time, f);
  for (guint i = 0; i < n; i++)
    one_round (f, &figures);
  g_atomic_int_set (&f->stop_asking, 1);
  g_thread_join (asker);
  g_array_sort (took, compare);
  g_test_message (
      "%s: %u freezes, ms p50 %.0f p95 %.0f max %.0f; %u at a wrong place, held %.1f ms "
      "at most; %u questions, worst answer %.1f ms (%.1f without freezes), %u over 100; %.1f ms "
      "without "
      "waits for a CPU",
      f->accel, n, g_array_index (took, gint64, n / 2) / 1000.0,
      g_array_index (took, gint64, n * 95 / 100) / 1000.0,
      g_array_index (took, gint64, n - 1) / 1000.0, figures.n_tries, figures.longest_usec / 1000.0,
      f->n_asked, f->worst_usec / 1000.0, alone / 1000.0, f->n_late,
      f->worst_unexplained_usec / 1000.0);
  g_assert_cmpuint (f->n_failed, ==, 0);
  g_assert_cmpint (f->worst_unexplained_usec, <, PCD_FREEZER_ANSWER_USEC);
  g_assert_cmpuint (count_folders (f), ==, folders);
  g_main_loop_quit (f->loop);
  return NULL;
}

/* Frozen by one who is gone: found by the cgroups alone; twice is the same as once. */
static gpointer
found_again (gpointer data)
{
  Fixture *f = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdThreadReport) threads = NULL;
  PcdFreezeReport report;
  guint thawed = 7;

  wait_ready (f);
  for (guint i = 0; i < 2; i++) {
    pcd_freezer_freeze (f->pid, ask, f->keeper, g_get_monotonic_time () + 10 * G_USEC_PER_SEC,
                        &report, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (report.n_frozen, ==, 2);
  }
  threads = pcd_threads_read (f->pid, PCD_THREADS_CHEAP, &error);
  report = pcd_freezer_look (f->pid, threads);
  g_assert_cmpuint (report.n_vcpus, ==, 2);
  g_assert_cmpuint (report.n_frozen, ==, 2);
  g_assert_cmpuint (report.n_marked, ==, 2);
  g_assert_true (pcd_freezer_thaw (f->pid, &thawed, &error));
  g_assert_cmpuint (thawed, ==, 2);
  g_assert_true (pcd_freezer_thaw (f->pid, &thawed, &error));
  g_assert_cmpuint (thawed, ==, 0);
  report = pcd_freezer_look (f->pid, threads);
  g_assert_cmpuint (report.n_frozen + report.n_pending + report.n_marked, ==, 0);
  g_main_loop_quit (f->loop);
  return NULL;
}

/* Without anybody to ask: KVM by KVM_RUN alone; TCG not at all, and nothing stays behind. */
static gpointer
nobody_to_ask (gpointer data)
{
  Fixture *f = data;
  g_autoptr (GError) error = NULL;
  gboolean is_kvm = g_str_equal (f->accel, "kvm");
  guint folders;
  gboolean ok;

  wait_ready (f);
  folders = count_folders (f);
  ok = pcd_freezer_freeze (f->pid, NULL, NULL, g_get_monotonic_time () + 10 * G_USEC_PER_SEC, NULL,
                           &error);
  g_assert_cmpint (ok, ==, is_kvm);
  if (!is_kvm)
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
  else
    g_assert_true (ask (g_get_monotonic_time () + 2 * G_USEC_PER_SEC, f->keeper));
  g_assert_true (pcd_freezer_thaw (f->pid, NULL, NULL));
  g_assert_cmpuint (count_folders (f), ==, folders);
  g_assert_true (says_more (f, said (f), 5 * G_USEC_PER_SEC));
  g_main_loop_quit (f->loop);
  return NULL;
}

/* A folder left by a QEMU that was killed while frozen goes with the next freeze. */
static gpointer
killed_while_frozen (gpointer data)
{
  Fixture *f = data;
  g_autoptr (GError) error = NULL;
  g_autofree char *mount = pcd_cgroup_find_mount (NULL);
  g_autofree char *here = pcd_cgroup_of_thread (mount, getpid (), getpid (), NULL);
  g_autofree char *left = g_build_filename (here, PCD_CGROUP_PREFIX "1-1", NULL);
  gint64 began;

  wait_ready (f);
  g_assert_cmpint (g_mkdir (left, 0755), ==, 0);
  pcd_freezer_freeze (f->pid, ask, f->keeper, g_get_monotonic_time () + 10 * G_USEC_PER_SEC, NULL,
                      &error);
  g_assert_no_error (error);
  g_assert_false (g_file_test (left, G_FILE_TEST_EXISTS));
  began = g_get_monotonic_time ();
  kill (f->pid, SIGKILL);
  waitpid (f->pid, NULL, 0);
  g_test_message ("%s: gone %.0f ms after SIGKILL", f->accel,
                  (g_get_monotonic_time () - began) / 1000.0);
  g_main_loop_quit (f->loop);
  return NULL;
}

static void
run (Fixture *f, gconstpointer data)
{
  GThread *thread = g_thread_new ("test", f->test, f);

  g_main_loop_run (f->loop);
  g_thread_join (thread);
}

#define TEST(name, function)                                                                       \
  static void name##_up (Fixture *f, gconstpointer accel)                                          \
  {                                                                                                \
    up (f, accel);                                                                                 \
    f->test = function;                                                                            \
  }

TEST (campaign, campaign)
TEST (found_again, found_again)
TEST (nobody, nobody_to_ask)
TEST (killed, killed_while_frozen)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (!g_getenv ("GUEST"))
    g_error ("GUEST must name a boot sector that does port I/O");
  if (g_access ("/dev/kvm", R_OK | W_OK) == 0) {
    g_test_add ("/freezer/kvm/campaign", Fixture, "kvm", campaign_up, run, down);
    g_test_add ("/freezer/kvm/found-again", Fixture, "kvm", found_again_up, run, down);
    g_test_add ("/freezer/kvm/nobody-to-ask", Fixture, "kvm", nobody_up, run, down);
    g_test_add ("/freezer/kvm/killed-while-frozen", Fixture, "kvm", killed_up, run, down);
  }
  g_test_add ("/freezer/tcg/campaign", Fixture, "tcg", campaign_up, run, down);
  g_test_add ("/freezer/tcg/found-again", Fixture, "tcg", found_again_up, run, down);
  g_test_add ("/freezer/tcg/nobody-to-ask", Fixture, "tcg", nobody_up, run, down);
  return g_test_run ();
}
