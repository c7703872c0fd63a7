/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Kernel, user rights, time-outs, cgroups, name and clock of a host. Pure. */
#include "doctor/pcd-judge.h"

#include <errno.h>
#include <glib/gi18n.h>
#include <string.h>

#define RTO_MIN_USEC ((gint64)200 * 1000)
#define RTO_MAX_USEC ((gint64)120 * G_USEC_PER_SEC)

/* Some for serial consoles that are opened meanwhile. */
#define PTYS_TO_SPARE 8

#define QEMU_8_0 8000000

#define SYSCTL_FILE                                                                                \
  "/etc/sysctl.d/60-qemu-postcopy-migration.conf" /* libvirt's own name for it                     \
                                                   */

static void
judge_privileges (const PcdFacts *facts, GPtrArray *findings)
{
  if (!facts->is_root)
    pcd_findings_add (findings, "privileges", PCD_SEVERITY_WARNING, NULL,
                      g_strdup (_ ("not run as root")),
                      _ ("What only root can try and see is left out below: userfaultfd as QEMU's "
                         "user, the freezer, the running daemon's capabilities."),
                      "sudo postcopyctl doctor", NULL);
}

static void
judge_kernel (const PcdFacts *facts, GPtrArray *findings)
{
  const char *word = pcd_probe_verdict_to_string (facts->probe_verdict);
  const char *how = pcd_probe_how_to_string (facts->probe_how);
  gboolean good = facts->probe_how == PCD_PROBE_HOW_MEASURED &&
                  facts->probe_verdict >= PCD_PROBE_VERDICT_SLOW_PATH;
  g_autofree char *seen = g_strdup_printf (
      _ ("Linux %s: interruptible: %s (%s%s%s)"), facts->kernel ? facts->kernel : "?", word, how,
      facts->probe_reason ? ": " : "", facts->probe_reason ? facts->probe_reason : "");

  if (good)
    pcd_findings_add (findings, "kernel", PCD_SEVERITY_OK, NULL, g_steal_pointer (&seen),
                      pcd_probe_verdict_meaning (facts->probe_verdict), NULL);
  else
    pcd_findings_add (findings, "kernel", PCD_SEVERITY_NOTE, NULL, g_steal_pointer (&seen),
                      pcd_probe_verdict_meaning (facts->probe_verdict),
                      "postcopyctl probe # shows each kind of fault", NULL);
}

/* ---- userfaultfd ---- */

static void
refuse_userfaultfd (const PcdFacts *facts, GPtrArray *findings)
{
  if (facts->uffd_syscall == ENOSYS) {
    pcd_findings_add (findings, "userfaultfd", PCD_SEVERITY_ERROR, NULL,
                      g_strdup (_ ("this kernel has no userfaultfd")),
                      _ ("No post-copy migration can come to this host."),
                      _ ("# use a kernel with CONFIG_USERFAULTFD=y"), NULL);
    return;
  }
  pcd_findings_add (
      findings, "userfaultfd", PCD_SEVERITY_ERROR, NULL,
      g_strdup_printf (
          _ ("QEMU's user %s may not open a userfaultfd (vm.unprivileged_userfaultfd = %d): %s"),
          facts->qemu_user, facts->unprivileged_userfaultfd, g_strerror (facts->uffd_syscall)),
      _ ("No post-copy migration can come to this host: libvirt says \"Postcopy is not "
         "supported\"."),
      "echo 'vm.unprivileged_userfaultfd = 1' > " SYSCTL_FILE, "sysctl -p " SYSCTL_FILE, NULL);
}

static void
judge_userfaultfd (const PcdFacts *facts, GPtrArray *findings)
{
  if (facts->uffd_syscall == -1) {
    if (facts->is_root && !facts->libvirt.error)
      pcd_findings_add (
          findings, "userfaultfd", PCD_SEVERITY_NOTE, NULL,
          g_strdup (_ ("not tried: libvirt does not tell which user its QEMUs run as")),
          _ ("Without userfaultfd no post-copy migration can come to this host."), NULL);
    return;
  }
  if (facts->uffd_syscall == 0)
    pcd_findings_add (
        findings, "userfaultfd", PCD_SEVERITY_OK, NULL,
        g_strdup_printf (_ ("QEMU's user %s may open a userfaultfd (tried)"), facts->qemu_user),
        NULL, NULL);
  else if (facts->uffd_device == 0 && facts->libvirt.self.qemu >= QEMU_8_0)
    pcd_findings_add (
        findings, "userfaultfd", PCD_SEVERITY_NOTE, NULL,
        g_strdup_printf (_ ("QEMU's user %s may open a userfaultfd by /dev/userfaultfd only"),
                         facts->qemu_user),
        _ ("That is enough for QEMU 8.0 or later, if libvirt gives the device to it."),
        _ ("# /etc/libvirt/qemu.conf: /dev/userfaultfd in cgroup_device_acl"), NULL);
  else
    refuse_userfaultfd (facts, findings);
}

/* ---- TCP ---- */

gint64
pcd_judge_tcp_timeout_usec (int retries)
{
  gint64 total = 0, rto = RTO_MIN_USEC;

  for (int i = 0; i <= retries; i++) {
    total += rto;
    rto = MIN (rto * 2, RTO_MAX_USEC);
  }
  return total;
}

static void
judge_tcp (const PcdFacts *facts, GPtrArray *findings)
{
  const PcdConfig standard = { .network_timeout_usec = 2 * G_USEC_PER_SEC,
                               .backstop_usec = 15 * G_USEC_PER_SEC,
                               .arm = TRUE };
  const PcdConfig *config = facts->config.peers ? &facts->config : &standard;
  gint64 limit = config->backstop_usec ? config->backstop_usec : config->network_timeout_usec;

  if (facts->tcp_retries2 < 0)
    return;
  gint64 gives_up = pcd_judge_tcp_timeout_usec (facts->tcp_retries2);
  g_autofree char *seen = g_strdup_printf (
      _ ("net.ipv4.tcp_retries2 = %d: the kernel gives a silent connection up after %.1f s"),
      facts->tcp_retries2, (double)gives_up / G_USEC_PER_SEC);
  if (gives_up < limit)
    pcd_findings_add (
        findings, "tcp-retries", PCD_SEVERITY_WARNING, NULL, g_steal_pointer (&seen),
        _ ("A short outage ends migrations in pre-copy and libvirt's own connections, long before "
           "postcopyd's backstop; a slow network looks like a dead one."),
        "sysctl -w net.ipv4.tcp_retries2=15", _ ("# and take it out of the file that sets it:"),
        "grep -rl tcp_retries2 /etc/sysctl.conf /etc/sysctl.d /run/sysctl.d "
        "/usr/lib/sysctl.d",
        NULL);
  else if (!config->arm)
    pcd_findings_add (findings, "tcp-retries", PCD_SEVERITY_WARNING, NULL, g_steal_pointer (&seen),
                      _ ("[arm] enabled = no: nobody else looks whether a migration's connection "
                         "is dead, and one with nothing to send never finds out."),
                      _ ("# postcopyd.conf: [arm] enabled = yes"), "systemctl reload postcopyd",
                      NULL);
  else
    pcd_findings_add (findings, "tcp-retries", PCD_SEVERITY_OK, NULL, g_steal_pointer (&seen),
                      _ ("postcopyd notices sooner."), NULL);
}

/* ---- access to QEMU ---- */

static void
judge_ptrace (const PcdFacts *facts, GPtrArray *findings)
{
  if (facts->ptrace_scope >= 3)
    /* security/yama/yama_lsm.c: 3 refuses PTRACE_MODE_ATTACH to everybody, which pidfd_getfd ()
     * and /proc/PID/mem ask for; it cannot be taken back. */
    pcd_findings_add (findings, "ptrace-scope", PCD_SEVERITY_ERROR, NULL,
                      g_strdup_printf ("kernel.yama.ptrace_scope = %d", facts->ptrace_scope),
                      _ ("Nobody, not even root, may look into QEMU or take hold of its "
                         "connections: postcopyd can arm nothing and tell no blocked threads."),
                      "grep -rl ptrace_scope /etc/sysctl.conf /etc/sysctl.d",
                      _ ("# take it out of that file; 3 lasts until the next boot:"), "reboot",
                      NULL);
  else if (facts->ptrace_scope < 0)
    pcd_findings_add (findings, "ptrace-scope", PCD_SEVERITY_OK, NULL,
                      g_strdup (_ ("Yama is not in this kernel")), NULL, NULL);
  else
    pcd_findings_add (findings, "ptrace-scope", PCD_SEVERITY_OK, NULL,
                      g_strdup_printf ("kernel.yama.ptrace_scope = %d", facts->ptrace_scope), NULL,
                      NULL);
}

static gboolean
has_model (const PcdFacts *facts, const char *model)
{
  const char *models = facts->libvirt.self.models;
  g_auto (GStrv) list = g_strsplit (models ? models : "", ",", -1);

  return g_strv_contains ((const char *const *)list, model);
}

static void
judge_confinement (const PcdFacts *facts, GPtrArray *findings)
{
  if (facts->apparmor_enabled && has_model (facts, "apparmor")) {
    if (facts->has_pty_rule == PCD_FACT_NO)
      pcd_findings_add (findings, "apparmor", PCD_SEVERITY_ERROR, NULL,
                        g_strdup (_ ("AppArmor's profile of QEMU does not allow /dev/ptmx")),
                        _ ("The control monitor is a pty: a QEMU that may not open one does not "
                           "start, and the incoming migration fails."),
                        "echo '  /dev/ptmx rw,' >> /etc/apparmor.d/local/abstractions/libvirt-qemu",
                        "systemctl reload apparmor", NULL);
    else
      pcd_findings_add (findings, "apparmor", PCD_SEVERITY_OK, NULL,
                        g_strdup (_ ("AppArmor confines QEMU, and allows it a pty")), NULL, NULL);
  }
  if (facts->selinux_enforcing && has_model (facts, "selinux"))
    pcd_findings_add (findings, "selinux", PCD_SEVERITY_NOTE, NULL,
                      g_strdup (_ ("SELinux confines QEMU")),
                      _ ("The control monitor is a pty, which svirt's policy allows as libvirt's "
                         "serial consoles are ptys; this was not tested."),
                      _ ("# if a migration to this host fails: ausearch -m avc -ts recent"), NULL);
}

static void
judge_ptys (const PcdFacts *facts, GPtrArray *findings)
{
  if (facts->pty_max < 0 || facts->pty_nr < 0)
    return;
  g_autofree char *seen =
      g_strdup_printf (_ ("%d of %d ptys are in use"), facts->pty_nr, facts->pty_max);
  if (facts->pty_nr > facts->pty_max - PTYS_TO_SPARE)
    pcd_findings_add (findings, "control-monitor", PCD_SEVERITY_WARNING, NULL,
                      g_steal_pointer (&seen),
                      _ ("Each QEMU that comes here needs one for its control monitor; without it "
                         "QEMU does not start, and the migration fails."),
                      "sysctl -w kernel.pty.max=8192", NULL);
  else
    pcd_findings_add (findings, "control-monitor", PCD_SEVERITY_OK, NULL, g_steal_pointer (&seen),
                      NULL, NULL);
}

/* ---- the rest ---- */

static void
judge_freezer (const PcdFacts *facts, GPtrArray *findings)
{
  const char *const why =
      _ ("Where QMP stop would hang, postcopyd holds a guest still by cgroup v2's freezer. Without "
         "it freeze is refused; what else policies do goes on.");

  if (!facts->cgroup_mount)
    pcd_findings_add (findings, "freezer", PCD_SEVERITY_WARNING, NULL,
                      g_strdup (_ ("no cgroup v2 is mounted")), why,
                      "d=/sys/fs/cgroup; mkdir -p $d/unified 2>/dev/null && d=$d/unified; "
                      "mount -t cgroup2 cgroup2 $d",
                      _ ("# for good: boot with systemd.unified_cgroup_hierarchy=1"), NULL);
  else if (facts->freezer_error)
    pcd_findings_add (findings, "freezer", PCD_SEVERITY_WARNING, NULL,
                      g_strdup_printf (_ ("cgroup v2 at %s does not freeze: %s"),
                                       facts->cgroup_mount, facts->freezer_error),
                      why, _ ("# is it mounted read-only, or this a container?"),
                      "findmnt -t cgroup2", NULL);
  else
    pcd_findings_add (findings, "freezer", PCD_SEVERITY_OK, NULL,
                      g_strdup_printf (_ ("cgroup v2 at %s%s"), facts->cgroup_mount,
                                       facts->is_root ? _ (" freezes and thaws (tried)") : ""),
                      NULL, NULL);
}

static void
judge_name (const PcdFacts *facts, GPtrArray *findings)
{
  const char *name = facts->hostname ? facts->hostname : "";

  /* libvirt's qemuMigrationDstPrepareDirect () */
  if (g_str_has_prefix (name, "localhost") && !facts->migration_host_set)
    pcd_findings_add (findings, "hostname", PCD_SEVERITY_WARNING, NULL,
                      g_strdup_printf (_ ("this host calls itself %s"), name),
                      _ ("libvirt refuses migrations to it that name no address: \"hostname on "
                         "destination resolved to localhost, but migration requires an FQDN\"."),
                      "hostnamectl set-hostname NAME",
                      _ ("# or /etc/libvirt/qemu.conf: migration_host = \"ADDRESS\""),
                      "systemctl restart libvirtd", NULL);
  else
    pcd_findings_add (findings, "hostname", PCD_SEVERITY_OK, NULL, g_strdup (name), NULL, NULL);
}

static void
judge_clock (const PcdFacts *facts, GPtrArray *findings)
{
  if (facts->clock_synchronised)
    pcd_findings_add (findings, "clock", PCD_SEVERITY_OK, NULL,
                      g_strdup_printf (_ ("synchronised, within %.1f ms"),
                                       (double)facts->clock_error_usec / 1000),
                      NULL, NULL);
  else
    pcd_findings_add (findings, "clock", PCD_SEVERITY_NOTE, NULL,
                      g_strdup (_ ("the kernel says that nothing synchronises its clock")),
                      _ ("No decision of postcopyd is made by the wall clock; but times in the "
                         "timelines of two hosts cannot be compared."),
                      "systemctl enable --now systemd-timesyncd # or chrony", "timedatectl", NULL);
}

void
pcd_judge_host (const PcdFacts *facts, GPtrArray *findings)
{
  judge_privileges (facts, findings);
  judge_kernel (facts, findings);
  judge_userfaultfd (facts, findings);
  judge_tcp (facts, findings);
  judge_ptrace (facts, findings);
  judge_ptys (facts, findings);
  judge_confinement (facts, findings);
  judge_freezer (facts, findings);
  judge_name (facts, findings);
  judge_clock (facts, findings);
}
