/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The migration connections of one QEMU: finds, arms, samples, judges and drops them.
 * Decides nothing itself: core/pcd-net judges, core/pcd-socket-match picks. */
#include "engine/pcd-lines.h"

#include "host/pcd-interface.h"

typedef struct {
  PcdSocket *socket;
  char *local;
  char *remote;
  char *ends;      /* both, as in the log */
  char *interface; /* (nullable): as it was found: an end may outlive its address */
  PcdNetHistory history;
  PcdNetVerdict verdict;
  gboolean shut_by_us;
  gboolean arming_failed;
} Line;

struct _PcdLines {
  PcdSockets *process;
  PcdRole role;
  PcdConfig config;
  PcdTcpLog *log;
  GPtrArray *open; /* (element-type Line) */
};

static void
line_free (Line *line)
{
  g_clear_pointer (&line->socket, pcd_socket_free);
  g_free (line->local);
  g_free (line->remote);
  g_free (line->ends);
  g_free (line->interface);
  g_free (line);
}

PcdLines *
pcd_lines_new (PcdSockets *process, PcdRole role, const PcdConfig *config, PcdTcpLog *log)
{
  PcdLines *lines = g_new0 (PcdLines, 1);

  lines->process = process;
  lines->role = role;
  lines->config = pcd_config_copy (config);
  lines->log = pcd_tcp_log_ref (log);
  lines->open = g_ptr_array_new_with_free_func ((GDestroyNotify)line_free);
  return lines;
}

void
pcd_lines_free (PcdLines *lines)
{
  g_ptr_array_unref (lines->open);
  pcd_config_clear (&lines->config);
  pcd_tcp_log_unref (lines->log);
  g_free (lines);
}

guint
pcd_lines_count (const PcdLines *lines)
{
  return lines->open->len;
}

static gboolean
is_known (const PcdLines *lines, guint64 inode)
{
  for (guint i = 0; i < lines->open->len; i++) {
    const Line *line = g_ptr_array_index (lines->open, i);

    if (pcd_socket_get_candidate (line->socket)->inode == inode)
      return TRUE;
  }
  return FALSE;
}

static gboolean
arm (const PcdLines *lines, Line *line, GError **error)
{
  const PcdConfig *config = &lines->config;

  return pcd_socket_arm (line->socket, config->network_timeout_usec, config->backstop_usec,
                         error) &&
         (config->backstop_usec > 0 || pcd_socket_set_backstop (line->socket, FALSE, error));
}

guint
pcd_lines_arm (PcdLines *lines, char **ret_note)
{
  guint n_armed = 0;

  for (guint i = 0; lines->config.arm && i < lines->open->len; i++) {
    Line *line = g_ptr_array_index (lines->open, i);
    g_autoptr (GError) error = NULL;

    if (pcd_socket_is_armed (line->socket) || line->arming_failed)
      continue;
    if (arm (lines, line, &error)) {
      n_armed++;
      continue;
    }
    line->arming_failed = TRUE;
    g_free (*ret_note);
    *ret_note = g_strdup_printf ("%s could not be armed: %s", line->local, error->message);
  }
  return n_armed;
}

static void
adopt (PcdLines *lines, PcdSocket *socket)
{
  const PcdSocketCandidate *ends = pcd_socket_get_candidate (socket);
  Line *line = g_new0 (Line, 1);

  line->socket = socket;
  line->local = pcd_socket_endpoint_to_string (&ends->local);
  line->remote = pcd_socket_endpoint_to_string (&ends->peer);
  line->ends = g_strdup_printf ("%s -> %s", line->local, line->remote);
  line->interface = pcd_interface_of (line->local);
  g_ptr_array_add (lines->open, line);
}

guint
pcd_lines_scan (PcdLines *lines, gboolean eliminate, char **ret_note)
{
  g_autoptr (GPtrArray) found = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *note = NULL;
  guint n_new = 0;

  found = pcd_sockets_scan (lines->process, lines->role, NULL, 0, eliminate, &note, &error);
  if (!found) {
    *ret_note = g_strdup (error->message);
    return 0;
  }
  while (found->len > 0) {
    PcdSocket *socket = g_ptr_array_steal_index (found, found->len - 1);

    if (is_known (lines, pcd_socket_get_candidate (socket)->inode)) {
      pcd_socket_free (socket);
      continue;
    }
    adopt (lines, socket);
    n_new++;
  }
  *ret_note = g_steal_pointer (&note);
  return n_new;
}

void
pcd_lines_add_polls (const PcdLines *lines, GArray *polls)
{
  for (guint i = 0; i < lines->open->len; i++) {
    const Line *line = g_ptr_array_index (lines->open, i);
    const struct pollfd entry = { pcd_socket_get_fd (line->socket), POLLRDHUP, 0 };

    g_array_append_val (polls, entry);
  }
}

gint64
pcd_lines_next_sample (const PcdLines *lines)
{
  gint64 next = G_MAXINT64;

  for (guint i = 0; i < lines->open->len; i++) {
    const Line *line = g_ptr_array_index (lines->open, i);

    if (line->verdict.next > 0)
      next = MIN (next, line->verdict.next);
  }
  return next;
}

static void
set_evidence (PcdMeasure *measure, const Line *line, const char *reason)
{
  g_free (measure->evidence);
  measure->evidence = g_strdup_printf ("%s: %s", line->ends, reason);
}

/* Times of the watch as people's. */
static gint64
to_real_time (gint64 monotonic)
{
  return monotonic > 0 ? g_get_real_time () - (g_get_monotonic_time () - monotonic) : 0;
}

static void
keep_lost (PcdMeasure *measure, const Line *line, PcdCause cause, const char *why)
{
  const PcdLost lost = {
    .cause = cause,
    .why = (char *)why,
    .local = line->local,
    .remote = line->remote,
    .interface = line->interface,
    .heard = to_real_time (line->history.heard_at),
    .acked = to_real_time (line->history.progress_at),
    .unacked = line->history.sample.unacked,
    .retransmits = line->history.sample.retransmits,
  };

  /* The others of a migration are shut as a reaction. */
  if (measure->lost && pcd_net_cause_combine (measure->lost->cause, cause) == measure->lost->cause)
    return;
  pcd_lost_free (measure->lost);
  measure->lost = pcd_lost_copy (&lost);
}

static PcdCause
cause_of_end (const PcdLines *lines, Line *line, PcdMeasure *measure)
{
  const PcdNetConfig config = { .network_timeout = lines->config.network_timeout_usec };
  g_autoptr (GError) error = NULL;
  PcdNetClose seen = { 0 };
  const char *reason = NULL;
  PcdCause cause;

  if (!pcd_socket_close_evidence (line->socket, &seen, &error)) {
    set_evidence (measure, line, error->message);
    keep_lost (measure, line, PCD_CAUSE_UNKNOWN, error->message);
    pcd_tcp_log_end (lines->log, line->ends, error->message);
    return PCD_CAUSE_UNKNOWN;
  }
  seen.shut_by_us = line->shut_by_us;
  cause = pcd_net_cause (&line->history, &seen, &config, &reason);
  /* The verdict's own words say more than that we acted on it. */
  const char *why = line->shut_by_us ? line->verdict.reason : reason;
  set_evidence (measure, line, why);
  keep_lost (measure, line, cause, why);
  pcd_tcp_log_add (lines->log, line->ends, &seen.sample);
  pcd_tcp_log_end (lines->log, line->ends, reason);
  return cause;
}

/* Returns FALSE if the connection has ended. */
static gboolean
judge (const PcdLines *lines, Line *line)
{
  const PcdNetConfig config = {
    .network_timeout = lines->config.network_timeout_usec,
    .can_probe = pcd_socket_is_armed (line->socket) && pcd_socket_can_probe (line->socket),
  };
  PcdNetHistory after;
  PcdNetSample sample;
  PcdNetVerdict verdict;

  if (!pcd_socket_sample (line->socket, &sample, NULL))
    return FALSE;
  pcd_net_judge (&line->history, &sample, &config, &after, &verdict);
  if (verdict.closed)
    return FALSE;
  pcd_tcp_log_add (lines->log, line->ends, &sample);
  line->history = after;
  line->verdict = verdict;
  if (verdict.probe)
    pcd_socket_probe (line->socket);
  if (pcd_socket_is_armed (line->socket) && lines->config.backstop_usec > 0)
    pcd_socket_set_backstop (line->socket, !verdict.lift_backstop, NULL);
  return TRUE;
}

static void
add_view (PcdMeasure *measure, const Line *line)
{
  PcdSocketView *view = g_new0 (PcdSocketView, 1);

  view->local = g_strdup (line->local);
  view->remote = g_strdup (line->remote);
  view->armed = pcd_socket_is_armed (line->socket);
  view->heard_usec = line->verdict.silent;
  view->unacked = line->history.sample.unacked;
  view->retransmits = line->history.sample.retransmits;
  g_ptr_array_add (measure->sockets, view);
}

gboolean
pcd_lines_sample (PcdLines *lines,
                  PcdMeasure *measure,
                  PcdFlow *ret_flow,
                  gboolean *ret_dead,
                  PcdCause *ret_closed)
{
  PcdFlow flow = PCD_FLOW_NONE;
  PcdCause closed = PCD_CAUSE_NONE;
  gboolean dead = FALSE;

  for (guint i = lines->open->len; i > 0; i--) {
    Line *line = g_ptr_array_index (lines->open, i - 1);
    /* Before the sample: what QEMU let go of because it ended shows so in the sample. */
    const gboolean held = pcd_socket_is_held (line->socket);

    if (!judge (lines, line)) {
      PcdCause cause = cause_of_end (lines, line, measure);

      closed = closed == PCD_CAUSE_NONE ? cause : pcd_net_cause_combine (closed, cause);
      g_ptr_array_remove_index (lines->open, i - 1);
    } else if (!held) {
      /* QEMU closed it in the normal course of things; ours is the last reference. */
      pcd_tcp_log_end (lines->log, line->ends, "closed by QEMU in the normal course of things");
      g_ptr_array_remove_index (lines->open, i - 1);
    } else {
      add_view (measure, line);
      if (line->verdict.flow > flow) {
        flow = line->verdict.flow;
        if (line->verdict.reason[0])
          set_evidence (measure, line, line->verdict.reason);
      }
      dead |= line->verdict.dead;
    }
  }
  *ret_flow = flow;
  *ret_dead = dead;
  *ret_closed = closed;
  return flow != PCD_FLOW_NONE;
}

void
pcd_lines_shutdown (PcdLines *lines)
{
  for (guint i = 0; i < lines->open->len; i++) {
    Line *line = g_ptr_array_index (lines->open, i);

    line->shut_by_us = pcd_socket_shutdown (line->socket, NULL);
  }
}
