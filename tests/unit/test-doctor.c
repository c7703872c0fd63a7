/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* doctor's judgement: a sound host, and for each finding the one fact that brings it about. */
#include "doctor/pcd-ask.h"
#include "plugins/pcd-plugins.h"
#include "doctor/pcd-judge.h"
#include "engine/pcd-policy-load.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#define S ((gint64)G_USEC_PER_SEC)

static PcdPeerFacts *
add_peer (PcdFacts *facts, const char *name, const char *address)
{
  PcdPeerFacts *peer = g_new0 (PcdPeerFacts, 1);

  peer->name = g_strdup (name);
  peer->address = g_strdup (address);
  peer->uri = g_strdup_printf ("qemu+tls://%s/system", address);
  peer->answer.self = (PcdVirSelf){ .libvirt = 11006000,
                                    .qemu = 10000000,
                                    .uuid = g_strdup_printf ("uuid of %s", name) };
  g_ptr_array_add (facts->peers, peer);
  return peer;
}

static PcdFacts *
sound (void)
{
  const char *const directories[] = { g_getenv ("PCD_POLICIES"), NULL };
  PcdFacts *facts = pcd_facts_new ();

  facts->is_root = TRUE;
  facts->hostname = g_strdup ("host-a");
  facts->kernel = g_strdup ("6.12.0");
  facts->probe_verdict = PCD_PROBE_VERDICT_SLOW_PATH;
  facts->probe_how = PCD_PROBE_HOW_MEASURED;
  facts->tcp_retries2 = 15;
  facts->pty_max = 4096;
  facts->pty_nr = 3;
  facts->unprivileged_userfaultfd = 1;
  facts->ptrace_scope = 1;
  facts->has_pty_rule = PCD_FACT_YES;
  facts->cgroup_mount = g_strdup ("/sys/fs/cgroup");
  facts->clock_synchronised = TRUE;
  facts->state_dir = g_strdup ("/var/lib/postcopyd");
  facts->state_free = (guint64)1 << 30;
  facts->qemu_user = g_strdup ("libvirt-qemu");
  facts->qemu_uid = 64055;
  facts->uffd_syscall = 0;
  facts->uffd_device = EACCES;
  facts->hook_path = g_strdup ("/etc/libvirt/hooks/qemu.d/postcopyd");
  facts->hooks_since = 100 * S;
  facts->libvirtd = g_strdup ("libvirtd");
  facts->libvirtd_pid = 100;
  facts->libvirtd_started = 200 * S;
  facts->keepalive = facts->server_keepalive = (PcdKeepalive){ 5, 5 };
  facts->server_conf = g_strdup ("/etc/libvirt/libvirtd.conf");
  facts->uri = g_strdup ("qemu:///system");
  facts->libvirt.self = (PcdVirSelf){ .libvirt = 11006000,
                                      .qemu = 10000000,
                                      .uuid = g_strdup ("uuid of host-a"),
                                      .models = g_strdup ("apparmor,dac") };
  facts->daemon_running = facts->daemon_connected = facts->daemon_caps_known = TRUE;
  facts->daemon_version = g_strdup (PCD_VERSION);
  facts->daemon_caps = G_MAXUINT64;
  facts->config_path = g_strdup ("/etc/postcopyd/postcopyd.conf");
  facts->config = pcd_config_default ();
  facts->policies = pcd_policy_load_directories (directories, NULL);
  g_assert_nonnull (facts->policies);
  add_peer (facts, "host-b", "10.9.0.2");
  add_peer (facts, "host-b", "10.9.1.2");
  return facts;
}

static PcdPeerFacts *
peer (PcdFacts *facts, guint i)
{
  return g_ptr_array_index (facts->peers, i);
}

static void
set (char **place, const char *text)
{
  g_free (*place);
  *place = g_strdup (text);
}

static void
choose (PcdFacts *facts, const char *policy)
{
  PcdPolicyMatch match = { g_strdup ("web-*"), g_strdup (policy) };

  g_array_append_val (facts->config.matches, match);
}

static void
see_plugin (PcdFacts *facts, const char *problem)
{
  static PcdPluginView view = { .name = (char *)"test.plugin" };

  view.problem = (char *)problem;
  facts->plugins = g_ptr_array_new ();
  g_ptr_array_add (facts->plugins, &view);
}

/* ---- one wrong fact each ---- */

#define BREAK(name, ...)                                                                           \
  static void name (PcdFacts *f)                                                                   \
  {                                                                                                \
    __VA_ARGS__;                                                                                   \
  }

BREAK (nothing, (void)f)
BREAK (not_root, f->is_root = FALSE; f->uffd_syscall = -1; f->state_errno = EACCES)
BREAK (kernel_none, f->probe_verdict = PCD_PROBE_VERDICT_NONE)
BREAK (kernel_unknown, f->probe_verdict = PCD_PROBE_VERDICT_UNKNOWN;
       f->probe_how = PCD_PROBE_HOW_INFERRED;
       set (&f->probe_reason, "no KVM"))
BREAK (uffd_refused, f->uffd_syscall = EPERM; f->unprivileged_userfaultfd = 0)
BREAK (uffd_missing, f->uffd_syscall = ENOSYS)
BREAK (uffd_by_device, f->uffd_syscall = EPERM; f->uffd_device = 0)
BREAK (uffd_by_device_old_qemu, f->uffd_syscall = EPERM; f->uffd_device = 0;
       f->libvirt.self.qemu = 7002022)
BREAK (uffd_not_tried, f->uffd_syscall = -1)
BREAK (retries_few, f->tcp_retries2 = 5)
BREAK (retries_enough, f->tcp_retries2 = 6)
BREAK (retries_few_for_backstop, f->tcp_retries2 = 8; f->config.backstop_usec = 120 * S)
BREAK (unarmed, f->config.arm = FALSE)
BREAK (ptrace_2, f->ptrace_scope = 2)
BREAK (ptrace_3, f->ptrace_scope = 3)
BREAK (ptys, f->pty_nr = 4090)
BREAK (apparmor, f->apparmor_enabled = TRUE; f->has_pty_rule = PCD_FACT_NO)
BREAK (apparmor_not_ours, f->apparmor_enabled = TRUE; f->has_pty_rule = PCD_FACT_NO;
       set (&f->libvirt.self.models, "none,dac"))
BREAK (selinux, f->selinux_enforcing = TRUE; set (&f->libvirt.self.models, "selinux,dac"))
BREAK (no_cgroup2, g_clear_pointer (&f->cgroup_mount, g_free))
BREAK (no_freeze, set (&f->freezer_error, "read-only"))
BREAK (localhost, set (&f->hostname, "localhost.localdomain"))
BREAK (localhost_but, set (&f->hostname, "localhost"); f->migration_host_set = TRUE)
BREAK (clock_free, f->clock_synchronised = FALSE)
BREAK (libvirt_down, set (&f->libvirt.error, "refused"); f->libvirt.self.libvirt = 0;
       f->libvirt.self.qemu = 0;
       f->uffd_syscall = -1;
       f->daemon_connected = FALSE;
       g_clear_pointer (&f->libvirtd, g_free))
BREAK (libvirt_8, f->libvirt.self.libvirt = 8010000; f->libvirt.self.qemu = 9000000)
BREAK (libvirt_9_qemu_7, f->libvirt.self.libvirt = 9000000; f->libvirt.self.qemu = 7002022)
BREAK (libvirt_9_qemu_9_1, f->libvirt.self.libvirt = 9000000; f->libvirt.self.qemu = 9001000)
BREAK (libvirt_11_3_qemu_10_2, f->libvirt.self.libvirt = 11003000; f->libvirt.self.qemu = 10002000)
BREAK (libvirt_11_4, f->libvirt.self.libvirt = 11004000)
BREAK (keepalive_off, f->keepalive.interval = -1)
BREAK (keepalive_long, f->server_keepalive.interval = 60)
BREAK (keepalive_short, f->keepalive = ((PcdKeepalive){ 1, 1 }))
BREAK (hook_missing, f->hook = PCD_HOOK_MISSING; f->hooks_since = 0)
BREAK (hook_dangling, f->hook = PCD_HOOK_DANGLING; f->hooks_since = 0)
BREAK (hook_no_x, f->hook = PCD_HOOK_NOT_EXECUTABLE; f->hooks_since = 0)
BREAK (hook_unsafe, f->hook = PCD_HOOK_UNSAFE)
BREAK (hook_newer, f->hooks_since = 201 * S)
BREAK (hook_same, f->hooks_since = f->libvirtd_started + S / 20)
BREAK (libvirtd_not_found, g_clear_pointer (&f->libvirtd, g_free))
BREAK (peer_one_way, set (&peer (f, 0)->answer.error, "timed out");
       peer (f, 0)->answer.unreachable = TRUE)
BREAK (peer_dead, set (&peer (f, 0)->answer.error, "timed out");
       set (&peer (f, 1)->answer.error, "timed out");
       peer (f, 0)->answer.unreachable = peer (f, 1)->answer.unreachable = TRUE)
BREAK (peer_deaf, set (&peer (f, 0)->answer.error, "refused");
       set (&peer (f, 1)->answer.error, "certificate");
       peer (f, 0)->answer.refused = TRUE)
BREAK (peer_same_uuid, set (&peer (f, 0)->answer.self.uuid, "uuid of host-a"))
BREAK (peer_crashes, peer (f, 0)->answer.self.libvirt = 11002000)
BREAK (no_peers, g_ptr_array_set_size (f->peers, 0))
BREAK (no_bus, set (&f->bus_error, "no such file"); f->daemon_running = FALSE;
       f->daemon_caps_known = FALSE)
BREAK (no_daemon, f->daemon_running = FALSE; f->daemon_caps_known = FALSE)
BREAK (daemon_hangs, set (&f->daemon_error, "no reply"); f->daemon_connected = FALSE)
BREAK (daemon_old, set (&f->daemon_version, "0.0.1"))
BREAK (daemon_dry, f->daemon_dry_run = TRUE)
BREAK (daemon_apart, f->daemon_connected = FALSE)
BREAK (no_ptrace, f->daemon_caps &= ~((guint64)1 << CAP_SYS_PTRACE))
BREAK (no_reading,
       f->daemon_caps = ((guint64)1 << CAP_SYS_PTRACE) | ((guint64)1 << CAP_SYS_ADMIN) |
                        ((guint64)1 << CAP_NET_ADMIN))
BREAK (as_the_unit,
       f->daemon_caps = ((guint64)1 << CAP_SYS_PTRACE) | ((guint64)1 << CAP_SYS_ADMIN) |
                        ((guint64)1 << CAP_NET_ADMIN) | ((guint64)1 << CAP_DAC_READ_SEARCH))
BREAK (no_net_admin, f->daemon_caps &= ~((guint64)1 << CAP_NET_ADMIN))
BREAK (no_admin, f->daemon_caps &= ~((guint64)1 << CAP_SYS_ADMIN))
BREAK (config_bad, set (&f->config_error, "line 3"); pcd_config_clear (&f->config);
       f->config = (PcdConfig){ 0 })
BREAK (policies_bad, g_clear_pointer (&f->policies, pcd_policy_set_unref);
       set (&f->policies_error, "line 3"))
BREAK (plugin_bad, see_plugin (f, "is owned by user 1, expected root"))
BREAK (plugin_good, see_plugin (f, NULL))
BREAK (policy_unknown, choose (f, "nobody-knows"))
BREAK (policy_destroys, choose (f, "fence"))
BREAK (policy_may_destroy, choose (f, "fence"); f->config.allow_destroy = TRUE)
BREAK (state_missing, f->state_errno = ENOENT)
BREAK (state_not_yet, f->state_errno = ENOENT; f->daemon_running = FALSE;
       f->daemon_caps_known = FALSE)
BREAK (state_volatile, f->state_is_volatile = TRUE)
BREAK (state_full, f->state_free = 4096)

/* @expected: all that is more than ok, as "id:severity", in order. */
static const struct {
  const char *name;
  void (*spoil) (PcdFacts *facts);
  const char *expected;
} rows[] = {
  { "sound", nothing, "" },
  { "not-root", not_root, "privileges:warning" },
  { "kernel-none", kernel_none, "kernel:note" },
  { "kernel-unknown", kernel_unknown, "kernel:note" },
  { "uffd-refused", uffd_refused, "userfaultfd:error" },
  { "uffd-missing", uffd_missing, "userfaultfd:error" },
  { "uffd-by-device", uffd_by_device, "userfaultfd:note" },
  { "uffd-by-device-old-qemu", uffd_by_device_old_qemu, "userfaultfd:error qemu-version:note" },
  { "uffd-not-tried", uffd_not_tried, "userfaultfd:note" },
  { "retries-few", retries_few, "tcp-retries:warning" },
  { "retries-enough", retries_enough, "" },
  { "retries-few-for-backstop", retries_few_for_backstop, "tcp-retries:warning" },
  { "unarmed", unarmed, "tcp-retries:warning" },
  { "ptrace-2", ptrace_2, "" },
  { "ptrace-3", ptrace_3, "ptrace-scope:error" },
  { "ptys", ptys, "control-monitor:warning" },
  { "apparmor", apparmor, "apparmor:error" },
  { "apparmor-not-ours", apparmor_not_ours, "" },
  { "selinux", selinux, "selinux:note" },
  { "no-cgroup2", no_cgroup2, "freezer:warning" },
  { "no-freeze", no_freeze, "freezer:warning" },
  { "localhost", localhost, "hostname:warning" },
  { "localhost-but", localhost_but, "" },
  { "clock-free", clock_free, "clock:note" },
  { "libvirt-down", libvirt_down, "libvirt:error" },
  { "libvirt-8", libvirt_8, "libvirt-version:error" },
  { "libvirt-9-qemu-7", libvirt_9_qemu_7, "libvirt-version:note qemu-version:note" },
  { "libvirt-9-qemu-9.1", libvirt_9_qemu_9_1, "libvirt-version:note libvirt-version:warning" },
  { "libvirt-11.3-qemu-10.2", libvirt_11_3_qemu_10_2,
    "libvirt-version:note libvirt-version:error libvirt-version:warning" },
  { "libvirt-11.4", libvirt_11_4, "libvirt-version:note" },
  { "keepalive-off", keepalive_off, "keepalive:warning" },
  { "keepalive-long", keepalive_long, "keepalive:warning" },
  { "keepalive-short", keepalive_short, "keepalive:warning" },
  { "hook-missing", hook_missing, "hook:warning" },
  { "hook-dangling", hook_dangling, "hook:warning" },
  { "hook-not-executable", hook_no_x, "hook:warning" },
  { "hook-unsafe", hook_unsafe, "hook:error" },
  { "hook-newer", hook_newer, "hook-seen:warning" },
  { "hook-same", hook_same, "" },
  { "libvirtd-not-found", libvirtd_not_found, "hook-seen:note" },
  { "peer-one-way", peer_one_way, "peer:warning" },
  { "peer-dead", peer_dead, "peer:error peer:error" },
  { "peer-deaf", peer_deaf, "peer:error peer:error" },
  { "peer-same-uuid", peer_same_uuid, "peer:error" },
  { "peer-crashes", peer_crashes, "libvirt-version:note libvirt-version:error" },
  { "no-peers", no_peers, "" },
  { "no-bus", no_bus, "daemon:error" },
  { "no-daemon", no_daemon, "daemon:error" },
  { "daemon-hangs", daemon_hangs, "daemon:error" },
  { "daemon-old", daemon_old, "daemon:warning" },
  { "daemon-dry", daemon_dry, "daemon:note" },
  { "daemon-apart", daemon_apart, "daemon-libvirt:error" },
  { "no-ptrace", no_ptrace, "capabilities:error" },
  { "no-reading", no_reading, "capabilities:error" },
  { "as-the-unit", as_the_unit, "" },
  { "no-net-admin", no_net_admin, "capabilities:warning" },
  { "no-admin", no_admin, "capabilities:warning" },
  { "config-bad", config_bad, "config:error" },
  { "policies-bad", policies_bad, "policies:error" },
  { "plugin-bad", plugin_bad, "plugins:warning" },
  { "plugin-good", plugin_good, "" },
  { "policy-unknown", policy_unknown, "policies:warning" },
  { "policy-destroys", policy_destroys, "policies:warning" },
  { "policy-may-destroy", policy_may_destroy, "" },
  { "state-missing", state_missing, "state-dir:error" },
  { "state-not-yet", state_not_yet, "daemon:error state-dir:note" },
  { "state-volatile", state_volatile, "state-dir:warning" },
  { "state-full", state_full, "state-dir:warning" },
};

static void
test_row (gconstpointer data)
{
  guint row = GPOINTER_TO_UINT (data);
  g_autoptr (PcdFacts) facts = sound ();
  g_autoptr (GString) told = g_string_new (NULL);

  rows[row].spoil (facts);
  g_autoptr (GPtrArray) findings = pcd_judge (facts);
  for (guint i = 0; i < findings->len; i++) {
    const PcdFinding *finding = g_ptr_array_index (findings, i);

    g_assert_cmpstr (finding->seen, !=, "");
    if (finding->severity == PCD_SEVERITY_OK)
      continue;
    g_string_append_printf (told, "%s%s:%s", told->len ? " " : "", finding->id,
                            pcd_severity_to_string (finding->severity));
    g_assert_nonnull (finding->why);
    if (finding->severity > PCD_SEVERITY_NOTE)
      g_assert_nonnull (finding->mend[0]);
  }
  g_assert_cmpstr (told->str, ==, rows[row].expected);
  g_assert_cmpint (pcd_findings_are_sound (findings), ==,
                   !strstr (told->str, "warning") && !strstr (told->str, "error"));
}

static void
test_tcp_timeout (void)
{
  /* What the kernel's documentation says of them (ip-sysctl.rst): 15 gives 924.6 s. */
  g_assert_cmpint (pcd_judge_tcp_timeout_usec (15), ==, 924600000);
  g_assert_cmpint (pcd_judge_tcp_timeout_usec (8), ==, 102200000);
  g_assert_cmpint (pcd_judge_tcp_timeout_usec (0), ==, 200000);
}

static void
test_conf (void)
{
  static const char text[] = "# keepalive_interval = 1\n"
                             "keepalive_interval=7 # seconds\n"
                             "user = \"libvirt-qemu\"\n"
                             "  group = 'kvm'\n"
                             "keepalive_count = 3\n"
                             "keepalive_count = -1\n"
                             "no equals sign\n"
                             "empty =\n";
  static const char *const expected[][2] = {
    { "keepalive_interval", "7" },
    { "user", "libvirt-qemu" },
    { "group", "kvm" },
    { "keepalive_count", "-1" },
    { "empty", "" },
    { "migration_host", NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (expected); i++) {
    g_autofree char *value = pcd_facts_conf_get (text, expected[i][0]);

    g_assert_cmpstr (value, ==, expected[i][1]);
  }
}

static void
test_answer (void)
{
  PcdAnswer answer = { 0 };

  pcd_ask_parse ("libvirt=9000000\nqemu=0\nlibvirt=9000000\nqemu=7002022\nuuid=u\nlabel=+0:+0\n",
                 &answer);
  g_assert_null (answer.error);
  g_assert_cmpuint (answer.self.libvirt, ==, 9000000);
  g_assert_cmpuint (answer.self.qemu, ==, 7002022);
  g_assert_cmpstr (answer.self.label, ==, "+0:+0");
  pcd_answer_clear (&answer);
  pcd_ask_parse ("refused=1\nerror=two\\nlines\n", &answer);
  g_assert_true (answer.refused);
  g_assert_cmpstr (answer.error, ==, "two\nlines");
  pcd_answer_clear (&answer);
  pcd_ask_parse ("", &answer);
  g_assert_nonnull (answer.error);
  pcd_answer_clear (&answer);
}

static void
test_json (void)
{
  g_autoptr (PcdFacts) facts = sound ();

  clock_free (facts);
  no_daemon (facts);
  g_autoptr (GPtrArray) findings = pcd_judge (facts);
  g_autoptr (JsonNode) node = pcd_findings_to_json (findings, "host-a");
  JsonObject *object = json_node_get_object (node);
  JsonArray *array = json_object_get_array_member (object, "findings");

  g_assert_false (json_object_get_boolean_member (object, "sound"));
  g_assert_cmpint (json_object_get_int_member (object, "errors"), ==, 1);
  g_assert_cmpint (json_object_get_int_member (object, "warnings"), ==, 0);
  g_assert_cmpuint (json_array_get_length (array), ==, findings->len);
  JsonObject *first = json_array_get_object_element (array, 0);
  static const char *const members[] = { "id", "severity", "about", "seen", "why", "mend" };
  for (guint i = 0; i < G_N_ELEMENTS (members); i++)
    g_assert_true (json_object_has_member (first, members[i]));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *path = g_strconcat ("/doctor/", rows[i].name, NULL);
    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_row);
  }
  g_test_add_func ("/doctor/tcp-timeout", test_tcp_timeout);
  g_test_add_func ("/doctor/conf", test_conf);
  g_test_add_func ("/doctor/answer", test_answer);
  g_test_add_func ("/doctor/json", test_json);
  return g_test_run ();
}
