/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is said when the kernel refuses what it grants on every host that is fit for this: each row
 * runs in a child, which has seccomp make one syscall fail (no_new_privs, so for anybody), and is
 * held to its words. test-messages.py walks them by this. Root, as what is refused is given to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "debug/pcd-hold.h"
#include "host/pcd-cgroup.h"
#include "host/pcd-guest-memory.h"
#include "host/pcd-netnews.h"
#include "host/pcd-owner.h"
#include "host/pcd-probe.h"
#include "host/pcd-sockets.h"
#include "host/pcd-trusted-file.h"
#include "journal/pcd-journal-file.h"
#include "plugins/pcd-plugin-file.h"
#include "plugins/pcd-plugin-marks.h"
#include "qmp/pcd-monitor.h"
#include "snapshot/pcd-bundle.h"
#include "snapshot/pcd-disk-server.h"

#define NOBODY     65534
#define ANY        G_MAXUINT32
#define LOW(n)     (guint32) (offsetof (struct seccomp_data, args[0]) + (n)*8u)
#define NO_PROCESS 999999999
#define NONE       "/nonexistent"

static char *dir; /* a folder of the row's own */

/* From now on @nr fails with @number, if its argument @which is @value (little endian). */
static void
forbid (int nr, int number, guint which, guint32 value)
{
  struct sock_filter any[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, (guint)nr, 0, 3),
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, LOW (which)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (guint)number),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = { G_N_ELEMENTS (any), any };

  if (value == ANY)
    any[3].jf = 0;
  g_assert_cmpint (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), ==, 0);
  g_assert_cmpint (prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), ==, 0);
}

static void
become_nobody (void)
{
  g_assert_cmpint (setresgid (NOBODY, NOBODY, NOBODY), ==, 0);
  g_assert_cmpint (setresuid (NOBODY, NOBODY, NOBODY), ==, 0);
}

static char *
in_dir (const char *name)
{
  return g_build_filename (dir, name, NULL);
}

static char *
make_file (const char *name, mode_t mode, uid_t owner)
{
  char *path = in_dir (name);

  g_assert_true (g_file_set_contents (path, "x", 1, NULL));
  g_assert_cmpint (chown (path, owner, owner), ==, 0);
  g_assert_cmpint (chmod (path, mode), ==, 0);
  return path;
}

/* ---- sockets ---- */

/* Both ends of a connection of ours; they stay. */
static int
connect_to_self (void)
{
  struct sockaddr_in address = { .sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  int listening = socket (AF_INET, SOCK_STREAM, 0), fd = socket (AF_INET, SOCK_STREAM, 0);

  g_assert_cmpint (bind (listening, (struct sockaddr *)&address, sizeof address), ==, 0);
  g_assert_cmpint (listen (listening, 1), ==, 0);
  g_assert_cmpint (getsockname (listening, (struct sockaddr *)&address, &size), ==, 0);
  g_assert_cmpint (connect (fd, (struct sockaddr *)&address, sizeof address), ==, 0);
  g_assert_cmpint (accept (listening, NULL, NULL), >=, 0);
  return fd;
}

static void
netnews (GError **error)
{
  forbid (SYS_socket, EPERM, 0, AF_NETLINK);
  pcd_netnews_new (NULL, NULL, error);
}

static void
owner (GError **error)
{
  forbid (SYS_pidfd_open, ENOSYS, 0, ANY);
  pcd_owner_find (getpid (), error);
}

static void
nobodys (GError **error)
{
  pcd_owner_find (getpid (), error);
}

static void
pidfd_getfd (GError **error)
{
  g_autoptr (PcdSockets) sockets = pcd_sockets_open (getpid (), error);
  g_autofree char *note = NULL;

  g_assert_nonnull (sockets);
  connect_to_self ();
  forbid (SYS_pidfd_getfd, EPERM, 0, ANY);
  pcd_sockets_scan (sockets, PCD_ROLE_SOURCE, NULL, 0, FALSE, &note, error);
}

static PcdSocket *
take_socket (void)
{
  PcdSocket *self = pcd_socket_new_take (connect_to_self (), getpid (), 0, NULL);

  g_assert_nonnull (self);
  return self;
}

static void
tcp_info (GError **error)
{
  PcdSocket *self = take_socket ();
  PcdNetSample sample;

  forbid (SYS_getsockopt, EPERM, 2, TCP_INFO);
  pcd_socket_sample (self, &sample, error);
}

/* Errno 0: it says that it did what it did not. */
static void
setsockopt_lies (GError **error)
{
  PcdSocket *self = take_socket ();

  forbid (SYS_setsockopt, 0, 0, ANY);
  pcd_socket_arm (self, 5 * G_USEC_PER_SEC, 20 * G_USEC_PER_SEC, error);
}

static void
no_tcp_socket (GError **error)
{
  pcd_socket_new_take (open ("/dev/null", O_RDONLY), getpid (), 7, error);
}

static void
disk_server (GError **error)
{
  forbid (SYS_listen, EADDRINUSE, 0, ANY);
  pcd_disk_server_new (getpid (), 0, error);
}

/* ---- processes ---- */

static void
socketpair_fails (GError **error)
{
  forbid (SYS_socketpair, EMFILE, 0, ANY);
  pcd_probe_run (NULL, error);
}

static void
fork_fails (GError **error)
{
  forbid (SYS_clone, EAGAIN, 0, ANY);
  pcd_probe_run (NULL, error);
}

static void
no_process (GError **error)
{
  pcd_hold_run (NO_PROCESS, 0, NULL, NULL, NULL, error);
}

/* A thread cannot trace its own process. */
static void
own_process (GError **error)
{
  pcd_hold_run (getpid (), 0, NULL, NULL, NULL, error);
}

static void
no_memory (GError **error)
{
  pcd_guest_memory_open (NO_PROCESS, error);
}

/* The folder, mem and pagemap are opened before. */
static void
smaps (GError **error)
{
  const int next = open ("/", O_PATH);
  struct rlimit limit = { (rlim_t)next + 3, (rlim_t)next + 3 };

  close (next);
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &limit), ==, 0);
  pcd_guest_memory_open (getpid (), error);
}

static void
read_page (gboolean shared, int nr, guint which, guint32 value, GError **error)
{
  int memfd = memfd_create ("pages", MFD_CLOEXEC);
  guint64 bitmap[PCD_GUEST_CHUNK_WORDS];
  guint8 buffer[PCD_GUEST_PAGE];
  guint present;

  g_assert_cmpint (ftruncate (memfd, (off_t)PCD_GUEST_PAGE), ==, 0);
  g_assert_cmpint (pwrite (memfd, "x", 1, 0), ==, 1);
  char *page = mmap (NULL, PCD_GUEST_PAGE, PROT_READ | PROT_WRITE,
                     shared ? MAP_SHARED : MAP_PRIVATE, memfd, 0);
  g_assert_true (page != MAP_FAILED);
  PcdGuestMemory *memory = pcd_guest_memory_open (getpid (), error);
  g_assert_nonnull (memory);
  forbid (nr, EIO, which, value);
  pcd_guest_memory_read (memory, (guint64)(gsize)page, 1, buffer, bitmap, &present, error);
}

static void
pagemap (GError **error)
{
  read_page (FALSE, SYS_pread64, 0, ANY, error);
}
static void
seek_data (GError **error)
{
  read_page (TRUE, SYS_lseek, 2, SEEK_DATA, error);
}
static void
seek_hole (GError **error)
{
  read_page (TRUE, SYS_lseek, 2, SEEK_HOLE, error);
}

static void
make_cgroup (GError **error)
{
  pcd_cgroup_make_own (NONE, getpid (), getpid (), error);
}

static void
no_cgroup (GError **error)
{
  pcd_cgroup_of_thread (NONE, getpid (), getpid (), error);
}

/* ---- files ---- */

static void
pty (GError **error)
{
  pcd_monitor_make_private (NONE, error);
}

static void
journal_lock_open (GError **error)
{
  g_autofree char *link = in_dir ("journal.lock");

  g_assert_cmpint (symlink ("elsewhere", link), ==, 0);
  pcd_journal_file_lock (dir, error);
}

static void
journal_lock (GError **error)
{
  forbid (SYS_flock, EIO, 0, ANY);
  pcd_journal_file_lock (dir, error);
}

static void
journal_home (GError **error)
{
  pcd_journal_file_lock ("/dev/null/x", error);
}

static void
journal_aside (GError **error)
{
  pcd_journal_file_set_aside (NONE "/journal.sqlite", "damaged", error);
}

static void
journal_make (GError **error)
{
  g_autofree char *notice = NULL;

  pcd_journal_file_open (NONE "/journal.sqlite", &notice, error);
}

/* It is set aside, so that what was wrong is in the notice. */
static void
journal_folder (GError **error)
{
  g_autofree char *path = in_dir ("journal.sqlite");
  g_autofree char *notice = NULL;

  g_assert_cmpint (mkdir (path, 0700), ==, 0);
  g_assert_nonnull (pcd_journal_file_open (path, &notice, error));
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, notice);
}

static void
journal_sync (GError **error)
{
  g_autofree char *path = in_dir ("journal.sqlite");
  g_autofree char *notice = NULL;

  forbid (SYS_openat, EMFILE, 2, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  pcd_journal_file_open (path, &notice, error);
}

static void
journal_nobody (GError **error)
{
  g_autofree char *path = make_file ("journal.sqlite", 0600, 0);

  become_nobody ();
  pcd_journal_file_open_read (path, error);
}

static void
marks (GError **error)
{
  pcd_plugin_marks_begin (NONE, "test.x", error);
}

static void
bundle_folder (GError **error)
{
  forbid (SYS_mkdirat, EROFS, 0, ANY);
  pcd_bundle_new (dir, "x", 1, error);
}

/* In the folder itself: on the way to it, descriptors take turns. */
static void
bundle_make (GError **error)
{
  const int next = open ("/", O_PATH);

  close (next);
  forbid (SYS_mkdirat, EROFS, 0, (guint32)next);
  pcd_bundle_new (dir, "x", 1, error);
}

static void
bundle_lock (GError **error)
{
  forbid (SYS_flock, EIO, 0, ANY);
  pcd_bundle_new (dir, "x", 1, error);
}

static void
bundle_note (GError **error)
{
  g_autoptr (PcdBundle) self = pcd_bundle_new (dir, "x", 1, error);

  g_assert_nonnull (self);
  forbid (SYS_openat, ENOSPC, 0, ANY);
  pcd_bundle_set_note_of (self, "disks", "x", error);
}

/* ---- whose a file is ---- */

static void
plugin (mode_t mode, uid_t uid, GError **error)
{
  g_autofree char *path = make_file ("x.so", mode, uid);

  pcd_plugin_file_open ("test.x", path, error);
}

static void
plugin_in (mode_t mode, uid_t uid, GError **error)
{
  g_autofree char *path = make_file ("x.so", 0600, 0);

  g_assert_cmpint (chown (dir, uid, uid), ==, 0);
  g_assert_cmpint (chmod (dir, mode), ==, 0);
  pcd_plugin_file_open ("test.x", path, error);
}

static void
trusted (const char *path, gboolean executable, GError **error)
{
  pcd_trusted_file_check (path, executable, error);
}

#define ROW(name, call)                                                                            \
  static void name (GError **error)                                                                \
  {                                                                                                \
    call;                                                                                          \
  }

ROW (plugin_relative, pcd_plugin_file_open ("test.x", "x.so", error))
ROW (plugin_owner, plugin (0600, NOBODY, error))
ROW (plugin_group, plugin (0660, 0, error))
ROW (plugin_all, plugin (0606, 0, error))
ROW (folder_owner, plugin_in (0700, NOBODY, error))
ROW (folder_group, plugin_in (0770, 0, error))
ROW (folder_all, plugin_in (0707, 0, error))
ROW (trusted_relative, trusted ("x", FALSE, error))
ROW (trusted_owner, trusted (make_file ("x", 0700, NOBODY), TRUE, error))
ROW (trusted_folder, trusted (dir, TRUE, error))

static void
trusted_group (GError **error)
{
  g_autofree char *path = make_file ("x", 0700, 0);

  g_assert_cmpint (chown (path, 0, NOBODY), ==, 0);
  g_assert_cmpint (chmod (path, 0770), ==, 0);
  trusted (path, TRUE, error);
}

static void
trusted_pipe (GError **error)
{
  g_autofree char *path = in_dir ("pipe");

  g_assert_cmpint (mkfifo (path, 0600), ==, 0);
  trusted (path, FALSE, error);
}

typedef struct {
  const char *name;
  void (*run) (GError **error);
  const char *words;
} Row;

static const Row rows[] = {
  { "netnews", netnews, "rtnetlink: Operation not permitted" },
  { "owner", owner, "pidfd_open: Function not implemented" },
  { "nobodys", nobodys, "no libvirt daemon is connected to the monitor of process " },
  { "pidfd-getfd", pidfd_getfd, "(needs CAP_SYS_PTRACE and Linux 5.6)" },
  { "tcp-info", tcp_info, "migration socket: TCP_INFO: Operation not permitted" },
  { "setsockopt-lies", setsockopt_lies, ", is " },
  { "no-tcp-socket", no_tcp_socket, "is not a TCP socket" },
  { "disk-server", disk_server, "a port of 127.0.0.1: Address already in use" },
  { "socketpair", socketpair_fails, "probe: socketpair: Too many open files" },
  { "fork", fork_fails, "probe: fork: Resource temporarily unavailable" },
  { "no-process", no_process, "no process 999999999" },
  { "own-process", own_process, "cannot be traced: Operation not permitted" },
  { "no-memory", no_memory, "the memory of process 999999999 cannot be read: No such file" },
  { "smaps", smaps, "cannot be read: smaps: Too many open files" },
  { "pagemap", pagemap, "pagemap of process " },
  { "seek-data", seek_data, "SEEK_DATA in a shared mapping of process " },
  { "seek-hole", seek_hole, "SEEK_HOLE in a shared mapping of process " },
  { "cgroup", make_cgroup, "cannot make " NONE },
  { "no-cgroup", no_cgroup, "is in no cgroup v2 that is visible here" },
  { "pty", pty, "cannot be made root's alone: No such file or directory" },
  { "journal-lock-open", journal_lock_open, "journal.lock: cannot open: Too many levels" },
  { "journal-lock", journal_lock, "journal.lock: cannot lock: Input/output error" },
  { "journal-home", journal_home, "/dev/null/x: cannot make the folder: Not a directory" },
  { "journal-aside", journal_aside, "journal.sqlite: cannot be set aside: No such file" },
  { "journal-make", journal_make, "journal.sqlite: cannot be made: No such file" },
  { "journal-folder", journal_folder, "journal.sqlite: is not a file; it was set aside as " },
  { "journal-sync", journal_sync, "journal.sqlite: its folder cannot be synced" },
  { "journal-nobody", journal_nobody, "permission denied; only root may read it" },
  { "plugin-marks", marks, "it cannot be written down that it runs: " NONE },
  { "bundle-folder", bundle_folder, "the folder cannot be made: Read-only file system" },
  { "bundle-make", bundle_make, "a new folder cannot be made: Read-only file system" },
  { "bundle-lock", bundle_lock, "a new folder cannot be locked: Input/output error" },
  { "bundle-note", bundle_note, "note-disks: No space left on device" },
  { "plugin-relative", plugin_relative, "x.so: is not an absolute path" },
  { "plugin-owner", plugin_owner, "is owned by user 65534, expected root" },
  { "plugin-group", plugin_group, "x.so: is writable by its group (mode 0660), expected by root" },
  { "plugin-all", plugin_all, "x.so: is writable by everyone (mode 0606), expected by root" },
  { "folder-owner", folder_owner, " is owned by user 65534, expected root" },
  { "folder-group", folder_group, " is writable by its group (mode 0770), expected by root" },
  { "folder-all", folder_all, " is writable by everyone (mode 0707), expected by root" },
  { "trusted-relative", trusted_relative, "x is not an absolute path" },
  { "trusted-owner", trusted_owner, "does not belong to root" },
  { "trusted-group", trusted_group, "is writable by its group, expected by root only" },
  { "trusted-folder", trusted_folder, "is not a file" },
  { "trusted-pipe", trusted_pipe, "is neither a file nor a folder" },
};

static void
test_row (gconstpointer data)
{
  const Row *row = data;
  const char *argv[] = { "rm", "-rf", NULL, NULL };
  int status = 0;

  argv[2] = dir = g_dir_make_tmp ("pcd-refused-XXXXXX", NULL);
  g_assert_nonnull (dir);
  pid_t pid = fork ();
  if (pid == 0) {
    g_autoptr (GError) error = NULL;

    prctl (PR_SET_PDEATHSIG, SIGKILL);
    row->run (&error);
    if (!error || !strstr (error->message, row->words))
      fprintf (stderr, "# said: %s\n", error ? error->message : "nothing");
    _exit (error && strstr (error->message, row->words) ? 0 : 1);
  }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               NULL, NULL, NULL));
  g_clear_pointer (&dir, g_free);
  g_assert_cmpint (status, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (rows) && geteuid () == 0; i++) {
    g_autofree char *path = g_strconcat ("/refused/", rows[i].name, NULL);

    g_test_add_data_func (path, &rows[i], test_row);
  }
  return g_test_run ();
}
