/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much memory a migration still has to move, how fast that goes, and when it will be over.
 * Pure; must not know whom QEMU's figures come from. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdProgressSample: the source's QEMU at one moment.
 * @now: g_get_monotonic_time()
 * @flows: pages may flow: not in postcopy-paused, nor while a recovery is being agreed on
 * @remaining: bytes that the destination does not have
 * @total: bytes of guest memory
 * @page_size: of the pages that QEMU counts by, which is the smallest of the target's
 * @bytes_per_s: QEMU's own figure of the last 100 ms, protocol included; 0 if it has none
 */
typedef struct {
  gint64 now;
  gboolean flows;
  guint64 remaining;
  guint64 total;
  guint page_size;
  guint64 bytes_per_s;
} PcdProgressSample;

#define PCD_PROGRESS_SAMPLES     16
#define PCD_PROGRESS_WINDOW_USEC (10 * G_USEC_PER_SEC)

/**
 * PcdProgressTrack: the last samples that belong together: zeroed is empty. Value type.
 */
typedef struct {
  PcdProgressSample samples[PCD_PROGRESS_SAMPLES]; /* oldest first */
  guint n;
} PcdProgressTrack;

/**
 * PcdProgress: what is told of it.
 * @known: the following members mean something
 * @remaining: bytes
 * @total: bytes
 * @page_size: bytes
 * @rate: bytes per second by which @remaining falls; 0 while nothing flows, -1 if not known yet
 * @left_usec: until @remaining is 0 at this rate; -1 if that cannot be said
 * @time: when it was measured, microseconds since the epoch
 */
typedef struct {
  gboolean known;
  guint64 remaining;
  guint64 total;
  guint page_size;
  gint64 rate;
  gint64 left_usec;
  gint64 time;
} PcdProgress;

/**
 * pcd_progress_parse:
 * @json: a reply to query-migrate, `{"return":{"status":…,"ram":{…}}}`
 * @now: when it was asked
 * @ret_sample: (out): written on success
 *
 * "ram" has the same members in QEMU 2.5 to 10; QEMU leaves it out where it knows no figures: on a
 * destination, and before a migration.
 *
 * Errors: %G_IO_ERROR_INVALID_DATA if @json is no such reply, %G_IO_ERROR_NOT_FOUND if it has no
 * figures
 */
gboolean
pcd_progress_parse (const char *json, gint64 now, PcdProgressSample *ret_sample, GError **error);

/**
 * pcd_progress_add:
 *
 * Begins anew where @sample does not go on from the last one: a pause began or ended, or more is
 * missing than before (a recovery counts what was lost on the way as missing again).
 */
void pcd_progress_add (PcdProgressTrack *track, const PcdProgressSample *sample);

/**
 * pcd_progress_get:
 *
 * Returns: what the samples say; @time is 0
 */
PcdProgress pcd_progress_get (const PcdProgressTrack *track);

/* Pages that @progress lacks, a started one counted as one. */
guint64 pcd_progress_pages (const PcdProgress *progress);

/* How much is there, in thousandths; 0 if @total is not known. */
guint pcd_progress_permille (const PcdProgress *progress);

/**
 * pcd_progress_bytes_to_text:
 *
 * Returns: (transfer full): such as "385.0 MiB"
 */
char *pcd_progress_bytes_to_text (guint64 bytes);

/**
 * pcd_progress_left_to_text:
 *
 * Returns: (transfer full): such as "8 s", "2 min 5 s", "3 h 10 min"; rounded up, as a guess is
 */
char *pcd_progress_left_to_text (gint64 usec);

/**
 * pcd_progress_to_text:
 *
 * Returns: (transfer full): one line such as "385.0 MiB (98560 pages) left of 512.0 MiB,
 *   41.2 MiB/s, about 10 s"
 */
char *pcd_progress_to_text (const PcdProgress *progress);

/**
 * pcd_progress_bar:
 * @width: columns, the brackets included; at least 3
 *
 * Returns: (transfer full): such as "[#####---------]"
 */
char *pcd_progress_bar (const PcdProgress *progress, guint width);

/**
 * pcd_progress_line:
 * @head: what stands before it
 * @columns: the terminal's
 *
 * Returns: (transfer full): @head, a bar as wide as there is room, and the figures; shorter than
 *   @columns, so that it never wraps
 */
char *pcd_progress_line (const char *head, const PcdProgress *progress, guint columns);

G_END_DECLS
