/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Puts the facts together: what takes long runs side by side.
 * Knows no judgement. */
#include "doctor/pcd-facts.h"

#include <gio/gio.h>
#include <glib/gi18n.h>
#include <unistd.h>

#include "doctor/pcd-ask.h"

static void
peer_facts_free (PcdPeerFacts *peer)
{
  g_free (peer->name);
  g_free (peer->address);
  g_free (peer->uri);
  pcd_answer_clear (&peer->answer);
  g_free (peer);
}

PcdFacts *
pcd_facts_new (void)
{
  PcdFacts *facts = g_new0 (PcdFacts, 1);

  facts->tcp_retries2 = facts->pty_max = facts->pty_nr = -1;
  facts->unprivileged_userfaultfd = facts->ptrace_scope = -1;
  facts->qemu_uid = facts->uffd_syscall = facts->uffd_device = -1;
  facts->peers = g_ptr_array_new_with_free_func ((GDestroyNotify)peer_facts_free);
  return facts;
}

void
pcd_facts_free (PcdFacts *facts)
{
  g_free (facts->hostname);
  g_free (facts->kernel);
  g_free (facts->probe_reason);
  g_free (facts->cgroup_mount);
  g_free (facts->freezer_error);
  g_free (facts->state_dir);
  g_free (facts->qemu_user);
  g_free (facts->hook_path);
  g_free (facts->libvirtd);
  g_free (facts->server_conf);
  g_free (facts->qemu_label);
  g_free (facts->uri);
  pcd_answer_clear (&facts->libvirt);
  g_ptr_array_unref (facts->peers);
  g_free (facts->bus_error);
  g_free (facts->daemon_error);
  g_free (facts->daemon_version);
  g_free (facts->daemon_reason);
  g_free (facts->config_path);
  g_free (facts->config_error);
  pcd_config_clear (&facts->config);
  g_clear_pointer (&facts->policies, pcd_policy_set_unref);
  g_free (facts->policies_error);
  g_clear_pointer (&facts->plugins, g_ptr_array_unref);
  g_free (facts);
}

static gpointer
run_probe (gpointer data)
{
  return pcd_probe_run (NULL, NULL);
}

/* It has a deadline of its own. */
static void
take_probe (PcdFacts *facts, GThread *thread)
{
  g_autoptr (PcdProbeResult) result = g_thread_join (thread);

  if (!result) {
    facts->probe_verdict = PCD_PROBE_VERDICT_UNKNOWN;
    facts->probe_how = PCD_PROBE_HOW_INFERRED;
    facts->probe_reason = g_strdup (_ ("the probe could not be started"));
    return;
  }
  facts->probe_verdict = result->verdict;
  facts->probe_how = result->how;
  facts->probe_reason = g_strdup (result->reason);
}

static void
list_peers (PcdFacts *facts)
{
  PcdPeers *peers = facts->config.peers;

  for (guint i = 0; peers && i < peers->peers->len; i++) {
    const PcdPeer *peer = g_ptr_array_index (peers->peers, i);

    for (guint j = 0; peer->addresses[j]; j++) {
      const char *uri = peer->libvirt_uri ? peer->libvirt_uri : peers->libvirt_uri;
      g_autoptr (PcdRoute) route = pcd_route_new (peer->addresses[j], uri);
      PcdPeerFacts *facts_of_peer = g_new0 (PcdPeerFacts, 1);

      facts_of_peer->name = g_strdup (peer->name);
      facts_of_peer->address = g_strdup (peer->addresses[j]);
      facts_of_peer->uri = g_strdup (route->libvirt_uri);
      g_ptr_array_add (facts->peers, facts_of_peer);
    }
  }
}

static void
ask_libvirts (PcdFacts *facts, const PcdFactsOptions *options)
{
  g_autoptr (GPtrArray) uris = g_ptr_array_new (), answers = g_ptr_array_new ();

  g_ptr_array_add (uris, facts->uri);
  g_ptr_array_add (answers, &facts->libvirt);
  for (guint i = 0; i < facts->peers->len; i++) {
    PcdPeerFacts *peer = g_ptr_array_index (facts->peers, i);

    g_ptr_array_add (uris, peer->uri);
    g_ptr_array_add (answers, &peer->answer);
  }
  g_ptr_array_add (uris, NULL);
  pcd_ask_all ((const char *const *)uris->pdata, (PcdAnswer **)answers->pdata, options->news,
               options->news_data);
}

static void
tell (const PcdFactsOptions *options, const char *text)
{
  if (options->news)
    options->news (text, options->news_data);
}

PcdFacts *
pcd_facts_gather (const PcdFactsOptions *options)
{
  PcdFacts *facts = pcd_facts_new ();
  GThread *probe;

  facts->is_root = geteuid () == 0;
  pcd_facts_look_at_host (facts);
  pcd_facts_try_freezer (facts);
  probe = g_thread_new ("probe", run_probe, NULL);
  tell (options, _ ("asking postcopyd"));
  pcd_facts_ask_daemon (facts, options);
  pcd_facts_look_at_state_dir (facts);
  pcd_facts_look_at_libvirt (facts);
  list_peers (facts);
  ask_libvirts (facts, options);
  const char *label = facts->libvirt.self.label;
  pcd_facts_try_userfaultfd (facts, label ? label : facts->qemu_label);
  tell (options, _ ("measuring how this kernel treats waiting vCPUs"));
  take_probe (facts, probe);
  return facts;
}
