/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thread per question: even exec () may wait for a disk, and the main loop must not. */
#include "engine/pcd-veto.h"

#include "core/pcd-json.h"
#include "core/pcd-record.h"
#include "host/pcd-child.h"
#include "host/pcd-trusted-file.h"

#include <gio/gio.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
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

/* A hook that does not end has not answered, whatever it wrote. */
static gboolean
ask_hook (PcdVeto *veto, char *hook, PcdVetoAnswer *ret_answer, GError **error)
{
  static const char *const environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
                                             "HOME=/", NULL };
  const PcdChild child = {
    .name = "veto-question",
    .argv = veto->argv,
    .environment = (char **)environment,
    .input = veto->input,
    .output = TRUE,
    .until_usec = g_get_monotonic_time () + veto->config->timeout_usec,
    .cancel_fd = veto->dropped_fd,
  };
  g_autofree char *output = NULL;
  int status = 0;

  if (!pcd_trusted_file_check (hook, TRUE, error))
    return FALSE;
  veto->argv[0] = hook;
  const PcdChildEnd end = pcd_child_run (&child, &status, &output, error);
  if (end == PCD_CHILD_ENDED)
    return pcd_veto_answer_parse (status, output, ret_answer, error);
  if (end != PCD_CHILD_NOT_STARTED)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "did not answer within %g s",
                 (double)veto->config->timeout_usec / G_USEC_PER_SEC);
  return FALSE;
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
