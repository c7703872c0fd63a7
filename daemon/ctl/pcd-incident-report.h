/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl incident report: reads one or two incidents and writes the report where it is wanted.
 * Must not know what a report looks like. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdIncidentReport: what is wanted.
 * @state_dir: where the journal is
 * @incident: an incident's number, or a file with one as JSON
 * @with: (nullable): the other side's, the same
 * @html: (nullable): file to write; "-" for the output
 * @json: print the incidents as a JSON array
 * @quiet: no progress on the terminal
 */
typedef struct {
  const char *state_dir;
  const char *incident;
  const char *with;
  const char *html;
  gboolean json;
  gboolean quiet;
} PcdIncidentReport;

/* Returns: the exit code; what went wrong is printed. */
int pcd_incident_report (const PcdIncidentReport *wanted);

G_END_DECLS
