/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Brings notes by the real sink `webhook` as the delivery queue does, and says what came of each
 * call. For test-webhook.py.
 *
 * webhook-push DEADLINE-SECONDS KEY=VALUE... <NOTES: one line each, "ID STREAM KIND JSON" by tabs
 *
 * One line for each call, by tabs: "call", outcome, delivered, retry-after in microseconds,
 * milliseconds it took, reason. What is not delivered is brought again, after 10 to 200 ms; a
 * refused note is passed over; ends when nothing is left, or after 300 calls. SIGTERM calls a
 * delivery off. */
#include "sinks/pcd-sink-type.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t terminated;

static void
on_term (int number)
{
  terminated = 1;
}

static int
is_cancelled (const PostcopydJob *job)
{
  return terminated;
}

static GPtrArray *
read_notes (void)
{
  GPtrArray *notes = g_ptr_array_new ();
  char *line = NULL;
  size_t size = 0;

  while (getline (&line, &size, stdin) > 0) {
    char **parts = g_strsplit (g_strchomp (line), "\t", 4);
    PostcopydNote *note = g_new0 (PostcopydNote, 1);
    *note =
        (PostcopydNote){ sizeof *note, parts[0], parts[1], parts[2], g_get_real_time (), parts[3] };
    g_ptr_array_add (notes, note);
    g_free (parts);
  }
  free (line);
  return notes;
}

static guint
bring (const PcdSinkType *type, gpointer sink, GPtrArray *notes, guint from, gint64 patience)
{
  static const char *const outcomes[] = { "done", "refused", "failed" };
  const PostcopydNote *const *rest = (const PostcopydNote *const *)(notes->pdata + from);
  const gint64 began = g_get_monotonic_time ();
  const PostcopydJob job = { sizeof job, began + patience, is_cancelled, NULL };
  PostcopydDelivery delivery = { .struct_size = sizeof delivery };
  char reason[256] = "";

  PostcopydOutcome outcome = type->deliver (sink, rest, MIN (notes->len - from, type->max_batch),
                                            &job, &delivery, reason, sizeof reason);
  printf ("call\t%s\t%u\t%" G_GINT64_FORMAT "\t%" G_GINT64_FORMAT "\t%s\n", outcomes[outcome],
          delivery.n_delivered, delivery.retry_after_usec, (g_get_monotonic_time () - began) / 1000,
          reason);
  fflush (stdout);
  return delivery.n_delivered + (outcome == POSTCOPYD_REFUSED);
}

typedef struct {
  const PcdSinkType *type;
  gpointer sink;
  gint64 patience;
} Push;

/* In a thread, as the queue has it: nothing here may need the process's main context. */
static gpointer
run (gpointer data)
{
  const Push *push = data;
  GPtrArray *notes = read_notes ();

  gulong wait = 10;
  for (guint at = 0, calls = 0; at < notes->len && calls < 300 && !terminated; calls++) {
    const guint passed = bring (push->type, push->sink, notes, at, push->patience);
    at += passed;
    wait = passed ? 10 : MIN (wait * 2, 200);
    if (at < notes->len)
      g_usleep (wait * 1000);
  }
  return NULL;
}

int
main (int argc, char **argv)
{
  g_autoptr (GHashTable) keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GError) error = NULL;
  Push push = { pcd_sink_type_find ("webhook") };

  for (int i = 2; i < argc; i++) {
    const char *equals = strchr (argv[i], '=');
    g_hash_table_insert (keys, g_strndup (argv[i], equals - argv[i]), (char *)equals + 1);
  }
  signal (SIGTERM, on_term);
  push.patience = (gint64)(g_ascii_strtod (argv[1], NULL) * G_USEC_PER_SEC);
  push.sink = push.type->create (keys, &error);
  if (!push.sink) {
    fprintf (stderr, "%s\n", error->message);
    return 2;
  }
  g_thread_join (g_thread_new ("sink", run, &push));
  push.type->free (push.sink);
  return 0;
}
