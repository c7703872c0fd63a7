/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The probe itself, on this machine's kernel, with permissions taken away and with a guest process
 * that misbehaves. Whatever happens, nothing is left behind. */
#include "host/pcd-probe.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY     65534
#define SECONDS(n) ((gint64)(n)*G_USEC_PER_SEC)

static guint
count_descriptors (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir))
    n++;
  return n;
}

/* main() made us the subreaper: whoever loses its parent below us becomes our child. */
static void
assert_nothing_left (guint n_descriptors)
{
  g_autoptr (GDir) proc = g_dir_open ("/proc", 0, NULL);
  g_autofree char *parent = g_strdup_printf ("\nPPid:\t%d\n", (int)getpid ());
  const char *name;

  g_assert_cmpuint (count_descriptors (), ==, n_descriptors + 1); /* and proc */
  g_assert_cmpint (waitpid (-1, NULL, WNOHANG), ==, -1);
  g_assert_cmpint (errno, ==, ECHILD);
  while ((name = g_dir_read_name (proc))) {
    g_autofree char *path = g_build_filename ("/proc", name, "status", NULL);
    g_autofree char *status = NULL;
    if (g_ascii_isdigit (*name) && g_file_get_contents (path, &status, NULL, NULL))
      g_assert_null (strstr (status, parent));
  }
}

/* Whether the probe must work here: if so a test may not skip. */
static gboolean
can_measure (void)
{
  return geteuid () == 0 && access ("/dev/kvm", R_OK | W_OK) == 0 &&
         pcd_probe_arch_has (PCD_PROBE_LOAD);
}

static void
test_real (void)
{
  g_autoptr (PcdProbeResult) result = NULL;
  g_autoptr (GError) error = NULL;
  guint n_descriptors = count_descriptors ();

  if (!can_measure ()) {
    g_test_skip ("needs root and /dev/kvm");
    return;
  }
  result = pcd_probe_run (NULL, &error);
  g_assert_no_error (error);
  assert_nothing_left (n_descriptors);
  for (guint i = 0; i < PCD_N_PROBE_KINDS; i++)
    g_test_message ("%s: %s, %" G_GINT64_FORMAT " us, retry %d, %s", pcd_probe_kind_to_string (i),
                    pcd_probe_outcome_to_string (result->faults[i].outcome), result->faults[i].usec,
                    result->faults[i].retry_completed, result->faults[i].detail);
  g_test_message ("%s: %s", pcd_probe_verdict_to_string (result->verdict), result->reason);
  g_assert_cmpint (result->how, ==, PCD_PROBE_HOW_MEASURED);
  g_assert_cmpint (result->verdict, !=, PCD_PROBE_VERDICT_UNKNOWN);
  g_assert_null (result->reason);
  g_assert_cmpint (result->total_usec, <, SECONDS (5));
  for (guint i = 0; i < PCD_N_PROBE_KINDS; i++)
    g_assert_true (result->faults[i].outcome == PCD_PROBE_NOT_APPLICABLE ||
                   result->faults[i].retry_completed);
}

static void
test_misbehaving (gconstpointer data)
{
  const PcdProbeOptions options = {
    .deadline_usec = G_USEC_PER_SEC / 4,
    .sabotage = GPOINTER_TO_INT (data),
  };
  g_autoptr (PcdProbeResult) result = NULL;
  g_autoptr (GError) error = NULL;
  guint n_descriptors = count_descriptors ();

  result = pcd_probe_run (&options, &error);
  g_assert_no_error (error);
  assert_nothing_left (n_descriptors);
  g_assert_cmpint (result->verdict, ==, PCD_PROBE_VERDICT_UNKNOWN);
  g_assert_cmpint (result->how, ==, PCD_PROBE_HOW_INFERRED);
  g_assert_nonnull (strstr (result->reason, options.sabotage == PCD_PROBE_SABOTAGE_EXIT
                                                ? "ended before it answered"
                                                : "timeout"));
  g_assert_cmpint (result->total_usec, <, SECONDS (2));
}

/* A thread that never gets its signal is not a kernel that does not deliver it. */
static void
test_deaf (void)
{
  const PcdProbeOptions options = {
    .bound_usec = 50000,
    .sabotage = PCD_PROBE_SABOTAGE_DEAF,
  };
  g_autoptr (PcdProbeResult) result = NULL;
  g_autoptr (GError) error = NULL;
  guint n_descriptors = count_descriptors ();

  if (!can_measure ()) {
    g_test_skip ("needs root and /dev/kvm");
    return;
  }
  result = pcd_probe_run (&options, &error);
  g_assert_no_error (error);
  assert_nothing_left (n_descriptors);
  for (guint i = 0; i < PCD_N_PROBE_KINDS; i++) {
    const PcdProbeFault *fault = &result->faults[i];
    g_test_message ("%s", fault->detail);
    if (fault->outcome == PCD_PROBE_FAILED)
      g_assert_nonnull (strstr (fault->detail, "signal pending"));
    else if (fault->outcome == PCD_PROBE_NOT_INTERRUPTIBLE)
      g_assert_nonnull (strstr (fault->detail, "state D")); /* no signal would have been seen */
    else
      g_assert_cmpint (fault->outcome, ==, PCD_PROBE_NOT_APPLICABLE);
  }
  g_assert_cmpint (result->verdict, <=, PCD_PROBE_VERDICT_NONE);
}

static void
test_no_time (void)
{
  const PcdProbeOptions options = { .deadline_usec = -1 };
  g_autoptr (PcdProbeResult) result = NULL;
  g_autoptr (GError) error = NULL;
  guint n_descriptors = count_descriptors ();

  result = pcd_probe_run (&options, &error);
  g_assert_no_error (error);
  assert_nothing_left (n_descriptors);
  /* A process may still have failed for a better reason before it was killed. */
  g_assert_cmpint (result->how, ==, PCD_PROBE_HOW_INFERRED);
  g_assert_cmpint (result->total_usec, <, SECONDS (2));
}

static gboolean
always (void)
{
  return TRUE;
}

static gboolean
become_nobody (void)
{
  return setgroups (0, NULL) == 0 && setgid (NOBODY) == 0 && setuid (NOBODY) == 0;
}

/* As Docker's default filter does. */
static gboolean
deny_userfaultfd (void)
{
  struct sock_filter code[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = { .len = G_N_ELEMENTS (code), .filter = code };

  return prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Returns: (transfer full): "verdict how reason" of a probe run with less than we have. */
static char *
probe_without (gboolean (*give_up) (void), const PcdProbeOptions *options)
{
  char text[1024] = "";
  gsize length = 0;
  ssize_t n;
  int ends[2], status;
  pid_t pid;

  g_assert_cmpint (pipe (ends), ==, 0);
  pid = fork ();
  if (pid == 0) {
    g_autoptr (PcdProbeResult) result = give_up () ? pcd_probe_run (options, NULL) : NULL;
    if (!result)
      _exit (1);
    dprintf (ends[1], "%s %s %s", pcd_probe_verdict_to_string (result->verdict),
             pcd_probe_how_to_string (result->how), result->reason ? result->reason : "-");
    _exit (0);
  }
  close (ends[1]);
  while ((n = read (ends[0], text + length, sizeof text - 1 - length)) > 0)
    length += (gsize)n;
  close (ends[0]);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  g_test_message ("%s", text);
  return g_strdup (text);
}

static void
assert_says (const char *text, const char *start, const char *part)
{
  g_assert_true (g_str_has_prefix (text, start));
  g_assert_nonnull (strstr (text, part));
}

static void
test_kvm_missing (void)
{
  const PcdProbeOptions absent = { .kvm_path = "/nonexistent/kvm" };
  const PcdProbeOptions other = { .kvm_path = "/dev/null" };
  guint n_descriptors = count_descriptors ();
  g_autofree char *without = probe_without (always, &absent);
  g_autofree char *no_kvm = probe_without (always, &other);

  if (!pcd_probe_arch_has (PCD_PROBE_LOAD)) {
    g_test_skip ("no guest for this architecture");
    return;
  }
  assert_says (without, "none inferred cannot open /dev/kvm", "TCG");
  assert_says (no_kvm, "unknown inferred cannot open /dev/kvm", "ioctl");
  assert_nothing_left (n_descriptors);
}

static void
test_kvm_denied (void)
{
  g_autofree char *directory = g_dir_make_tmp ("pcd-probe-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (directory, "kvm", NULL);
  const PcdProbeOptions options = { .kvm_path = path };
  guint n_descriptors = count_descriptors ();

  g_assert_true (g_file_set_contents (path, "", 0, NULL));
  g_assert_cmpint (g_chmod (directory, 0755), ==, 0);
  g_assert_cmpint (g_chmod (path, 0), ==, 0);
  if (geteuid () != 0) {
    g_test_skip ("needs root, to become somebody else");
  } else {
    g_autofree char *text = probe_without (become_nobody, &options);
    assert_says (text, "unknown inferred cannot open /dev/kvm: ", "group that owns it");
  }
  g_assert_cmpint (g_unlink (path), ==, 0);
  g_assert_cmpint (g_rmdir (directory), ==, 0);
  assert_nothing_left (n_descriptors);
}

static gboolean
anyone_may_use_userfaultfd (void)
{
  g_autofree char *text = NULL;

  return g_file_get_contents ("/proc/sys/vm/unprivileged_userfaultfd", &text, NULL, NULL) &&
         *text == '1';
}

/* KVM may be used, userfaultfd may not. */
static void
test_userfaultfd_denied (void)
{
  g_autofree char *directory = NULL, *path = NULL, *text = NULL;
  PcdProbeOptions options = { .uffd_path = "/nonexistent/userfaultfd" };
  guint n_descriptors = count_descriptors ();
  struct stat kvm;

  if (!can_measure () || anyone_may_use_userfaultfd () || stat ("/dev/kvm", &kvm)) {
    g_test_skip ("needs root, /dev/kvm and vm.unprivileged_userfaultfd=0");
    return;
  }
  directory = g_dir_make_tmp ("pcd-probe-XXXXXX", NULL);
  options.kvm_path = path = g_build_filename (directory, "kvm", NULL);
  g_assert_cmpint (mknod (path, S_IFCHR | 0666, kvm.st_rdev), ==, 0);
  g_assert_cmpint (g_chmod (path, 0666), ==, 0);
  g_assert_cmpint (g_chmod (directory, 0755), ==, 0);
  text = probe_without (become_nobody, &options);
  g_assert_cmpint (g_unlink (path), ==, 0);
  g_assert_cmpint (g_rmdir (directory), ==, 0);
  assert_says (text, "unknown inferred cannot get a userfaultfd: ", "CAP_SYS_PTRACE");
  assert_nothing_left (n_descriptors);
}

static void
test_userfaultfd_filtered (void)
{
  const PcdProbeOptions options = { .uffd_path = "/nonexistent/userfaultfd" };
  guint n_descriptors = count_descriptors ();
  g_autofree char *text = NULL;

  if (!can_measure ()) {
    g_test_skip ("needs root and /dev/kvm");
    return;
  }
  text = probe_without (deny_userfaultfd, &options);
  assert_says (text, "unknown inferred cannot get a userfaultfd: ", "seccomp");
  assert_nothing_left (n_descriptors);
}

/* Without /dev/userfaultfd (Linux < 6.1) the system call serves. */
static void
test_without_device (void)
{
  const PcdProbeOptions options = { .uffd_path = "/nonexistent/userfaultfd" };
  g_autofree char *text = NULL;

  if (!can_measure ()) {
    g_test_skip ("needs root and /dev/kvm");
    return;
  }
  text = probe_without (always, &options);
  g_assert_nonnull (strstr (text, " measured -"));
}

/* Who runs the probe is killed in the middle: its guest, blocked or spinning, must go with it. */
static void
test_prober_killed (gconstpointer data)
{
  const PcdProbeOptions options = { .sabotage = GPOINTER_TO_INT (data) };
  guint n_descriptors = count_descriptors (), n_reaped = 0;
  gint64 deadline;
  pid_t pid = fork ();

  if (pid == 0) {
    pcd_probe_result_free (pcd_probe_run (&options, NULL));
    _exit (9); /* it must not come so far */
  }
  g_usleep (G_USEC_PER_SEC / 5);
  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
  deadline = g_get_monotonic_time () + SECONDS (5);
  while (g_get_monotonic_time () < deadline) {
    int status;
    pid_t ended = waitpid (-1, &status, WNOHANG);
    if (ended < 0 && errno == ECHILD)
      break;
    if (ended > 0) {
      n_reaped++;
      /* The guest may also get its page, as its userfaultfd closes, and end before the signal. */
      if (ended == pid)
        g_assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
    } else {
      g_usleep (1000);
    }
  }
  assert_nothing_left (n_descriptors);
  g_assert_cmpuint (n_reaped, ==, 2); /* it and its guest, which was there */
}

static void
test_prober_killed_real (void)
{
  if (can_measure ())
    test_prober_killed (
        GINT_TO_POINTER (PCD_PROBE_SABOTAGE_DEAF)); /* waits for its page, wherever */
  else
    g_test_skip ("needs root and /dev/kvm");
}

int
main (int argc, char **argv)
{
  static const struct {
    const char *path;
    PcdProbeSabotage sabotage;
  } misbehaving[] = {
    { "/probe/misbehaving/silent", PCD_PROBE_SABOTAGE_SILENT },
    { "/probe/misbehaving/spin", PCD_PROBE_SABOTAGE_SPIN },
    { "/probe/misbehaving/stop", PCD_PROBE_SABOTAGE_STOP },
    { "/probe/misbehaving/exit", PCD_PROBE_SABOTAGE_EXIT },
  };

  g_test_init (&argc, &argv, NULL);
  prctl (PR_SET_CHILD_SUBREAPER, 1);
  g_test_add_func ("/probe/real", test_real);
  g_test_add_func ("/probe/without-device", test_without_device);
  for (guint i = 0; i < G_N_ELEMENTS (misbehaving); i++)
    g_test_add_data_func (misbehaving[i].path, GINT_TO_POINTER (misbehaving[i].sabotage),
                          test_misbehaving);
  g_test_add_func ("/probe/deaf", test_deaf);
  g_test_add_func ("/probe/no-time", test_no_time);
  g_test_add_func ("/probe/kvm-missing", test_kvm_missing);
  g_test_add_func ("/probe/kvm-denied", test_kvm_denied);
  g_test_add_func ("/probe/userfaultfd-denied", test_userfaultfd_denied);
  g_test_add_func ("/probe/userfaultfd-filtered", test_userfaultfd_filtered);
  g_test_add_data_func ("/probe/prober-killed/spinning", GINT_TO_POINTER (PCD_PROBE_SABOTAGE_SPIN),
                        test_prober_killed);
  g_test_add_func ("/probe/prober-killed/blocked", test_prober_killed_real);
  return g_test_run ();
}
