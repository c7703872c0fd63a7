/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pid files first, then a walk over /proc; each candidate is proven by its command line.
 * Must not block: the one file that may is read aside. */
#include "host/pcd-process.h"

#include "host/pcd-deadline.h"
#include "host/pcd-task.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CMDLINE_LIMIT_USEC G_USEC_PER_SEC
/* QEMU's command lines are a few KiB; with hundreds of disks some 100. */
#define CMDLINE_MAX (1024 * 1024)

static int
open_process (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d", (int)pid);

  return open (path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* %NULL if it may not be seen. */
static char *
read_link (int fd, const char *name)
{
  char target[4096];
  gssize length = readlinkat (fd, name, target, sizeof target);

  return length < 0 ? NULL : g_strndup (target, (gsize)length);
}

static gboolean
has_kvm_open (int process_fd)
{
  int folder = openat (process_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = folder < 0 ? NULL : fdopendir (folder);
  struct dirent *entry;
  gboolean found = FALSE;

  if (!dir) {
    if (folder >= 0)
      close (folder);
    return FALSE;
  }
  while (!found && (entry = readdir (dir))) {
    g_autofree char *target = read_link (dirfd (dir), entry->d_name);
    found = target &&
            (g_str_equal (target, "/dev/kvm") || g_str_has_prefix (target, "anon_inode:kvm-vm"));
  }
  closedir (dir);
  return found;
}

static gboolean
is_qemu_path (const char *program)
{
  g_autofree char *name = g_path_get_basename (program);

  return g_str_has_prefix (name, "qemu");
}

static gboolean
looks_like_qemu (int process_fd)
{
  g_autofree char *program = read_link (process_fd, "exe");
  g_autofree char *comm = pcd_task_read_file (process_fd, "comm");

  if (!program)
    return comm && g_str_has_prefix (comm, "qemu");
  return is_qemu_path (program) || has_kvm_open (process_fd);
}

gboolean
pcd_process_check_qemu (pid_t pid, GError **error)
{
  int fd = open_process (pid);
  g_autofree char *comm = fd < 0 ? NULL : pcd_task_read_file (fd, "comm");
  gboolean is_qemu = comm && looks_like_qemu (fd);

  if (fd >= 0)
    close (fd);
  if (!comm)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 _ ("no process %d: it has ended, or this user may not see it"), (int)pid);
  else if (!is_qemu)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 _ ("process %d (%s) is not a QEMU: neither is its program called so, nor does it "
                    "have KVM open"),
                 (int)pid, comm);
  return is_qemu;
}

typedef struct {
  int fd;
  GBytes *text;
} Cmdline;

static void
cmdline_free (gpointer data)
{
  Cmdline *cmdline = data;

  close (cmdline->fd);
  g_clear_pointer (&cmdline->text, g_bytes_unref);
  g_free (cmdline);
}

static void
cmdline_read (gpointer data)
{
  Cmdline *cmdline = data;
  g_autoptr (GByteArray) text = g_byte_array_new ();
  guint8 buffer[16 * 1024];
  gssize n_read;
  int file = openat (cmdline->fd, "cmdline", O_RDONLY | O_CLOEXEC);

  if (file < 0)
    return;
  while (text->len < CMDLINE_MAX && (n_read = read (file, buffer, sizeof buffer)) > 0)
    g_byte_array_append (text, buffer, (guint)n_read);
  close (file);
  cmdline->text = g_byte_array_free_to_bytes (g_steal_pointer (&text));
}

/* What a command line must say: an option, and its argument up to a comma or in whole. */
typedef struct {
  const char *option;
  char *argument;
  gboolean whole;
} Proof;

static void
proof_clear (Proof *proof)
{
  g_free (proof->argument);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Proof, proof_clear)

/* QEMU's option parser takes `,,` for a comma in a value. */
static Proof
proof_for (const char *uuid, const char *name)
{
  if (uuid)
    return (Proof){ .option = "-uuid", .argument = g_ascii_strdown (uuid, -1), .whole = TRUE };
  g_auto (GStrv) parts = g_strsplit (name, ",", -1);
  g_autofree char *escaped = g_strjoinv (",,", parts);
  return (Proof){ .option = "-name", .argument = g_strconcat ("guest=", escaped, NULL) };
}

/* `guest=a` begins `guest=a,debug-threads=on`, but not `guest=ab` nor `guest=a,,b`. */
static gboolean
starts_with_value (const char *text, const char *value)
{
  gsize length = strlen (value);

  if (!g_str_has_prefix (text, value))
    return FALSE;
  return text[length] == '\0' || (text[length] == ',' && text[length + 1] != ',');
}

/* Arguments are separated by zero bytes: an option and its argument are neighbours. */
static gboolean
proves (const Proof *proof, GBytes *text)
{
  gsize size;
  const char *at = g_bytes_get_data (text, &size), *end = at + size;
  gboolean expected = FALSE;

  while (at && at < end) {
    g_autofree char *one = g_strndup (at, (gsize)(end - at));
    if (expected && (proof->whole ? g_ascii_strcasecmp (one, proof->argument) == 0
                                  : starts_with_value (one, proof->argument)))
      return TRUE;
    expected = g_str_equal (one, proof->option);
    at += strlen (one) + 1;
  }
  return FALSE;
}

typedef enum { PROVEN, DISPROVEN, LATE } Finding;

static Finding
prove (int process_fd, const Proof *proof)
{
  Cmdline *cmdline = g_new0 (Cmdline, 1);

  cmdline->fd = fcntl (process_fd, F_DUPFD_CLOEXEC, 0);
  cmdline = pcd_deadline_wait (pcd_deadline_start ("cmdline", cmdline_read, cmdline, cmdline_free),
                               g_get_monotonic_time () + CMDLINE_LIMIT_USEC);
  if (!cmdline)
    return LATE;
  Finding finding = cmdline->text && proves (proof, cmdline->text) ? PROVEN : DISPROVEN;
  cmdline_free (cmdline);
  return finding;
}

static pid_t
find_by_pid_file (const Proof *proof, const char *name, const char *run_dir)
{
  g_autofree char *file = g_strconcat (name, ".pid", NULL);
  g_autofree char *path = g_build_filename (run_dir, file, NULL);
  g_autofree char *text = NULL;

  if (strchr (name, '/') || !g_file_get_contents (path, &text, NULL, NULL))
    return 0;
  pid_t pid = (pid_t)g_ascii_strtoll (text, NULL, 10);
  int fd = pid > 0 ? open_process (pid) : -1;
  if (fd < 0)
    return 0;
  Finding finding = prove (fd, proof);
  close (fd);
  return finding == PROVEN ? pid : 0;
}

static gboolean
shares_network (int process_fd, const struct stat *own)
{
  struct stat theirs;

  return fstatat (process_fd, "ns/net", &theirs, 0) == 0 && theirs.st_ino == own->st_ino &&
         theirs.st_dev == own->st_dev;
}

typedef struct {
  pid_t pid;
  guint n_found;
  guint n_late;
} Hunt;

static void
try_process (Hunt *hunt, pid_t pid, const Proof *proof, const struct stat *own)
{
  int fd = open_process (pid);

  if (fd < 0)
    return;
  if (shares_network (fd, own) && looks_like_qemu (fd)) {
    Finding finding = prove (fd, proof);
    hunt->n_late += finding == LATE ? 1 : 0;
    hunt->n_found += finding == PROVEN ? 1 : 0;
    hunt->pid = finding == PROVEN ? pid : hunt->pid;
  }
  close (fd);
}

static pid_t
find_by_walk (const Proof *proof, GError **error)
{
  DIR *dir = opendir ("/proc");
  struct stat own = { 0 };
  struct dirent *entry;
  Hunt hunt = { 0 };

  /* More than one that is late, and each costs a second: then it is not a matter of patience. */
  if (stat ("/proc/self/ns/net", &own) == 0)
    while (dir && hunt.n_late < 2 && (entry = readdir (dir)))
      if (g_ascii_isdigit (entry->d_name[0]))
        try_process (&hunt, atoi (entry->d_name), proof, &own);
  if (dir)
    closedir (dir);
  if (hunt.n_found == 1)
    return hunt.pid;
  if (hunt.n_found > 1)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _ ("%u processes of this host run with %s %s; choose one by its pid"),
                 hunt.n_found, proof->option, proof->argument);
  else if (hunt.n_late > 0)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                 _ ("a QEMU does not let its command line be read within 1 s"));
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 _ ("no QEMU of this host that this user may see runs with %s %s"), proof->option,
                 proof->argument);
  return 0;
}

pid_t
pcd_process_find_qemu (const char *uuid, const char *name, const char *run_dir, GError **error)
{
  g_auto (Proof) proof = proof_for (uuid, name);
  pid_t pid = name ? find_by_pid_file (&proof, name, run_dir ? run_dir : PCD_PROCESS_RUN_DIR) : 0;

  return pid > 0 ? pid : find_by_walk (&proof, error);
}
