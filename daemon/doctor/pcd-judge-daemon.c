/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyd itself: whether it runs and can work, its configuration, policies and journal. Pure. */
#include "doctor/pcd-judge.h"
#include "plugins/pcd-plugins.h"

#include <errno.h>
#include <glib/gi18n.h>
#include <inttypes.h>
#include <linux/capability.h>

#define LEAST_FREE_BYTES ((guint64)16 * 1024 * 1024)

static void
judge_running (const PcdFacts *facts, GPtrArray *findings)
{
  if (facts->bus_error)
    pcd_findings_add (findings, "daemon", PCD_SEVERITY_ERROR, NULL,
                      g_strdup_printf (_ ("the bus does not answer: %s"), facts->bus_error),
                      _ ("postcopyd works without it, but nobody can ask or tell it anything."),
                      "systemctl start dbus", _ ("# on another bus: postcopyctl --bus BUS doctor"),
                      NULL);
  else if (!facts->daemon_running)
    pcd_findings_add (findings, "daemon", PCD_SEVERITY_ERROR, NULL,
                      g_strdup (_ ("postcopyd does not run, or not on this bus")),
                      _ ("Nobody watches this host's migrations, or recovers them."),
                      "systemctl enable --now postcopyd", "systemctl status postcopyd", NULL);
  else if (facts->daemon_error)
    pcd_findings_add (findings, "daemon", PCD_SEVERITY_ERROR, NULL,
                      g_strdup_printf (_ ("postcopyd (process %d) does not answer: %s"),
                                       facts->daemon_pid, facts->daemon_error),
                      _ ("It does not work while it hangs; systemd's watchdog should end that."),
                      "systemctl restart postcopyd", NULL);
  else if (g_strcmp0 (facts->daemon_version, PCD_VERSION) != 0)
    pcd_findings_add (findings, "daemon", PCD_SEVERITY_WARNING, NULL,
                      g_strdup_printf (_ ("postcopyd %s runs, installed is %s"),
                                       facts->daemon_version ? facts->daemon_version : "?",
                                       PCD_VERSION),
                      _ ("What the newer one can do is not there before it is restarted."),
                      "systemctl restart postcopyd", NULL);
  else if (facts->daemon_dry_run)
    pcd_findings_add (
        findings, "daemon", PCD_SEVERITY_NOTE, NULL,
        g_strdup_printf (_ ("postcopyd (process %d) runs with --dry-run"), facts->daemon_pid),
        _ ("It tells what it would do, and does nothing."), "systemctl edit postcopyd",
        "systemctl restart postcopyd", NULL);
  else
    pcd_findings_add (findings, "daemon", PCD_SEVERITY_OK, NULL,
                      g_strdup_printf (_ ("postcopyd %s runs (process %d)"), facts->daemon_version,
                                       facts->daemon_pid),
                      NULL, NULL);
}

/* Not if libvirt does not answer us either: that has been told. */
static void
judge_connection (const PcdFacts *facts, GPtrArray *findings)
{
  if (!facts->daemon_running || facts->daemon_error || facts->daemon_connected ||
      facts->libvirt.error)
    return;
  pcd_findings_add (findings, "daemon-libvirt", PCD_SEVERITY_ERROR, NULL,
                    g_strdup_printf (_ ("postcopyd is not connected to libvirt: %s"),
                                     facts->daemon_reason ? facts->daemon_reason : "?"),
                    _ ("It sees no migration, though libvirt answers here."),
                    "systemctl restart postcopyd", "journalctl -u postcopyd -n 20", NULL);
}

/* ---- capabilities ---- */

#define BIT(capability) ((guint64)1 << (capability))

/* units/postcopyd.service.in says what each is for. @any_of: one of them is enough. */
static const struct {
  guint64 any_of;
  const char *name;
  PcdSeverity severity;
  const char *why;
} needed[] = {
  { BIT (CAP_SYS_PTRACE), "CAP_SYS_PTRACE", PCD_SEVERITY_ERROR,
    N_ ("postcopyd cannot take hold of QEMU's connections, nor see what its threads wait for: a "
        "dead network goes unnoticed for minutes.") },
  { BIT (CAP_DAC_READ_SEARCH) | BIT (CAP_DAC_OVERRIDE), "CAP_DAC_READ_SEARCH", PCD_SEVERITY_ERROR,
    N_ ("The /proc files of a QEMU that does not run as root are not root's: postcopyd cannot find "
        "its connections.") },
  { BIT (CAP_SYS_ADMIN), "CAP_SYS_ADMIN", PCD_SEVERITY_WARNING,
    N_ ("postcopyd cannot see on which path through the kernel a thread waits, and takes each for "
        "one that stop would hang on; and what it freezes it cannot mark as its own.") },
  { BIT (CAP_NET_ADMIN), "CAP_NET_ADMIN", PCD_SEVERITY_WARNING,
    N_ ("postcopyd cannot have the kernel ask a peer that is silent, and takes longer to tell a "
        "dead network from an idle or starved one.") },
};

static void
judge_capabilities (const PcdFacts *facts, GPtrArray *findings)
{
  gboolean any = FALSE;

  if (!facts->daemon_caps_known)
    return;
  for (guint i = 0; i < G_N_ELEMENTS (needed); i++) {
    if (facts->daemon_caps & needed[i].any_of)
      continue;
    g_autofree char *mend = g_strdup_printf (
        _ ("# in [Service]: CapabilityBoundingSet=%s, and no User= without AmbientCapabilities="),
        needed[i].name);
    pcd_findings_add (findings, "capabilities", needed[i].severity, NULL,
                      g_strdup_printf (_ ("postcopyd (process %d) runs without %s"),
                                       facts->daemon_pid, needed[i].name),
                      _ (needed[i].why), "systemctl edit postcopyd", mend,
                      "systemctl restart postcopyd", NULL);
    any = TRUE;
  }
  if (!any)
    pcd_findings_add (findings, "capabilities", PCD_SEVERITY_OK, NULL,
                      g_strdup (_ ("postcopyd has those that it needs")), NULL, NULL);
}

/* ---- configuration and policies ---- */

static void
judge_config (const PcdFacts *facts, GPtrArray *findings)
{
  g_autofree char *check =
      g_strdup_printf ("postcopyd --check-config --config %s", facts->config_path);

  if (facts->config_error)
    pcd_findings_add (findings, "config", PCD_SEVERITY_ERROR, NULL, g_strdup (facts->config_error),
                      _ ("postcopyd refuses to start with it; one that runs keeps its old "
                         "configuration until it is restarted."),
                      check, "systemctl reload postcopyd", NULL);
  else
    pcd_findings_add (findings, "config", PCD_SEVERITY_OK, NULL, g_strdup (facts->config_path),
                      NULL, NULL);
}

static gboolean
judge_match (const PcdFacts *facts, const PcdPolicyMatch *match, GPtrArray *findings)
{
  PcdPolicy *policy = pcd_policy_set_lookup (facts->policies, match->policy);

  if (!policy)
    pcd_findings_add (
        findings, "policies", PCD_SEVERITY_WARNING, match->policy,
        g_strdup_printf (_ ("%s chooses policy %s for \"%s\", and there is none of that name"),
                         facts->config_path, match->policy, match->pattern),
        _ ("It is passed over: recover holds."), "postcopyctl policy list",
        "systemctl reload postcopyd # once it is there, or the name mended", NULL);
  else if (policy->destructive && !facts->config.allow_destroy)
    pcd_findings_add (findings, "policies", PCD_SEVERITY_WARNING, match->policy,
                      g_strdup_printf (_ ("%s chooses policy %s for \"%s\", which destroys "
                                          "domains, and [host] allow-destroy is no"),
                                       facts->config_path, match->policy, match->pattern),
                      _ ("It is passed over: recover holds."),
                      _ ("# postcopyd.conf: [host] allow-destroy = yes, or another policy"),
                      "systemctl reload postcopyd", NULL);
  else
    return TRUE;
  return FALSE;
}

static void
judge_policies (const PcdFacts *facts, GPtrArray *findings)
{
  guint n = 0;
  const PcdPolicyMatch *matches = pcd_config_matches (&facts->config, &n);
  gboolean good = TRUE;

  if (facts->policies_error) {
    pcd_findings_add (findings, "policies", PCD_SEVERITY_ERROR, NULL,
                      g_strdup (facts->policies_error),
                      _ ("postcopyd refuses to start with bad policies; one that runs keeps its "
                         "old ones until it is restarted."),
                      "postcopyctl policy check FILE", "systemctl reload postcopyd", NULL);
    return;
  }
  for (guint i = 0; i < n; i++)
    good &= judge_match (facts, &matches[i], findings);
  if (good)
    pcd_findings_add (
        findings, "policies", PCD_SEVERITY_OK, NULL,
        g_strdup_printf (_ ("%u policies, all good"), pcd_policy_set_get_length (facts->policies)),
        NULL, NULL);
}

/* ---- the journal's directory ---- */

static void
judge_state_dir (const PcdFacts *facts, GPtrArray *findings)
{
  const char *const why = _ ("What postcopyd intends is written there before it is done. Without "
                             "it nothing is done, as a restart could do it twice.");
  const char *dir = facts->state_dir;
  g_autofree char *look = g_strdup_printf ("findmnt -T %s; ls -ld %s", dir, dir);

  if (!facts->is_root && facts->state_errno)
    return;
  if (facts->state_errno == ENOENT && !facts->daemon_running)
    pcd_findings_add (findings, "state-dir", PCD_SEVERITY_NOTE, NULL,
                      g_strdup_printf (_ ("%s does not exist"), dir),
                      _ ("systemd makes it when postcopyd is started."), NULL);
  else if (facts->state_errno)
    pcd_findings_add (findings, "state-dir", PCD_SEVERITY_ERROR, NULL,
                      g_strdup_printf ("%s: %s", dir, g_strerror (facts->state_errno)), why, look,
                      "systemctl restart postcopyd", NULL);
  else if (facts->state_is_volatile)
    pcd_findings_add (findings, "state-dir", PCD_SEVERITY_WARNING, NULL,
                      g_strdup_printf (_ ("%s is in memory (tmpfs)"), dir),
                      _ ("What was done and why is lost with a reboot, and incidents with it."),
                      look, _ ("# put it on a disk"), NULL);
  else if (facts->state_free < LEAST_FREE_BYTES)
    pcd_findings_add (
        findings, "state-dir", PCD_SEVERITY_WARNING, NULL,
        g_strdup_printf (_ ("%s has %" PRIu64 " KiB left"), dir, facts->state_free / 1024), why,
        _ ("# make room there"), NULL);
  else
    pcd_findings_add (findings, "state-dir", PCD_SEVERITY_OK, NULL, g_strdup (dir), NULL, NULL);
}

static void
judge_plugins (const PcdFacts *facts, GPtrArray *findings)
{
  guint n_bad = 0;

  for (guint i = 0; facts->plugins && i < facts->plugins->len; i++) {
    const PcdPluginView *view = facts->plugins->pdata[i];
    if (!view->problem)
      continue;
    n_bad++;
    pcd_findings_add (
        findings, "plugins", PCD_SEVERITY_WARNING, view->name, g_strdup (view->problem),
        _ ("postcopyd goes on without it: steps of policies that name it are refused."),
        "postcopyctl plugins", "systemctl reload postcopyd", NULL);
  }
  if (facts->plugins && facts->plugins->len > 0 && n_bad == 0)
    pcd_findings_add (findings, "plugins", PCD_SEVERITY_OK, NULL,
                      g_strdup_printf (_ ("%u plugins, all good"), facts->plugins->len), NULL,
                      NULL);
}

void
pcd_judge_daemon (const PcdFacts *facts, GPtrArray *findings)
{
  judge_running (facts, findings);
  judge_connection (facts, findings);
  judge_capabilities (facts, findings);
  judge_config (facts, findings);
  judge_plugins (facts, findings);
  judge_policies (facts, findings);
  judge_state_dir (facts, findings);
}

GPtrArray *
pcd_judge (const PcdFacts *facts)
{
  GPtrArray *findings = pcd_findings_new ();

  pcd_judge_host (facts, findings);
  pcd_judge_libvirt (facts, findings);
  pcd_judge_daemon (facts, findings);
  return findings;
}
