/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Begins a session, and says how to come in.
 * Must not wait for a client. */
#include "actions/debug/pcd-debug-server.h"

#include "actions/debug/pcd-debug-guest.h"
#include "debug/pcd-gdb-process.h"
#include "debug/pcd-gdb-registers.h"

/* As in the table of core/pcd-action.c. */
#define SESSION_USEC (10 * 60 * G_USEC_PER_SEC)
#define IDLE_USEC    (2 * 60 * G_USEC_PER_SEC)

static gint64
usec_of (const PcdDebugWork *work, const char *name, gint64 usual)
{
  const char *text = pcd_action_param (work->migration, name);

  return text ? g_ascii_strtoll (text, NULL, 10) : usual;
}

static PostcopydOutcome
begin (const PcdDebugWork *work, const char *mode, const PcdGdbTarget *target, gpointer data)
{
  const PcdActionHost *host = pcd_action_host (work->migration);
  const PcdGdbTerms terms = {
    .state_dir = host->state_dir,
    .incident = work->migration->incident,
    .mode = mode,
    .until = g_get_monotonic_time () + usec_of (work, "session", SESSION_USEC),
    .idle_usec = usec_of (work, "idle", IDLE_USEC),
  };
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;

  if (!pcd_gdb_session_start (&terms, work->fd, target, data, &path, &error))
    return pcd_action_refuse (work->reason, "%s", error->message);
  return pcd_action_done (work->reason,
                          "for %.0f s, or %.0f s of silence: gdb -ex 'target remote %s'",
                          (double)usec_of (work, "session", SESSION_USEC) / G_USEC_PER_SEC,
                          (double)terms.idle_usec / G_USEC_PER_SEC, path);
}

PostcopydOutcome
pcd_debug_server_process (const PcdDebugWork *work)
{
  g_autoptr (GError) error = NULL;
  gpointer process;

  if (!PCD_GDB_REGISTERS_KNOWN)
    return pcd_action_refuse (work->reason,
                              "not on this architecture; mode backtrace works all the same");
  process = pcd_gdb_process_new (work->migration->pid, pcd_debug_gate_why_not, &error);
  if (!process)
    return pcd_action_fail (work->reason, "%s", error->message);
  return begin (work, "gdbserver", &pcd_gdb_process_target, process);
}

PostcopydOutcome
pcd_debug_server_guest (const PcdDebugWork *work)
{
  const PcdActionHost *host = pcd_action_host (work->migration);
  g_autofree char *why_not = NULL;
  g_autoptr (GError) error = NULL;
  PcdMonitorKeeper *monitor = pcd_action_monitor (work->migration, &why_not);
  gpointer guest;

  if (!monitor)
    return pcd_action_refuse (work->reason, "%s", why_not);
  guest = pcd_debug_guest_new (work->migration->pid, monitor, host->state_dir,
                               work->migration->incident, &error);
  if (!guest)
    return pcd_action_fail (work->reason, "%s", error->message);
  return begin (work, "guest", &pcd_debug_guest_target, guest);
}
