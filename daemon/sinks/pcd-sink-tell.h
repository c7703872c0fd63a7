/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the log says of a sink: what changes, once, and no secrets; and what the sink itself is told
 * of notes that it will never get. */
#pragma once

#include "journal/pcd-journal-notes.h"

G_BEGIN_DECLS

/**
 * PcdSinkTeller: a runner's own; zeroes but for @sink, which is borrowed.
 */
typedef struct {
  const char *sink;
  gboolean failing;
  gboolean dropping;
  gint64 dropped;
} PcdSinkTeller;

void pcd_sink_teller_look (PcdSinkTeller *teller, const PcdNoteRow *row);
void pcd_sink_teller_failed (PcdSinkTeller *teller, const char *reason);
void pcd_sink_teller_worked (PcdSinkTeller *teller);
void pcd_sink_teller_stuck (PcdSinkTeller *teller, gint n_abandoned);
void pcd_sink_teller_refused (PcdSinkTeller *teller, const PcdNote *note, const char *reason);
void pcd_sink_teller_told (PcdSinkTeller *teller, gint64 n_dropped);

/**
 * pcd_sink_dropped_note:
 *
 * Returns: (transfer full): the note of kind "dropped" that says that @first to @last never come;
 *   with an id of its own, the same for the same notes
 */
PcdNote *
pcd_sink_dropped_note (const char *queue, const char *sink, gint64 first, gint64 last, gint64 time);

G_END_DECLS
