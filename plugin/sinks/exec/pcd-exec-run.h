/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs one program to its end or to its time-out, with all that it started.
 * Must not know what it is for. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* How long what was sent SIGTERM may take before SIGKILL. */
#define PCD_EXEC_TERM_USEC (2 * G_TIME_SPAN_SECOND)

typedef enum {
  PCD_EXEC_EXITED,    /* @status is its exit status */
  PCD_EXEC_KILLED,    /* @status is the signal's number; not by us */
  PCD_EXEC_TIMED_OUT, /* killed, with its process group */
  PCD_EXEC_CANCELLED, /* likewise, as nobody wants it any more */
  PCD_EXEC_NOT_STARTED,
} PcdExecEnd;

/**
 * PcdExecResult:
 * @text: the first lines of what it wrote to standard error, printable, at most some hundred
 *   characters; or why it could not be started
 */
typedef struct {
  PcdExecEnd end;
  int status;
  char *text;
} PcdExecResult;

/**
 * pcd_exec_run:
 * @argv: with an absolute path; no shell sees it
 * @environment: all of it
 * @input: its standard input, in a file: a program that does not read it is waited for all the same
 * @until_usec: CLOCK_MONOTONIC; what runs then gets SIGTERM, and after %PCD_EXEC_TERM_USEC SIGKILL,
 *   as does the rest of its session's process group
 * @cancel_fd: readable once nobody wants it any more; -1 for none
 *
 * It runs in a session of its own, in /, without other descriptors, signals at their defaults, and
 * dies with the calling thread.
 */
PcdExecResult
pcd_exec_run (char **argv, char **environment, const char *input, gint64 until_usec, int cancel_fd);

G_END_DECLS
