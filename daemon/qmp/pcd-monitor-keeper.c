/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The connection lives on one main context; other threads post calls there and wait.
 * Must not know what the commands are for. */
#include "qmp/pcd-monitor-keeper.h"

#include "host/pcd-process.h"
#include "qmp/pcd-monitor.h"

#include <errno.h>
#include <signal.h>

/* A pty's handshake takes up to 1.5 s; see pcd_qmp_connect_async(). */
#define CONNECT_MS    5000
#define FIRST_GAP_S   1
#define LONGEST_GAP_S 10
/* For the main loop to take up a call, and to bring its answer back. */
#define SLACK_USEC 20000

struct _PcdMonitorKeeper {
  gatomicrefcount refs;
  pid_t pid;
  char *name;
  char *run_dir;
  GMainContext *context;
  GCancellable *cancellable;

  /* on the context's thread */
  PcdQmp *qmp;
  GSource *retry;
  guint gap_s;
  gboolean is_stopped;

  GMutex lock; /* for what follows */
  gboolean is_ready;
  char *why_not;
};

PcdMonitorKeeper *
pcd_monitor_keeper_ref (PcdMonitorKeeper *keeper)
{
  g_atomic_ref_count_inc (&keeper->refs);
  return keeper;
}

void
pcd_monitor_keeper_unref (PcdMonitorKeeper *keeper)
{
  if (!g_atomic_ref_count_dec (&keeper->refs))
    return;
  g_assert (!keeper->qmp && !keeper->retry);
  g_object_unref (keeper->cancellable);
  g_main_context_unref (keeper->context);
  g_mutex_clear (&keeper->lock);
  g_free (keeper->why_not);
  g_free (keeper->name);
  g_free (keeper->run_dir);
  g_free (keeper);
}

static void
set_ready (PcdMonitorKeeper *keeper, gboolean is_ready, const char *why_not)
{
  g_mutex_lock (&keeper->lock);
  keeper->is_ready = is_ready;
  g_free (keeper->why_not);
  keeper->why_not = g_strdup (why_not);
  g_mutex_unlock (&keeper->lock);
}

gboolean
pcd_monitor_keeper_is_ready (PcdMonitorKeeper *keeper, char **ret_why_not)
{
  gboolean is_ready;

  g_mutex_lock (&keeper->lock);
  is_ready = keeper->is_ready;
  if (!is_ready && ret_why_not)
    *ret_why_not = g_strdup (keeper->why_not);
  g_mutex_unlock (&keeper->lock);
  return is_ready;
}

/* Not g_main_context_invoke_full (): that runs the function here and now if nobody holds the
 * context at the moment. */
static void
post (GMainContext *context, int priority, GSourceFunc function, gpointer data, GDestroyNotify done)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_priority (source, priority);
  g_source_set_callback (source, function, data, done);
  g_source_attach (source, context);
}

/* ---- finding it, in a thread: the process' command line may be slow to read ---- */

typedef struct {
  PcdMonitorKeeper *keeper;
  char *path;
  GError *error;
} Found;

static void
found_free (gpointer data)
{
  Found *found = data;

  pcd_monitor_keeper_unref (found->keeper);
  g_free (found->path);
  g_clear_error (&found->error);
  g_free (found);
}

static void look (PcdMonitorKeeper *keeper);

static gboolean
on_retry (gpointer data)
{
  PcdMonitorKeeper *keeper = data;

  g_clear_pointer (&keeper->retry, g_source_unref);
  look (keeper);
  return G_SOURCE_REMOVE;
}

static void
try_again (PcdMonitorKeeper *keeper)
{
  if (keeper->is_stopped || keeper->retry || (kill (keeper->pid, 0) < 0 && errno == ESRCH))
    return;
  keeper->retry = g_timeout_source_new_seconds (keeper->gap_s);
  keeper->gap_s = MIN (2 * keeper->gap_s, LONGEST_GAP_S);
  g_source_set_callback (keeper->retry, on_retry, pcd_monitor_keeper_ref (keeper),
                         (GDestroyNotify)pcd_monitor_keeper_unref);
  g_source_attach (keeper->retry, keeper->context);
}

static void
on_closed (PcdQmp *qmp, const GError *why, gpointer data)
{
  PcdMonitorKeeper *keeper = data;

  set_ready (keeper, FALSE, why->message);
  g_clear_pointer (&keeper->qmp, pcd_qmp_unref);
  keeper->gap_s = FIRST_GAP_S;
  try_again (keeper);
}

static void
on_connected (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (PcdMonitorKeeper) keeper = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdQmp) qmp = pcd_qmp_connect_finish (result, &error);

  if (keeper->is_stopped)
    return;
  if (!qmp) {
    set_ready (keeper, FALSE, error->message);
    try_again (keeper);
    return;
  }
  keeper->qmp = g_steal_pointer (&qmp);
  keeper->gap_s = FIRST_GAP_S;
  set_ready (keeper, TRUE, NULL);
}

/* On the context's thread. */
static gboolean
on_found (gpointer data)
{
  static const PcdQmpListener listener = { .closed = on_closed };
  Found *found = data;
  PcdMonitorKeeper *keeper = found->keeper;

  if (keeper->is_stopped)
    return G_SOURCE_REMOVE;
  if (found->path) {
    pcd_qmp_connect_async (found->path, CONNECT_MS, &listener, keeper, keeper->cancellable,
                           on_connected, pcd_monitor_keeper_ref (keeper));
    return G_SOURCE_REMOVE;
  }
  if (g_error_matches (found->error, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
    g_autofree char *why =
        g_strdup_printf ("no control monitor (the libvirt hook was not installed "
                         "when this domain came here): %s",
                         found->error->message);
    /* Its command line does not change: no need to look again. */
    set_ready (keeper, FALSE, why);
    return G_SOURCE_REMOVE;
  }
  set_ready (keeper, FALSE, found->error->message);
  try_again (keeper);
  return G_SOURCE_REMOVE;
}

/* libvirt's own state file has the live XML; asking libvirt may take 30 s on a destination. */
static char *
read_state_file (const PcdMonitorKeeper *keeper)
{
  g_autofree char *file = g_strconcat (keeper->name ? keeper->name : "", ".xml", NULL);
  g_autofree char *path =
      g_build_filename (keeper->run_dir ? keeper->run_dir : PCD_PROCESS_RUN_DIR, file, NULL);
  char *text = NULL;

  return keeper->name && g_file_get_contents (path, &text, NULL, NULL) ? text : NULL;
}

static gpointer
find_thread (gpointer data)
{
  Found *found = data;
  g_autoptr (GMainContext) context = g_main_context_ref (found->keeper->context);
  g_autofree char *xml = read_state_file (found->keeper);

  found->path = pcd_monitor_find (found->keeper->pid, xml, &found->error);
  if (found->path && !pcd_monitor_make_private (found->path, &found->error))
    g_clear_pointer (&found->path, g_free);
  post (context, G_PRIORITY_DEFAULT, on_found, found, found_free);
  return NULL;
}

static void
look (PcdMonitorKeeper *keeper)
{
  Found *found = g_new0 (Found, 1);

  found->keeper = pcd_monitor_keeper_ref (keeper);
  g_thread_unref (g_thread_new ("pcd-monitor", find_thread, found));
}

PcdMonitorKeeper *
pcd_monitor_keeper_new (pid_t pid, const char *name, const char *run_dir)
{
  PcdMonitorKeeper *keeper = g_new0 (PcdMonitorKeeper, 1);

  g_atomic_ref_count_init (&keeper->refs);
  g_mutex_init (&keeper->lock);
  keeper->pid = pid;
  keeper->name = g_strdup (name);
  keeper->run_dir = g_strdup (run_dir);
  keeper->context = g_main_context_ref_thread_default ();
  keeper->cancellable = g_cancellable_new ();
  keeper->gap_s = FIRST_GAP_S;
  set_ready (keeper, FALSE, "the control monitor is not connected yet");
  look (keeper);
  return keeper;
}

void
pcd_monitor_keeper_stop (PcdMonitorKeeper *keeper)
{
  G_GNUC_UNUSED g_autoptr (PcdMonitorKeeper) keep = pcd_monitor_keeper_ref (keeper);

  keeper->is_stopped = TRUE;
  set_ready (keeper, FALSE, "the control monitor is not used any more");
  g_cancellable_cancel (keeper->cancellable);
  if (keeper->retry) {
    g_source_destroy (keeper->retry);
    g_clear_pointer (&keeper->retry, g_source_unref);
  }
  if (keeper->qmp)
    pcd_qmp_close (keeper->qmp);
  g_clear_pointer (&keeper->qmp, pcd_qmp_unref);
}

/* ---- calls from other threads ---- */

typedef struct {
  gatomicrefcount refs;
  PcdMonitorKeeper *keeper;
  char *command;
  JsonObject *arguments;
  PcdQmpFlags flags;
  gint64 until;
  GMutex lock;
  GCond cond;
  gboolean is_done;
  JsonNode *value;
  GError *error;
} Call;

static Call *
call_ref (Call *call)
{
  g_atomic_ref_count_inc (&call->refs);
  return call;
}

static void
call_unref (gpointer data)
{
  Call *call = data;

  if (!g_atomic_ref_count_dec (&call->refs))
    return;
  pcd_monitor_keeper_unref (call->keeper);
  g_clear_pointer (&call->arguments, json_object_unref);
  g_clear_pointer (&call->value, json_node_unref);
  g_clear_error (&call->error);
  g_mutex_clear (&call->lock);
  g_cond_clear (&call->cond);
  g_free (call->command);
  g_free (call);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Call, call_unref)

static void
call_done (Call *call, JsonNode *value, GError *error)
{
  g_mutex_lock (&call->lock);
  call->value = value;
  call->error = error;
  call->is_done = TRUE;
  g_cond_signal (&call->cond);
  g_mutex_unlock (&call->lock);
}

static void
on_executed (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (Call) call = data;
  GError *error = NULL;
  JsonNode *value = pcd_qmp_execute_finish (result, &error);

  call_done (call, value, error);
}

static gboolean
on_call (gpointer data)
{
  Call *call = data;
  PcdQmp *qmp = call->keeper->qmp;
  gint64 left = call->until - g_get_monotonic_time ();

  if (!qmp)
    call_done (
        call, NULL,
        g_error_new (G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED, "the control monitor is not connected"));
  else if (left <= 0) /* too late for the one who asked: not to be sent behind his back */
    call_done (call, NULL,
               g_error_new (PCD_QMP_ERROR, PCD_QMP_ERROR_BUSY,
                            "'%s' was not sent: postcopyd itself was too busy", call->command));
  else
    pcd_qmp_execute_async (qmp, call->command, call->arguments, call->flags,
                           (guint)(left / 1000 + 1), NULL, on_executed, call_ref (call));
  return G_SOURCE_REMOVE;
}

static Call *
call_new (PcdMonitorKeeper *keeper,
          const char *command,
          JsonObject *arguments,
          PcdQmpFlags flags,
          gint64 until)
{
  Call *call = g_new0 (Call, 1);

  g_atomic_ref_count_init (&call->refs);
  g_mutex_init (&call->lock);
  g_cond_init (&call->cond);
  call->keeper = pcd_monitor_keeper_ref (keeper);
  call->command = g_strdup (command);
  call->arguments = arguments ? json_object_ref (arguments) : NULL;
  call->flags = flags;
  call->until = until;
  return call;
}

static JsonNode *
call_wait (Call *call, GError **error)
{
  JsonNode *value;

  g_mutex_lock (&call->lock);
  while (!call->is_done)
    if (!g_cond_wait_until (&call->cond, &call->lock, call->until + SLACK_USEC))
      break;
  value = g_steal_pointer (&call->value);
  if (call->error)
    g_propagate_error (error, g_steal_pointer (&call->error));
  else if (!value)
    g_set_error (error, PCD_QMP_ERROR, PCD_QMP_ERROR_TIMEOUT,
                 "QEMU has not answered '%s' within its deadline", call->command);
  g_mutex_unlock (&call->lock);
  return value;
}

static gboolean
may_send (PcdMonitorKeeper *keeper,
          const char *command,
          JsonObject *arguments,
          PcdQmpFlags flags,
          const PcdQmpBlocked *blocked,
          GError **error)
{
  static const PcdQmpBlocked unknown = { .is_known = FALSE };
  const char *hmp = NULL, *why = NULL;
  g_autofree char *not_ready = NULL;

  if (arguments && json_object_has_member (arguments, "command-line"))
    hmp = json_object_get_string_member (arguments, "command-line");
  if (!pcd_qmp_may_send (command, hmp, flags & PCD_QMP_OOB, blocked ? blocked : &unknown, &why)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED, "QMP '%s' could hang: %s",
                 command, why);
    return FALSE;
  }
  if (!pcd_monitor_keeper_is_ready (keeper, &not_ready)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED, "%s", not_ready);
    return FALSE;
  }
  return TRUE;
}

JsonNode *
pcd_monitor_keeper_call (PcdMonitorKeeper *keeper,
                         const char *command,
                         JsonObject *arguments,
                         PcdQmpFlags flags,
                         const PcdQmpBlocked *blocked,
                         gint64 until,
                         GError **error)
{
  g_autoptr (Call) call = NULL;

  g_assert (!g_main_context_is_owner (keeper->context));
  if (!may_send (keeper, command, arguments, flags, blocked, error))
    return NULL;
  call = call_new (keeper, command, arguments, flags, until);
  post (keeper->context, G_PRIORITY_HIGH, on_call, call_ref (call), call_unref);
  return call_wait (call, error);
}

char *
pcd_monitor_keeper_get_status (PcdMonitorKeeper *keeper,
                               const char *command,
                               gint64 until,
                               GError **error)
{
  g_autoptr (JsonNode) value =
      pcd_monitor_keeper_call (keeper, command, NULL, PCD_QMP_IN_BAND, NULL, until, error);

  if (!value)
    return NULL;
  if (!JSON_NODE_HOLDS_OBJECT (value))
    return g_strdup ("none");
  return g_strdup (
      json_object_get_string_member_with_default (json_node_get_object (value), "status", "none"));
}
