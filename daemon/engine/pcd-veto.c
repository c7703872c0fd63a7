/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thread per question: even exec () may wait for a disk, and the main loop must not. */
#include "engine/pcd-veto.h"

#include "core/pcd-json.h"
#include "core/pcd-record.h"
#include "host/pcd-child.h"
#include "host/pcd-trusted-file.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BY_DEFAULT "[veto] default"

/* Shared by the asker and the thread. */
struct _PcdVeto {
  PcdVetoConfig *config;
  char *argv[6]; /* [0] is the hook's, set for each */
  char *input;
  int dropped_fd;           /* an eventfd, readable once nobody wants to know */
  PcdVetoCallback callback; /* main thread only; NULL once dropped */
  gpointer data;
  /* The thread's, until it is over. */
  PcdVetoAnswer answer;
  char *author;
  GString *problem;
};

static void
veto_clear (gpointer data)
{
  PcdVeto *veto = data;

  pcd_veto_config_unref (veto->config);
  for (guint i = 1; i < G_N_ELEMENTS (veto->argv); i++)
    g_free (veto->argv[i]);
  g_free (veto->input);
  close (veto->dropped_fd);
  pcd_veto_answer_clear (&veto->answer);
  g_free (veto->author);
  g_string_free (veto->problem, TRUE);
}

static void
veto_unref (PcdVeto *veto)
{
  g_atomic_rc_box_release_full (veto, veto_clear);
}

/* ---- in the thread ---- */

static gboolean
start (PcdVeto *veto, int output, GPid *ret_pid, GError **error)
{
  static const char *const environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
                                             "HOME=/", NULL };
  int input = pcd_child_input ("veto-question", veto->input, "");

  if (input < 0) {
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "%s", g_strerror (errno));
    return FALSE;
  }
  gboolean ok = g_spawn_async_with_fds (
      "/", veto->argv, (char **)environment, G_SPAWN_DO_NOT_REAP_CHILD, pcd_child_prepare,
      GINT_TO_POINTER (getpid ()), ret_pid, input, output, -1, error);
  close (input);
  return ok;
}

/* Whether it ended by itself in time. */
static gboolean
wait_for_end (PcdVeto *veto, GPid pid, int *ret_status)
{
  int pidfd = (int)syscall (SYS_pidfd_open, pid, 0);
  struct pollfd fds[] = { { pidfd, POLLIN, 0 }, { veto->dropped_fd, POLLIN, 0 } };
  const gint64 until = g_get_monotonic_time () + veto->config->timeout_usec;
  int n;

  do {
    const gint64 left = until - g_get_monotonic_time ();
    n = poll (fds, G_N_ELEMENTS (fds), (int)MAX ((left + 999) / 1000, 0));
  } while (n < 0 && errno == EINTR);
  const gboolean ended = n > 0 && fds[0].revents & POLLIN;
  /* Nobody else reaps it, so the number stays its own until waitpid (). */
  if (!ended)
    kill (-pid, SIGKILL);
  while (waitpid (pid, ret_status, 0) < 0 && errno == EINTR)
    ;
  if (pidfd >= 0)
    close (pidfd);
  return ended;
}

/* Only what is in the pipe already: a process that the hook left behind may still hold it. A hook
 * that writes more than a pipe takes never ends, and so has not answered. */
static char *
read_output (int fd)
{
  char buffer[4096 + 1];
  gssize n = read (fd, buffer, sizeof buffer - 1);

  buffer[MAX (n, 0)] = '\0';
  return g_strdup (buffer);
}

static gboolean
ask_hook (PcdVeto *veto, char *hook, PcdVetoAnswer *ret_answer, GError **error)
{
  int pipe_fds[2], status = 0;
  GPid pid = 0;

  if (!pcd_trusted_file_check (hook, TRUE, error))
    return FALSE;
  if (pipe2 (pipe_fds, O_CLOEXEC) < 0) {
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "%s", g_strerror (errno));
    return FALSE;
  }
  fcntl (pipe_fds[0], F_SETFL, O_NONBLOCK);
  veto->argv[0] = hook;
  const gboolean started = start (veto, pipe_fds[1], &pid, error);
  close (pipe_fds[1]);
  const gboolean ended = started && wait_for_end (veto, pid, &status);
  g_autofree char *output = read_output (pipe_fds[0]);
  close (pipe_fds[0]);
  if (!started)
    return FALSE;
  if (!ended) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "did not answer within %g s",
                 (double)veto->config->timeout_usec / G_USEC_PER_SEC);
    return FALSE;
  }
  return pcd_veto_answer_parse (status, output, ret_answer, error);
}

static gboolean
is_dropped (PcdVeto *veto)
{
  struct pollfd fd = { veto->dropped_fd, POLLIN, 0 };

  return poll (&fd, 1, 0) > 0;
}

/* The default holds for a hook that did not answer. */
static void
note_problem (PcdVeto *veto, const char *hook, const GError *error)
{
  g_autofree char *text = pcd_text_printable (error->message);

  if (veto->problem->len)
    g_string_append (veto->problem, "; ");
  if (hook && !strstr (text, hook))
    g_string_append_printf (veto->problem, "%s ", hook);
  g_string_append (veto->problem, text);
  if (!veto->config->deny_unanswered || veto->answer.verdict != PCD_VETO_ALLOW)
    return;
  pcd_veto_answer_clear (&veto->answer);
  veto->answer.verdict = PCD_VETO_DENY;
  veto->answer.reason = g_strdup (veto->problem->str);
  g_free (veto->author);
  veto->author = g_strdup (BY_DEFAULT);
}

static void
ask_all (PcdVeto *veto, const GPtrArray *hooks)
{
  for (guint i = 0; i < hooks->len && veto->answer.verdict == PCD_VETO_ALLOW; i++) {
    g_auto (PcdVetoAnswer) answer = { 0 };
    g_autoptr (GError) error = NULL;
    char *hook = g_ptr_array_index (hooks, i);

    if (is_dropped (veto))
      return;
    if (!ask_hook (veto, hook, &answer, &error)) {
      note_problem (veto, hook, error);
      continue;
    }
    pcd_veto_answer_clear (&veto->answer);
    veto->answer = answer;
    answer.reason = NULL;
    g_free (veto->author);
    veto->author = g_strdup (hook);
  }
}

static gboolean
on_over (gpointer data)
{
  PcdVeto *veto = data;
  const PcdVetoSay say = {
    .verdict = veto->answer.verdict,
    .again_usec = veto->answer.delay_usec ?: veto->config->retry_usec,
    .author = veto->author,
    .reason = veto->answer.reason,
    .problem = veto->problem->len ? veto->problem->str : NULL,
  };

  if (veto->callback) {
    veto->callback (&say, veto->data);
    veto_unref (veto); /* the asker's */
  }
  return G_SOURCE_REMOVE;
}

static gpointer
run (gpointer data)
{
  PcdVeto *veto = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) hooks = pcd_veto_config_list_hooks (veto->config, &error);

  if (hooks)
    ask_all (veto, hooks);
  else
    note_problem (veto, NULL, error);
  g_idle_add_full (G_PRIORITY_DEFAULT, on_over, veto, (GDestroyNotify)veto_unref);
  return NULL;
}

/* ---- the asker's ---- */

static char *
question_to_json (const PcdVetoConfig *config, const PcdVetoQuestion *question)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  pcd_json_add_int (builder, "version", 1);
  pcd_json_add_string (builder, "domain", question->domain);
  pcd_json_add_string (builder, "uuid", question->uuid);
  pcd_json_add_string (builder, "action", pcd_action_to_string (question->action));
  pcd_json_add_string (builder, "role", question->role);
  pcd_json_add_string (builder, "policy", question->policy);
  pcd_json_add_string (builder, "phase", question->phase);
  pcd_json_add_string (builder, "cause", question->cause);
  pcd_json_add_int (builder, "incident", question->incident);
  g_autofree char *since =
      question->vetoed_time ? pcd_time_to_rfc3339 (question->vetoed_time) : NULL;
  pcd_json_add_string (builder, "vetoed-since", since);
  pcd_json_add_int (builder, "timeout-usec", config->timeout_usec);
  json_builder_end_object (builder);

  g_autoptr (JsonNode) root = json_builder_get_root (builder);
  g_autofree char *text = json_to_string (root, FALSE);
  return g_strconcat (text, "\n", NULL);
}

PcdVeto *
pcd_veto_ask (PcdVetoConfig *config,
              const PcdVetoQuestion *question,
              PcdVetoCallback callback,
              gpointer data)
{
  PcdVeto *veto = g_atomic_rc_box_new0 (PcdVeto);
  g_autoptr (GError) error = NULL;

  veto->config = pcd_veto_config_ref (config);
  veto->argv[1] = g_strdup (question->domain);
  veto->argv[2] = g_strdup (pcd_action_to_string (question->action));
  veto->argv[3] = g_strdup (question->role);
  veto->argv[4] = g_strdup (question->policy);
  veto->input = question_to_json (config, question);
  veto->dropped_fd = eventfd (0, EFD_CLOEXEC);
  veto->callback = callback;
  veto->data = data;
  veto->problem = g_string_new (NULL);
  GThread *thread = g_thread_try_new ("pcd-veto", run, g_atomic_rc_box_acquire (veto), &error);
  if (thread) {
    g_thread_unref (thread);
    return veto;
  }
  note_problem (veto, NULL, error);
  g_idle_add_full (G_PRIORITY_DEFAULT, on_over, veto, (GDestroyNotify)veto_unref);
  return veto;
}

void
pcd_veto_drop (PcdVeto *veto)
{
  veto->callback = NULL;
  eventfd_write (veto->dropped_fd, 1);
  veto_unref (veto);
}
