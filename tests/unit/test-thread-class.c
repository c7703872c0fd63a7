/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The classifier against recordings of real kernels, and against what those cannot show.
 * Fixtures: fixtures/threads/NAME.txt, made by record.py there; header lines `# key: value`. */
#include "core/pcd-thread-class.h"

#include <string.h>

typedef struct {
  GHashTable *header;
  GArray *samples;
  char *text; /* the samples point into it */
} Fixture;

static void
fixture_clear (Fixture *fixture)
{
  g_hash_table_unref (fixture->header);
  g_array_unref (fixture->samples);
  g_free (fixture->text);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Fixture, fixture_clear)

/* One `=== sample`: `key: value` lines, then, if there is a `stack:`, all the rest. */
static PcdThreadSample
parse_sample (char *text)
{
  PcdThreadSample sample = { 0 };
  char *line = text;

  while (line && *line) {
    char *end = strchr (line, '\n');
    if (g_str_has_prefix (line, "stack:")) {
      sample.stack = end ? end + 1 : "";
      break;
    }
    if (end)
      *end = '\0';
    if (g_str_has_prefix (line, "state: "))
      sample.state = line[7];
    else if (g_str_has_prefix (line, "wchan: "))
      sample.wchan = line + 7;
    else if (g_str_has_prefix (line, "syscall: "))
      sample.syscall = line + 9;
    else
      g_error ("unknown line in a fixture: %s", line);
    line = end ? end + 1 : NULL;
  }
  g_assert_true (sample.state != '\0');
  return sample;
}

static void
parse_header (Fixture *fixture, const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (guint i = 0; lines[i]; i++) {
    char *colon = strstr (lines[i], ": ");
    if (!g_str_has_prefix (lines[i], "# ") || !colon)
      continue;
    *colon = '\0';
    g_hash_table_insert (fixture->header, g_strdup (lines[i] + 2), g_strdup (colon + 2));
  }
}

static Fixture
load (const char *path)
{
  const char *mark = "=== sample\n";
  Fixture fixture = { .header = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free),
                      .samples = g_array_new (FALSE, FALSE, sizeof (PcdThreadSample)) };
  g_autoptr (GError) error = NULL;

  g_file_get_contents (path, &fixture.text, NULL, &error);
  g_assert_no_error (error);
  char *at = strstr (fixture.text, mark);
  g_assert_nonnull (at);
  g_autofree char *header = g_strndup (fixture.text, (gsize)(at - fixture.text));
  parse_header (&fixture, header);
  while (at) {
    char *start = at + strlen (mark);
    at = strstr (start, mark);
    if (at)
      *at = '\0';
    PcdThreadSample sample = parse_sample (start);
    g_array_append_val (fixture.samples, sample);
  }
  return fixture;
}

static char *
describe (const PcdThreadClass *class)
{
  return g_strdup_printf (
      "blocked=%s path=%s kickable=%s traceable=%s spinning=%s vcpu=%d",
      pcd_answer_to_string (class->blocked), pcd_fault_path_to_string (class->path),
      pcd_answer_to_string (class->kickable), pcd_answer_to_string (class->traceable),
      class->spinning ? "yes" : "no", class->vcpu);
}

static PcdThreadEvidence
evidence_of (const Fixture *fixture)
{
  const char *vcpu = g_hash_table_lookup (fixture->header, "vcpu-fd");

  return (PcdThreadEvidence){
    .comm = g_hash_table_lookup (fixture->header, "comm"),
    .vcpu_fd = vcpu ? (int)g_ascii_strtoll (vcpu, NULL, 10) : -1,
    .samples = (const PcdThreadSample *)(gpointer)fixture->samples->data,
    .n_samples = fixture->samples->len,
  };
}

static void
test_fixture (gconstpointer data)
{
  g_auto (Fixture) fixture = load (data);
  const char *expect = g_hash_table_lookup (fixture.header, "expect");
  PcdThreadEvidence evidence = evidence_of (&fixture);
  PcdThreadClass class = pcd_thread_classify (&evidence);
  g_autofree char *is = describe (&class);

  g_test_message ("%s", class.reason);
  g_assert_nonnull (g_hash_table_lookup (fixture.header, "kernel"));
  g_assert_nonnull (g_hash_table_lookup (fixture.header, "situation"));
  g_assert_cmpstr (is, ==, expect);
}

/* A safe answer may never come out of less evidence than a recording has: take the stacks away,
 * then the syscalls and wchans too. */
static void
test_less_evidence (gconstpointer data)
{
  g_auto (Fixture) fixture = load (data);
  PcdThreadEvidence evidence = evidence_of (&fixture);
  PcdThreadClass full = pcd_thread_classify (&evidence);

  for (guint step = 0; step < 2; step++) {
    for (guint i = 0; i < fixture.samples->len; i++) {
      PcdThreadSample *sample = &g_array_index (fixture.samples, PcdThreadSample, i);
      sample->stack = NULL;
      sample->syscall = step == 0 ? sample->syscall : NULL;
      sample->wchan = step == 0 ? sample->wchan : "0";
    }
    evidence.no_stack = TRUE;
    evidence.no_ptrace = step == 1;
    PcdThreadClass less = pcd_thread_classify (&evidence);
    g_test_message ("%s", less.reason);
    if (full.blocked == PCD_ANSWER_YES)
      g_assert_cmpint (less.blocked, !=, PCD_ANSWER_NO);
    if (full.kickable == PCD_ANSWER_NO)
      g_assert_cmpint (less.kickable, !=, PCD_ANSWER_YES);
    if (full.traceable == PCD_ANSWER_NO)
      g_assert_cmpint (less.traceable, !=, PCD_ANSWER_YES);
    if (less.blocked == PCD_ANSWER_UNKNOWN)
      g_assert_nonnull (strstr (less.reason, "CAP_SYS_"));
  }
}

/* What no recording here can show: other architectures, kernels and odd moments. Stacks written
 * by hand after the source of the kernel. */
typedef struct {
  const char *name;
  const char *comm;
  int vcpu_fd;
  gboolean traced, no_ptrace, no_stack;
  PcdThreadSample samples[3];
  const char *expect;
} Case;

#define UFFD "[<0>] handle_userfault+0x1/0x2\n[<0>] handle_mm_fault+0x1/0x2\n"
#define GUP  "[<0>] __get_user_pages+0x1/0x2\n[<0>] get_user_pages_unlocked+0x1/0x2\n"
#define RUN  "[<0>] kvm_arch_vcpu_ioctl_run+0x1/0x2 [kvm]\n[<0>] kvm_vcpu_ioctl+0x1/0x2 [kvm]\n"
#define CALL "[<0>] do_syscall_64+0x1/0x2\n[<0>] entry_SYSCALL_64_after_hwframe+0x1/0x2"
#define TRAP "[<0>] exc_page_fault+0x1/0x2\n[<0>] asm_exc_page_fault+0x1/0x2\n"
#define SIGNAL                                                                                     \
  "[<0>] get_signal+0x1/0x2\n[<0>] arch_do_signal_or_restart+0x1/0x2\n[<0>] "                      \
  "exit_to_user_mode_loop+0x1/0x2\n"
#define KVM_RUN_TEXT "16 0xe 0xae80 0x0 0x0 0x0 0x0 0x7f 0x7f"

static const Case cases[] = {
  { "intel-5.10", "CPU 3/KVM", 3,
    .samples = { { 'D', "handle_userfault",
                   UFFD GUP
                   "[<0>] hva_to_pfn+0x1/0x2 [kvm]\n[<0>] __gfn_to_pfn_memslot+0x1/0x2 [kvm]\n"
                   "[<0>] try_async_pf+0x1/0x2 [kvm]\n[<0>] direct_page_fault+0x1/0x2 [kvm]\n"
                   "[<0>] handle_ept_violation+0x1/0x2 [kvm_intel]\n" RUN CALL,
                   KVM_RUN_TEXT } },
    "blocked=yes path=kvm-slow-page-fault kickable=no traceable=no spinning=no vcpu=3" },
  { "arm64-guest-abort", "CPU 0/KVM", 0,
    .samples = { { 'D', "handle_userfault",
                   UFFD GUP "[<0>] hva_to_pfn_slow+0x1/0x2\n[<0>] user_mem_abort+0x1/0x2\n"
                            "[<0>] kvm_handle_guest_abort+0x1/0x2\n[<0>] kvm_vcpu_ioctl+0x1/0x2\n"
                            "[<0>] el0_svc+0x1/0x2\n[<0>] el0t_64_sync+0x1/0x2",
                   "29 0xe 0xae80 0x0 0x0 0x0 0x0 0x7f 0x7f" } },
    "blocked=yes path=kvm-slow-page-fault kickable=no traceable=no spinning=no vcpu=0" },
  { "arm64-user", "CPU 0/TCG", -1,
    .samples = { { 'S', "handle_userfault",
                   UFFD "[<0>] do_page_fault+0x1/0x2\n[<0>] do_translation_fault+0x1/0x2\n"
                        "[<0>] do_mem_abort+0x1/0x2\n[<0>] el0_da+0x1/0x2\n[<0>] "
                        "el0t_64_sync_handler+0x1/0x2\n"
                        "[<0>] el0t_64_sync+0x1/0x2",
                   "-1 0x7f 0x55" } },
    "blocked=yes path=userspace-fault kickable=no traceable=yes spinning=no vcpu=0" },
  { "arm64-kernel-copy", "worker", -1,
    .samples = { { 'S', "handle_userfault",
                   UFFD "[<0>] do_page_fault+0x1/0x2\n[<0>] do_mem_abort+0x1/0x2\n[<0>] "
                        "el1_abort+0x1/0x2\n"
                        "[<0>] el1h_64_sync+0x1/0x2\n[<0>] __arch_copy_to_user+0x1/0x2\n[<0>] "
                        "el0_svc+0x1/0x2\n"
                        "[<0>] el0t_64_sync+0x1/0x2",
                   "67 0xe 0x7f" } },
    "blocked=yes path=kernel-side-copy kickable=no traceable=no spinning=no vcpu=-1" },
  { "steal-time", "CPU 0/KVM", 0,
    .samples = { { 'S', "handle_userfault",
                   UFFD TRAP "[<0>] record_steal_time+0x1/0x2 [kvm]\n" RUN CALL, KVM_RUN_TEXT } },
    "blocked=yes path=kernel-side-copy kickable=no traceable=no spinning=no vcpu=0" },
  { "direct-io", "worker", -1,
    .samples = { { 'D', "handle_userfault",
                   UFFD GUP "[<0>] iov_iter_extract_pages+0x1/0x2\n[<0>] "
                            "bio_iov_iter_get_pages+0x1/0x2\n" CALL,
                   "295 0xe 0x7f" } },
    "blocked=yes path=kernel-side-copy kickable=no traceable=no spinning=no vcpu=-1" },
  { "slow-only-seen-running", "CPU 0/KVM", 0,
    .samples = { { 'R', "0", UFFD GUP "[<0>] hva_to_pfn+0x1/0x2 [kvm]\n" RUN CALL, "running" } },
    "blocked=yes path=kvm-slow-page-fault kickable=unknown traceable=unknown spinning=no vcpu=0" },
  { "unknown-frames", "worker", -1,
    .samples = { { 'S', "handle_userfault",
                   UFFD "[<0>] do_page_fault+0x1/0x2\n[<0>] brand_new_function+0x1/0x2",
                   "running" } },
    "blocked=yes path=unknown kickable=unknown traceable=unknown spinning=no vcpu=-1" },
  { "no-symbols", "CPU 0/KVM", 0,
    .samples = { { 'S', "handle_userfault", "[<0>] 0xffffffff81739f60\n[<0>] 0xffffffff81739f61",
                   KVM_RUN_TEXT } },
    "blocked=yes path=unknown kickable=unknown traceable=unknown spinning=no vcpu=0" },
  { "no-stack-in-kvm-run", "CPU 0/KVM", 0, .no_stack = TRUE,
    .samples = { { 'S', "handle_userfault", NULL, KVM_RUN_TEXT } },
    "blocked=yes path=unknown kickable=unknown traceable=unknown spinning=no vcpu=0" },
  { "no-stack-outside-syscall", "CPU 0/TCG", -1, .no_stack = TRUE,
    .samples = { { 'S', "handle_userfault", NULL, "-1 0x7fd14b8b7fc0 0x560030aa872c" } },
    "blocked=yes path=userspace-fault kickable=no traceable=yes spinning=no vcpu=0" },
  { "no-privilege", "CPU 0/KVM", -1, .no_ptrace = TRUE, .no_stack = TRUE,
    .samples = { { 'S', "0", NULL, NULL } },
    "blocked=unknown path=unknown kickable=unknown traceable=unknown spinning=no vcpu=0" },
  { "no-privilege-running", "CPU 0/KVM", -1, .no_ptrace = TRUE, .no_stack = TRUE,
    .samples = { { 'R', "0", NULL, NULL } },
    "blocked=unknown path=unknown kickable=unknown traceable=unknown spinning=no vcpu=0" },
  { "on-cpu-all-the-time", "CPU 0/KVM", -1,
    .samples = { { 'R', "0", "", "running" },
                 { 'S', "0", "", "running" },
                 { 'R', "0", "", "running" } },
    "blocked=unknown path=unknown kickable=unknown traceable=unknown spinning=no vcpu=0" },
  { "caught-in-the-fault-handler", "CPU 0/KVM", -1,
    .samples = { { 'R', "0", "", "running" },
                 { 'R', "0", TRAP "[<0>] __kvm_read_guest_page+0x1/0x2\n" RUN CALL, "running" } },
    "blocked=unknown path=unknown kickable=unknown traceable=unknown spinning=no vcpu=0" },
  { "blocked-in-one-of-three", "CPU 0/KVM", 0,
    .samples = { { 'R', "0", "", "running" },
                 { 'R', "0", UFFD TRAP "[<0>] __kvm_read_guest_page+0x1/0x2\n" RUN CALL,
                   "running" },
                 { 'R', "0", "", "running" } },
    "blocked=yes path=kernel-side-copy kickable=no traceable=no spinning=yes vcpu=0" },
  { "disk", "worker", -1,
    .samples = { { 'D', "folio_wait_bit_common", "[<0>] folio_wait_bit_common+0x1/0x2\n" CALL,
                   "17 0xe" } },
    "blocked=no path=none kickable=no traceable=no spinning=no vcpu=-1" },
  { "frozen-v2", "CPU 0/KVM", 0,
    .samples = { { 'S', "do_freezer_trap",
                   "[<0>] do_freezer_trap+0x1/0x2\n[<0>] get_signal+0x1/0x2\n" RUN CALL,
                   KVM_RUN_TEXT } },
    "blocked=no path=none kickable=no traceable=no spinning=no vcpu=0" },
  /* As Linux 6.18 shows it: do_freezer_trap () is a part of get_signal () there. */
  { "frozen-v2-inlined", "CPU 0/KVM", 0,
    .samples = { { 'S', "get_signal", SIGNAL CALL, KVM_RUN_TEXT } },
    "blocked=no path=none kickable=no traceable=no spinning=no vcpu=0" },
  { "frozen-v2-inlined-no-stack", "worker", -1, .no_stack = TRUE,
    .samples = { { 'S', "get_signal", NULL, "202 0x1" } },
    "blocked=no path=none kickable=no traceable=no spinning=no vcpu=-1" },
  { "takes-a-signal", "worker", -1, .samples = { { 'R', "0", SIGNAL CALL, "running" } },
    "blocked=no path=none kickable=yes traceable=yes spinning=no vcpu=-1" },
  { "group-stop-inlined", "worker", -1,
    .samples = { { 'T', "get_signal", SIGNAL CALL, "202 0x1" } },
    "blocked=no path=none kickable=no traceable=yes spinning=no vcpu=-1" },
  { "debugged", "CPU 0/KVM", 0, .traced = TRUE,
    .samples = { { 't', "ptrace_stop", "[<0>] ptrace_stop+0x1/0x2", KVM_RUN_TEXT } },
    "blocked=no path=none kickable=no traceable=no spinning=no vcpu=0" },
  { "traced-but-running", "worker", -1, .traced = TRUE,
    .samples = { { 'S', "futex_wait_queue", "[<0>] futex_wait_queue+0x1/0x2\n" CALL, "202 0x1" } },
    "blocked=no path=none kickable=yes traceable=no spinning=no vcpu=-1" },
  { "zombie", "worker", -1, .samples = { { 'Z', "0", "", NULL } },
    "blocked=no path=none kickable=yes traceable=no spinning=no vcpu=-1" },
  { "no-kallsyms", "worker", -1, .samples = { { 'S', "0", "", "202 0x1 0x2" } },
    "blocked=unknown path=unknown kickable=unknown traceable=unknown spinning=no vcpu=-1" },
  { "just-going-to-sleep", "fault-default", -1,
    .samples = { { 'S', "poll_schedule_timeout", "", "7 0x1" }, { 'S', "0", "", "7 0x1" } },
    "blocked=no path=none kickable=yes traceable=yes spinning=no vcpu=-1" },
  { "deep-sleep-unseen", "worker", -1, .samples = { { 'D', "0", "", "17 0xe" } },
    "blocked=unknown path=unknown kickable=no traceable=no spinning=no vcpu=-1" },
  { "renamed-thread", "evil", 5,
    .samples = { { 'S', "kvm_vcpu_block", "[<0>] kvm_vcpu_block+0x1/0x2\n" RUN CALL,
                   KVM_RUN_TEXT } },
    "blocked=no path=none kickable=yes traceable=yes spinning=no vcpu=5" },
};

static void
test_case (gconstpointer data)
{
  const Case *test = data;
  guint n = 0;

  while (n < G_N_ELEMENTS (test->samples) && test->samples[n].state)
    n++;
  PcdThreadEvidence evidence = { .comm = test->comm,
                                 .vcpu_fd = test->vcpu_fd,
                                 .traced = test->traced,
                                 .no_ptrace = test->no_ptrace,
                                 .no_stack = test->no_stack,
                                 .samples = test->samples,
                                 .n_samples = n };
  PcdThreadClass class = pcd_thread_classify (&evidence);
  g_autofree char *is = describe (&class);
  g_assert_cmpstr (is, ==, test->expect);
}

static void
test_names (void)
{
  static const struct {
    const char *comm;
    gboolean is_vcpu;
    int vcpu;
  } names[] = {
    { "CPU 0/KVM", TRUE, 0 },
    { "CPU 12/TCG", TRUE, 12 },
    { "ALL CPUs/TCG", TRUE, -1 },
    { "CPU /KVM", FALSE, -1 },
    { "CPU -1/KVM", FALSE, -1 },
    { "CPU 1", FALSE, -1 },
    { "qemu-system-x86", FALSE, -1 },
    { "", FALSE, -1 },
    { NULL, FALSE, -1 },
    { "CPU 99999999999/KVM", FALSE, -1 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    int vcpu = -1;
    g_assert_cmpint (pcd_thread_name_to_vcpu (names[i].comm, &vcpu), ==, names[i].is_vcpu);
    g_assert_cmpint (vcpu, ==, names[i].vcpu);
  }
}

static void
test_dispute (void)
{
  const PcdThreadSample sample = { 'S', "kvm_vcpu_block", "", KVM_RUN_TEXT };
  const PcdThreadEvidence evidence = {
    .comm = "CPU 1/KVM", .vcpu_fd = 0, .samples = &sample, .n_samples = 1
  };
  PcdThreadClass class = pcd_thread_classify (&evidence);

  g_assert_true (class.vcpu_disputed);
  g_assert_cmpint (class.vcpu, ==, 0);
}

static void
add_fixtures (void)
{
  g_autofree char *folder = g_build_filename (g_getenv ("PCD_FIXTURES"), "threads", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &error);
  const char *name;

  g_assert_no_error (error);
  while ((name = g_dir_read_name (dir))) {
    if (!g_str_has_suffix (name, ".txt"))
      continue;
    g_autofree char *test = g_strconcat ("/thread-class/recorded/", name, NULL);
    g_autofree char *less = g_strconcat ("/thread-class/less-evidence/", name, NULL);
    char *path = g_build_filename (folder, name, NULL);
    g_test_add_data_func_full (test, path, test_fixture, g_free);
    g_test_add_data_func_full (less, g_strdup (path), test_less_evidence, g_free);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add_fixtures ();
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *test = g_strconcat ("/thread-class/case/", cases[i].name, NULL);
    g_test_add_data_func (test, &cases[i], test_case);
  }
  g_test_add_func ("/thread-class/names", test_names);
  g_test_add_func ("/thread-class/dispute", test_dispute);
  return g_test_run ();
}
