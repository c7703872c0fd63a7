/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions that are answered also while vCPUs wait for pages; each has a deadline, and what cannot
 * be had is left out with the reason. */
#include "actions/snapshot/pcd-snapshot-state.h"

#include "host/pcd-task.h"
#include "journal/pcd-journal.h"
#include "libvirt/pcd-own-call.h"

#include <fcntl.h>
#include <unistd.h>

#define ANSWER_USEC (3 * G_USEC_PER_SEC)

static gint64
limit (const PcdSnapshotSide *side)
{
  return pcd_action_limit (side->job, ANSWER_USEC);
}

/* Not through libvirt on a destination: it would hold the domain's job for 30 s and fail. */
static gboolean
may_use_libvirt (const PcdSnapshotSide *side, GError **error)
{
  if (g_str_equal (side->migration->role, "source"))
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED, "%s",
               side->why_no_monitor
                   ? side->why_no_monitor
                   : "there is no control monitor: libvirt's hook gives QEMU one when it "
                     "comes in by a migration, see 'postcopyctl doctor'");
  return FALSE;
}

static char *
ask_human (PcdSnapshotSide *side, const char *line, const PcdQmpBlocked *blocked, GError **error)
{
  g_autoptr (JsonObject) arguments = json_object_new ();
  g_autoptr (JsonNode) value = NULL;

  if (!side->monitor)
    return may_use_libvirt (side, error)
               ? pcd_own_call_monitor (side->migration->libvirt_uri, side->migration->uuid, line,
                                       TRUE, limit (side), error)
               : NULL;
  json_object_set_string_member (arguments, "command-line", line);
  value = pcd_monitor_keeper_call (side->monitor, "human-monitor-command", arguments,
                                   PCD_QMP_IN_BAND, blocked, limit (side), error);
  if (value && !JSON_NODE_HOLDS_VALUE (value))
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "'%s': QEMU's answer is no text",
                 line);
  return value && JSON_NODE_HOLDS_VALUE (value) ? json_node_dup_string (value) : NULL;
}

char *
pcd_snapshot_ask (const char *line, gpointer data, GError **error)
{
  return ask_human (data, line, NULL, error);
}

static char *
get_migration (PcdSnapshotSide *side, GError **error)
{
  g_autoptr (JsonNode) value = NULL;

  if (!side->monitor)
    return may_use_libvirt (side, error)
               ? pcd_own_call_monitor (side->migration->libvirt_uri, side->migration->uuid,
                                       "{\"execute\":\"query-migrate\"}", FALSE, limit (side),
                                       error)
               : NULL;
  value = pcd_monitor_keeper_call (side->monitor, "query-migrate", NULL, PCD_QMP_IN_BAND, NULL,
                                   limit (side), error);
  return value ? json_to_string (value, TRUE) : NULL;
}

/* In KVM_RUN a vCPU's registers are its thread's alone: QEMU would wait for one that waits for a
 * page (`info registers` hangs). */
static char *
get_registers (PcdSnapshotSide *side, gboolean is_stopped, GError **error)
{
  g_autoptr (PcdThreadReport) threads = NULL;
  PcdQmpBlocked blocked;

  if (!is_stopped) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                 "the vCPUs are not stopped: to ask for their registers could hang QEMU");
    return NULL;
  }
  threads = pcd_action_look (side->migration->pid, PCD_THREADS_THOROUGH, &blocked, NULL, error);
  return threads ? ask_human (side, "info registers -a", &blocked, error) : NULL;
}

static char *
get_threads (PcdSnapshotSide *side, GError **error)
{
  g_autoptr (PcdThreadReport) report =
      pcd_threads_read (side->migration->pid, PCD_THREADS_CHEAP, error);
  g_autoptr (JsonNode) node = report ? pcd_thread_report_to_json (report) : NULL;

  return node ? json_to_string (node, TRUE) : NULL;
}

static void
add_stack (GString *text, int process_fd, pid_t tid)
{
  int fd = pcd_task_open (process_fd, tid);
  g_autofree char *name = fd >= 0 ? pcd_task_read_file (fd, "comm") : NULL;
  g_autofree char *stack = fd >= 0 ? pcd_task_read_file (fd, "stack") : NULL;

  if (fd >= 0)
    close (fd);
  g_string_append_printf (text, "%d %s\n%s\n\n", (int)tid, name ? name : "?",
                          stack ? stack : "(not readable)");
}

/* Of the kernel; QEMU's own would take a debugger. */
static char *
get_stacks (PcdSnapshotSide *side, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task", (int)side->migration->pid);
  g_autofree char *process = g_path_get_dirname (path);
  g_autoptr (GDir) dir = g_dir_open (path, 0, error);
  g_autoptr (GString) text = g_string_new (NULL);
  const char *name;
  int fd;

  if (!dir)
    return NULL;
  fd = open (process, O_PATH | O_DIRECTORY | O_CLOEXEC);
  while (fd >= 0 && (name = g_dir_read_name (dir)))
    add_stack (text, fd, (pid_t)g_ascii_strtoll (name, NULL, 10));
  if (fd >= 0)
    close (fd);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static char *
get_timeline (PcdSnapshotSide *side, GError **error)
{
  const PcdActionHost *host = pcd_action_host (side->migration);
  g_autoptr (JsonNode) node = NULL;

  if (!side->migration->incident || !host->state_dir) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "there is no incident");
    return NULL;
  }
  node = pcd_journal_show (host->state_dir, side->migration->incident, error);
  return node ? json_to_string (node, TRUE) : NULL;
}

/* Of connections that have ended, too: in a pause there are no others. */
static char *
get_tcp_info (PcdSnapshotSide *side, GError **error)
{
  PcdTcpLog *log = pcd_action_host (side->migration)->tcp_log;
  char *text = log ? pcd_tcp_log_to_text (log) : NULL;

  if (!text)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 "this postcopyd has seen no migration connection");
  return text;
}

/* The source's QEMU counts from the migration's begin; the destination's was started for it. */
static gint64
find_began (const PcdSnapshotSide *side, const char *migration)
{
  g_autoptr (JsonNode) root = migration ? json_from_string (migration, NULL) : NULL;
  JsonObject *object = root && JSON_NODE_HOLDS_OBJECT (root) ? json_node_get_object (root) : NULL;
  JsonNode *inner = object ? json_object_get_member (object, "return") : NULL;
  gint64 total_ms;

  if (!g_str_equal (side->migration->role, "source"))
    return pcd_snapshot_process_began (side->migration->pid);
  if (inner && JSON_NODE_HOLDS_OBJECT (inner))
    object = json_node_get_object (inner);
  total_ms = object ? json_object_get_int_member_with_default (object, "total-time", 0) : 0;
  return total_ms > 0 ? g_get_real_time () - total_ms * 1000 : 0;
}

static void
take (PcdSnapshotText *part, const char *name, char *text, GError **error)
{
  part->name = name;
  part->text = text;
  part->why_not = text || !*error ? NULL : g_strdup ((*error)->message);
  g_clear_error (error);
}

void
pcd_snapshot_get_texts (PcdSnapshotSide *side,
                        gboolean is_stopped,
                        PcdSnapshotText *texts,
                        gint64 *ret_began_usec)
{
  const PostcopydMigration *migration = side->migration;
  GError *error = NULL;

  take (&texts[0], "migration.json", get_migration (side, &error), &error);
  *ret_began_usec = find_began (side, texts[0].text);
  take (&texts[1], "domain.xml",
        pcd_own_call_get_xml (migration->libvirt_uri, migration->uuid, limit (side), &error),
        &error);
  take (&texts[2], "threads.json", get_threads (side, &error), &error);
  take (&texts[3], "stacks.txt", get_stacks (side, &error), &error);
  take (&texts[4], "incident.json", get_timeline (side, &error), &error);
  take (&texts[5], "registers.txt", get_registers (side, is_stopped, &error), &error);
  take (&texts[6], "tcp-info.txt", get_tcp_info (side, &error), &error);
}

void
pcd_snapshot_clear_texts (PcdSnapshotText *texts)
{
  for (guint i = 0; i < PCD_SNAPSHOT_N_TEXTS; i++) {
    g_free (texts[i].text);
    g_free (texts[i].why_not);
  }
}
