/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What /proc, /sys and a few system calls tell of this host.
 * Knows no judgement. */
#include "doctor/pcd-facts.h"

#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/timex.h>
#include <unistd.h>

#define PTY_RULE_FILE "/etc/apparmor.d/abstractions/libvirt-qemu"

static char *
read_line (const char *path)
{
  char *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? g_strstrip (text) : NULL;
}

static int
read_number (const char *path)
{
  g_autofree char *text = read_line (path);
  gint64 number = 0;

  if (!text || !g_ascii_string_to_signed (text, 10, G_MININT, G_MAXINT, &number, NULL))
    return -1;
  return (int)number;
}

/* As shipped: `/dev/ptmx rw,`. */
static PcdFact
has_pty_rule (void)
{
  g_autofree char *text = NULL;

  if (!g_file_get_contents (PTY_RULE_FILE, &text, NULL, NULL))
    return PCD_FACT_UNKNOWN;
  return g_regex_match_simple ("^\\s*/dev/ptmx\\s+rw", text, G_REGEX_MULTILINE, 0) ? PCD_FACT_YES
                                                                                   : PCD_FACT_NO;
}

static void
look_at_clock (PcdFacts *facts)
{
  struct timex clock = { .modes = 0 };

  facts->clock_synchronised = adjtimex (&clock) != TIME_ERROR && !(clock.status & STA_UNSYNC);
  facts->clock_error_usec = clock.maxerror;
}

void
pcd_facts_look_at_host (PcdFacts *facts)
{
  g_autofree char *apparmor = read_line ("/sys/module/apparmor/parameters/enabled");

  facts->hostname = read_line ("/proc/sys/kernel/hostname");
  facts->kernel = read_line ("/proc/sys/kernel/osrelease");
  facts->tcp_retries2 = read_number ("/proc/sys/net/ipv4/tcp_retries2");
  facts->pty_max = read_number ("/proc/sys/kernel/pty/max");
  facts->pty_nr = read_number ("/proc/sys/kernel/pty/nr");
  facts->unprivileged_userfaultfd = read_number ("/proc/sys/vm/unprivileged_userfaultfd");
  facts->ptrace_scope = read_number ("/proc/sys/kernel/yama/ptrace_scope");
  facts->apparmor_enabled = g_strcmp0 (apparmor, "Y") == 0;
  facts->has_pty_rule = facts->apparmor_enabled ? has_pty_rule () : PCD_FACT_UNKNOWN;
  facts->selinux_enforcing = read_number ("/sys/fs/selinux/enforce") == 1;
  look_at_clock (facts);
}

void
pcd_facts_look_at_state_dir (PcdFacts *facts)
{
  struct statfs fs;

  /* Root's access () still says no where the file system does. */
  facts->state_errno = access (facts->state_dir, W_OK | X_OK) < 0 ? errno : 0;
  if (statfs (facts->state_dir, &fs) < 0)
    return;
  facts->state_is_volatile = fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC;
  facts->state_free = (guint64)fs.f_bavail * (guint64)fs.f_bsize;
}
