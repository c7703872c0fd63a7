/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads the words of events of kind measured (engine/pcd-measured.c) back into numbers and spans.
 * What it does not understand it leaves out: the table of events has it all the same. */
#include "ctl/pcd-report.h"

#include <stdio.h>
#include <string.h>

static void
thread_free (PcdReportThread *thread)
{
  g_ptr_array_unref (thread->waits);
  g_free (thread);
}

GPtrArray *
pcd_report_threads_new (void)
{
  return g_ptr_array_new_with_free_func ((GDestroyNotify)thread_free);
}

static void
read_connection (const char *part, PcdReportSample *sample)
{
  const char *at = strstr (part, ": unacked ");
  guint unacked, retransmits;

  if (!at || sscanf (at, ": unacked %9u, retransmits %9u", &unacked, &retransmits) != 2)
    return;
  sample->unacked = MAX (sample->unacked, unacked);
  sample->retransmits = MAX (sample->retransmits, retransmits);
}

static PcdReportThread *
find_thread (PcdReportSide *side, int tid, int vcpu)
{
  PcdReportThread *thread;

  for (guint i = 0; i < side->threads->len; i++) {
    thread = g_ptr_array_index (side->threads, i);
    if (thread->tid == tid)
      return thread;
  }
  if (side->threads->len == PCD_REPORT_MAX_THREADS)
    return NULL;
  thread = g_new0 (PcdReportThread, 1);
  thread->tid = tid;
  thread->vcpu = vcpu;
  thread->waits = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_report_span_free);
  g_ptr_array_add (side->threads, thread);
  return thread;
}

static PcdReportSpan *
last_open (const PcdReportThread *thread)
{
  PcdReportSpan *span =
      thread->waits->len ? g_ptr_array_index (thread->waits, thread->waits->len - 1) : NULL;

  return span && span->to < 0 ? span : NULL;
}

static void
read_thread (PcdReportSide *side, const char *part, gint64 time)
{
  int tid, vcpu;
  char path[40];
  PcdReportThread *thread;
  PcdReportSpan *span;

  if (sscanf (part, "thread %9d (vCPU %9d) blocked: %39[a-z-]", &tid, &vcpu, path) != 3 ||
      !(thread = find_thread (side, tid, vcpu)))
    return;
  thread->seen = time;
  span = last_open (thread);
  if (span && g_str_equal (span->word, path))
    return;
  if (span)
    span->to = time;
  span = g_new0 (PcdReportSpan, 1);
  span->from = time;
  span->to = -1;
  span->word = g_strdup (path);
  g_ptr_array_add (thread->waits, span);
}

void
pcd_report_read_measured (PcdReportSide *side, gint64 time, const char *detail)
{
  g_auto (GStrv) parts = g_strsplit (detail ?: "", "; ", -1);
  PcdReportSample sample = { .time = time };

  for (guint i = 0; parts[i]; i++) {
    read_connection (parts[i], &sample);
    read_thread (side, parts[i], time);
  }
  g_array_append_val (side->samples, sample);
  for (guint i = 0; i < side->threads->len; i++) {
    const PcdReportThread *thread = g_ptr_array_index (side->threads, i);
    PcdReportSpan *span = last_open (thread);

    if (span && thread->seen != time)
      span->to = time;
  }
}
