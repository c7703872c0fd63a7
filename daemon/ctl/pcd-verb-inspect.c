/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl inspect: the threads of a QEMU process, for a person, as a table, or JSON. Needs no
 * daemon, and must not know how threads are judged. */
#include "ctl/pcd-show-threads.h"
#include "ctl/pcd-table.h"
#include "ctl/pcd-terminal.h"
#include "ctl/pcd-verbs.h"

#include "host/pcd-process.h"
#include "host/pcd-threads.h"
#include "libvirt/pcd-lookup.h"

#include <gio/gio.h>
#include <glib/gi18n.h>
#include <string.h>
#include <unistd.h>

#define LIBVIRT_LIMIT_USEC (5 * G_USEC_PER_SEC)

static int run (const PcdCtl *ctl, int argc, char **argv);

const PcdVerb pcd_verb_inspect = {
  .name = "inspect",
  .synopsis = "DOMAIN | --pid PID",
  .summary = N_ ("Show which threads of a QEMU wait for a missing page, and what reaches them"),
  .example = "inspect vm1",
  .run = run,
  .is_local = TRUE,
};

/* Without libvirt a UUID is as good as ever, and a name will do. Its error is the one to show, for
 * it is where the trouble started. */
static pid_t
find_without_libvirt (const char *domain, GError *libvirt_error, GError **error)
{
  g_autoptr (GError) own = NULL;
  gboolean is_uuid = g_uuid_string_is_valid (domain);
  pid_t pid = pcd_process_find_qemu (is_uuid ? domain : NULL, is_uuid ? NULL : domain, NULL, &own);

  if (pid == 0)
    g_set_error (error, G_IO_ERROR,
                 own->code == G_IO_ERROR_NOT_FOUND ? libvirt_error->code : own->code,
                 _ ("%s; and %s"), libvirt_error->message, own->message);
  return pid;
}

static pid_t
find_domain (const PcdCtl *ctl, const char *domain, GError **error)
{
  g_autofree char *uuid = NULL, *name = NULL;
  g_autoptr (GError) own = NULL;

  if (pcd_lookup_domain (ctl->connect, domain, LIBVIRT_LIMIT_USEC, &uuid, &name, &own))
    return pcd_process_find_qemu (uuid, name, NULL, error);
  if (!g_error_matches (own, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
    return find_without_libvirt (domain, own, error);
  g_propagate_error (error, g_steal_pointer (&own));
  return 0;
}

/* As it is for programs: every column in its place, whatever the width, and the threads in order.
 */
static char *
to_plain_text (const PcdThreadReport *report)
{
  static const PcdTableColumn columns[] = {
    { N_ ("TID"), 8, 0 },
    { N_ ("NAME"), 16, 1 },
    { N_ ("VCPU"), 5, 1 },
    { N_ ("STATE"), 5, 1 },
    { N_ ("BLOCKED"), 8, 1 },
    { N_ ("SINCE"), 9, 1 },
    { N_ ("PATH"), 20, 1 },
    { N_ ("KICKABLE"), 9, 1 },
    { N_ ("TRACEABLE"), 10, 1 },
    { N_ ("REASON"), 0, 2 },
    { NULL },
  };
  g_autoptr (PcdTable) table = pcd_table_new (columns);
  g_autofree char *summary = pcd_thread_report_summary (report);

  for (guint i = 0; i < report->threads->len; i++)
    pcd_table_add (table, pcd_show_thread_cells (report->threads->pdata[i]));
  g_autofree char *text = pcd_table_to_text (table, 0, NULL);
  return g_strdup_printf ("%s\n%s\n", text, summary);
}

static void
print_text (const PcdThreadReport *report)
{
  const PcdTerminal terminal = pcd_terminal_of (STDOUT_FILENO);
  g_autofree char *text =
      terminal.columns > 0 ? pcd_show_threads (report, &terminal) : to_plain_text (report);

  g_print ("%s", text);
}

static void
print_json (const PcdThreadReport *report)
{
  g_autoptr (JsonNode) node = pcd_thread_report_to_json (report);
  g_autofree char *text = json_to_string (node, TRUE);

  g_print ("%s\n", text);
}

static int
fail (const GError *error)
{
  g_printerr ("postcopyctl inspect: %s\n", error->message);
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ? PCD_EXIT_NOT_FOUND
                                                                   : PCD_EXIT_FAILED;
}

static int
inspect (pid_t pid, gboolean json)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdThreadReport) report = NULL;

  if (!pcd_process_check_qemu (pid, &error))
    return fail (error);
  report = pcd_threads_read (pid, PCD_THREADS_THOROUGH, &error);
  if (!report)
    return fail (error);
  if (json)
    print_json (report);
  else
    print_text (report);
  return PCD_EXIT_DONE;
}

static int
usage (const char *problem)
{
  g_printerr (_ ("postcopyctl inspect: %s; give a domain's name, UUID or id, or --pid PID\n"),
              problem);
  return PCD_EXIT_USAGE;
}

static int
run (const PcdCtl *ctl, int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *pid_text = NULL;
  gboolean json = FALSE;
  gint64 pid = 0;
  const GOptionEntry entries[] = {
    { "pid", 'p', 0, G_OPTION_ARG_STRING, &pid_text, N_ ("Process id of a QEMU"), "PID" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_ ("Print JSON"), NULL },
    { NULL },
  };
  int code = pcd_verb_parse (&pcd_verb_inspect, entries, &argc, &argv);

  if (code >= 0)
    return code;
  if (argc > 2)
    return usage (_ ("too many arguments"));
  if ((argc == 2) == (pid_text != NULL))
    return usage (pid_text ? _ ("both a domain and --pid") : _ ("no domain"));
  if (pid_text && !g_ascii_string_to_signed (pid_text, 10, 1, G_MAXINT, &pid, NULL))
    return usage (_ ("--pid wants a positive number"));
  if (!pid_text && *argv[1] == '\0')
    return usage (_ ("an empty domain"));
  if (!pid_text)
    pid = find_domain (ctl, argv[1], &error);
  return pid > 0 ? inspect ((pid_t)pid, json) : fail (error);
}
