/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interface of a migration connection, and what stands in the way of a stop. */
#include "ctl/pcd-look.h"

#include "host/pcd-process.h"
#include "host/pcd-threads.h"

#include <arpa/inet.h>
#include <glib/gi18n.h>
#include <ifaddrs.h>
#include <string.h>

static gboolean
has_address (const struct ifaddrs *interface, const char *address)
{
  const struct sockaddr *end = interface->ifa_addr;
  char text[INET6_ADDRSTRLEN] = "";

  if (end && end->sa_family == AF_INET)
    inet_ntop (AF_INET, &((const struct sockaddr_in *)end)->sin_addr, text, sizeof text);
  else if (end && end->sa_family == AF_INET6)
    inet_ntop (AF_INET6, &((const struct sockaddr_in6 *)end)->sin6_addr, text, sizeof text);
  return *text && g_str_equal (text, address);
}

/* @local: `address:port`, IPv6 in brackets. Returns: (transfer full) (nullable) */
static char *
find_interface (const char *local)
{
  const char *colon = strrchr (local, ':');
  const gboolean in_brackets = *local == '[' && colon && colon > local + 1;
  g_autofree char *address =
      in_brackets ? g_strndup (local + 1, (gsize)(colon - local) - 2)
                  : g_strndup (local, colon ? (gsize)(colon - local) : strlen (local));
  struct ifaddrs *all = NULL;
  char *found = NULL;

  if (getifaddrs (&all) < 0)
    return NULL;
  for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next)
    if (has_address (i, address))
      found = g_strdup (i->ifa_name);
  freeifaddrs (all);
  return found;
}

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
    look.interface = find_interface (
        ((const PcdClientSocket *)g_ptr_array_index (migration->sockets, 0))->local);
  if (migration->n_blocked_vcpus + migration->n_blocked_others > 0 && migration->pid > 0)
    seen = look_at_threads (migration->pid, &look);
  if (!seen && !look.obstacle)
    look.obstacle = g_strdup (_ ("its threads cannot be seen from here"));
  *ret_look = look;
  return seen || look.interface;
}
