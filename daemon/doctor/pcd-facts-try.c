/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can only be known by trying it: a userfaultfd as QEMU's user, the freezer on a process.
 * Leaves the host as it was; knows no judgement. */
#include "doctor/pcd-facts.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n.h>
#include <grp.h>
#include <linux/userfaultfd.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/pcd-cgroup.h"

#ifndef USERFAULTFD_IOC_NEW /* linux/userfaultfd.h of Linux 6.1 */
#define USERFAULTFD_IOC_NEW _IO (0xAA, 0x00)
#endif

#define FREEZE_USEC (500 * 1000)
#define STEP_USEC   (2 * 1000)

/* ---- userfaultfd ---- */

static int
try_device (void)
{
  int device = open ("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

  if (device < 0)
    return errno;
  return ioctl (device, USERFAULTFD_IOC_NEW, O_CLOEXEC) < 0 ? errno : 0;
}

/* In the child, after fork () of a process that may have threads: system calls only. */
static void
try_as (uid_t uid, gid_t gid, const gid_t *groups, int n_groups, int pipe)
{
  int results[2] = { -1, -1 };

  if (syscall (SYS_setgroups, n_groups, groups) == 0 &&
      syscall (SYS_setresgid, gid, gid, gid) == 0 && syscall (SYS_setresuid, uid, uid, uid) == 0) {
    /* Not UFFD_USER_MODE_ONLY: KVM's faults are the kernel's. */
    results[0] = syscall (SYS_userfaultfd, O_CLOEXEC) < 0 ? errno : 0;
    results[1] = try_device ();
  }
  if (write (pipe, results, sizeof results) < 0)
    _exit (1);
  _exit (0);
}

static gboolean
parse_label (const char *label, guint64 *ret_uid, guint64 *ret_gid)
{
  g_auto (GStrv) parts = g_strsplit (label ? label : "", ":", -1);

  return g_strv_length (parts) == 2 && parts[0][0] == '+' && parts[1][0] == '+' &&
         g_ascii_string_to_unsigned (parts[0] + 1, 10, 0, G_MAXUINT32 - 1, ret_uid, NULL) &&
         g_ascii_string_to_unsigned (parts[1] + 1, 10, 0, G_MAXUINT32 - 1, ret_gid, NULL);
}

void
pcd_facts_try_userfaultfd (PcdFacts *facts, const char *label)
{
  gid_t groups[256] = { 0 };
  int n_groups = G_N_ELEMENTS (groups), ends[2], results[2] = { -1, -1 };
  guint64 uid = 0, gid = 0;

  if (!facts->is_root || !parse_label (label, &uid, &gid) || pipe2 (ends, O_CLOEXEC) < 0)
    return;
  const struct passwd *user = getpwuid ((uid_t)uid);
  if (!user || getgrouplist (user->pw_name, (gid_t)gid, groups, &n_groups) < 0) {
    groups[0] = (gid_t)gid;
    n_groups = 1;
  }
  facts->qemu_uid = (gint64)uid;
  facts->qemu_user = user ? g_strdup (user->pw_name) : g_strdup_printf ("uid %u", (guint)uid);
  pid_t child = fork ();
  if (child == 0)
    try_as ((uid_t)uid, (gid_t)gid, groups, n_groups, ends[1]);
  close (ends[1]);
  if (child > 0 && read (ends[0], results, sizeof results) == (gssize)sizeof results) {
    facts->uffd_syscall = results[0];
    facts->uffd_device = results[1];
  }
  close (ends[0]);
  if (child > 0)
    waitpid (child, NULL, 0);
}

/* ---- the freezer ---- */

static pid_t
start_sleeper (void)
{
  pid_t parent = getpid (), child = fork ();

  if (child != 0)
    return child;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  while (getppid () == parent)
    pause ();
  _exit (0);
}

static gboolean
wait_for_state (const char *folder, gboolean frozen)
{
  gint64 until = g_get_monotonic_time () + FREEZE_USEC;

  while (pcd_cgroup_is_frozen (folder) != frozen) {
    if (g_get_monotonic_time () > until)
      return FALSE;
    g_usleep (STEP_USEC);
  }
  return TRUE;
}

static gboolean
join (const char *folder, pid_t pid, GError **error)
{
  g_autofree char *path = g_build_filename (folder, "cgroup.procs", NULL);
  g_autofree char *text = g_strdup_printf ("%d", (int)pid);
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  gssize n = fd < 0 ? -1 : write (fd, text, strlen (text));
  int saved = errno;

  if (fd >= 0)
    close (fd);
  if (n < 0)
    g_set_error (error, G_IO_ERROR, (gint)g_io_error_from_errno (saved), _ ("cannot write %s: %s"),
                 path, g_strerror (saved));
  return n >= 0;
}

static gboolean
freeze_and_thaw (const char *folder, pid_t pid, GError **error)
{
  if (!join (folder, pid, error) || !pcd_cgroup_mark (folder, TRUE, error) ||
      !pcd_cgroup_freeze (folder, TRUE, error))
    return FALSE;
  gboolean frozen = wait_for_state (folder, TRUE);
  gboolean thawed =
      pcd_cgroup_freeze (folder, FALSE, error) && frozen && wait_for_state (folder, FALSE);
  if (!thawed && (!error || !*error))
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, _ ("a process was not %s within %d ms"),
                 frozen ? _ ("thawed") : _ ("frozen"), FREEZE_USEC / 1000);
  return thawed;
}

static void
remove_folder (const char *folder)
{
  gint64 until = g_get_monotonic_time () + FREEZE_USEC;

  /* The kernel lets go of a process that was reaped a moment later. */
  while (rmdir (folder) < 0 && errno == EBUSY && g_get_monotonic_time () < until)
    g_usleep (STEP_USEC);
}

void
pcd_facts_try_freezer (PcdFacts *facts)
{
  g_autoptr (GError) error = NULL;

  facts->cgroup_mount = pcd_cgroup_find_mount (NULL);
  if (!facts->cgroup_mount || !facts->is_root)
    return;
  g_autofree char *name = g_strdup_printf (PCD_CGROUP_PREFIX "doctor-%d", (int)getpid ());
  g_autofree char *folder = g_build_filename (facts->cgroup_mount, name, NULL);
  if (mkdir (folder, 0755) < 0) {
    facts->freezer_error = g_strdup_printf (_ ("cannot make %s: %s"), folder, g_strerror (errno));
    return;
  }
  pid_t child = start_sleeper ();
  if (child < 0 || !freeze_and_thaw (folder, child, &error))
    facts->freezer_error = g_strdup (error ? error->message : _ ("no process could be started"));
  if (child > 0) {
    kill (child, SIGKILL);
    waitpid (child, NULL, 0);
  }
  remove_folder (folder);
}
