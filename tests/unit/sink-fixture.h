/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A real queue with one runner that empties it, and what is logged meanwhile.
 * Must not know what kind of sink is tested. */
#pragma once

#include "sinks/pcd-sink-runner.h"

G_BEGIN_DECLS

/* For a loaded machine; nothing waits that long where all is well. */
#define PATIENCE (60 * G_USEC_PER_SEC)

typedef struct {
  char *dir; /* of the journal, and for what a test keeps */
  PcdJournal *journal;
  PcdSinkRunner *runner;
  PcdSinkTiming timing;
} Fixture;

void set_up (Fixture *f, gconstpointer data);
void tear_down (Fixture *f, gconstpointer data);

/* Keeps all that is logged from now on; once per program. */
void watch_log (void);

/* @pattern: of a message that must come in this test */
void expect (const char *pattern);

/* All that was expected, and nothing else. A message may come a little later than its effect. */
void assert_expected (void);

void start_journal (Fixture *f, gint64 max_notes);

/* (transfer full): of sink "r" */
PcdSinkConfig *sink_config (gint64 timeout_usec);

/* @config: (transfer full) */
void start_runner (Fixture *f, const PcdSinkType *type, PcdSinkConfig *config);

/* The runner, if it runs, and the journal. */
void stop (Fixture *f);

/* Events of domains vm@from to vm@to. */
void add (Fixture *f, guint from, guint to);

/* Until the status says so, which is by what is on disk: (transfer full). */
PcdSinkStatus *wait_for_status (Fixture *f, const char *state, gint64 delivered, gint64 waiting);

G_END_DECLS
