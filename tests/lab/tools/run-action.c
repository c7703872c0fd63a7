/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs one built-in action on one domain, without the daemon: as soon as may be, or when the
 * destination's libvirt answers, as the daemon would. One JSON object per attempt on stdout. */
#include <gio/gio.h>
#include <stdio.h>

#include "engine/pcd-executor.h"
#include "engine/pcd-peers.h"
#include "host/pcd-netnews.h"
#include "libvirt/pcd-lookup.h"
#include "libvirt/pcd-peer.h"
#include "libvirt/pcd-vir.h"

#define DEADLINE_USEC (30 * (gint64)G_USEC_PER_SEC)
#define AGAIN_MSEC    200

static char *connect_uri, *role, *peer, *peer_uri, *addresses;
static int pid;
static gboolean force, when_answers, linger;

static const GOptionEntry entries[] = {
  { "connect", 'c', 0, G_OPTION_ARG_STRING, &connect_uri, "libvirt here", "URI" },
  { "role", 0, 0, G_OPTION_ARG_STRING, &role, "source (default) or destination", "ROLE" },
  { "pid", 0, 0, G_OPTION_ARG_INT, &pid, "QEMU here", "PID" },
  { "peer", 0, 0, G_OPTION_ARG_STRING, &peer, "the other host's address", "ADDRESS" },
  { "addresses", 0, 0, G_OPTION_ARG_STRING, &addresses, "all of its addresses", "LIST" },
  { "peer-uri", 0, 0, G_OPTION_ARG_STRING, &peer_uri, "its libvirt, a template", "URI" },
  { "force", 0, 0, G_OPTION_ARG_NONE, &force, "in spite of known bugs", NULL },
  { "when-answers", 0, 0, G_OPTION_ARG_NONE, &when_answers,
    "wait for the peer, and try until it is done", NULL },
  { "linger", 0, 0, G_OPTION_ARG_NONE, &linger, "stay until killed", NULL },
  { NULL },
};

typedef struct {
  GMainLoop *loop;
  PcdPlugins *plugins;
  PcdRequest request;
  PcdPeerWatch *watch;
  PcdFact answers;
  gboolean running;
  gint64 began;
  PcdOutcome outcome;
} Run;

static void start (Run *run);

static gboolean
again (gpointer data)
{
  start (data);
  return G_SOURCE_REMOVE;
}

static void
on_done (PcdOutcome outcome, const char *reason, gpointer data)
{
  Run *run = data;
  gint64 now = g_get_monotonic_time ();
  g_autofree char *quoted = g_strescape (reason ?: "", NULL);

  run->running = FALSE;
  run->outcome = outcome;
  g_print ("{\"outcome\":\"%s\",\"seconds\":%.3f,\"t\":%.3f,\"reason\":\"%s\"}\n",
           pcd_outcome_to_string (outcome), (double)(now - run->began) / 1e6, (double)now / 1e6,
           quoted);
  if (outcome != PCD_OUTCOME_DONE && when_answers)
    g_timeout_add (AGAIN_MSEC, again, run);
  else if (!linger)
    g_main_loop_quit (run->loop);
}

static void
start (Run *run)
{
  if (run->running || (when_answers && run->answers != PCD_FACT_YES))
    return;
  run->running = TRUE;
  run->began = g_get_monotonic_time ();
  pcd_executor_start (pcd_plugins_find (run->plugins, pcd_action_to_string (run->request.action)),
                      &run->request, DEADLINE_USEC, on_done, run);
}

static void
on_answers (PcdFact answers, const PcdRoute *route, gpointer data)
{
  Run *run = data;

  run->answers = answers;
  g_print ("{\"answers\":\"%s\",\"route\":\"%s\",\"t\":%.3f}\n",
           answers == PCD_FACT_YES ? "yes" : "no", route ? route->address : "",
           (double)g_get_monotonic_time () / 1e6);
  start (run);
}

static void
on_news (gpointer data)
{
  Run *run = data;

  g_print ("{\"news\":\"network\",\"t\":%.3f}\n", (double)g_get_monotonic_time () / 1e6);
  pcd_peer_watch_kick (run->watch);
}

static GPtrArray *
make_routes (GError **error)
{
  g_autoptr (PcdPeers) peers = pcd_peers_new ();

  if (addresses)
    pcd_peers_add (peers, "peer")->addresses = pcd_peers_parse_addresses (addresses);
  return pcd_peers_routes (peers, peer, NULL, peer_uri, error);
}

static gboolean
set_up (int argc, char **argv, Run *run, GError **error)
{
  g_autoptr (GOptionContext) context = g_option_context_new ("ACTION DOMAIN");

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, error))
    return FALSE;
  if (argc != 3 || !pcd_action_from_string (argv[1], &run->request.action) ||
      !pcd_plugins_find (run->plugins, argv[1])) {
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                         "expected ACTION DOMAIN, an action of this build");
    return FALSE;
  }
  if (!pcd_lookup_domain (connect_uri, argv[2], DEADLINE_USEC, (char **)&run->request.uuid,
                          (char **)&run->request.name, error))
    return FALSE;
  run->request.state = pcd_state_init (
      g_strcmp0 (role, "destination") == 0 ? PCD_ROLE_DESTINATION : PCD_ROLE_SOURCE, 0);
  run->request.pid = pid;
  run->request.libvirt_uri = connect_uri;
  run->request.peer_address = peer;
  run->request.force = force;
  run->request.host.peers = peer ? make_routes (error) : NULL;
  return !peer || run->request.host.peers;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdNetnews) news = NULL;
  Run run = { .loop = g_main_loop_new (NULL, FALSE), .outcome = PCD_OUTCOME_FAILED };

  setvbuf (stdout, NULL, _IOLBF, 0);
  pcd_vir_init ();
  run.plugins = pcd_plugins_new (NULL);
  if (!set_up (argc, argv, &run, &error)) {
    g_printerr ("run-action: %s\n", error->message);
    return 2;
  }
  if (when_answers) {
    run.watch = pcd_peer_watch_new (run.request.host.peers, on_answers, &run);
    news = pcd_netnews_new (on_news, &run, &error);
    g_assert_no_error (error);
  }
  start (&run);
  g_main_loop_run (run.loop);
  g_clear_pointer (&run.watch, pcd_peer_watch_free);
  pcd_plugins_free (run.plugins);
  return run.outcome == PCD_OUTCOME_DONE ? 0 : 1;
}
