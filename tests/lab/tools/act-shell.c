/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs built-in actions on one QEMU as the daemon would, without the ladder: one line of stdin
 * each, one JSON object on stdout. Keeps the control monitor from the start. For the lab's cases.
 */
#include "actions/pcd-actions.h"
#include "debug/pcd-hold.h"
#include "engine/pcd-executor.h"
#include "libvirt/pcd-vir.h"
#include "qmp/pcd-monitor-keeper.h"

#include <stdio.h>
#include <string.h>

static char *role, *uuid, *name, *connect_uri;
static int pid;

static const GOptionEntry entries[] = {
  { "role", 0, 0, G_OPTION_ARG_STRING, &role, "source or destination", "ROLE" },
  { "uuid", 0, 0, G_OPTION_ARG_STRING, &uuid, "the domain's", "UUID" },
  { "name", 0, 0, G_OPTION_ARG_STRING, &name, "the domain's", "NAME" },
  { "pid", 0, 0, G_OPTION_ARG_INT, &pid, "its QEMU", "PID" },
  { "connect", 0, 0, G_OPTION_ARG_STRING, &connect_uri, "libvirt", "URI" },
  { NULL },
};

typedef struct {
  GMainLoop *loop;
  PcdMonitorKeeper *keeper;
  gboolean use_monitor;
  gint stop_asking;
  GThread *asker;
  guint n_asked, n_failed;
  gint64 worst_usec;
} Shell;

static int
never_cancelled (const PostcopydJob *job)
{
  return 0;
}

static void
no_progress (const PostcopydJob *job, uint64_t done, uint64_t total, const char *text)
{
}

static const char *
word_of (PostcopydOutcome outcome)
{
  static const char *const words[] = { "done", "refused", "failed" };

  return words[outcome];
}

static void
answer (const char *outcome, gint64 began, const char *reason)
{
  g_autofree char *quoted = g_strescape (reason ? reason : "", NULL);

  printf ("{\"outcome\":\"%s\",\"ms\":%.1f,\"reason\":\"%s\"}\n", outcome,
          (double)(g_get_monotonic_time () - began) / 1000.0, quoted);
}

/* ACTION PHASE [NAME=VALUE | +FLAG]... */
static void
act (Shell *shell, char **words)
{
  PcdActionHost host = { .monitor = shell->use_monitor ? shell->keeper : NULL };
  g_autoptr (GArray) params = g_array_new (FALSE, TRUE, sizeof (PostcopydParam));
  const PostcopydPlugin *plugin = pcd_actions_find (words[0]);
  PostcopydJob job = { .struct_size = sizeof job,
                       .deadline_usec = g_get_monotonic_time () + 120 * G_USEC_PER_SEC,
                       .cancelled = never_cancelled,
                       .progress = no_progress };
  PostcopydMigration view = { .struct_size = sizeof view,
                              .uuid = uuid,
                              .name = name,
                              .role = role,
                              .phase = words[1],
                              .flow = "none",
                              .cause = "unknown",
                              .pid = pid,
                              .libvirt_uri = connect_uri,
                              .internal = &host };
  gint64 began = g_get_monotonic_time ();
  char reason[512] = "";

  for (guint i = 2; words[i]; i++) {
    char *equals = strchr (words[i], '=');
    PostcopydParam param = { words[i], equals ? equals + 1 : "" };

    if (equals)
      *equals = '\0';
    if (g_str_equal (words[i], "+force"))
      view.flags |= POSTCOPYD_FORCED;
    if (g_str_equal (words[i], "+allow-destroy"))
      view.flags |= POSTCOPYD_DESTROY_ALLOWED;
    host.we_stopped |= g_str_equal (words[i], "+stopped");
    if (g_str_equal (words[i], "+young"))
      view.phase_since_usec = began + 60 * G_USEC_PER_SEC;
    if (g_str_equal (words[i], "peer-uri"))
      view.peer_uri = param.value;
    else if (g_str_equal (words[i], "directory"))
      host.directory = param.value;
    else if (g_str_equal (words[i], "state-dir"))
      host.state_dir = param.value;
    else if (equals)
      g_array_append_val (params, param);
  }
  view.n_params = params->len;
  view.params = (const PostcopydParam *)(gpointer)params->data;
  if (!plugin)
    answer ("none", began, "no such action");
  else
    answer (word_of (plugin->action->run (&view, &job, reason, sizeof reason)), began, reason);
}

static gpointer
ask_all_the_time (gpointer data)
{
  Shell *shell = data;

  while (!g_atomic_int_get (&shell->stop_asking)) {
    gint64 began = g_get_monotonic_time ();
    g_autofree char *status = pcd_monitor_keeper_get_status (shell->keeper, "query-status",
                                                             began + 3 * G_USEC_PER_SEC, NULL);
    gint64 took = g_get_monotonic_time () - began;

    shell->n_asked++;
    shell->n_failed += status == NULL;
    shell->worst_usec = MAX (shell->worst_usec, took);
    g_usleep (2000);
  }
  return NULL;
}

/* begin: asks from now on. end: how that went. */
static void
ask (Shell *shell, gboolean begin)
{
  if (begin) {
    shell->n_asked = shell->n_failed = 0;
    shell->worst_usec = 0;
    shell->stop_asking = 0;
    shell->asker = g_thread_new ("asker", ask_all_the_time, shell);
    printf ("{}\n");
    return;
  }
  g_atomic_int_set (&shell->stop_asking, 1);
  g_thread_join (shell->asker);
  printf ("{\"asked\":%u,\"failed\":%u,\"worst\":%.1f}\n", shell->n_asked, shell->n_failed,
          (double)shell->worst_usec / 1000.0);
}

/* COMMAND [JSON without blanks]: past the gate, as anybody might send it, with a short deadline. */
static void
send (Shell *shell, char **words, PcdQmpFlags flags)
{
  g_autoptr (JsonNode) arguments = words[1] ? json_from_string (words[1], NULL) : NULL;
  JsonObject *object = arguments ? json_node_get_object (arguments) : NULL;
  static const PcdQmpBlocked all_clear = { .is_known = TRUE };
  g_autoptr (GError) error = NULL;
  gint64 began = g_get_monotonic_time ();
  g_autoptr (JsonNode) value = pcd_monitor_keeper_call (shell->keeper, words[0], object, flags,
                                                        &all_clear, began + G_USEC_PER_SEC, &error);

  answer (value ? "done" : "failed", began, value ? "" : error->message);
}

static void
tell_status (Shell *shell)
{
  g_autofree char *status = pcd_monitor_keeper_get_status (
      shell->keeper, "query-status", g_get_monotonic_time () + G_USEC_PER_SEC, NULL);

  printf ("{\"status\":\"%s\"}\n", status ? status : "");
}

static gboolean
no_work (GArray *threads, gpointer data, GError **error)
{
  return TRUE;
}

/* Past the gate of action debug. */
static void
hold (void)
{
  const gint64 began = g_get_monotonic_time ();
  g_autoptr (GError) error = NULL;
  gboolean ok = pcd_hold_run (pid, began + G_USEC_PER_SEC, no_work, NULL, NULL, &error);

  answer (ok ? "done" : "failed", began, ok ? "" : error->message);
}

static void
obey (Shell *shell, char **words)
{
  g_autofree char *why = NULL;

  if (g_str_equal (words[0], "ready")) {
    gboolean is_ready = pcd_monitor_keeper_is_ready (shell->keeper, &why);

    printf ("{\"ready\":%s,\"reason\":\"%s\"}\n", is_ready ? "true" : "false", why ? why : "");
  } else if (g_str_equal (words[0], "monitor")) {
    shell->use_monitor = g_strcmp0 (words[1], "on") == 0;
    printf ("{}\n");
  } else if (g_str_equal (words[0], "ask"))
    ask (shell, g_strcmp0 (words[1], "begin") == 0);
  else if (g_str_equal (words[0], "hold"))
    hold ();
  else if (g_str_equal (words[0], "status"))
    tell_status (shell);
  else if (g_str_equal (words[0], "qmp"))
    send (shell, words + 1, PCD_QMP_IN_BAND);
  else if (g_str_equal (words[0], "oob"))
    send (shell, words + 1, PCD_QMP_OOB);
  else
    act (shell, words);
}

static gpointer
read_lines (gpointer data)
{
  Shell *shell = data;
  char line[1024];

  while (fgets (line, sizeof line, stdin)) {
    g_auto (GStrv) words = g_strsplit (g_strstrip (line), " ", -1);
    if (g_strv_length (words) >= 1)
      obey (shell, words);
  }
  g_main_loop_quit (shell->loop);
  return NULL;
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  Shell shell = { .use_monitor = TRUE };

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || !role || !uuid || !name || !pid) {
    fprintf (stderr, "act-shell: %s\n", error ? error->message : "an option is missing");
    return 2;
  }
  setvbuf (stdout, NULL, _IOLBF, 0);
  pcd_vir_init ();
  shell.loop = g_main_loop_new (NULL, FALSE);
  shell.keeper = pcd_monitor_keeper_new (pid, name, NULL);
  g_thread_unref (g_thread_new ("lines", read_lines, &shell));
  g_main_loop_run (shell.loop);
  pcd_monitor_keeper_stop (shell.keeper);
  return 0;
}
