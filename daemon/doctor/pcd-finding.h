/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What doctor says of one thing: how bad, what was seen, why it matters, what mends it.
 * Must not know how anything is found out. */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/**
 * PcdSeverity:
 * @PCD_SEVERITY_OK: as it should be
 * @PCD_SEVERITY_NOTE: true of this host and good to know, or not to be helped; postcopyd copes
 * @PCD_SEVERITY_WARNING: something is worse than it need be, or will be in a failure
 * @PCD_SEVERITY_ERROR: post-copy, its recovery or postcopyd does not work here
 *
 * A warning or an error is a finding that matters: it decides the exit status.
 */
typedef enum {
  PCD_SEVERITY_OK,
  PCD_SEVERITY_NOTE,
  PCD_SEVERITY_WARNING,
  PCD_SEVERITY_ERROR,
  PCD_N_SEVERITIES,
} PcdSeverity;

/**
 * PcdFinding:
 * @id: static; stable, documented in docs/json.md
 * @about: (nullable): which of several, such as a peer's name and address
 * @seen: what was seen, one line
 * @why: (nullable): why it matters, and what postcopyd does about it; never %NULL unless ok
 * @mend: commands, in order, or a sentence after `# `; empty if there is nothing to be done
 */
typedef struct {
  const char *id;
  PcdSeverity severity;
  char *about;
  char *seen;
  char *why;
  GStrv mend;
} PcdFinding;

/* Returns: (transfer full) (element-type PcdFinding) */
GPtrArray *pcd_findings_new (void);

/**
 * pcd_findings_add:
 * @about: (nullable)
 * @seen: (transfer full)
 * @why: (nullable)
 * @...: strings, ended by %NULL: what mends it
 */
void pcd_findings_add (GPtrArray *findings,
                       const char *id,
                       PcdSeverity severity,
                       const char *about,
                       char *seen,
                       const char *why,
                       ...) G_GNUC_NULL_TERMINATED;

/* Returns: how many have that severity */
guint pcd_findings_count (GPtrArray *findings, PcdSeverity severity);

/* Returns: whether no finding matters */
gboolean pcd_findings_are_sound (GPtrArray *findings);

/* Returns: static: ok, note, warning, error; "?" for a value out of range */
const char *pcd_severity_to_string (PcdSeverity severity);

/**
 * pcd_findings_to_json:
 * @host: its name
 *
 * Returns: (transfer full): an object node, see docs/json.md
 */
JsonNode *pcd_findings_to_json (GPtrArray *findings, const char *host);

G_END_DECLS
