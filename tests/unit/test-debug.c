/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a debugger leaves behind and how it is undone, with real children; the runner's deadline;
 * the folder of what is kept. No QEMU. */
#include "debug/pcd-debug-file.h"
#include "debug/pcd-debugger.h"
#include "debug/pcd-stacks.h"
#include "debug/pcd-trace-stop.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
  const char *name;
  const char *status;
  PcdTraceStop is;
} statuses[] = {
  { "sleeps",
    "Name:\tq\nState:\tS (sleeping)\nTracerPid:\t0\nSigPnd:\t0000000000000000\n"
    "ShdPnd:\t0000000000000000\n",
    { 1, 0, 0, 0 } },
  { "stopped",
    "Name:\tq\nState:\tT (stopped)\nTracerPid:\t0\nSigPnd:\t0000000000000000\n"
    "ShdPnd:\t0000000000000000\n",
    { 1, 0, 1, 0 } },
  { "traced",
    "Name:\tq\nState:\tt (tracing stop)\nTracerPid:\t12\nSigPnd:\t0000000000000000\n"
    "ShdPnd:\t0000000000000000\n",
    { 1, 1, 0, 0 } },
  { "pending",
    "Name:\tq\nState:\tR (running)\nTracerPid:\t0\nSigPnd:\t0000000000040000\n"
    "ShdPnd:\t0000000000000000\n",
    { 1, 0, 0, 1 } },
  { "pending-of-the-process",
    "Name:\tq\nState:\tS (sleeping)\nTracerPid:\t0\n"
    "SigPnd:\t0000000000000000\nShdPnd:\t0000000000040000\n",
    { 1, 0, 0, 1 } },
  { "another-signal",
    "Name:\tq\nState:\tS (sleeping)\nTracerPid:\t0\nSigPnd:\t0000000000020001\n"
    "ShdPnd:\t0000000000080000\n",
    { 1, 0, 0, 0 } },
  { "a-name-that-lies",
    "Name:\tState:\\tT\nState:\tS (sleeping)\nTracerPid:\t0\n"
    "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n",
    { 1, 0, 0, 0 } },
  { "half", "Name:\tq\n", { 1, 0, 0, 0 } },
};

static void
test_status (gconstpointer data)
{
  const guint i = GPOINTER_TO_UINT (data);
  PcdTraceStop stop = { 0 };

  pcd_trace_stop_add (&stop, statuses[i].status);
  g_assert_cmpuint (stop.n_threads, ==, statuses[i].is.n_threads);
  g_assert_cmpuint (stop.n_traced, ==, statuses[i].is.n_traced);
  g_assert_cmpuint (stop.n_stopped, ==, statuses[i].is.n_stopped);
  g_assert_cmpuint (stop.n_pending, ==, statuses[i].is.n_pending);
}

static gint64
in_msec (gint64 msec)
{
  return g_get_monotonic_time () + msec * 1000;
}

static pid_t
start_child (void)
{
  pid_t pid = fork ();

  if (pid == 0)
    for (;;)
      pause ();
  return pid;
}

static void
end_child (pid_t pid)
{
  kill (pid, SIGKILL);
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
}

static void
test_release (void)
{
  pid_t pid = start_child ();
  PcdTraceStop stop;
  int status;

  g_assert_true (pcd_trace_stop_release (pid, in_msec (0), &stop));
  g_assert_cmpuint (stop.n_stopped, ==, 0);
  kill (pid, SIGSTOP);
  g_assert_cmpint (waitpid (pid, &status, WUNTRACED), ==, pid);
  g_assert_true (WIFSTOPPED (status));
  g_assert_true (pcd_trace_stop_release (pid, in_msec (2000), &stop));
  g_assert_cmpuint (stop.n_stopped, ==, 1);
  g_assert_true (pcd_trace_stop_read (pid, &stop));
  g_assert_cmpuint (stop.n_stopped, ==, 0);
  end_child (pid);
  g_assert_true (pcd_trace_stop_release (pid, in_msec (0), NULL));
  g_assert_false (pcd_trace_stop_read (pid, &stop));
}

/* This thread's effective capabilities, one bit. */
static void
set_cap_kill (gboolean on)
{
  struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
  struct __user_cap_data_struct data[2] = { 0 };

  g_assert_cmpint (syscall (SYS_capget, &header, data), ==, 0);
  data[0].effective =
      on ? data[0].effective | 1u << CAP_KILL : data[0].effective & ~(1u << CAP_KILL);
  g_assert_cmpint (syscall (SYS_capset, &header, data), ==, 0);
}

/* As the service is, and QEMU: root without CAP_KILL, and another user's process. */
static void
test_release_without_cap_kill (void)
{
  PcdTraceStop stop;
  int status;

  if (geteuid () != 0) {
    g_test_skip ("needs root");
    return;
  }
  pid_t pid = fork ();
  if (pid == 0) {
    setsid (); /* in one session SIGCONT is for everybody */
    if (setresuid (65534, 65534, 65534) == 0)
      kill (getpid (), SIGSTOP);
    for (;;)
      pause ();
  }
  g_assert_cmpint (waitpid (pid, &status, WUNTRACED), ==, pid);
  g_assert_true (WIFSTOPPED (status));
  set_cap_kill (FALSE);
  g_assert_cmpint (kill (pid, SIGCONT), <, 0);
  g_assert_true (pcd_trace_stop_release (pid, in_msec (2000), &stop));
  g_assert_cmpuint (stop.n_stopped, ==, 1);
  set_cap_kill (TRUE);
  g_assert_cmpint (waitpid (pid, &status, WNOHANG), ==, 0); /* not ended by it */
  end_child (pid);
}

static gboolean
never (gpointer data)
{
  return FALSE;
}

static gboolean
always (gpointer data)
{
  return TRUE;
}

static PcdDebuggerEnd
run (const char *script, gint64 limit_msec, gboolean cancel, int *ret_status, char **ret_output)
{
  const char *const argv[] = { "/bin/sh", "-c", script, NULL };
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp (NULL, &path, &error);
  const PcdDebuggerRun what = { .argv = argv,
                                .output_fd = fd,
                                .until = in_msec (limit_msec),
                                .is_cancelled = cancel ? always : never };
  PcdDebuggerEnd end;

  g_assert_no_error (error);
  g_assert_true (pcd_debugger_run (&what, &end, ret_status, &error));
  g_assert_no_error (error);
  close (fd);
  g_assert_true (g_file_get_contents (path, ret_output, NULL, NULL));
  g_unlink (path);
  return end;
}

static void
test_run (void)
{
  g_autofree char *output = NULL;
  int status;

  g_assert_cmpint (run ("echo out; echo err >&2; exit 3", 5000, FALSE, &status, &output), ==,
                   PCD_DEBUGGER_EXITED);
  g_assert_cmpint (WEXITSTATUS (status), ==, 3);
  g_assert_cmpstr (output, ==, "out\nerr\n");
}

/* What goes past its limit, with its children, and what was asked to end; never by SIGTERM. */
static void
test_overdue (void)
{
  g_autofree char *output = NULL, *more = NULL, *other = NULL;
  gint64 began = g_get_monotonic_time ();
  int status;

  g_assert_cmpint (run ("exec sleep 60", 200, FALSE, &status, &output), ==, PCD_DEBUGGER_OVERDUE);
  g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);
  g_assert_cmpint (run ("sleep 60 & echo $!; wait; sleep 60", 200, FALSE, &status, &more), ==,
                   PCD_DEBUGGER_OVERDUE);
  g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);
  /* Nor is a child of its left: at most a zombie, until somebody reaps it. */
  g_autofree char *stat_path = g_strdup_printf ("/proc/%d/stat", atoi (more));
  g_autofree char *stat_text = NULL;
  for (guint i = 0; i < 500; i++) {
    g_usleep (10000);
    g_clear_pointer (&stat_text, g_free);
    if (!g_file_get_contents (stat_path, &stat_text, NULL, NULL) || strstr (stat_text, ") Z "))
      break;
  }
  g_assert_true (!stat_text || strstr (stat_text, ") Z "));
  g_assert_cmpint (run ("exec sleep 60", 60000, TRUE, &status, &other), ==, PCD_DEBUGGER_CANCELLED);
  g_assert_cmpint (g_get_monotonic_time () - began, <, 30 * G_USEC_PER_SEC);
}

static void
test_cannot_start (void)
{
  const char *const argv[] = { "/nonexistent/gdb", NULL };
  const PcdDebuggerRun what = { .argv = argv, .output_fd = 2, .until = in_msec (1000) };
  g_autoptr (GError) error = NULL;
  PcdDebuggerEnd end;
  int status;

  g_assert_false (pcd_debugger_run (&what, &end, &status, &error));
  g_assert_error (error, G_SPAWN_ERROR, G_SPAWN_ERROR_NOENT);
}

static void
test_file (void)
{
  g_autofree char *dir = g_dir_make_tmp (NULL, NULL);
  g_autofree char *folder = g_build_filename (dir, "debug", NULL);
  g_autofree char *path = NULL, *second = NULL, *name = NULL, *base = NULL;
  g_autoptr (GError) error = NULL;
  char letter = 0;
  struct stat st;

  g_assert_cmpint (pcd_debug_file_open_last (dir, 3, &name, &error), ==, -1);
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_clear_error (&error);
  umask (0);
  int fd = pcd_debug_file_create (dir, 3, "stacks", 1000001, &path, &error);
  g_assert_no_error (error);
  g_assert_cmpint (fstat (fd, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 07777, ==, 0600);
  g_assert_cmpint (stat (folder, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 07777, ==, 0700);
  close (fd);
  /* never the same twice */
  g_assert_cmpint (pcd_debug_file_create (dir, 3, "stacks", 1000001, &second, &error), ==, -1);
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_EXIST);
  g_clear_error (&error);
  fd = pcd_debug_file_create (dir, 3, "backtrace", 2000000, &second, &error);
  g_assert_cmpint (write (fd, "b", 1), ==, 1);
  close (fd);
  fd = pcd_debug_file_open_last (dir, 3, &name, &error);
  g_assert_no_error (error);
  base = g_path_get_basename (second);
  g_assert_cmpstr (name, ==, base);
  g_assert_cmpint (read (fd, &letter, 1), ==, 1);
  g_assert_cmpint (letter, ==, 'b');
  g_assert_cmpint (write (fd, "c", 1), ==, -1);
  close (fd);
  g_unlink (path);
  g_unlink (second);
  g_rmdir (folder);
  g_rmdir (dir);
}

static void
test_stacks (void)
{
  pid_t pid = start_child ();
  g_autoptr (GError) error = NULL;
  guint n = 0;

  g_usleep (20000);
  g_autofree char *text = pcd_stacks_describe (pid, &n, &error);
  g_autofree char *head = g_strdup_printf ("thread %d '", (int)pid);
  g_assert_no_error (error);
  g_assert_cmpuint (n, ==, 1);
  g_assert_nonnull (strstr (text, head));
  g_assert_nonnull (strstr (text, "state S"));
  if (geteuid () == 0)
    g_assert_nonnull (strstr (text, "  system call "));
  end_child (pid);
  g_assert_null (pcd_stacks_describe (pid, &n, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (statuses); i++) {
    g_autofree char *path = g_strconcat ("/debug/status/", statuses[i].name, NULL);
    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_status);
  }
  g_test_add_func ("/debug/release", test_release);
  g_test_add_func ("/debug/release-without-cap-kill", test_release_without_cap_kill);
  g_test_add_func ("/debug/run", test_run);
  g_test_add_func ("/debug/overdue", test_overdue);
  g_test_add_func ("/debug/cannot-start", test_cannot_start);
  g_test_add_func ("/debug/file", test_file);
  g_test_add_func ("/debug/stacks", test_stacks);
  return g_test_run ();
}
