/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An incident, as `incident show --json` has it, as spans and points in time: what a picture and
 * tables are made of. Pure: reads no journal, prints nothing. */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/**
 * PcdReportSpan: something that lasted.
 * @from, @to: microseconds since the epoch; @to is the side's @end if it was never seen to end
 * @word: of a phase or a flow
 */
typedef struct {
  gint64 from;
  gint64 to;
  char *word;
} PcdReportSpan;

/* Whether it is worth a row: two samples of one moment tell a flow that did not last. */
gboolean pcd_report_lasted (const PcdReportSpan *span);

/**
 * PcdReportAction: an intent and its result.
 * @outcome: "done", "refused", "failed", "abandoned", "unknown", or "unfinished"
 * @reason: (nullable)
 */
typedef struct {
  gint64 from;
  gint64 to;
  gint64 ticket;
  char *action;
  char *who;
  char *outcome;
  char *reason;
} PcdReportAction;

/**
 * PcdReportPoint: an event.
 * @kind: as in `events --json`
 * @text: for people
 * @number: of "blocked": how many vCPUs wait
 */
typedef struct {
  gint64 time;
  char *kind;
  char *text;
  guint number;
} PcdReportPoint;

/**
 * PcdReportSample: numbers of an event of kind measured.
 * @unacked, @retransmits: of the connection that has most; 0 without any
 */
typedef struct {
  gint64 time;
  guint unacked;
  guint retransmits;
} PcdReportSample;

/* A picture of more is none. */
#define PCD_REPORT_MAX_THREADS 64

/**
 * PcdReportThread: a vCPU that was seen waiting for missing memory.
 * @vcpu: its index, -1 if not known
 * @seen: when last
 * @waits: (element-type PcdReportSpan): the word is the path
 */
typedef struct {
  int tid;
  int vcpu;
  gint64 seen;
  GPtrArray *waits;
} PcdReportThread;

/**
 * PcdReportSide: one host's incident.
 * @how: (nullable): %NULL while it lasts
 * @began, @end: microseconds since the epoch; of one that lasts the end is its last entry
 * @cause: (nullable): the last one told
 * @phases, @flows: (element-type PcdReportSpan)
 * @actions: (element-type PcdReportAction)
 * @points: (element-type PcdReportPoint): every event but those that tell of actions
 * @samples: (element-type PcdReportSample)
 * @threads: (element-type PcdReportThread)
 * @root: what all of it was read from
 */
typedef struct {
  gint64 id;
  char *uuid;
  char *domain;
  char *role;
  char *how;
  char *cause;
  gint64 began;
  gint64 end;
  GPtrArray *phases;
  GPtrArray *flows;
  GPtrArray *actions;
  GPtrArray *points;
  GArray *samples;
  GPtrArray *threads;
  JsonNode *root;
} PcdReportSide;

/**
 * pcd_report_side_new:
 * @root: one incident
 * @origin: for messages
 *
 * Entries of a newer postcopyd that mean nothing to this one are points with their JSON as text.
 *
 * Returns: (transfer full): %NULL with @error (%G_IO_ERROR_INVALID_DATA) if it is no incident
 */
PcdReportSide *pcd_report_side_new (JsonNode *root, const char *origin, GError **error);
void pcd_report_side_free (PcdReportSide *side);

/**
 * pcd_report_join_check:
 *
 * Whether two are the two sides of one migration: the same domain, one source and one destination,
 * and some time in common (hosts' clocks may differ by a minute).
 */
gboolean pcd_report_join_check (const PcdReportSide *a, const PcdReportSide *b, GError **error);

/* Time that was spent in phase paused. */
gint64 pcd_report_paused_usec (const PcdReportSide *side);

/* Returns: (transfer full) (nullable): the first connection told of: "LOCAL -> REMOTE" */
char *pcd_report_ends (const PcdReportSide *side);

/* Returns: (transfer full): one sentence that says it all. */
char *pcd_report_summary (const PcdReportSide *side);

/**
 * pcd_report_html:
 * @sides: (array length=n_sides): one or two
 *
 * Returns: (transfer full): one page that asks for nothing else: no script, no font, no picture
 * from elsewhere, and a Content-Security-Policy that says so. Everything from the outside is
 * escaped
 */
char *pcd_report_html (const PcdReportSide *const *sides, guint n_sides);

/* The same for a terminal. */
char *pcd_report_text (const PcdReportSide *const *sides, guint n_sides);

/* Reads @detail, (nullable), of an event of kind measured into @side's samples and threads. */
void pcd_report_read_measured (PcdReportSide *side, gint64 time, const char *detail);
GPtrArray *pcd_report_threads_new (void);
void pcd_report_span_free (PcdReportSpan *span);

/* The picture in that page: lanes over time. Appends an <svg> element. */
void pcd_report_svg (GString *to, const PcdReportSide *const *sides, guint n_sides);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdReportSide, pcd_report_side_free)

G_END_DECLS
