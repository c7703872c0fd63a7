/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs this very program once for each libvirt, and reads what it prints.
 * Knows no judgement. */
#include "doctor/pcd-ask.h"

#include <gio/gio.h>
#include <glib/gi18n.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "libvirt/pcd-peer.h"

#define KNOCK_USEC (2 * (gint64)G_USEC_PER_SEC)

/* ---- the process that asks ---- */

static void
print (const char *key, const char *value)
{
  g_autofree char *safe = value ? g_strescape (value, NULL) : NULL;

  if (safe)
    g_print ("%s=%s\n", key, safe);
}

/* At once: who is killed later has said so much. */
static void
print_self (const PcdVirSelf *self, gpointer data)
{
  g_print ("libvirt=%lu\nqemu=%lu\n", self->libvirt, self->qemu);
  print ("uuid", self->uuid);
  print ("models", self->models);
  print ("label", self->label);
  fflush (stdout);
}

void
pcd_ask_one (const char *uri)
{
  g_autoptr (PcdRoute) route = pcd_route_new ("", uri);
  g_autoptr (GError) error = NULL;
  g_autofree char *host = NULL;
  guint16 port = 0;
  gboolean is_local = !pcd_route_get_door (route, &host, &port);

  if (!pcd_peer_knock (route, KNOCK_USEC, &error)) {
    gboolean refused = g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);

    print (refused ? "refused" : "unreachable", "1");
  } else
    pcd_vir_self_ask (uri, is_local, print_self, NULL, &error);
  if (error)
    print ("error", error->message);
}

void
pcd_ask_parse (const char *text, PcdAnswer *answer)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (guint i = 0; lines[i]; i++) {
    char *equals = strchr (lines[i], '=');

    if (!equals)
      continue;
    *equals = '\0';
    g_autofree char *value = g_strcompress (equals + 1);
    if (g_str_equal (lines[i], "libvirt"))
      answer->self.libvirt = strtoul (value, NULL, 10);
    else if (g_str_equal (lines[i], "qemu"))
      answer->self.qemu = strtoul (value, NULL, 10);
    else if (g_str_equal (lines[i], "uuid"))
      answer->self.uuid = g_steal_pointer (&value);
    else if (g_str_equal (lines[i], "models"))
      answer->self.models = g_steal_pointer (&value);
    else if (g_str_equal (lines[i], "label"))
      answer->self.label = g_steal_pointer (&value);
    else if (g_str_equal (lines[i], "error"))
      answer->error = g_steal_pointer (&value);
    else if (g_str_equal (lines[i], "refused"))
      answer->refused = TRUE;
    else if (g_str_equal (lines[i], "unreachable"))
      answer->unreachable = TRUE;
  }
  if (answer->self.libvirt == 0 && !answer->error)
    answer->error = g_strdup (_ ("the process that asked ended without an answer"));
}

void
pcd_answer_clear (PcdAnswer *answer)
{
  g_free (answer->error);
  pcd_vir_self_clear (&answer->self);
  *answer = (PcdAnswer){ 0 };
}

/* ---- and the one that waits for it ---- */

typedef struct {
  GSubprocess *process;
  PcdAnswer *answer;
  gboolean late;
  guint *pending;
} Asking;

static void
on_answered (GObject *object, GAsyncResult *result, gpointer data)
{
  Asking *asking = data;
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  if (g_subprocess_communicate_utf8_finish (G_SUBPROCESS (object), result, &text, NULL, &error))
    pcd_ask_parse (text, asking->answer);
  else
    asking->answer->error = g_strdup (error->message);
  if (asking->late && asking->answer->self.libvirt == 0) {
    g_free (asking->answer->error);
    asking->answer->error =
        g_strdup_printf (_ ("no answer within %d s"), PCD_ASK_DEADLINE_MSEC / 1000);
  }
  (*asking->pending)--;
}

static void
own_session (gpointer data)
{
  setsid ();
  /* Out of reach of a Ctrl-C, and with no deadline but the parent's. */
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

static void
start (Asking *asking, const char *uri)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (
      G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE);
  g_autofree char *option = g_strconcat ("--" PCD_ASK_OPTION "=", uri, NULL);
  g_autoptr (GError) error = NULL;

  g_subprocess_launcher_set_child_setup (launcher, own_session, NULL, NULL);
  asking->process =
      g_subprocess_launcher_spawn (launcher, &error, "/proc/self/exe", "doctor", option, NULL);
  if (!asking->process) {
    asking->answer->error = g_strdup (error->message);
    return;
  }
  (*asking->pending)++;
  g_subprocess_communicate_utf8_async (asking->process, NULL, NULL, on_answered, asking);
}

static gboolean
on_deadline (gpointer data)
{
  GArray *all = data;

  for (guint i = 0; i < all->len; i++) {
    Asking *asking = &g_array_index (all, Asking, i);
    const char *id = asking->process ? g_subprocess_get_identifier (asking->process) : NULL;

    if (!id) /* has ended */
      continue;
    asking->late = TRUE;
    kill (-(pid_t)g_ascii_strtoll (id, NULL, 10), SIGKILL);
  }
  return G_SOURCE_CONTINUE;
}

static void
tell_pending (GArray *all, const char *const *uris, PcdFactsNews news, gpointer data)
{
  const char *awaited = NULL;
  guint n_answered = 0;

  for (guint i = 0; i < all->len; i++) {
    const GSubprocess *process = g_array_index (all, Asking, i).process;
    if (process && g_subprocess_get_identifier ((GSubprocess *)process))
      awaited = awaited ?: uris[i];
    else
      n_answered++;
  }
  if (!awaited)
    return;
  g_autofree char *text =
      all->len == 1 ? g_strdup_printf (_ ("asking %s"), awaited)
                    : g_strdup_printf (_ ("asking libvirts, %u of %u done, waiting for %s"),
                                       n_answered, all->len, awaited);
  news (text, data);
}

void
pcd_ask_all (const char *const *uris, PcdAnswer **answers, PcdFactsNews news, gpointer data)
{
  g_autoptr (GArray) all = g_array_new (FALSE, TRUE, sizeof (Asking));
  gint64 until = g_get_monotonic_time () + 2 * PCD_ASK_DEADLINE_MSEC * (gint64)1000 - 1;
  guint pending = 0, timer;

  g_array_set_size (all, g_strv_length ((char **)uris));
  for (guint i = 0; uris[i]; i++) {
    Asking *asking = &g_array_index (all, Asking, i);

    asking->answer = answers[i];
    asking->pending = &pending;
    start (asking, uris[i]);
  }
  timer = g_timeout_add (PCD_ASK_DEADLINE_MSEC, on_deadline, all);
  while (pending > 0 && g_get_monotonic_time () < until) {
    if (news)
      tell_pending (all, uris, news, data);
    g_main_context_iteration (NULL, TRUE);
  }
  g_source_remove (timer);
  /* A process that does not even die of SIGKILL at once is ended by its callback, which needs a
   * loop: none runs any more, and `all` is left to it. */
  if (pending > 0)
    g_array_ref (all);
  for (guint i = 0; i < all->len && pending == 0; i++)
    g_clear_object (&g_array_index (all, Asking, i).process);
}
