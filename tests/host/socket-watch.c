/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A watcher of one process's migration connections, for tests: find, arm, sample, judge, shut down,
 * say the cause. Prints one JSON object per event. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/pcd-sockets.h"

#define TICK        (200 * 1000)
#define MAX_SOCKETS 8

typedef struct {
  PcdSocket *socket;
  PcdNetHistory history;
  gboolean ended;
  PcdFlow flow;
  gint64 next;
} Watched;

static int pid, fd = -1, seconds = 10, timeout_ms = 2000;
static gboolean destination, no_arm, no_shut, no_probe;
static char *trace_path;
static char **exclude;

static const GOptionEntry entries[] = {
  { "pid", 'p', 0, G_OPTION_ARG_INT, &pid, "process", "PID" },
  { "fd", 'f', 0, G_OPTION_ARG_INT, &fd, "watch this descriptor; do not search", "FD" },
  { "destination", 'd', 0, G_OPTION_ARG_NONE, &destination, "role destination", NULL },
  { "seconds", 's', 0, G_OPTION_ARG_INT, &seconds, "stop after", "N" },
  { "timeout", 't', 0, G_OPTION_ARG_INT, &timeout_ms, "network-timeout", "MS" },
  { "trace", 0, 0, G_OPTION_ARG_FILENAME, &trace_path, "write samples of the first socket",
    "FILE" },
  { "exclude-port", 'x', 0, G_OPTION_ARG_STRING_ARRAY, &exclude, "known local port", "PORT" },
  { "no-arm", 0, 0, G_OPTION_ARG_NONE, &no_arm, "change no option", NULL },
  { "no-shut", 0, 0, G_OPTION_ARG_NONE, &no_shut, "only judge", NULL },
  { "no-probe", 0, 0, G_OPTION_ARG_NONE, &no_probe, "as without CAP_NET_ADMIN", NULL },
  { NULL },
};

static void
say (const char *event, const Watched *w, const char *what, const char *detail)
{
  const PcdSocketCandidate *c = w ? pcd_socket_get_candidate (w->socket) : NULL;

  printf (
      "{\"t\": %.3f, \"event\": \"%s\", \"fd\": %d, \"port\": %u, \"peer\": %u, \"what\": \"%s\", "
      "\"detail\": \"%s\"}\n",
      (double)g_get_monotonic_time () / 1e6, event, c ? c->fd : -1, c ? c->local.port : 0,
      c ? c->peer.port : 0, what, detail);
  fflush (stdout);
}

static GPtrArray *
find (PcdSockets *process, GError **error)
{
  PcdSocketExclusion known[8] = { 0 };
  gsize n = 0;
  gint64 start = g_get_monotonic_time ();
  g_autofree char *note = NULL;
  GPtrArray *found;

  for (; exclude && exclude[n] && n < G_N_ELEMENTS (known); n++) {
    known[n].endpoint.port = (guint16)atoi (exclude[n]);
    known[n].what = "excluded";
  }
  for (;;) {
    gint64 spent = g_get_monotonic_time () - start;

    g_clear_pointer (&note, g_free);
    found = pcd_sockets_scan (process, destination ? PCD_ROLE_DESTINATION : PCD_ROLE_SOURCE, known,
                              n, spent > G_USEC_PER_SEC, &note, error);
    if (found == NULL || found->len > 0 || spent > 2 * G_USEC_PER_SEC)
      break;
    g_ptr_array_unref (found);
    g_usleep (50 * 1000);
  }
  if (note)
    say ("note", NULL, "none", note);
  return found;
}

static GPtrArray *
take_fd (PcdSockets *process, GError **error)
{
  GPtrArray *found = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_socket_free);
  int here = (int)syscall (SYS_pidfd_getfd, pcd_sockets_get_pidfd (process), fd, 0);
  PcdSocket *socket = here < 0 ? NULL : pcd_socket_new_take (here, pid, fd, error);

  if (socket)
    g_ptr_array_add (found, socket);
  return found;
}

static void
end (Watched *w, const PcdNetConfig *config)
{
  g_autoptr (GError) error = NULL;
  PcdNetClose seen;
  const char *reason;
  PcdCause cause;

  if (!pcd_socket_close_evidence (w->socket, &seen, &error)) {
    say ("error", w, "evidence", error->message);
    return;
  }
  cause = pcd_net_cause (&w->history, &seen, config, &reason);
  say ("closed", w, pcd_cause_to_string (cause), reason);
  w->ended = TRUE;
  pcd_socket_free (g_steal_pointer (&w->socket));
}

static void
tick (Watched *w, const PcdNetConfig *config, FILE *trace)
{
  g_autoptr (GError) error = NULL;
  PcdNetSample s;
  PcdNetVerdict v;

  if (!pcd_socket_is_held (w->socket)) {
    say ("released", w, "", "");
    w->ended = TRUE;
    pcd_socket_free (g_steal_pointer (&w->socket));
    return;
  }
  if (!pcd_socket_sample (w->socket, &s, &error))
    g_error ("%s", error->message);
  pcd_net_judge (&w->history, &s, config, &w->history, &v);
  w->next = v.next;
  if (v.closed) {
    end (w, config);
    return;
  }
  if (trace) {
    g_autofree char *line = pcd_net_sample_to_string (&s);
    fprintf (trace, "%s\n", line);
    fflush (trace);
  }
  if (v.probe)
    pcd_socket_probe (w->socket);
  if (!pcd_socket_set_backstop (w->socket, !v.lift_backstop, &error))
    say ("error", w, "backstop", error->message);
  if (v.flow != w->flow || v.dead)
    say (v.dead ? "dead" : "flow", w, pcd_flow_to_string (v.flow), v.reason);
  w->flow = v.flow;
  if (v.dead && no_shut)
    w->ended = TRUE;
  else if (v.dead && pcd_socket_shutdown (w->socket, &error))
    end (w, config);
}

static guint
begin (GPtrArray *found, Watched *all)
{
  guint n = 0;

  for (; n < found->len && n < MAX_SOCKETS; n++) {
    Watched *w = &all[n];
    g_autoptr (GError) error = NULL;

    w->socket = g_steal_pointer (&found->pdata[n]);
    if (!no_arm && !pcd_socket_arm (w->socket, timeout_ms * 1000, 15 * G_USEC_PER_SEC, &error))
      say ("error", w, "arm", error->message);
    say ("watching", w, pcd_socket_can_probe (w->socket) ? "can-probe" : "cannot-probe",
         pcd_socket_get_match (w->socket)->reason);
  }
  return n;
}

/* The loop that a migration's watcher thread runs. */
static void
watch (PcdSockets *process, Watched *all, guint n, FILE *trace)
{
  gint64 stop = g_get_monotonic_time () + seconds * G_USEC_PER_SEC, next = 0, now;
  PcdNetConfig config = { timeout_ms * 1000, FALSE };
  guint left = n;

  while (left > 0 && g_get_monotonic_time () < stop) {
    struct pollfd polls[MAX_SOCKETS + 1] = { { pcd_sockets_get_pidfd (process), POLLIN, 0 } };
    gint64 wait = MAX (0, next - g_get_monotonic_time ());

    for (guint i = 0; i < n; i++)
      polls[i + 1] =
          (struct pollfd){ all[i].ended ? -1 : pcd_socket_get_fd (all[i].socket), POLLRDHUP, 0 };
    poll (polls, n + 1, (int)(wait / 1000) + 1);
    if (polls[0].revents) {
      say ("exited", NULL, "", "");
      return;
    }
    for (guint i = 0; i < n; i++)
      if (!all[i].ended && polls[i + 1].revents)
        end (&all[i], &config);
    now = g_get_monotonic_time ();
    next = now + TICK;
    for (guint i = 0; i < n; i++) {
      config.can_probe = !all[i].ended && !no_probe && pcd_socket_can_probe (all[i].socket);
      if (!all[i].ended && now >= all[i].next)
        tick (&all[i], &config, i == 0 ? trace : NULL);
      if (!all[i].ended)
        next = MIN (next, all[i].next);
    }
    left = 0;
    for (guint i = 0; i < n; i++)
      left += !all[i].ended;
  }
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdSockets) process = NULL;
  g_autoptr (GPtrArray) found = NULL;
  Watched all[MAX_SOCKETS] = { 0 };
  FILE *trace;
  guint n;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) ||
      !(process = pcd_sockets_open (pid, &error)) ||
      !(found = fd >= 0 ? take_fd (process, &error) : find (process, &error))) {
    fprintf (stderr, "%s\n", error->message);
    return 1;
  }
  trace = trace_path ? fopen (trace_path, "w") : NULL;
  n = begin (found, all);
  watch (process, all, n, trace);
  for (guint i = 0; i < n; i++)
    pcd_socket_free (all[i].socket);
  if (trace)
    fclose (trace);
  return 0;
}
