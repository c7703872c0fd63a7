/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Action `force-pause`: makes QEMU give its migration connection up, gentlest way first.
 * Must not know whether the network is dead: the ladder or an operator does. */
#include "actions/force-pause/pcd-action-force-pause.h"

#include "actions/pcd-action-util.h"
#include "core/pcd-socket-match.h"
#include "host/pcd-sockets.h"
#include "libvirt/pcd-own-call.h"

#include <gio/gio.h>

#define LIBVIRT_USEC (1500 * 1000)
#define OOB_USEC     (500 * 1000)
#define STATUS_USEC  (300 * 1000)
/* How long QEMU may take to notice; 0.1 s as a rule. */
#define NOTICE_USEC (1500 * 1000)
#define GAP_USEC    (20 * 1000)
#define SCAN_USEC   (1500 * 1000)
/* Migration threads had this long to show their socket; then the only possible one is taken. */
#define ELIMINATE_USEC (500 * 1000)
/* `migrate-pause` right after switchover, before the destination ran, twice lost the guest. */
#define SETTLED_USEC G_USEC_PER_SEC

typedef struct {
  const PostcopydMigration *migration;
  const PostcopydJob *job;
  PcdMonitorKeeper *monitor; /* NULL if there is none */
} Pause;

/* ---- is it paused? ---- */

/* As pcd-watch does: in postcopy-paused every migration thread sleeps on a semaphore; while a
 * connection lives, one of them at least is in a call on it. */
static gboolean
threads_idle (const Pause *pause)
{
  g_autoptr (PcdThreadReport) threads =
      pcd_threads_read (pause->migration->pid, PCD_THREADS_CHEAP, NULL);
  guint n = 0;

  for (guint i = 0; threads && i < threads->threads->len; i++) {
    const PcdThread *thread = threads->threads->pdata[i];
    if (!pcd_socket_thread_is_migration (thread->name))
      continue;
    n++;
    if (!thread->wchan || !g_str_has_prefix (thread->wchan, "futex"))
      return FALSE;
  }
  return n > 0;
}

static PcdRole
role_of (const Pause *pause)
{
  return pcd_action_is_source (pause->migration) ? PCD_ROLE_SOURCE : PCD_ROLE_DESTINATION;
}

static gboolean
connection_gone (const Pause *pause)
{
  g_autoptr (PcdSockets) process = pcd_sockets_open (pause->migration->pid, NULL);
  g_autoptr (GPtrArray) lines =
      process ? pcd_sockets_scan (process, role_of (pause), NULL, 0, FALSE, NULL, NULL) : NULL;

  return lines && lines->len == 0 && threads_idle (pause);
}

static gboolean
is_paused (const Pause *pause)
{
  g_autofree char *status =
      pause->monitor
          ? pcd_monitor_keeper_get_status (pause->monitor, "query-migrate",
                                           pcd_action_limit (pause->job, STATUS_USEC), NULL)
          : NULL;

  if (status)
    return g_str_equal (status, "postcopy-paused");
  return connection_gone (pause);
}

static gboolean
wait_paused (const Pause *pause)
{
  gint64 until = pcd_action_limit (pause->job, NOTICE_USEC);

  while (!is_paused (pause)) {
    if (g_get_monotonic_time () >= until)
      return FALSE;
    g_usleep (GAP_USEC);
  }
  return TRUE;
}

/* ---- the ways ---- */

static gboolean
by_libvirt (const Pause *pause, GError **error)
{
  if (role_of (pause) == PCD_ROLE_DESTINATION) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "libvirt refuses on a destination");
    return FALSE;
  }
  return pcd_own_call_abort_postcopy (pause->migration->libvirt_uri, pause->migration->uuid,
                                      pcd_action_limit (pause->job, LIBVIRT_USEC), error);
}

static gboolean
by_monitor (const Pause *pause, GError **error)
{
  g_autoptr (JsonNode) value = NULL;

  if (!pause->monitor) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED,
                 "there is no control monitor: libvirt's hook gives QEMU one when it "
                 "comes in by a migration, see 'postcopyctl doctor'");
    return FALSE;
  }
  value = pcd_monitor_keeper_call (pause->monitor, "migrate-pause", NULL, PCD_QMP_OOB, NULL,
                                   pcd_action_limit (pause->job, OOB_USEC), error);
  return value != NULL;
}

static GPtrArray *
find_lines (const Pause *pause, PcdSockets *process, GError **error)
{
  gint64 began = g_get_monotonic_time (), until = pcd_action_limit (pause->job, SCAN_USEC);

  for (;;) {
    gint64 now = g_get_monotonic_time ();
    g_autoptr (GPtrArray) lines = pcd_sockets_scan (process, role_of (pause), NULL, 0,
                                                    now - began >= ELIMINATE_USEC, NULL, error);
    if (!lines || lines->len > 0 || now >= until)
      return g_steal_pointer (&lines);
    g_usleep (GAP_USEC);
  }
}

static gboolean
by_socket (const Pause *pause, GError **error)
{
  g_autoptr (PcdSockets) process = pcd_sockets_open (pause->migration->pid, error);
  g_autoptr (GPtrArray) lines = process ? find_lines (pause, process, error) : NULL;

  if (!lines)
    return FALSE;
  if (lines->len == 0) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 "QEMU has no connection that is known to be the migration's");
    return FALSE;
  }
  for (guint i = 0; i < lines->len; i++)
    if (!pcd_socket_shutdown (lines->pdata[i], error))
      return FALSE;
  return TRUE;
}

static const struct {
  const char *name;
  gboolean (*go) (const Pause *pause, GError **error);
} ways[] = {
  { "virDomainAbortJobFlags", by_libvirt },
  { "migrate-pause", by_monitor },
  { "shutdown of the socket", by_socket },
};

/* An operator may name one: `way` is libvirt, monitor or socket. For tests, too. */
static gboolean
is_wanted (const Pause *pause, guint way)
{
  static const char *const words[] = { "libvirt", "monitor", "socket" };
  const char *word = pcd_action_param (pause->migration, "way");

  G_STATIC_ASSERT (G_N_ELEMENTS (words) == G_N_ELEMENTS (ways));
  return !word || g_str_equal (word, words[way]);
}

static PostcopydOutcome
try_all (const Pause *pause, const PcdReason *reason)
{
  g_autoptr (GString) tried = g_string_new (NULL);
  gint64 began = g_get_monotonic_time ();

  for (guint i = 0; i < G_N_ELEMENTS (ways); i++) {
    g_autoptr (GError) error = NULL;
    gboolean asked;

    if (!is_wanted (pause, i) || pause->job->cancelled (pause->job))
      continue;
    asked = ways[i].go (pause, &error);
    /* Also after an error: a late answer of libvirt's may have done it. */
    if (asked ? wait_paused (pause) : is_paused (pause))
      return pcd_action_done (reason, "paused by %s after %.0f ms", ways[i].name,
                              (g_get_monotonic_time () - began) / 1000.0);
    g_string_append_printf (tried, "%s%s: %s", tried->len ? "; " : "", ways[i].name,
                            error ? error->message : "no effect");
  }
  return pcd_action_fail (reason, "%s", tried->str);
}

/* ---- may it? ---- */

/* The destination runs: QEMU says so, or the phase is no longer young. */
static gboolean
has_settled (const Pause *pause)
{
  gint64 since = pause->migration->phase_since_usec;
  g_autofree char *status = NULL;

  if (since && g_get_monotonic_time () - since < SETTLED_USEC)
    return FALSE;
  if (role_of (pause) == PCD_ROLE_DESTINATION && pause->monitor)
    status = pcd_monitor_keeper_get_status (pause->monitor, "query-status",
                                            pcd_action_limit (pause->job, STATUS_USEC), NULL);
  return !status || g_str_equal (status, "running") || g_str_equal (status, "paused");
}

static gboolean
wait_settled (const Pause *pause)
{
  gint64 until = pcd_action_limit (pause->job, 2 * SETTLED_USEC);

  while (!has_settled (pause)) {
    if (g_get_monotonic_time () >= until)
      return FALSE;
    g_usleep (GAP_USEC);
  }
  return TRUE;
}

static PostcopydOutcome
run (const PostcopydMigration *migration, const PostcopydJob *job, char *text, size_t size)
{
  const PcdReason reason = { text, size };
  g_autofree char *why_not = NULL;
  const Pause pause = { migration, job, pcd_action_monitor (migration, &why_not) };
  const char *phase = migration->phase;

  if (g_str_equal (phase, "paused"))
    return pcd_action_done (&reason, "it is paused already");
  if (!g_str_equal (phase, "postcopy") && !g_str_equal (phase, "recovering"))
    return pcd_action_refuse (
        &reason, "a migration in phase %s cannot be paused, only one in postcopy can", phase);
  if (migration->pid <= 0)
    return pcd_action_refuse (&reason, PCD_ACTION_NO_PROCESS);
  if (!wait_settled (&pause))
    return pcd_action_refuse (&reason, "the guest does not run on the destination yet: a pause now "
                                       "could lose it; try again in some seconds");
  if (is_paused (&pause))
    return pcd_action_done (&reason, "it is paused already");
  return try_all (&pause, &reason);
}

static const PostcopydAction action = { .struct_size = sizeof action, .run = run };

const PostcopydPlugin pcd_action_force_pause_plugin = {
  .abi_major = POSTCOPYD_ABI_MAJOR,
  .abi_minor = POSTCOPYD_ABI_MINOR,
  .struct_size = sizeof (PostcopydPlugin),
  .name = "force-pause",
  .kind = "action",
  .description = "Make QEMU give a dead connection up.",
  .action = &action,
};
