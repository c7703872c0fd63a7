/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The loop of one sink: look, take a batch, have it delivered, write down what became of it. What
 * the receiver has is on disk before it gets more, so that a daemon that is killed repeats one
 * batch at most. */
#include "sinks/pcd-sink-runner.h"

#include <string.h>

#include "sinks/pcd-sink-tell.h"

/* A disk that does not write down what was delivered shall not keep the receiver waiting. */
#define ACK_USEC (5 * G_TIME_SPAN_SECOND)

#define FOREVER G_MAXINT64

struct _PcdSinkRunner {
  gatomicrefcount refs;
  PcdSinkConfig *config;
  const PcdSinkType *type;
  PcdPlugin *plugin; /* nullable; a reference */
  PcdJournal *journal;
  PcdSinkTiming timing;
  gint n_abandoned; /* atomic */

  GMutex lock;
  GCond cond;
  gboolean stop;
  gboolean poked;
  gboolean finished;
  PcdSinkStatus status;

  /* The thread's. */
  PcdSinkRunner *predecessor;
  PcdNoteReader *reader;
  PcdSinkInstance *instance;
  PcdNoteState at;
  gint64 position;  /* all up to this one was dealt with, maybe not on disk yet */
  gint64 told_last; /* likewise for what was dropped */
  gint64 acks;      /* as many are on disk then */
  gint64 ack_until;
  gint64 not_before;
  guint failures;
  PcdSinkTeller teller;
};

/* ---- pure ---- */

gint64
pcd_sink_backoff (const PcdSinkTiming *timing,
                  guint failures,
                  gint64 retry_after_usec,
                  double random)
{
  gint64 pause = timing->first_usec;

  for (guint i = 1; i < failures && pause < timing->longest_usec; i++)
    pause *= 2;
  pause = MIN (pause, timing->longest_usec);
  return MAX ((gint64)((double)pause * (0.75 + random / 2)), retry_after_usec);
}

/* ---- status ---- */

void
pcd_sink_status_free (PcdSinkStatus *status)
{
  g_free (status->name);
  g_free (status->type);
  g_free (status->error);
  g_free (status);
}

PcdSinkStatus *
pcd_sink_runner_get_status (PcdSinkRunner *self)
{
  PcdSinkStatus *status = g_new (PcdSinkStatus, 1);

  g_mutex_lock (&self->lock);
  *status = self->status;
  status->error = g_strdup (self->status.error);
  g_mutex_unlock (&self->lock);
  status->name = g_strdup (self->config->name);
  status->type = g_strdup (self->config->type);
  return status;
}

static void
set_state (PcdSinkRunner *self, const char *state)
{
  const gint64 left = self->not_before - g_get_monotonic_time ();

  g_mutex_lock (&self->lock);
  self->status.state = state;
  self->status.next_try = left > 0 ? g_get_real_time () + left : 0;
  g_mutex_unlock (&self->lock);
}

static void
set_error (PcdSinkRunner *self, const char *error)
{
  g_mutex_lock (&self->lock);
  g_free (self->status.error);
  self->status.error = g_strdup (error);
  self->status.error_time = g_get_real_time ();
  g_mutex_unlock (&self->lock);
}

/* ---- where we are ---- */

/* Whether the queue has this sink and can be read. */
static gboolean
look (PcdSinkRunner *self)
{
  g_autoptr (GError) error = NULL;
  PcdNoteState at;

  if (!pcd_note_reader_look (self->reader, self->config->name, &at, &error)) {
    if (!g_error_matches (error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NOT_FOUND))
      set_error (self, error->message);
    return FALSE;
  }
  if (strcmp (at.queue, self->at.queue) != 0)
    self->position = self->told_last = self->acks = 0;
  self->at = at;
  pcd_sink_teller_look (&self->teller, &at.row);
  g_mutex_lock (&self->lock);
  self->status.waiting = MAX (at.waiting - MAX (self->position - at.row.position, 0), 0);
  self->status.waiting_bytes = at.waiting_bytes;
  self->status.delivered = at.row.delivered;
  self->status.refused = at.row.refused;
  self->status.dropped = at.row.dropped;
  g_mutex_unlock (&self->lock);
  return TRUE;
}

/* ---- waiting ---- */

/* Until @until (CLOCK_MONOTONIC), or something happens. */
static void
sleep_until (PcdSinkRunner *self, gint64 until)
{
  g_mutex_lock (&self->lock);
  while (!self->stop && !self->poked) {
    if (until == FOREVER)
      g_cond_wait (&self->cond, &self->lock);
    else if (!g_cond_wait_until (&self->cond, &self->lock, until))
      break;
  }
  self->poked = FALSE;
  g_mutex_unlock (&self->lock);
}

static gboolean
is_stopped (PcdSinkRunner *self)
{
  g_mutex_lock (&self->lock);
  gboolean stop = self->stop;
  g_mutex_unlock (&self->lock);
  return stop;
}

void
pcd_sink_runner_poke (PcdSinkRunner *self)
{
  g_mutex_lock (&self->lock);
  self->poked = TRUE;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
}

/* ---- delivering ---- */

typedef struct {
  PcdSinkRunner *runner;
  gint abandoned; /* atomic: 1 left behind, 2 over */
} Watch;

enum { ABANDONED = 1, OVER = 2 };

/* In the call's thread. */
static void
on_over (gpointer data)
{
  Watch *watch = data;

  if (g_atomic_int_add (&watch->abandoned, OVER) & ABANDONED)
    g_atomic_int_add (&watch->runner->n_abandoned, -1);
  pcd_sink_runner_poke (watch->runner);
  pcd_sink_runner_unref (watch->runner);
  g_atomic_rc_box_release (watch);
}

static void
abandon (PcdSinkRunner *self, PcdSinkCall *call, Watch *watch)
{
  pcd_sink_call_abandon (call);
  g_atomic_int_inc (&self->n_abandoned);
  if (g_atomic_int_add (&watch->abandoned, ABANDONED) & OVER)
    g_atomic_int_add (&self->n_abandoned, -1);
  /* What its thread may still be using is its own from now on. */
  g_clear_pointer (&self->instance, pcd_sink_instance_unref);
}

static PcdSinkResult
failure (const char *reason)
{
  PcdSinkResult result = { .outcome = POSTCOPYD_FAILED };

  g_strlcpy (result.reason, reason, sizeof result.reason);
  return result;
}

/* Waits for @call, and goes on looking meanwhile, for those who ask how long the queue is. */
static PcdSinkResult
wait_for_call (PcdSinkRunner *self, PcdSinkCall *call, Watch *watch, gint64 deadline)
{
  gint64 until = deadline + self->timing.grace_usec;

  while (!pcd_sink_call_is_over (call)) {
    gint64 now = g_get_monotonic_time ();
    if (now >= until) {
      abandon (self, call, watch);
      pcd_sink_teller_stuck (&self->teller, g_atomic_int_get (&self->n_abandoned));
      return failure ("it did not come back in time");
    }
    if (is_stopped (self)) {
      pcd_sink_call_cancel (call);
      until = MIN (until, now + self->timing.grace_usec);
      g_usleep (10 * 1000); /* it is poked no more */
      continue;
    }
    look (self);
    sleep_until (self, until);
  }
  return pcd_sink_call_get_result (call);
}

static gboolean
make_instance (PcdSinkRunner *self, GError **error)
{
  if (!self->instance)
    self->instance = pcd_sink_instance_new (self->type, self->plugin, self->config->keys, error);
  return self->instance != NULL;
}

static PcdSinkResult
call (PcdSinkRunner *self, GPtrArray *notes)
{
  g_autoptr (GError) error = NULL;

  if (!make_instance (self, &error))
    return failure (error->message);
  gint64 budget = pcd_sink_instance_get_budget (self->instance, self->config->common.timeout_usec);
  gint64 deadline = g_get_monotonic_time () + budget;
  Watch *watch = g_atomic_rc_box_new0 (Watch);
  watch->runner = self;
  g_atomic_ref_count_inc (&self->refs);
  g_autoptr (PcdSinkCall) under_way = pcd_sink_call_start (self->instance, notes, deadline, on_over,
                                                           g_atomic_rc_box_acquire (watch), &error);
  PcdSinkResult result;
  if (under_way) {
    result = wait_for_call (self, under_way, watch, deadline);
  } else {
    result = failure (error->message);
    g_atomic_ref_count_dec (&self->refs);
    g_atomic_rc_box_release (watch);
  }
  g_atomic_rc_box_release (watch);
  return result;
}

static void
write_down (PcdSinkRunner *self, const PcdNoteAck *ack)
{
  self->acks = self->at.row.acks + 1;
  self->ack_until = g_get_monotonic_time () + ACK_USEC;
  pcd_journal_ack_notes (self->journal, self->config->name, ack);
}

static void
after_result (PcdSinkRunner *self, const PcdSinkResult *result)
{
  if (result->outcome != POSTCOPYD_DONE)
    set_error (self, result->reason);
  if (result->outcome != POSTCOPYD_FAILED) {
    pcd_sink_teller_worked (&self->teller);
    self->failures = 0;
    self->not_before = 0;
    return;
  }
  self->failures++;
  self->not_before =
      g_get_monotonic_time () + pcd_sink_backoff (&self->timing, self->failures,
                                                  result->retry_after_usec, g_random_double ());
  if (!is_stopped (self))
    pcd_sink_teller_failed (&self->teller, result->reason);
}

/* What was dropped comes first: a receiver that is back shall know what it does not have. */
static void
tell_dropped (PcdSinkRunner *self, gint64 first)
{
  const gint64 last = self->at.row.untold_last;
  g_autoptr (GPtrArray) notes = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_note_free);

  g_ptr_array_add (notes, pcd_sink_dropped_note (self->at.queue, self->config->name, first, last,
                                                 g_get_real_time ()));
  PcdSinkResult result = call (self, notes);
  if (result.outcome != POSTCOPYD_FAILED) {
    self->told_last = last;
    write_down (self, &(PcdNoteAck){ .first = first, .told_last = last });
    pcd_sink_teller_told (&self->teller, last - first + 1);
  }
  after_result (self, &result);
}

static gboolean
deliver_batch (PcdSinkRunner *self)
{
  const gint64 after = MAX (self->position, self->at.row.position);
  const guint most =
      make_instance (self, NULL) ? pcd_sink_instance_get_max_batch (self->instance) : 1;
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) notes = pcd_note_reader_take (self->reader, after, most, &error);

  if (!notes || notes->len == 0) {
    if (!notes)
      set_error (self, error->message);
    return FALSE;
  }
  set_state (self, "delivering");
  PcdSinkResult result = call (self, notes);
  const gboolean refused = result.outcome == POSTCOPYD_REFUSED;
  const PcdNote *first = g_ptr_array_index (notes, 0);
  if (refused)
    pcd_sink_teller_refused (&self->teller, g_ptr_array_index (notes, result.n_delivered),
                             result.reason);
  if (result.n_delivered + refused > 0) {
    self->position = first->number + result.n_delivered + refused - 1;
    write_down (self, &(PcdNoteAck){ .first = first->number,
                                     .delivered = result.n_delivered,
                                     .refused = refused });
  }
  after_result (self, &result);
  return TRUE;
}

/* ---- the thread ---- */

/* Returns: when to look again at the latest */
static gint64
turn (PcdSinkRunner *self)
{
  const gint64 now = g_get_monotonic_time ();

  if (!look (self))
    return now + ACK_USEC;
  if (now < self->not_before) {
    set_state (self, "waiting");
    return self->not_before;
  }
  if (self->at.row.acks < self->acks && now < self->ack_until)
    return self->ack_until;
  if (g_atomic_int_get (&self->n_abandoned) >= PCD_SINK_MAX_ABANDONED) {
    set_state (self, "stuck");
    return FOREVER; /* the thread that comes back pokes us */
  }
  if (self->at.row.untold > 0 && self->at.row.untold_last > self->told_last) {
    set_state (self, "delivering");
    tell_dropped (self, MAX (self->at.row.untold_first, self->told_last + 1));
    return now;
  }
  if (deliver_batch (self))
    return now;
  set_state (self, "idle");
  return FOREVER;
}

static gpointer
runner_thread (gpointer data)
{
  PcdSinkRunner *self = data;

  if (self->predecessor) {
    pcd_sink_runner_wait (self->predecessor, FOREVER);
    g_clear_pointer (&self->predecessor, pcd_sink_runner_unref);
  }
  while (!is_stopped (self)) {
    gint64 until = turn (self);
    if (until > g_get_monotonic_time ())
      sleep_until (self, until);
  }
  g_clear_pointer (&self->instance, pcd_sink_instance_unref);
  g_clear_pointer (&self->reader, pcd_note_reader_free);
  g_mutex_lock (&self->lock);
  self->finished = TRUE;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
  pcd_sink_runner_unref (self);
  return NULL;
}

/* ---- for others ---- */

PcdSinkRunner *
pcd_sink_runner_new (const PcdSinkConfig *config,
                     const PcdSinkType *type,
                     PcdPlugin *plugin,
                     PcdJournal *journal,
                     const PcdSinkTiming *timing,
                     PcdSinkRunner *predecessor)
{
  PcdSinkRunner *self = g_new0 (PcdSinkRunner, 1);

  g_atomic_ref_count_init (&self->refs);
  g_atomic_ref_count_inc (&self->refs);
  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  self->config = pcd_sink_config_ref ((PcdSinkConfig *)config);
  self->type = type;
  self->plugin = plugin ? pcd_plugin_ref (plugin) : NULL;
  self->journal = pcd_journal_ref (journal);
  self->timing = *timing;
  self->predecessor = predecessor;
  self->status.state = "idle";
  self->teller.sink = self->config->name;
  self->reader = pcd_note_reader_new (pcd_journal_get_path (journal));
  g_thread_unref (g_thread_new ("sink", runner_thread, self));
  return self;
}

void
pcd_sink_runner_unref (PcdSinkRunner *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  g_free (self->status.error);
  g_clear_pointer (&self->plugin, pcd_plugin_unref);
  pcd_sink_config_unref (self->config);
  pcd_journal_unref (self->journal);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
  g_free (self);
}

void
pcd_sink_runner_stop (PcdSinkRunner *self)
{
  g_mutex_lock (&self->lock);
  self->stop = TRUE;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
}

gboolean
pcd_sink_runner_wait (PcdSinkRunner *self, gint64 until)
{
  g_mutex_lock (&self->lock);
  while (!self->finished) {
    if (until == FOREVER)
      g_cond_wait (&self->cond, &self->lock);
    else if (!g_cond_wait_until (&self->cond, &self->lock, until))
      break;
  }
  gboolean finished = self->finished;
  g_mutex_unlock (&self->lock);
  return finished;
}

const PcdSinkConfig *
pcd_sink_runner_get_config (PcdSinkRunner *self)
{
  return self->config;
}

PcdPlugin *
pcd_sink_runner_get_plugin (PcdSinkRunner *self)
{
  return self->plugin;
}
