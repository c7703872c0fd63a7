/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The watcher's connection to libvirt: keeps it, follows events, answers resyncs.
 * Must not know what the events mean for a migration: that is core's business. */
#include "libvirt/pcd-source.h"
#include "core/pcd-metadata.h"
#include "libvirt/pcd-link.h"
#include "libvirt/pcd-pass.h"

#include <libvirt-glib/libvirt-glib-event.h>

#define BACKOFF_FIRST      250   /* milliseconds */
#define BACKOFF_LAST       10000 /* a remote libvirt */
#define BACKOFF_LAST_LOCAL 750   /* one on this host: asking costs a failed connect(2) */
#define PASS_INTERVAL      50    /* milliseconds from one pass to the next */
#define MAX_STUCK          4     /* threads that libvirt never answered */

/* The order in which things are told, and why nothing stale is ever told as fresh:
 *
 * - On a new connection events are subscribed to first and kept, then a full pass asks. When it is
 *   back, all of this happens in one turn of the main loop: its answers, resynced, connection
 *   (TRUE), the events that came meanwhile, and another look at the domains that had any. An event
 *   may tell of something that its domain's answer knew already; the last word is the last event's,
 *   and then that look's.
 * - Later, events are told as they come. A domain's answer is dropped, and asked for again, if an
 *   event of that domain was told after the question: the answer may be older than the event.
 * - While disconnected nothing is told.
 */
struct _PcdSource {
  char *uri;
  PcdSourceCallbacks callbacks;
  gpointer data;

  PcdLink *link;     /* NULL while disconnected */
  PcdVirJob *job;    /* opening if there is no link, else a pass */
  GPtrArray *stuck;  /* PcdVirJob: past their deadline, threads still waiting */
  gboolean is_up;    /* connection (TRUE) was told */
  char *down_reason; /* what connection (FALSE) was told with */
  guint retry;       /* timer */
  guint n_failures;  /* since the last success */

  GHashTable *wants;  /* PcdWant by UUID: for the next pass */
  gboolean want_full; /* likewise */
  gint64 last_pass;   /* when one began */
  guint next_pass;    /* timer */
  GHashTable *asked;  /* the same of the pass under way */
  gboolean asked_full;
  GHashTable *touched; /* set of UUIDs: had an event since the pass under way began */
};

static void source_open (PcdSource *source);
static void source_pass (PcdSource *source);

static GHashTable *
uuid_table (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
}

static void
source_want (PcdSource *source, const char *uuid, PcdWant want)
{
  guint before = GPOINTER_TO_UINT (g_hash_table_lookup (source->wants, uuid));

  g_hash_table_replace (source->wants, g_strdup (uuid), GUINT_TO_POINTER (before | want));
}

/* --- connecting and losing --- */

static gboolean
is_local (const char *uri)
{
  g_autoptr (GUri) parsed = uri ? g_uri_parse (uri, G_URI_FLAGS_NONE, NULL) : NULL;

  return !uri || (parsed && (!g_uri_get_host (parsed) || !*g_uri_get_host (parsed)));
}

static gboolean
on_retry (gpointer data)
{
  PcdSource *source = data;

  source->retry = 0;
  source_open (source);
  return G_SOURCE_REMOVE;
}

/* Doubling, and a quarter more or less, so that many hosts do not come back in step. */
static void
source_retry_later (PcdSource *source)
{
  guint last = is_local (source->uri) ? BACKOFF_LAST_LOCAL : BACKOFF_LAST;
  guint delay = MIN ((guint)BACKOFF_FIRST << MIN (source->n_failures, 8), last);

  source->n_failures++;
  if (!source->retry)
    source->retry = g_timeout_add (delay * g_random_double_range (0.75, 1.25), on_retry, source);
}

/* Once per loss, and again when the reason changes. */
static void
source_tell_down (PcdSource *source, const char *reason)
{
  gboolean is_news = source->is_up || g_strcmp0 (source->down_reason, reason) != 0;

  source->is_up = FALSE;
  if (!is_news)
    return;
  g_free (source->down_reason);
  source->down_reason = g_strdup (reason);
  source->callbacks.connection (FALSE, source->down_reason, source->data);
}

static void
source_fail (PcdSource *source, const char *reason)
{
  g_clear_pointer (&source->job, pcd_vir_job_disown);
  g_clear_pointer (&source->link, pcd_link_retire);
  g_clear_handle_id (&source->next_pass, g_source_remove);
  g_hash_table_remove_all (source->wants);
  g_hash_table_remove_all (source->touched);
  source->want_full = FALSE;
  source_retry_later (source);
  source_tell_down (source, reason);
}

static void
on_closed (const char *reason, gpointer data)
{
  source_fail (data, reason);
}

/* --- threads that are stuck --- */

static void
source_leave_behind (PcdSource *source)
{
  g_ptr_array_add (source->stuck, g_steal_pointer (&source->job));
}

/* Whatever held it has moved: a good moment to try again. */
static void
on_ended (PcdVirJob *job, gpointer data)
{
  PcdSource *source = data;

  g_ptr_array_remove_fast (source->stuck, job); /* disowns it */
  if (!source->link && !source->job) {
    g_clear_handle_id (&source->retry, g_source_remove);
    source_open (source);
  }
}

static void
on_late (PcdVirJob *job, const char *call, const char *subject, gpointer data)
{
  PcdSource *source = data;
  gboolean is_pass = source->link != NULL;
  g_autofree char *reason = g_strdup_printf ("libvirt did not answer %s in time", call);
  GHashTableIter iter;
  gpointer uuid, want;

  source_leave_behind (source);
  if (!is_pass || !subject) {
    source_fail (source, reason);
    return;
  }
  /* Only the connection for calls that may wait is stuck, with this domain: ask again without. */
  g_info ("%s about domain %s", reason, subject);
  g_hash_table_iter_init (&iter, source->asked);
  while (g_hash_table_iter_next (&iter, &uuid, &want)) {
    guint merged =
        GPOINTER_TO_UINT (want) | GPOINTER_TO_UINT (g_hash_table_lookup (source->wants, uuid));
    g_hash_table_replace (source->wants, g_strdup (uuid), GUINT_TO_POINTER (merged));
  }
  source->want_full |= source->asked_full;
  if (*subject) {
    guint merged = GPOINTER_TO_UINT (g_hash_table_lookup (source->wants, subject));
    g_hash_table_replace (source->wants, g_strdup (subject),
                          GUINT_TO_POINTER (merged | PCD_WANT_NO_WAIT));
  }
  source_pass (source);
}

/* --- events --- */

static void
on_event (const PcdLinkEvent *event, gpointer data)
{
  PcdSource *source = data;
  PcdDomainRef domain = {
    .uuid = event->uuid,
    .name = event->name,
    .role_known = event->role_known,
    .role = event->role,
  };

  if (event->metadata) { /* says nothing of the domain's state: no answer is outdated by it */
    source_want (source, event->uuid, PCD_WANT_METADATA);
    source_pass (source);
    return;
  }
  g_hash_table_add (source->touched, g_strdup (event->uuid));
  if (event->look)
    pcd_source_resync (source, event->uuid);
  else
    source->callbacks.event (&domain, &event->event, event->raw, source->data);
}

/* --- passes --- */

/* Parsed here and not in the worker, which libvirt may hold up. */
static void
source_tell_metadata (PcdSource *source, const PcdDomainRef *domain, const char *xml)
{
  g_autofree char *policy = NULL;
  g_autoptr (GError) error = NULL;

  if (xml)
    pcd_metadata_parse (xml, &policy, &error);
  source->callbacks.metadata (domain, policy, error ? error->message : NULL, source->data);
}

static void
source_tell_answer (PcdSource *source, const PcdAnswer *answer)
{
  PcdDomainRef domain = {
    .uuid = answer->uuid,
    .name = answer->name,
    .role_known = answer->role_known,
    .role = answer->role,
  };

  if (answer->has_metadata && source->callbacks.metadata)
    source_tell_metadata (source, &domain, answer->metadata);
  if (answer->status_word) {
    PcdEvent event = { .kind = PCD_EVENT_QEMU_STATUS,
                       .status = pcd_qemu_status_from_string (answer->status_word) };
    domain.role_known = TRUE;
    domain.role = PCD_ROLE_SOURCE; /* nobody else is asked */
    source->callbacks.event (&domain, &event, answer->status_word, source->data);
  }
  if (answer->has_seen) {
    PcdEvent event = { .kind = PCD_EVENT_SEEN, .seen = answer->seen };
    domain.role_known = answer->role_known;
    domain.role = answer->role;
    source->callbacks.event (&domain, &event, answer->raw, source->data);
  }
}

static void
source_tell_answers (PcdSource *source, const PcdPass *pass)
{
  g_autoptr (GHashTable) active = uuid_table ();

  for (guint i = 0; i < pass->answers->len; i++) {
    const PcdAnswer *answer = g_ptr_array_index (pass->answers, i);

    /* One without any answer is defined and does not run. */
    if (answer->has_seen ? answer->seen != PCD_SEEN_ABSENT
                         : answer->status_word || answer->has_metadata)
      g_hash_table_add (active, g_strdup (answer->uuid));
    if (g_hash_table_contains (source->touched, answer->uuid))
      source_want (source, answer->uuid,
                   (answer->has_seen ? PCD_WANT_SEEN : 0) |
                       (answer->status_word ? PCD_WANT_STATUS : 0) |
                       (answer->has_metadata ? PCD_WANT_METADATA : 0));
    else
      source_tell_answer (source, answer);
  }
  if (pass->full)
    source->callbacks.resynced (active, source->data);
}

static void
source_come_up (PcdSource *source)
{
  const char *refusal = pcd_link_monitor_refusal (source->link);
  g_autofree char *reason = g_strdup_printf ("connected to %s", pcd_link_uri (source->link));
  GHashTableIter iter;
  gpointer uuid;

  if (refusal)
    g_message ("no MIGRATION events from QEMU by %s: %s", pcd_link_uri (source->link), refusal);
  source->is_up = TRUE;
  source->n_failures = 0;
  g_clear_pointer (&source->down_reason, g_free);
  source->callbacks.connection (TRUE, reason, source->data);

  g_hash_table_remove_all (source->touched);
  pcd_link_listen (source->link, on_event, source);
  g_hash_table_iter_init (&iter, source->touched);
  while (g_hash_table_iter_next (&iter, &uuid, NULL))
    source_want (source, uuid, PCD_WANT_SEEN);
}

static void
on_pass_done (PcdVirJob *job, gpointer task, gpointer data)
{
  PcdSource *source = data;
  const PcdPass *pass = task;

  if (pass->error) {
    g_autofree char *reason = g_strdup (pass->error->message);
    source_fail (source, reason); /* frees @pass, or lets it be freed */
    return;
  }
  source_tell_answers (source, pass);
  g_clear_pointer (&source->job, pcd_vir_job_disown);
  if (!source->is_up)
    source_come_up (source);
  if (source->want_full || g_hash_table_size (source->wants))
    source_pass (source);
}

static void
pass_work (PcdVirJob *job, gpointer task)
{
  pcd_pass_run (job, task);
}

static void
pass_free (gpointer task)
{
  pcd_pass_free (task);
}

static gboolean
on_next_pass (gpointer data)
{
  PcdSource *source = data;

  source->next_pass = 0;
  source_pass (source);
  return G_SOURCE_REMOVE;
}

/* The first request is served at once, a series of them in intervals: each pass costs libvirtd two
 * connections' worth of work, and query-migrate takes QEMU's big lock from the guest. */
static gboolean
source_pass_is_too_soon (PcdSource *source)
{
  gint64 wait = source->last_pass + PASS_INTERVAL * 1000 - g_get_monotonic_time ();

  if (!source->next_pass && wait > 0)
    source->next_pass = g_timeout_add (wait / 1000 + 1, on_next_pass, source);
  return source->next_pass != 0;
}

/* Turns what is wanted into a pass, unless one is under way: then that one's end does. */
static void
source_pass (PcdSource *source)
{
  static const PcdVirJobFuncs funcs = { pass_work, on_pass_done, on_late, on_ended, pass_free };
  g_autoptr (GError) error = NULL;
  GHashTableIter iter;
  gpointer uuid, want;
  PcdPass *pass;

  if (source->job || !source->link || (source->is_up && source_pass_is_too_soon (source)))
    return;
  source->last_pass = g_get_monotonic_time ();
  g_hash_table_unref (source->asked);
  source->asked = g_steal_pointer (&source->wants);
  source->asked_full = source->want_full;
  source->wants = uuid_table ();
  source->want_full = FALSE;
  g_hash_table_remove_all (source->touched);

  pass = pcd_pass_new (pcd_link_ref_conn (source->link), source->uri);
  pass->full = source->asked_full;
  pass->no_wait = source->stuck->len >= MAX_STUCK;
  g_hash_table_iter_init (&iter, source->asked);
  while (g_hash_table_iter_next (&iter, &uuid, &want))
    g_hash_table_replace (pass->wants, g_strdup (uuid), want);
  source->job = pcd_vir_job_start (&funcs, pass, source, &error);
  if (!source->job)
    source_fail (source, error->message);
}

/* --- opening --- */

typedef struct {
  char *uri;
  PcdLink *link;
  GError *error;
} PcdOpening;

static void
open_work (PcdVirJob *job, gpointer task)
{
  PcdOpening *opening = task;

  opening->link = pcd_link_open (opening->uri, job, &opening->error);
}

static void
open_free (gpointer task)
{
  PcdOpening *opening = task;

  g_clear_pointer (&opening->link, pcd_link_retire);
  g_clear_error (&opening->error);
  g_free (opening->uri);
  g_free (opening);
}

static void
on_opened (PcdVirJob *job, gpointer task, gpointer data)
{
  PcdSource *source = data;
  PcdOpening *opening = task;
  g_autofree char *reason = NULL;

  if (opening->error) {
    reason = g_strdup (opening->error->message);
    source_fail (source, reason);
    return;
  }
  source->link = g_steal_pointer (&opening->link);
  g_clear_pointer (&source->job, pcd_vir_job_disown);
  reason = g_strdup (pcd_link_watch (source->link, on_closed, source));
  if (reason) {
    source_fail (source, reason);
    return;
  }
  source->want_full = TRUE;
  source_pass (source);
}

static void
source_open (PcdSource *source)
{
  static const PcdVirJobFuncs funcs = { open_work, on_opened, on_late, on_ended, open_free };
  g_autoptr (GError) error = NULL;
  PcdOpening *opening;

  /* A daemon that hangs would collect a thread for every attempt. The first that ends tries. */
  if (source->stuck->len >= MAX_STUCK)
    return;
  opening = g_new0 (PcdOpening, 1);
  opening->uri = g_strdup (source->uri);
  source->job = pcd_vir_job_start (&funcs, opening, source, &error);
  if (!source->job)
    source_fail (source, error->message);
}

/* --- the API --- */

void
pcd_source_init_event_loop (void)
{
  pcd_vir_init ();
  gvir_event_register ();
}

PcdSource *
pcd_source_new (const char *uri, const PcdSourceCallbacks *callbacks, gpointer data)
{
  PcdSource *source = g_new0 (PcdSource, 1);

  source->uri = g_strdup (uri);
  source->callbacks = *callbacks;
  source->data = data;
  source->stuck = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_vir_job_disown);
  source->wants = uuid_table ();
  source->asked = uuid_table ();
  source->touched = uuid_table ();
  /* Not at once: nothing may be told from inside this call, not even that there are no threads. */
  source->retry = g_idle_add (on_retry, source);
  return source;
}

void
pcd_source_free (PcdSource *source)
{
  g_clear_pointer (&source->job, pcd_vir_job_disown);
  g_clear_pointer (&source->link, pcd_link_retire);
  g_clear_handle_id (&source->retry, g_source_remove);
  g_clear_handle_id (&source->next_pass, g_source_remove);
  g_ptr_array_unref (source->stuck);
  g_hash_table_unref (source->wants);
  g_hash_table_unref (source->asked);
  g_hash_table_unref (source->touched);
  g_free (source->down_reason);
  g_free (source->uri);
  g_free (source);
}

void
pcd_source_resync (PcdSource *source, const char *uuid)
{
  if (!source->link)
    return;
  if (uuid)
    source_want (source, uuid, PCD_WANT_SEEN);
  else
    source->want_full = TRUE;
  source_pass (source);
}

void
pcd_source_query (PcdSource *source, const char *uuid)
{
  if (!source->link)
    return;
  source_want (source, uuid, PCD_WANT_STATUS);
  source_pass (source);
}
