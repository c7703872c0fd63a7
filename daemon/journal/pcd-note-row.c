/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sums over a sink's place in the queue. */
#include "journal/pcd-note-row.h"

static void
forget_untold (PcdNoteRow *row, gint64 up_to)
{
  if (row->untold == 0 || up_to < row->untold_first)
    return;
  row->untold_first = up_to + 1;
  row->untold = row->untold_last - up_to;
  if (row->untold <= 0)
    row->untold = row->untold_first = row->untold_last = 0;
}

void
pcd_note_row_ack (PcdNoteRow *row, const PcdNoteAck *ack)
{
  gint64 last = ack->first + ack->delivered + ack->refused - 1;

  row->acks++;
  if (ack->told_last) {
    forget_untold (row, ack->told_last);
    return;
  }
  row->delivered += ack->delivered;
  row->refused += ack->refused;
  if (last > row->position) {
    gint64 overlap = MAX (row->position - ack->first + 1, 0);
    row->dropped -= MIN (overlap, row->untold);
    row->position = last;
    row->untold = row->untold_first = row->untold_last = 0;
    return;
  }
  if (row->untold > 0 && last >= row->untold_first) {
    row->dropped -= last - MAX (ack->first, row->untold_first) + 1;
    forget_untold (row, last);
  }
}

void
pcd_note_row_drop (PcdNoteRow *row, gint64 position)
{
  if (position <= row->position)
    return;
  if (row->untold == 0)
    row->untold_first = row->position + 1;
  row->dropped += position - row->position;
  row->untold += position - row->position;
  row->untold_last = row->position = position;
}
