/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Takes one sink's notes out of the queue and brings them to it: in order, again after a failure,
 * never for longer than its time-out. Knows no D-Bus and no configuration file. */
#pragma once

#include "engine/pcd-sink-config.h"
#include "sinks/pcd-sink-call.h"

G_BEGIN_DECLS

/**
 * PcdSinkTiming: tests are in a hurry.
 * @first_usec: pause after the first failure; doubled with each that follows
 * @longest_usec: but no longer than this, unless the receiver says so
 * @grace_usec: how long past its deadline a call may take to come back
 */
typedef struct {
  gint64 first_usec;
  gint64 longest_usec;
  gint64 grace_usec;
} PcdSinkTiming;

#define PCD_SINK_TIMING                                                                            \
  (PcdSinkTiming)                                                                                  \
  {                                                                                                \
    .first_usec = G_TIME_SPAN_SECOND, .longest_usec = G_TIME_SPAN_MINUTE,                          \
    .grace_usec = G_TIME_SPAN_SECOND                                                               \
  }

/* Threads of one sink that did not come back: beyond these it is left alone until one does. */
#define PCD_SINK_MAX_ABANDONED 3

/**
 * pcd_sink_backoff:
 * @failures: in a row, from 1
 * @retry_after_usec: what the receiver asked for, 0 if nothing
 * @random: from 0 to 1: many hosts shall not come back to a receiver in one moment
 *
 * Pure. Returns: how long to wait: three quarters to five quarters of the doubled pause, and at
 * least
 *   @retry_after_usec
 */
gint64 pcd_sink_backoff (const PcdSinkTiming *timing,
                         guint failures,
                         gint64 retry_after_usec,
                         double random);

/**
 * PcdSinkStatus: for people.
 * @state: "idle", "delivering", "waiting" (to try again), "stuck"
 * @error: (nullable): the last failure's reason
 * @error_time: of that; microseconds since the epoch, as all times here
 * @next_try: 0 if nothing is waited for
 */
typedef struct {
  char *name;
  char *type;
  const char *state;
  gint64 waiting;
  gint64 waiting_bytes;
  gint64 delivered;
  gint64 refused;
  gint64 dropped;
  char *error;
  gint64 error_time;
  gint64 next_try;
} PcdSinkStatus;

void pcd_sink_status_free (PcdSinkStatus *status);

typedef struct _PcdSinkRunner PcdSinkRunner;

/**
 * pcd_sink_runner_new:
 * @type: (nullable): the built-in kind
 * @plugin: (nullable) (transfer none): else; one that cannot be used fails with its reason, and
 *   what comes waits
 * @predecessor: (nullable) (transfer full): of the same name, stopped: the new one begins when that
 *   has ended
 * @journal: must know the sink by pcd_journal_set_sinks () now or soon
 *
 * Starts a thread. Returns: (transfer full)
 */
PcdSinkRunner *pcd_sink_runner_new (const PcdSinkConfig *config,
                                    const PcdSinkType *type,
                                    PcdPlugin *plugin,
                                    PcdJournal *journal,
                                    const PcdSinkTiming *timing,
                                    PcdSinkRunner *predecessor);

/* There may be something new. Any thread. */
void pcd_sink_runner_poke (PcdSinkRunner *runner);

/* Asks it to end; returns at once. A call under way is asked to end, too. */
void pcd_sink_runner_stop (PcdSinkRunner *runner);

/* Waits until it has ended. Returns: %FALSE if it has not until then (CLOCK_MONOTONIC) */
gboolean pcd_sink_runner_wait (PcdSinkRunner *runner, gint64 until);

/* Only once it was stopped; does not wait. */
void pcd_sink_runner_unref (PcdSinkRunner *runner);

/* Returns: (transfer full): as of now, without touching the disk */
PcdSinkStatus *pcd_sink_runner_get_status (PcdSinkRunner *runner);

const PcdSinkConfig *pcd_sink_runner_get_config (PcdSinkRunner *runner);

/* (nullable) (transfer none) */
PcdPlugin *pcd_sink_runner_get_plugin (PcdSinkRunner *runner);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdSinkStatus, pcd_sink_status_free)

G_END_DECLS
