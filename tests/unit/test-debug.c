/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a debugger leaves behind and how it is undone, with real children; the runner's deadline;
 * the folder of what is kept. No QEMU. */
#include "debug/pcd-debug-file.h"
#include "debug/pcd-debugger.h"
#include "debug/pcd-hold.h"
#include "debug/pcd-process-core.h"
#include "debug/pcd-stacks.h"

#include <elf.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* `State`, `TracerPid`, and whether a signal waits. */
static char *
status_of (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/status", (int)pid);
  g_autofree char *text = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  return g_strdup_printf (
      "%c %d %d", strstr (text, "\nState:\t")[8], atoi (strstr (text, "\nTracerPid:\t") + 12) > 0,
      !strstr (text, "\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n"));
}

static void
wait_for_status (pid_t pid, const char *expected)
{
  for (guint i = 0; i < 200; i++) {
    g_autofree char *status = status_of (pid);
    if (g_str_equal (status, expected))
      return;
    g_usleep (10000);
  }
  g_autofree char *last = status_of (pid);
  g_assert_cmpstr (last, ==, expected);
}

static gboolean
look_at_held (GArray *threads, gpointer data, GError **error)
{
  const PcdHeldThread *thread = &g_array_index (threads, PcdHeldThread, 0);
  g_autofree char *status = status_of (thread->tid);
  static const elf_gregset_t none;

  g_assert_cmpuint (threads->len, ==, 1);
  g_assert_cmpint (memcmp (&thread->regs, &none, sizeof none), !=, 0);
  g_assert_cmpstr (status, ==, "t 1 0");
  if (!data)
    return TRUE;
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, data);
  return FALSE;
}

/* As it was before, running or stopped, whatever the function says. */
static void
test_hold (void)
{
  pid_t pid = start_child ();
  g_autoptr (GError) error = NULL;
  gint64 held = 0;
  int status;

  for (guint i = 0; i < 20; i++) {
    g_assert_true (pcd_hold_run (pid, in_msec (2000), look_at_held, NULL, &held, &error));
    g_assert_no_error (error);
    wait_for_status (pid, "S 0 0");
  }
  g_assert_cmpint (held, <, G_USEC_PER_SEC);
  g_assert_false (pcd_hold_run (pid, in_msec (2000), look_at_held, (gpointer) "no", NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_clear_error (&error);
  wait_for_status (pid, "S 0 0");
  kill (pid, SIGSTOP);
  g_assert_cmpint (waitpid (pid, &status, WUNTRACED), ==, pid);
  g_assert_true (pcd_hold_run (pid, in_msec (2000), look_at_held, NULL, NULL, &error));
  g_assert_no_error (error);
  wait_for_status (pid, "T 0 0");
  kill (pid, SIGCONT);
  wait_for_status (pid, "S 0 0");
  end_child (pid);
  g_assert_false (pcd_hold_run (pid, in_msec (2000), look_at_held, NULL, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
}

/* Not a child of this program's own image: a sanitizer's shadow would be copied, too. */
static pid_t
start_sleep (void)
{
  char program[] = "sleep", seconds[] = "60";
  char *argv[] = { program, seconds, NULL };
  g_autoptr (GError) error = NULL;
  GPid pid;

  g_spawn_async (NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
                 &pid, &error);
  g_assert_no_error (error);
  wait_for_status (pid, "S 0 0");
  return pid;
}

static void
test_core (void)
{
  pid_t pid = start_sleep ();
  g_autofree char *path = NULL, *text = NULL;
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp (NULL, &path, &error);
  PcdCoreFigures figures;
  Elf64_Ehdr head;

  g_usleep (20000);
  g_assert_true (pcd_process_core_write (pid, fd, in_msec (5000), &figures, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (figures.n_threads, ==, 1);
  g_assert_cmpuint (figures.n_bytes, >, 4096);
  g_assert_cmpint (pread (fd, &head, sizeof head, 0), ==, sizeof head);
  g_assert_cmpint (memcmp (head.e_ident, ELFMAG, SELFMAG), ==, 0);
  g_assert_cmpint (head.e_type, ==, ET_CORE);
  g_assert_cmpint (head.e_phnum, >, 2);
  wait_for_status (pid, "S 0 0");
  /* Too late is nothing, and leaves nothing. */
  g_assert_false (pcd_process_core_write (pid, fd, in_msec (-1), &figures, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  wait_for_status (pid, "S 0 0");
  close (fd);
  g_unlink (path);
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

/* What goes past its limit, with its children, and what was asked to end. */
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
  int fd = pcd_debug_file_create (dir, 3, "stacks", "txt", 1000001, &path, &error);
  g_assert_no_error (error);
  g_assert_cmpint (fstat (fd, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 07777, ==, 0600);
  g_assert_cmpint (stat (folder, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 07777, ==, 0700);
  close (fd);
  /* never the same twice */
  g_assert_cmpint (pcd_debug_file_create (dir, 3, "stacks", "txt", 1000001, &second, &error), ==,
                   -1);
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_EXIST);
  g_clear_error (&error);
  fd = pcd_debug_file_create (dir, 3, "backtrace", "txt", 2000000, &second, &error);
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
  g_test_add_func ("/debug/hold", test_hold);
  g_test_add_func ("/debug/core", test_core);
  g_test_add_func ("/debug/run", test_run);
  g_test_add_func ("/debug/overdue", test_overdue);
  g_test_add_func ("/debug/cannot-start", test_cannot_start);
  g_test_add_func ("/debug/file", test_file);
  g_test_add_func ("/debug/stacks", test_stacks);
  return g_test_run ();
}
