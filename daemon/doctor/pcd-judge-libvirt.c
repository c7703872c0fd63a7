/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt, its hook, its time-outs, known bugs, and the peers' libvirts. Pure. */
#include "doctor/pcd-judge.h"

#include <glib/gi18n.h>
#include <inttypes.h>

#define UPGRADE_LIBVIRT "apt-get install --only-upgrade libvirt-daemon # or dnf upgrade libvirt"
/* The hook is configuration: without the option a removed one stays away. */
#define REINSTALL                                                                                  \
  "apt-get install --reinstall -o Dpkg::Options::=--force-confmiss postcopyd # or dnf reinstall "  \
  "postcopyd"

/* libvirt's clocks have ticks of 10 ms (proc(5)), and take some more to look for hooks. */
#define START_SLACK_USEC (100 * 1000)

/* ---- known bugs ---- */

/**
 * Bug: versions as libvirt numbers them; @from is the first that has it, @before the first that
 * has not; both components must be in range.
 */
typedef struct {
  const char *id;
  gulong libvirt_from, libvirt_before;
  gulong qemu_from, qemu_before;
  PcdSeverity severity;
  const char *why;
  const char *mend;
} Bug;

#define ANY 0, G_MAXULONG

static const Bug bugs[] = {
  { "libvirt-version", 0, 9000000, ANY, PCD_SEVERITY_ERROR,
    N_ ("libvirt before 9.0 cannot resume a failed post-copy (\"not in post-copy phase\")."),
    UPGRADE_LIBVIRT },
  { "libvirt-version", 9000000, 11000000, ANY, PCD_SEVERITY_NOTE,
    N_ ("libvirt 9.0 to 10.10 may say that a resume failed while it proceeds; postcopyd believes "
        "QEMU."),
    NULL },
  { "libvirt-version", 11000000, 11005000, ANY, PCD_SEVERITY_NOTE,
    N_ ("In libvirt 11.0 to 11.4 reading a domain's XML on the destination waits for 30 s while a "
        "migration is paused; postcopyd does without it."),
    NULL },
  { "libvirt-version", 11002000, 11004000, ANY, PCD_SEVERITY_ERROR,
    N_ ("The daemon of libvirt 11.2 and 11.3 crashes on the destination when a migration is "
        "resumed; postcopyd does not try to recover a migration to it."),
    UPGRADE_LIBVIRT },
  /* The state came in June 2024 (QEMU 9.1): no libvirt before 10.5 can know it. */
  { "libvirt-version", 0, 10005000, 9001000, G_MAXULONG, PCD_SEVERITY_WARNING,
    N_ ("This libvirt does not know the state postcopy-recover-setup, which its QEMU (9.1 or "
        "later) has in a recovery."),
    UPGRADE_LIBVIRT },
  { "libvirt-version", 0, 11004000, 10002000, G_MAXULONG, PCD_SEVERITY_WARNING,
    N_ ("This libvirt does not know the state postcopy-device, which its QEMU (10.2 or later) has "
        "at the switch-over."),
    UPGRADE_LIBVIRT },
  /* QEMU commit f8c543e8, "Allow network to fail even during recovery". */
  { "qemu-version", ANY, 1, 8002000, PCD_SEVERITY_NOTE,
    N_ ("QEMU before 8.2 does not survive it when the connection ends once more during a recovery; "
        "postcopyd leaves connections alone then."),
    NULL },
};

static gboolean
applies (const Bug *bug, const PcdVirSelf *self)
{
  return self->libvirt >= bug->libvirt_from && self->libvirt < bug->libvirt_before &&
         self->qemu >= bug->qemu_from && self->qemu < bug->qemu_before;
}

static char *
version_to_string (const char *what, gulong version)
{
  if (version == 0)
    return g_strdup_printf (_ ("%s, version not known"), what);
  return g_strdup_printf ("%s %lu.%lu.%lu", what, version / 1000000, version / 1000 % 1000,
                          version % 1000);
}

static void
judge_component (const PcdVirSelf *self,
                 const char *id,
                 const char *what,
                 gulong version,
                 const char *about,
                 GPtrArray *findings)
{
  g_autofree char *seen = version_to_string (what, version);
  gboolean any = FALSE;

  for (guint i = 0; i < G_N_ELEMENTS (bugs); i++) {
    if (!g_str_equal (bugs[i].id, id) || !applies (&bugs[i], self))
      continue;
    pcd_findings_add (findings, id, bugs[i].severity, about, g_strdup (seen), _ (bugs[i].why),
                      bugs[i].mend, NULL);
    any = TRUE;
  }
  if (!any)
    pcd_findings_add (findings, id, PCD_SEVERITY_OK, about, g_steal_pointer (&seen), NULL, NULL);
}

static void
judge_versions (const PcdVirSelf *self, const char *about, GPtrArray *findings)
{
  judge_component (self, "libvirt-version", "libvirt", self->libvirt, about, findings);
  judge_component (self, "qemu-version", "QEMU", self->qemu, about, findings);
}

/* ---- this host's libvirt ---- */

static void
judge_own (const PcdFacts *facts, GPtrArray *findings)
{
  g_autofree char *check = g_strdup_printf ("virsh -c %s version", facts->uri);

  if (facts->libvirt.error) {
    pcd_findings_add (
        findings, "libvirt", PCD_SEVERITY_ERROR, NULL,
        g_strdup_printf ("%s: %s", facts->uri, facts->libvirt.error),
        _ ("Nothing migrates to or from here without it, and postcopyd sees nothing."),
        "systemctl start libvirtd # or virtqemud.socket", check, NULL);
    return;
  }
  pcd_findings_add (findings, "libvirt", PCD_SEVERITY_OK, NULL,
                    g_strdup_printf (_ ("%s answers"), facts->uri), NULL, NULL);
  judge_versions (&facts->libvirt.self, NULL, findings);
}

static void
judge_keepalive_of (const PcdFacts *facts,
                    PcdKeepalive keepalive,
                    const char *path,
                    GPtrArray *findings)
{
  gint64 gives_up = (gint64)keepalive.interval * (keepalive.count + 1);
  gint64 least = facts->config.peers ? 2 * facts->config.network_timeout_usec / G_USEC_PER_SEC : 4;
  g_autofree char *seen = g_strdup_printf ("keepalive_interval = %d, keepalive_count = %d",
                                           keepalive.interval, keepalive.count);
  g_autofree char *mend =
      g_strdup_printf ("# %s: keepalive_interval = 5, keepalive_count = 5", path);
  static const char restart[] = "systemctl restart libvirtd # or virtqemud virtproxyd";

  if (keepalive.interval <= 0)
    pcd_findings_add (findings, "keepalive", PCD_SEVERITY_WARNING, path, g_steal_pointer (&seen),
                      _ ("libvirt never notices that the other host's libvirt is gone: its job on "
                         "the domain stays, and no recovery can begin."),
                      mend, restart, NULL);
  else if (gives_up > 120)
    pcd_findings_add (findings, "keepalive", PCD_SEVERITY_WARNING, path, g_steal_pointer (&seen),
                      _ ("libvirt takes minutes to notice that the other host's libvirt is gone, "
                         "and no recovery can begin before."),
                      mend, restart, NULL);
  else if (gives_up < least)
    pcd_findings_add (
        findings, "keepalive", PCD_SEVERITY_WARNING, path, g_steal_pointer (&seen),
        _ ("libvirt gives the other host's libvirt up sooner than postcopyd would judge the "
           "migration's connection dead: it reports failures while QEMU goes on."),
        mend, restart, NULL);
  else
    pcd_findings_add (
        findings, "keepalive", PCD_SEVERITY_OK, path,
        g_strdup_printf (_ ("libvirt notices a silent peer after %" PRId64 " s"), gives_up), NULL,
        NULL);
}

/* ---- the hook ---- */

static void
judge_hook (const PcdFacts *facts, GPtrArray *findings)
{
  const char *const why =
      _ ("It gives an incoming domain its control monitor. Without that, postcopyd cannot stop a "
         "guest here, nor tell QEMU to pause out of band; it recovers and freezes all the same.");
  const char *path = facts->hook_path;
  g_autofree char *chmod = g_strdup_printf ("chmod 755 $(readlink -f %s)", path);
  g_autofree char *chown = g_strdup_printf ("chown root: %s $(readlink -f %s)", path, path);

  switch (facts->hook) {
  case PCD_HOOK_OK:
    pcd_findings_add (findings, "hook", PCD_SEVERITY_OK, NULL, g_strdup (path), NULL, NULL);
    break;
  case PCD_HOOK_MISSING:
  case PCD_HOOK_DANGLING:
    pcd_findings_add (
        findings, "hook", PCD_SEVERITY_WARNING, NULL,
        g_strdup_printf (facts->hook == PCD_HOOK_MISSING
                             ? _ ("there is no %s")
                             : _ ("%s is there, and the program that it leads to is not"),
                         path),
        why, REINSTALL, _ ("# if it was built from source: meson install -C build"),
        "systemctl restart libvirtd # or virtqemud", NULL);
    break;
  case PCD_HOOK_NOT_EXECUTABLE:
    pcd_findings_add (findings, "hook", PCD_SEVERITY_WARNING, NULL,
                      g_strdup_printf (_ ("%s is not executable: libvirt passes it over"), path),
                      why, chmod, "systemctl restart libvirtd # or virtqemud", NULL);
    break;
  case PCD_HOOK_UNSAFE:
    pcd_findings_add (findings, "hook", PCD_SEVERITY_ERROR, NULL,
                      g_strdup_printf (_ ("others than root may write to %s"), path),
                      _ ("libvirt runs it as root."), chown, chmod, NULL);
    break;
  }
}

/* Whether libvirt looked for hooks when there was one: it does so when it starts, and on SIGHUP,
 * and remembers only whether there was any (virhook.c, virHooksFound); which ones it runs is read
 * anew each time. Tried with 9.0: after SIGHUP the first hook runs. But that one came is not to be
 * seen from outside. */
static void
judge_hook_seen (const PcdFacts *facts, GPtrArray *findings)
{
  if (facts->hook != PCD_HOOK_OK && facts->hook != PCD_HOOK_UNSAFE)
    return;
  if (!facts->libvirtd) {
    if (!facts->libvirt.error)
      pcd_findings_add (
          findings, "hook-seen", PCD_SEVERITY_NOTE, NULL,
          g_strdup (_ ("libvirt's daemon was not found among the processes here")),
          _ ("It notices its first hook only when it starts; this could not be checked."), NULL);
    return;
  }
  g_autofree char *restart = g_strdup_printf ("systemctl restart %s", facts->libvirtd);
  if (facts->hooks_since > facts->libvirtd_started + START_SLACK_USEC)
    pcd_findings_add (findings, "hook-seen", PCD_SEVERITY_WARNING, NULL,
                      g_strdup_printf (_ ("%s (process %d) is older than the files of the hook"),
                                       facts->libvirtd, facts->libvirtd_pid),
                      _ ("libvirt looks whether there are hooks when it starts. If there was none "
                         "then, incoming domains get no control monitor. Running domains do not "
                         "mind the restart; migrations do."),
                      restart, NULL);
  else
    pcd_findings_add (findings, "hook-seen", PCD_SEVERITY_OK, NULL,
                      g_strdup_printf (_ ("%s (process %d) started after it was there"),
                                       facts->libvirtd, facts->libvirtd_pid),
                      NULL, NULL);
}

/* ---- peers ---- */

static gboolean
answers_elsewhere (const PcdFacts *facts, const PcdPeerFacts *peer)
{
  for (guint i = 0; i < facts->peers->len; i++) {
    const PcdPeerFacts *other = g_ptr_array_index (facts->peers, i);

    if (g_str_equal (other->name, peer->name) && !other->answer.error)
      return TRUE;
  }
  return FALSE;
}

static void
refuse_peer (const PcdFacts *facts,
             const PcdPeerFacts *peer,
             const char *about,
             GPtrArray *findings)
{
  gboolean elsewhere = answers_elsewhere (facts, peer);
  PcdSeverity severity = elsewhere ? PCD_SEVERITY_WARNING : PCD_SEVERITY_ERROR;
  const char *why = elsewhere ? _ ("postcopyd recovers over the peer's other addresses only.")
                              : _ ("postcopyd cannot recover a migration to this peer.");
  g_autofree char *ping = g_strdup_printf ("ping -c 3 %s", peer->address);
  g_autofree char *check = g_strdup_printf ("virsh -c '%s' version", peer->uri);

  if (peer->answer.unreachable)
    pcd_findings_add (findings, "peer", severity, about, g_strdup (peer->answer.error), why, ping,
                      _ ("# is the host up, its firewall open for libvirt's port?"), check, NULL);
  else if (peer->answer.refused)
    pcd_findings_add (
        findings, "peer", severity, about,
        g_strdup_printf (_ ("%s: the host is there, its libvirt does not listen"),
                         peer->answer.error),
        why, _ ("# on that host, as the URI has it:"),
        "systemctl enable --now libvirtd-tls.socket # or virtproxyd-tls.socket, -tcp.socket", check,
        NULL);
  else
    pcd_findings_add (
        findings, "peer", severity, about,
        g_strdup_printf ("%s: %s", peer->uri, peer->answer.error), why,
        _ ("# libvirt on this host opens it as root, with root's keys and certificates"),
        "virt-pki-validate", check, NULL);
}

static void
judge_peer (const PcdFacts *facts, const PcdPeerFacts *peer, GPtrArray *findings)
{
  g_autofree char *about = g_strdup_printf ("%s %s", peer->name, peer->address);
  const char *own = facts->libvirt.self.uuid, *its = peer->answer.self.uuid;

  if (peer->answer.error) {
    refuse_peer (facts, peer, about, findings);
    return;
  }
  if (own && its && g_str_equal (own, its))
    pcd_findings_add (findings, "peer", PCD_SEVERITY_ERROR, about,
                      g_strdup_printf (_ ("its libvirt has this host's UUID, %s"), its),
                      _ ("libvirt refuses to migrate \"to the same host\"; and if it is this very "
                         "host, it is no peer."),
                      _ ("# on one of them, in /etc/libvirt/libvirtd.conf or virtqemud.conf:"),
                      "echo \"host_uuid = \\\"$(uuidgen)\\\"\" >> /etc/libvirt/libvirtd.conf",
                      "systemctl restart libvirtd", NULL);
  else
    pcd_findings_add (findings, "peer", PCD_SEVERITY_OK, about,
                      g_strdup_printf (_ ("%s answers"), peer->uri), NULL, NULL);
}

static void
judge_peers (const PcdFacts *facts, GPtrArray *findings)
{
  const char *last = NULL;

  for (guint i = 0; i < facts->peers->len; i++) {
    const PcdPeerFacts *peer = g_ptr_array_index (facts->peers, i);

    judge_peer (facts, peer, findings);
    /* Once for each host. */
    if (!peer->answer.error && g_strcmp0 (last, peer->name) != 0) {
      judge_versions (&peer->answer.self, peer->name, findings);
      last = peer->name;
    }
  }
}

void
pcd_judge_libvirt (const PcdFacts *facts, GPtrArray *findings)
{
  judge_own (facts, findings);
  judge_keepalive_of (facts, facts->keepalive, "/etc/libvirt/qemu.conf", findings);
  judge_keepalive_of (facts, facts->server_keepalive, facts->server_conf, findings);
  judge_hook (facts, findings);
  judge_hook_seen (facts, findings);
  judge_peers (facts, findings);
}
