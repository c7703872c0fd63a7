/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How far a receiver is in the queue of notes: pure sums, the same for the database's writer and
 * for tests. Must not know SQLite. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdNoteRow: a sink's row. Numbers of notes count from 1 and have no gaps.
 * @position: all up to this one are done with
 * @delivered: ever
 * @refused: ever: what the receiver would never take
 * @dropped: ever: pushed out by newer ones before they could be delivered
 * @untold: dropped notes that the receiver has not been told of; all from @untold_first to
 *   @untold_last, which is @position then
 * @acks: how many #PcdNoteAck were put into the row
 */
typedef struct {
  gint64 position;
  gint64 delivered;
  gint64 refused;
  gint64 dropped;
  gint64 untold;
  gint64 untold_first;
  gint64 untold_last;
  gint64 acks;
} PcdNoteRow;

/**
 * PcdNoteAck: what became of a call to the receiver.
 * @first: of the notes that were brought
 * @delivered: so many of them, from @first
 * @refused: 1 if the one behind those is to be dropped
 * @told_last: if not 0, it was not notes that were brought, but word of those that had been
 * dropped, from @first to this one
 */
typedef struct {
  gint64 first;
  gint64 delivered;
  gint64 refused;
  gint64 told_last;
} PcdNoteAck;

/* What was dropped while it was being delivered was delivered all the same. */
void pcd_note_row_ack (PcdNoteRow *row, const PcdNoteAck *ack);

/* Drops all up to @position; does nothing if they are done with. */
void pcd_note_row_drop (PcdNoteRow *row, gint64 position);

G_END_DECLS
