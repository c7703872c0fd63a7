/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions come in at any time; one ask at a time answers all that wait. */
#include "engine/pcd-gauge.h"

#include "libvirt/pcd-progress-ask.h"

/* Faster than people look; QEMU takes its big lock from the guest for each. */
#define FRESH_USEC (300 * (gint64)1000)

typedef struct {
  PcdProgressCallback callback;
  gpointer data;
} Waiting;

struct _PcdGauge {
  const char *uri; /* (unowned) */
  char *uuid;
  PcdProgressTrack track;
  gint64 time; /* of the last sample, since the epoch */
  GArray *waiting;
  PcdProgressAsk *ask; /* under way, or late */
  gboolean late;
};

PcdGauge *
pcd_gauge_new (const char *uri, const char *uuid)
{
  PcdGauge *self = g_new0 (PcdGauge, 1);

  self->uri = uri;
  self->uuid = g_strdup (uuid);
  self->waiting = g_array_new (FALSE, FALSE, sizeof (Waiting));
  return self;
}

/* Those who ask from inside an answer wait for the next one. */
static void
answer_all (PcdGauge *self, const PcdProgress *progress, const char *problem)
{
  g_autoptr (GArray) waiting = g_steal_pointer (&self->waiting);

  self->waiting = g_array_new (FALSE, FALSE, sizeof (Waiting));
  for (guint i = 0; i < waiting->len; i++) {
    const Waiting *one = &g_array_index (waiting, Waiting, i);
    one->callback (progress, problem, one->data);
  }
}

static const PcdProgress unknown = { .rate = -1, .left_usec = -1 };

void
pcd_gauge_free (PcdGauge *self)
{
  if (!self)
    return;
  g_clear_pointer (&self->ask, pcd_progress_ask_free);
  answer_all (self, &unknown, "the migration is not known here any more");
  g_array_unref (self->waiting);
  g_free (self->uuid);
  g_free (self);
}

static PcdProgress
current (const PcdGauge *self)
{
  PcdProgress progress = pcd_progress_get (&self->track);

  progress.time = self->time;
  return progress;
}

static void
on_answered (const PcdProgressSample *sample, gboolean late, const char *problem, gpointer data)
{
  PcdGauge *self = data;
  g_autofree char *kept = g_strdup (problem); /* it may be the ask's */

  self->late = late;
  if (!late)
    g_clear_pointer (&self->ask, pcd_progress_ask_free);
  if (!sample) {
    answer_all (self, &unknown, kept);
    return;
  }
  pcd_progress_add (&self->track, sample);
  self->time = g_get_real_time ();
  const PcdProgress progress = current (self);
  answer_all (self, &progress, NULL);
}

static void
on_ended (gpointer data)
{
  PcdGauge *self = data;

  g_clear_pointer (&self->ask, pcd_progress_ask_free);
  self->late = FALSE;
}

static const PcdProgressAskFuncs funcs = { on_answered, on_ended };

/* (nullable): why QEMU cannot be asked, or need not be. */
static const char *
reason_not_to_ask (const PcdGauge *self, const PcdState *state)
{
  if (state->role != PCD_ROLE_SOURCE)
    return "only the source knows what is missing: ask there";
  if (state->phase == PCD_PHASE_FAILED || state->phase == PCD_PHASE_GONE)
    return "the migration has ended without completing";
  if (self->late)
    return "libvirt has not answered an earlier question yet";
  return NULL;
}

void
pcd_gauge_ask (PcdGauge *self, const PcdState *state, PcdProgressCallback callback, gpointer data)
{
  const char *reason = reason_not_to_ask (self, state);
  PcdProgress progress = current (self);
  const Waiting one = { callback, data };
  g_autoptr (GError) error = NULL;

  if (reason) {
    callback (&unknown, reason, data);
    return;
  }
  if (state->phase == PCD_PHASE_COMPLETED) {
    progress.known = TRUE;
    progress.remaining = 0;
    progress.rate = progress.left_usec = 0;
    progress.time = g_get_real_time ();
    callback (&progress, NULL, data);
    return;
  }
  if (!self->ask && self->track.n > 0 &&
      g_get_monotonic_time () - self->track.samples[self->track.n - 1].now < FRESH_USEC) {
    callback (&progress, NULL, data);
    return;
  }
  g_array_append_val (self->waiting, one);
  if (self->ask)
    return;
  self->ask = pcd_progress_ask_new (self->uri, self->uuid, &funcs, self, &error);
  if (!self->ask)
    answer_all (self, &unknown, error->message);
}
