/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A journal in a folder of its own, and what tests of it ask again and again.
 * Must not know what is tested. */
#pragma once

#include "journal/pcd-journal-file.h"
#include "journal/pcd-ladder-json.h"

G_BEGIN_DECLS

#define UUID "a1a1a1a1-0000-4000-8000-000000000001"
#define T0   G_GINT64_CONSTANT (1795359601123456)

typedef struct {
  char *dir;
  char *file;
  PcdJournal *journal;
  char *notice;
} Fixture;

void set_up (Fixture *f, gconstpointer data);
void tear_down (Fixture *f, gconstpointer data);

/* Anew, if it is open. */
void open_journal (Fixture *f);
void close_journal (Fixture *f);

typedef struct {
  gboolean called;
  GError *error;
} Answer;

/* For what the journal answers later; @data is an #Answer. */
void on_answer (const GError *error, gpointer data);
gboolean on_late (gpointer data);

/* Journals an intent and waits for the answer: (transfer full) (nullable). */
GError *intend (PcdJournal *journal, gint64 incident, guint64 ticket, const PcdLadder *ladder);
void intend_well (PcdJournal *journal, gint64 incident, guint64 ticket, const PcdLadder *ladder);

/* A ladder in which no two members have the same value. */
PcdLadder full_ladder (void);

/* By another connection than the journal's. */
void run_sql (Fixture *f, const char *sql);

/* What may befall its file: noise from there on, noise, a newer version. */
void scribble (Fixture *f, gsize from);
void damage_random (Fixture *f);
void damage_newer (Fixture *f);

G_END_DECLS
