/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interface of a migration connection, and what stands in the way of a stop. */
#include "ctl/pcd-look.h"

#include "host/pcd-interface.h"
#include "host/pcd-process.h"
#include "host/pcd-threads.h"

#include <glib/gi18n.h>

static gboolean
look_at_threads (int pid, PcdShowLook *look)
{
  g_autoptr (PcdThreadReport) report = NULL;
  const PcdThread *first = NULL;

  if (!pcd_process_check_qemu (pid, NULL))
    return FALSE;
  report = pcd_threads_read (pid, PCD_THREADS_THOROUGH, NULL);
  if (!report)
    return FALSE;
  look->kickable = pcd_thread_report_kickable (report, &first);
  if (first)
    look->obstacle = g_strdup_printf (_ ("%s (thread %d) waits on the %s path: %s"), first->name,
                                      (int)first->tid, pcd_fault_path_to_string (first->class.path),
                                      first->class.reason);
  return TRUE;
}

gboolean
pcd_look (const PcdCtl *ctl, const PcdClientMigration *migration, PcdShowLook *ret_look)
{
  PcdShowLook look = { .kickable = PCD_ANSWER_UNKNOWN };
  gboolean seen = FALSE;

  if (ctl->host) {
    *ret_look = look;
    return FALSE;
  }
  if (migration->sockets->len > 0)
    look.interface = pcd_interface_of (
        ((const PcdClientSocket *)g_ptr_array_index (migration->sockets, 0))->local);
  if (migration->lost && *migration->lost->interface)
    look.lost_link = pcd_interface_link (migration->lost->interface);
  if (migration->n_blocked_vcpus + migration->n_blocked_others > 0 && migration->pid > 0)
    seen = look_at_threads (migration->pid, &look);
  if (!seen && !look.obstacle)
    look.obstacle = g_strdup (_ ("its threads cannot be seen from here"));
  *ret_look = look;
  return seen || look.interface || look.lost_link != PCD_LINK_UNKNOWN;
}
