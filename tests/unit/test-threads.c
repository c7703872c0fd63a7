/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The thread reader on real threads that wait for a page of a real userfaultfd.
 * Needs root (userfaultfd, /proc/PID/stack); everything is made and mended in this process. */
#include "host/pcd-process.h"
#include "host/pcd-threads.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <linux/capability.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096

typedef enum { TOUCH, READ, READ_DIRECT } How;

/* A page that does not come, and a thread that waits for it. */
typedef struct {
  How how;
  int uffd;
  char *page;
  int file;
  pthread_t thread;
  gint tid;
  gint64 started; /* it was not yet asleep, */
  gint64 asleep;  /* and here it was */
} Blocker;

static void
on_signal (int number)
{
}

static void *
block (void *data)
{
  Blocker *blocker = data;

  pthread_setname_np (pthread_self (), "worker");
  blocker->started = g_get_monotonic_time ();
  g_atomic_int_set (&blocker->tid, (gint)syscall (SYS_gettid));
  if (blocker->how == TOUCH)
    *(volatile char *)blocker->page = 1;
  else
    g_assert_cmpint (read (blocker->file, blocker->page, PAGE), ==, PAGE);
  return NULL;
}

static void
open_file (Blocker *blocker)
{
  g_autofree char *path = NULL;
  g_autofree char *zeros = g_malloc0 (PAGE);
  int fd = g_file_open_tmp ("pcd-test-XXXXXX", &path, NULL);

  g_assert_cmpint (write (fd, zeros, PAGE), ==, PAGE);
  close (fd);
  blocker->file = open (path, O_RDONLY | O_CLOEXEC | (blocker->how == READ_DIRECT ? O_DIRECT : 0));
  unlink (path);
}

static gboolean
is_asleep (gint tid)
{
  g_autofree char *folder = g_strdup_printf ("/proc/self/task/%d", tid);
  g_autofree char *stat_path = g_build_filename (folder, "stat", NULL);
  g_autofree char *stack_path = g_build_filename (folder, "stack", NULL);
  g_autofree char *stat_text = NULL;
  g_autofree char *stack = NULL;

  g_assert_true (g_file_get_contents (stat_path, &stat_text, NULL, NULL));
  g_assert_true (g_file_get_contents (stack_path, &stack, NULL, NULL));
  const char *state = strrchr (stat_text, ')') + 2;
  return (*state == 'S' || *state == 'D') && strstr (stack, "handle_userfault");
}

/* On a busy machine the thread may come to its page late. */
static void
await_sleep (Blocker *blocker)
{
  gint64 deadline = g_get_monotonic_time () + 30 * G_USEC_PER_SEC;

  while (!g_atomic_int_get (&blocker->tid) || !is_asleep (blocker->tid)) {
    g_assert_cmpint (g_get_monotonic_time (), <, deadline);
    g_usleep (5 * 1000);
  }
  blocker->asleep = g_get_monotonic_time ();
}

/* %FALSE if this file system has no O_DIRECT, the only thing that may be missing. */
static gboolean
blocker_start (Blocker *blocker, How how)
{
  struct uffdio_api api = { .api = UFFD_API };

  memset (blocker, 0, sizeof *blocker);
  blocker->how = how;
  open_file (blocker);
  if (blocker->file < 0)
    return FALSE;
  blocker->uffd = (int)syscall (SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  g_assert_cmpint (blocker->uffd, >=, 0);
  g_assert_cmpint (ioctl (blocker->uffd, UFFDIO_API, &api), ==, 0);
  blocker->page = mmap (NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct uffdio_register range = {
    .range = { .start = (guintptr)blocker->page, .len = PAGE },
    .mode = UFFDIO_REGISTER_MODE_MISSING,
  };
  g_assert_cmpint (ioctl (blocker->uffd, UFFDIO_REGISTER, &range), ==, 0);
  g_assert_cmpint (pthread_create (&blocker->thread, NULL, block, blocker), ==, 0);
  await_sleep (blocker);
  /* Long enough that `since when` has something to measure. */
  g_usleep (300 * 1000);
  return TRUE;
}

static void
blocker_finish (Blocker *blocker)
{
  struct uffdio_zeropage zero = {
    .range = { .start = (guintptr)blocker->page, .len = PAGE },
  };

  if (blocker->file < 0)
    return;
  g_assert_cmpint (ioctl (blocker->uffd, UFFDIO_ZEROPAGE, &zero), ==, 0);
  g_assert_cmpint (pthread_join (blocker->thread, NULL), ==, 0);
  munmap (blocker->page, PAGE);
  close (blocker->uffd);
  close (blocker->file);
}

static const PcdThread *
find_thread (const PcdThreadReport *report, pid_t tid)
{
  for (guint i = 0; i < report->threads->len; i++) {
    const PcdThread *thread = report->threads->pdata[i];
    if (thread->tid == tid)
      return thread;
  }
  g_assert_not_reached ();
}

static gboolean
lacks_root (void)
{
  if (geteuid () == 0)
    return FALSE;
  g_test_skip ("needs root: userfaultfd and /proc/PID/stack");
  return TRUE;
}

typedef struct {
  const char *name;
  How how;
  gboolean signalled;
  PcdThreadsMode mode;
  PcdFaultPath path;
  PcdAnswer traceable;
} Case;

/* @traceable is not only compared but tried. */
static const Case cases[] = {
  { "touch", TOUCH, FALSE, PCD_THREADS_THOROUGH, PCD_FAULT_PATH_USERSPACE, PCD_ANSWER_YES },
  { "touch-cheap", TOUCH, FALSE, PCD_THREADS_CHEAP, PCD_FAULT_PATH_USERSPACE, PCD_ANSWER_YES },
  { "touch-signalled", TOUCH, TRUE, PCD_THREADS_THOROUGH, PCD_FAULT_PATH_USERSPACE,
    PCD_ANSWER_YES },
  { "read", READ, FALSE, PCD_THREADS_THOROUGH, PCD_FAULT_PATH_KERNEL_COPY, PCD_ANSWER_NO },
  { "read-cheap", READ, FALSE, PCD_THREADS_CHEAP, PCD_FAULT_PATH_KERNEL_COPY, PCD_ANSWER_NO },
  { "read-signalled", READ, TRUE, PCD_THREADS_THOROUGH, PCD_FAULT_PATH_KERNEL_COPY, PCD_ANSWER_NO },
  { "read-direct", READ_DIRECT, FALSE, PCD_THREADS_THOROUGH, PCD_FAULT_PATH_KERNEL_COPY,
    PCD_ANSWER_NO },
};

/* The reader finds out the offset of a CPU's clock with two looks at it: what comes between them
 * makes it say less than is true, never more. 50 ms for that. */
static gint64
least_since (const Blocker *blocker, gint64 now)
{
  return now - blocker->asleep - 50 * 1000;
}

static void
check_since (const PcdThread *thread, const Blocker *blocker, const Case *test, gint64 before)
{
  gint64 least = least_since (blocker, before);
  gint64 most = g_get_monotonic_time () - blocker->started;

  g_test_message ("blocked %" G_GINT64_FORMAT " us of %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT
                  ", state %c",
                  thread->blocked_usec, least, most, thread->state);
  if (test->mode == PCD_THREADS_CHEAP || thread->class.spinning) {
    g_assert_cmpint (thread->blocked_usec, ==, -1);
    return;
  }
  /* A kernel without `sched` says -1; 5 ms for the clocks. */
  if (access ("/proc/thread-self/sched", R_OK) == 0 && !test->signalled) {
    g_assert_cmpint (thread->blocked_usec, >=, least);
    g_assert_cmpint (thread->blocked_usec, <=, most + 5000);
  }
  g_assert_cmpint (thread->blocked_min_usec, >, 20 * 1000);
}

/* Does the kernel agree? From another process, as no thread may trace its siblings. SEIZE leaves no
 * SIGSTOP behind, and the tracer's end lets the thread go. */
static PcdAnswer
try_to_trace (pid_t tid)
{
  pid_t tracer = fork ();
  int status = 0;

  if (tracer == 0) {
    gboolean stopped = FALSE;
    if (ptrace (PTRACE_SEIZE, tid, NULL, NULL) < 0 ||
        ptrace (PTRACE_INTERRUPT, tid, NULL, NULL) < 0)
      _exit (2);
    for (guint i = 0; i < 50 && !stopped; i++) {
      usleep (10 * 1000);
      stopped = waitpid (tid, NULL, WNOHANG | __WALL) == tid;
    }
    _exit (stopped ? 1 : 0);
  }
  g_assert_cmpint (waitpid (tracer, &status, 0), ==, tracer);
  g_assert_true (WIFEXITED (status) && WEXITSTATUS (status) < 2);
  return WEXITSTATUS (status) == 1 ? PCD_ANSWER_YES : PCD_ANSWER_NO;
}

/* On a machine so busy that no helper gets onto the thread's CPU in time, the reader says that it
 * does not know, rightly; and that a helper was held up there makes a wait look short. Then once
 * more. */
static PcdThreadReport *
read_patiently (const Case *test, const Blocker *blocker, gint64 *ret_before)
{
  for (guint i = 0;; i++) {
    g_autoptr (GError) error = NULL;
    *ret_before = g_get_monotonic_time ();
    PcdThreadReport *report = pcd_threads_read (getpid (), test->mode, &error);
    g_assert_no_error (error);
    const PcdThread *thread = find_thread (report, blocker->tid);
    gint64 least = test->signalled ? 0 : least_since (blocker, *ret_before);
    gboolean told = thread->class.spinning || thread->blocked_usec >= least;
    if (i == 5 || test->mode == PCD_THREADS_CHEAP ||
        (thread->class.blocked == PCD_ANSWER_YES && told))
      return report;
    pcd_thread_report_free (report);
  }
}

static void
test_blocked (gconstpointer data)
{
  const Case *test = data;
  Blocker blocker;

  if (lacks_root ())
    return;
  if (!blocker_start (&blocker, test->how)) {
    g_test_skip ("no O_DIRECT here");
    return;
  }
  if (test->signalled) {
    pthread_kill (blocker.thread, SIGUSR1);
    g_usleep (100 * 1000);
  }
  gint64 before;
  g_autoptr (PcdThreadReport) report = read_patiently (test, &blocker, &before);
  g_test_message ("read in %" G_GINT64_FORMAT " us", g_get_monotonic_time () - before);
  const PcdThread *thread = find_thread (report, blocker.tid);
  check_since (thread, &blocker, test, before);
  PcdAnswer traced = try_to_trace (blocker.tid);
  blocker_finish (&blocker);

  g_test_message ("%s", thread->class.reason);
  g_assert_cmpstr (thread->name, ==, "worker");
  g_assert_cmpint (thread->class.blocked, ==, PCD_ANSWER_YES);
  g_assert_cmpint (thread->class.path, ==, test->path);
  g_assert_cmpint (thread->class.kickable, ==, PCD_ANSWER_NO);
  g_assert_cmpint (thread->class.traceable, ==, test->traceable);
  g_assert_cmpint (traced, ==, test->traceable);
  g_assert_cmpint (thread->class.spinning, ==, test->signalled && test->how == READ);
  g_assert_cmpint (pcd_thread_report_kickable (report, &thread), ==, PCD_ANSWER_NO);
  g_assert_cmpint (thread->tid, ==, blocker.tid);
}

/* A sampler that comes back tells the same wait from a new one. */
static gint64
wait_id_now (gint tid)
{
  g_autoptr (PcdThreadReport) report = pcd_threads_read (getpid (), PCD_THREADS_CHEAP, NULL);

  return find_thread (report, tid)->wait_id;
}

static void
test_wait_id (void)
{
  Blocker blocker;

  if (lacks_root ())
    return;
  g_assert_true (blocker_start (&blocker, TOUCH));
  gint64 one, two, three;
  guint tries = 0;

  /* On a busy machine the thread may not be asleep yet. */
  do {
    g_usleep (20 * 1000);
    one = wait_id_now (blocker.tid);
    two = wait_id_now (blocker.tid);
  } while (one != two && tries++ < 100);
  pthread_kill (blocker.thread, SIGUSR1);
  /* Clocks of two CPUs are not compared: another wait has another id, not a greater one. */
  for (tries = 0, three = two; (three == two || three == 0) && two > 0 && tries < 500; tries++) {
    g_usleep (10 * 1000);
    three = wait_id_now (blocker.tid);
  }
  blocker_finish (&blocker);

  if (access ("/proc/thread-self/sched", R_OK) == 0)
    g_assert_cmpint (one, >, 0);
  g_assert_cmpint (two, ==, one);
  if (one > 0)
    g_assert_true (three != one && three != 0);
}

/* A thread that only burns its CPU must not be taken for one that spins on a page. */
static void *
burn (void *data)
{
  while (!g_atomic_int_get ((gint *)data))
    ;
  return NULL;
}

static void
test_busy (void)
{
  gint stop = 0;
  pthread_t thread;

  if (lacks_root ())
    return;
  g_assert_cmpint (pthread_create (&thread, NULL, burn, &stop), ==, 0);
  g_usleep (50 * 1000);
  g_autoptr (PcdThreadReport) report = pcd_threads_read (getpid (), PCD_THREADS_THOROUGH, NULL);
  g_atomic_int_set (&stop, 1);
  pthread_join (thread, NULL);

  const PcdThread *burner = report->threads->pdata[report->threads->len - 1];
  g_test_message ("%c %s: %s", burner->state, burner->name, burner->class.reason);
  g_assert_cmpint (burner->class.blocked, ==, PCD_ANSWER_NO);
  g_assert_cmpint (burner->class.kickable, ==, PCD_ANSWER_YES);
}

static void
drop_admin (void)
{
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct data[2];

  g_assert_cmpint (syscall (SYS_capget, &header, data), ==, 0);
  data[0].effective &= ~(1u << CAP_SYS_ADMIN);
  g_assert_cmpint (syscall (SYS_capset, &header, data), ==, 0);
}

static void
become_nobody (void)
{
  g_assert_cmpint (setgid (65534), ==, 0);
  g_assert_cmpint (setuid (65534), ==, 0);
}

static PcdThreadClass
class_of_parent (void)
{
  g_autoptr (PcdThreadReport) report = pcd_threads_read (getppid (), PCD_THREADS_THOROUGH, NULL);
  const PcdThread *thread = find_thread (report, (pid_t)atoi (g_getenv ("PCD_TEST_BLOCKED_TID")));

  return thread->class;
}

/* As a user without any right: nothing is known, and it is said why. */
static void
child_nobody (void)
{
  become_nobody ();
  PcdThreadClass class = class_of_parent ();
  g_assert_cmpint (class.blocked, ==, PCD_ANSWER_UNKNOWN);
  g_assert_cmpint (class.kickable, ==, PCD_ANSWER_UNKNOWN);
  g_assert_cmpint (class.traceable, ==, PCD_ANSWER_UNKNOWN);
  g_assert_nonnull (strstr (class.reason, "CAP_SYS_PTRACE"));
}

/* Without stacks, `not in a system call` still gives a user-mode fault away. */
static void
child_no_admin (void)
{
  drop_admin ();
  PcdThreadClass class = class_of_parent ();
  g_assert_cmpint (class.blocked, ==, PCD_ANSWER_YES);
  g_assert_cmpint (class.path, ==, PCD_FAULT_PATH_USERSPACE);
}

static void
test_unprivileged (gconstpointer child)
{
  Blocker blocker;

  if (lacks_root ())
    return;
  g_assert_true (blocker_start (&blocker, TOUCH));
  g_autofree char *tid = g_strdup_printf ("%d", blocker.tid);
  g_setenv ("PCD_TEST_BLOCKED_TID", tid, TRUE);
  g_test_trap_subprocess (child, 20 * G_USEC_PER_SEC, G_TEST_SUBPROCESS_DEFAULT);
  blocker_finish (&blocker);
  g_test_trap_assert_passed ();
}

static pid_t
ended_process (void)
{
  pid_t pid = fork ();

  if (pid == 0)
    _exit (0);
  waitpid (pid, NULL, 0);
  return pid;
}

static void
test_vanished (void)
{
  g_autoptr (GError) error = NULL, not_qemu = NULL;
  pid_t pid = ended_process ();

  g_assert_null (pcd_threads_read (pid, PCD_THREADS_THOROUGH, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_false (pcd_process_check_qemu (pid, &not_qemu));
  g_assert_error (not_qemu, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
}

/* One that ends while it is being read. */
static void
test_vanishing (void)
{
  for (guint i = 0; i < 20; i++) {
    g_autoptr (GError) error = NULL;
    pid_t pid = fork ();
    if (pid == 0) {
      usleep (i * 3000);
      _exit (0);
    }
    g_autoptr (PcdThreadReport) report = pcd_threads_read (pid, PCD_THREADS_THOROUGH, &error);
    waitpid (pid, NULL, 0);
    g_assert_true (report || g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND));
  }
}

static void
test_not_a_qemu (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (pcd_process_check_qemu (getpid (), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "test-threads"));
}

/* Another run of this test on this machine has others. */
static char *own_uuid;

#define OTHER "5f3c2a10-0d5c-4a53-9a6c-6f70b0a4c2f2"

/* This program, under a name that starts with qemu and with the UUID on its command line. */
static GPid
start_look_alike (const char *folder, const char *uuid)
{
  g_autofree char *path = g_build_filename (folder, "qemu-look-alike", NULL);
  g_autoptr (GFile) self = g_file_new_for_path ("/proc/self/exe");
  g_autoptr (GFile) copy = g_file_new_for_path (path);
  const char *args[] = { path,    "pcd-wait", "-name", "guest=a,,b,debug-threads=on",
                         "-uuid", uuid,       "-uuid", NULL };
  g_autoptr (GError) error = NULL;
  GPid pid = 0;

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    g_file_copy (self, copy, G_FILE_COPY_NONE, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_spawn_async (NULL, (char **)args, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, &error);
  g_assert_no_error (error);
  return pid;
}

static void
end_process (GPid pid)
{
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
}

static void
write_pid_file (const char *folder, pid_t pid)
{
  g_autofree char *path = g_build_filename (folder, "guest.pid", NULL);
  g_autofree char *text = g_strdup_printf ("%d", (int)pid);

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static void
check_find (const char *folder, GPid one)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (pcd_process_check_qemu (one, &error));
  write_pid_file (folder, one);
  g_assert_cmpint (pcd_process_find_qemu (own_uuid, "guest", folder, &error), ==, one);
  /* A stale file, a missing one, and a name that leads elsewhere. */
  write_pid_file (folder, getpid ());
  g_assert_cmpint (pcd_process_find_qemu (own_uuid, "guest", folder, &error), ==, one);
  g_assert_cmpint (pcd_process_find_qemu (own_uuid, "other", folder, &error), ==, one);
  g_assert_cmpint (pcd_process_find_qemu (own_uuid, "../guest", folder, &error), ==, one);
  /* Without libvirt only the name may be known. */
  g_assert_cmpint (pcd_process_find_qemu (NULL, "a,b", folder, &error), ==, one);
  g_assert_no_error (error);
  g_assert_cmpint (pcd_process_find_qemu (NULL, "a", folder, NULL), ==, 0);
  g_assert_cmpint (pcd_process_find_qemu (OTHER, "guest", folder, &error), ==, 0);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
}

static void
test_find (void)
{
  g_autofree char *folder = g_dir_make_tmp ("pcd-test-XXXXXX", NULL);
  g_autofree char *program = g_build_filename (folder, "qemu-look-alike", NULL);
  g_autofree char *pid_file = g_build_filename (folder, "guest.pid", NULL);
  g_autoptr (GError) error = NULL;

  GPid one = start_look_alike (folder, own_uuid);
  check_find (folder, one);
  GPid two = start_look_alike (folder, own_uuid);
  write_pid_file (folder, two);
  g_assert_cmpint (pcd_process_find_qemu (own_uuid, "guest", folder, NULL), ==, two);
  g_assert_cmpint (pcd_process_find_qemu (own_uuid, NULL, folder, &error), ==, 0);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  end_process (two);
  end_process (one);
  g_unlink (program);
  g_unlink (pid_file);
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  struct sigaction action = { .sa_handler = on_signal };

  /* Nothing here may outlive a hang. */
  alarm (60);
  if (argc > 1 && g_str_equal (argv[1], "pcd-wait"))
    return pause ();
  sigaction (SIGUSR1, &action, NULL);
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *name = g_strconcat ("/threads/blocked/", cases[i].name, NULL);
    g_test_add_data_func (name, &cases[i], test_blocked);
  }
  own_uuid = g_uuid_string_random ();
  g_test_add_func ("/threads/wait-id", test_wait_id);
  g_test_add_func ("/threads/busy", test_busy);
  g_test_add_data_func ("/threads/unprivileged/nobody", "/threads/subprocess/nobody",
                        test_unprivileged);
  g_test_add_data_func ("/threads/unprivileged/no-admin", "/threads/subprocess/no-admin",
                        test_unprivileged);
  g_test_add_func ("/threads/subprocess/nobody", child_nobody);
  g_test_add_func ("/threads/subprocess/no-admin", child_no_admin);
  g_test_add_func ("/threads/vanished", test_vanished);
  g_test_add_func ("/threads/vanishing", test_vanishing);
  g_test_add_func ("/threads/not-a-qemu", test_not_a_qemu);
  g_test_add_func ("/threads/find", test_find);
  return g_test_run ();
}
