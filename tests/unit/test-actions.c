/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the built-in actions refuse, and the pure parts that they stand on. */
#include "actions/pcd-action-util.h"
#include "actions/pcd-actions.h"
#include "host/pcd-cgroup.h"

#include <string.h>
#include <unistd.h>

#define ALL_FLAGS (POSTCOPYD_FORCED | POSTCOPYD_DESTROY_ALLOWED)

static const PostcopydParam *params; /* one, for the next run */

static int
never_cancelled (const PostcopydJob *job)
{
  return 0;
}

static PostcopydOutcome
run (const char *name,
     const char *role,
     const char *phase,
     gint pid,
     const PcdActionHost *host,
     guint32 flags,
     char *reason,
     gsize size)
{
  const PostcopydMigration view = { .struct_size = sizeof view,
                                    .uuid = "00000000-0000-0000-0000-000000000000",
                                    .name = "g",
                                    .role = role,
                                    .phase = phase,
                                    .flow = "none",
                                    .cause = "unknown",
                                    .pid = pid,
                                    .libvirt_uri = "test:///default",
                                    .internal = host,
                                    .params = params,
                                    .n_params = params ? 1 : 0,
                                    .flags = flags };
  const PostcopydJob job = { .struct_size = sizeof job,
                             .deadline_usec = g_get_monotonic_time () + 5 * G_USEC_PER_SEC,
                             .cancelled = never_cancelled };
  const PostcopydPlugin *plugin = pcd_actions_find (name);
  PostcopydOutcome outcome;

  g_assert_nonnull (plugin);
  reason[0] = '\0';
  outcome = plugin->action->run (&view, &job, reason, size);
  if (outcome != POSTCOPYD_DONE)
    g_assert_cmpuint (strlen (reason), >, 0);
  return outcome;
}

/* Nothing of this process waits for a page: only the monitor is missing. */
static void
test_stop_no_monitor (void)
{
  const PcdActionHost host = { 0 };
  char reason[512];

  g_assert_cmpint (
      run ("stop", "destination", "paused", getpid (), &host, 0, reason, sizeof reason), ==,
      POSTCOPYD_REFUSED);
  g_assert_nonnull (strstr (reason, "no control monitor"));
}

static void
test_source_refuses (void)
{
  static const char *const actions[] = { "resume", "stop", "freeze" };
  const PcdActionHost host = { .we_stopped = TRUE };
  char reason[512];

  for (guint i = 0; i < G_N_ELEMENTS (actions); i++)
    for (PcdPhase phase = 0; phase < PCD_N_PHASES; phase++)
      g_assert_cmpint (run (actions[i], "source", pcd_phase_to_string (phase), getpid (), &host,
                            ALL_FLAGS, reason, sizeof reason),
                       ==, POSTCOPYD_REFUSED);
}

/* Each says why, and what may be done instead. */
static void
test_refusals (void)
{
  static const struct {
    const char *action, *role, *phase;
    gboolean is_known; /* its process */
    PostcopydParam param;
    const char *words;
  } rows[] = {
    { "stop", "destination", "completed", TRUE, { 0 }, "'virsh suspend'" },
    { "freeze", "destination", "completed", TRUE, { 0 }, "'virsh suspend'" },
    { "snapshot", "destination", "failed", TRUE, { 0 }, "the migration has ended (failed)" },
    { "snapshot", "destination", "postcopy", TRUE, { 0 }, "in phase postcopy the other side" },
    { "snapshot", "destination", "paused", TRUE, { 0 }, "there is no folder for snapshots" },
    { "debug", "destination", "paused", TRUE, { "mode", "frob" }, "there is no mode 'frob'" },
    { "debug", "destination", "paused", TRUE, { "mode", "stacks" }, "there is no folder to keep" },
    { "recover", "destination", "postcopy", TRUE, { 0 }, "and it is not paused" },
    { "recover", "destination", "paused", TRUE, { 0 }, "try it there (here: no control monitor)" },
    { "stop", "destination", "paused", FALSE, { 0 }, "QEMU's process is not known" },
    { "freeze", "destination", "paused", FALSE, { 0 }, "QEMU's process is not known" },
    { "resume", "destination", "paused", FALSE, { 0 }, "QEMU's process is not known" },
    { "debug", "destination", "paused", FALSE, { 0 }, "QEMU's process is not known" },
    { "snapshot", "destination", "paused", FALSE, { 0 }, "QEMU's process is not known" },
    { "force-pause", "destination", "postcopy", FALSE, { 0 }, "QEMU's process is not known" },
  };
  const PcdActionHost host = { 0 };
  char reason[512];

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    params = rows[i].param.name ? &rows[i].param : NULL;
    g_assert_cmpint (run (rows[i].action, rows[i].role, rows[i].phase,
                          rows[i].is_known ? getpid () : 0, &host, 0, reason, sizeof reason),
                     ==, POSTCOPYD_REFUSED);
    g_test_message ("%s: %s", rows[i].action, reason);
    g_assert_nonnull (strstr (reason, rows[i].words));
    params = NULL;
  }
}

static void
test_destroy_refuses (void)
{
  const PcdActionHost host = { 0 };
  char reason[512];

  g_assert_cmpint (
      run ("destroy", "destination", "paused", 0, &host, POSTCOPYD_FORCED, reason, sizeof reason),
      ==, POSTCOPYD_REFUSED);
  g_assert_nonnull (strstr (reason, "allow-destroy"));
  g_assert_cmpint (run ("destroy", "destination", "paused", 0, &host, POSTCOPYD_DESTROY_ALLOWED,
                        reason, sizeof reason),
                   ==, POSTCOPYD_REFUSED);
  g_assert_nonnull (strstr (reason, "proof"));
  for (PcdPhase phase = 0; phase < PCD_N_PHASES; phase++)
    if (phase != PCD_PHASE_PAUSED)
      g_assert_cmpint (run ("destroy", "destination", pcd_phase_to_string (phase), 0, &host,
                            ALL_FLAGS, reason, sizeof reason),
                       ==, POSTCOPYD_REFUSED);
}

static void
test_force_pause_phases (void)
{
  const PcdActionHost host = { 0 };
  char reason[512];

  for (PcdPhase phase = 0; phase < PCD_N_PHASES; phase++) {
    PostcopydOutcome outcome = run ("force-pause", "destination", pcd_phase_to_string (phase), 0,
                                    &host, 0, reason, sizeof reason);

    g_assert_cmpint (outcome, ==, phase == PCD_PHASE_PAUSED ? POSTCOPYD_DONE : POSTCOPYD_REFUSED);
  }
}

/* A thread that is not known to be harmless counts as harmful. */
static void
test_blocked (void)
{
  static const struct {
    PcdThreadClass class;
    guint vcpus, unkickable, others;
  } rows[] = {
    { { .is_vcpu = TRUE, .blocked = PCD_ANSWER_NO, .kickable = PCD_ANSWER_YES }, 0, 0, 0 },
    { { .is_vcpu = TRUE, .blocked = PCD_ANSWER_YES, .kickable = PCD_ANSWER_YES }, 1, 0, 0 },
    { { .is_vcpu = TRUE, .blocked = PCD_ANSWER_YES, .kickable = PCD_ANSWER_NO }, 1, 1, 0 },
    { { .is_vcpu = TRUE, .blocked = PCD_ANSWER_UNKNOWN, .kickable = PCD_ANSWER_UNKNOWN }, 1, 1, 0 },
    { { .is_vcpu = TRUE, .blocked = PCD_ANSWER_NO, .kickable = PCD_ANSWER_NO }, 1, 1, 0 },
    { { .blocked = PCD_ANSWER_YES, .kickable = PCD_ANSWER_NO }, 0, 0, 1 },
    { { .blocked = PCD_ANSWER_NO, .kickable = PCD_ANSWER_YES }, 0, 0, 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    PcdThread thread = { .class = rows[i].class };
    g_autoptr (GPtrArray) threads = g_ptr_array_new ();
    PcdThreadReport report = { .threads = threads };
    const PcdFreezeReport freeze = { .n_frozen = 1, .n_pending = 2 };
    PcdQmpBlocked blocked;

    g_ptr_array_add (threads, &thread);
    blocked = pcd_blocked_from_report (&report, &freeze);
    g_assert_true (blocked.is_known);
    g_assert_cmpuint (blocked.vcpus, ==, rows[i].vcpus);
    g_assert_cmpuint (blocked.unkickable_vcpus, ==, rows[i].unkickable);
    g_assert_cmpuint (blocked.others, ==, rows[i].others);
    g_assert_cmpuint (blocked.frozen_vcpus, ==, 3);
    report.no_stack = TRUE;
    g_assert_false (pcd_blocked_from_report (&report, &freeze).is_known);
  }
}

/* In a thread, as actions call it, while the main loop turns. */
static gpointer
call_keeper (gpointer data)
{
  PcdMonitorKeeper *keeper = data;
  const PcdQmpBlocked frozen = { .is_known = TRUE, .frozen_vcpus = 1 };
  const PcdQmpBlocked clear = { .is_known = TRUE };
  gint64 until = g_get_monotonic_time () + G_USEC_PER_SEC;
  g_autoptr (GError) error = NULL;
  g_autofree char *why = NULL;

  for (guint i = 0; i < 200 && !(why && strstr (why, "hook")); i++) {
    g_clear_pointer (&why, g_free);
    g_assert_false (pcd_monitor_keeper_is_ready (keeper, &why));
    g_usleep (10000);
  }
  g_assert_nonnull (strstr (why, "no control monitor (the libvirt hook"));
  g_assert_null (pcd_monitor_keeper_call (keeper, "stop", NULL, 0, &frozen, until, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_clear_error (&error);
  g_assert_null (pcd_monitor_keeper_call (keeper, "stop", NULL, 0, NULL, until, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_clear_error (&error);
  g_assert_null (pcd_monitor_keeper_call (keeper, "stop", NULL, 0, &clear, until, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED);
  return NULL;
}

static gboolean
on_done (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_REMOVE;
}

static gpointer
call_and_quit (gpointer data)
{
  gpointer *both = data;

  call_keeper (both[0]);
  g_idle_add (on_done, both[1]);
  return NULL;
}

static void
test_keeper_gate (void)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (PcdMonitorKeeper) keeper = pcd_monitor_keeper_new (getpid (), NULL, NULL);
  gpointer both[] = { keeper, loop };
  GThread *thread = g_thread_new ("caller", call_and_quit, both);

  g_main_loop_run (loop);
  g_thread_join (thread);
  pcd_monitor_keeper_stop (keeper);
}

static void
test_cgroup_mount (void)
{
  static const struct {
    const char *text, *mount;
  } rows[] = {
    { "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw\n"
      "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
      "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 master:1 - cgroup2 cgroup2 rw\n",
      "/sys/fs/cgroup/unified" },
    { "41 31 0:38 / /a\\040b rw - cgroup2 cgroup2 rw", "/a b" },
    { "41 31 0:38 /below /mnt rw - cgroup2 cgroup2 rw\n41 31 0:38 / /whole rw - cgroup2 x rw",
      "/whole" },
    { "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu", NULL },
    { "41 31 0:38 / /cgroup2 rw", NULL },
    { "", NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *mount = pcd_cgroup_parse_mount (rows[i].text);
    g_assert_cmpstr (mount, ==, rows[i].mount);
  }
}

static void
test_cgroup_path (void)
{
  static const struct {
    const char *text, *path;
  } rows[] = {
    { "9:cpu:/a\n0::/machine.slice/m.scope/libvirt/vcpu0\n",
      "/machine.slice/m.scope/libvirt/vcpu0" },
    { "0::/\n", "/" },
    { "0::/../other\n", NULL },
    { "0::/gone (deleted)\n", NULL },
    { "9:cpu:/a\n", NULL },
    { "", NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *path = pcd_cgroup_parse_path (rows[i].text);
    g_assert_cmpstr (path, ==, rows[i].path);
  }
}

static void
test_freeze_words (void)
{
  static const struct {
    PcdFreezeReport report;
    const char *words;
  } rows[] = {
    { { .n_vcpus = 1, .n_frozen = 1 }, "1 vCPU frozen" },
    { { .n_vcpus = 4, .n_frozen = 4 }, "4 vCPUs frozen" },
    { { .n_vcpus = 4, .n_frozen = 2, .n_pending = 2 },
      "2 of 4 vCPUs frozen, 2 will freeze when their page arrives" },
    { { .n_vcpus = 4, .n_frozen = 3, .n_pending = 1, .n_spinning = 1 },
      "3 of 4 vCPUs frozen, 1 will freeze when its page arrives (1 of them burns a CPU until then: "
      "the kernel copies on the guest's behalf)" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *words = pcd_freeze_report_to_string (&rows[i].report);
    g_assert_cmpstr (words, ==, rows[i].words);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/actions/rule-1/stop-no-monitor", test_stop_no_monitor);
  g_test_add_func ("/actions/rule-1/what-counts-as-blocked", test_blocked);
  g_test_add_func ("/actions/rule-1/monitor-gate", test_keeper_gate);
  g_test_add_func ("/actions/rule-3/source-refuses", test_source_refuses);
  g_test_add_func ("/actions/refusals", test_refusals);
  g_test_add_func ("/actions/rule-4/destroy-refuses", test_destroy_refuses);
  g_test_add_func ("/actions/force-pause/phases", test_force_pause_phases);
  g_test_add_func ("/actions/freeze/cgroup-mount", test_cgroup_mount);
  g_test_add_func ("/actions/freeze/cgroup-path", test_cgroup_path);
  g_test_add_func ("/actions/freeze/words", test_freeze_words);
  return g_test_run ();
}
