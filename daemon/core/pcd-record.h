/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One told event: a line of `postcopyctl events`, a D-Bus signal, a journal entry.
 * Pure values; the JSON of a record is stable and documented. */
#pragma once

#include "core/pcd-types.h"

G_BEGIN_DECLS

/**
 * PcdRecordKind: what changed.
 * @PCD_RECORD_PHASE: @from and @to are phases
 * @PCD_RECORD_FLOW: flows
 * @PCD_RECORD_CAUSE: causes
 * @PCD_RECORD_UNATTENDED: "no", "yes"
 * @PCD_RECORD_ARMED: migration sockets found and armed; @detail names their two ends
 * @PCD_RECORD_BLOCKED: number of vCPUs that wait for a missing page
 * @PCD_RECORD_SHUTDOWN: postcopyd shut a dead connection down; @detail says on what evidence
 * @PCD_RECORD_LIBVIRT: "connected", "disconnected"; no domain
 * @PCD_RECORD_ACTION: @from is the action; @to is "started", "done", "refused", "failed", "would"
 *   (dry run), "gave-up", "unknown" (the daemon was restarted while it ran), "vetoed", "permitted"
 * (a veto is over), or "unanswered" (by a veto hook); @detail says why, and whose veto it is
 * @PCD_RECORD_POLICY: another policy applies
 * @PCD_RECORD_HOLD: automatic action was held ("yes") or released ("no"); @detail says by whom
 * @PCD_RECORD_MEASURED: a look, kept with an incident and not told: @to is the number of vCPUs that
 *   wait, @detail the connections and the waiting threads; see engine/pcd-measured.h
 * @PCD_RECORD_UNKNOWN: an event, state or status that this version does not know; @detail has it
 */
typedef enum {
  PCD_RECORD_PHASE,
  PCD_RECORD_FLOW,
  PCD_RECORD_CAUSE,
  PCD_RECORD_UNATTENDED,
  PCD_RECORD_ARMED,
  PCD_RECORD_BLOCKED,
  PCD_RECORD_SHUTDOWN,
  PCD_RECORD_LIBVIRT,
  PCD_RECORD_ACTION,
  PCD_RECORD_POLICY,
  PCD_RECORD_HOLD,
  PCD_RECORD_MEASURED,
  PCD_RECORD_UNKNOWN,
  PCD_N_RECORDS,
} PcdRecordKind;

/**
 * PcdRecord:
 * @seq: counts from 1 since the daemon started
 * @time: microseconds since the epoch
 * @monotonic: microseconds of CLOCK_MONOTONIC
 * @kind: what changed
 * @uuid: (nullable): the domain's UUID
 * @domain: (nullable): the domain's name
 * @role: meaningful if @uuid is set
 * @from: (nullable): the word before
 * @to: (nullable): the word after
 * @detail: (nullable): evidence, for people
 */
typedef struct {
  guint64 seq;
  gint64 time;
  gint64 monotonic;
  PcdRecordKind kind;
  char *uuid;
  char *domain;
  PcdRole role;
  char *from;
  char *to;
  char *detail;
} PcdRecord;

void pcd_record_free (PcdRecord *record);
const char *pcd_record_kind_to_string (PcdRecordKind kind);

/**
 * pcd_record_to_json:
 *
 * Returns: (transfer full): one line of JSON without a line end
 */
char *pcd_record_to_json (const PcdRecord *record);

/**
 * pcd_record_to_text:
 *
 * Returns: (transfer full): one line for people, as `virsh event --timestamp` writes them
 */
char *pcd_record_to_text (const PcdRecord *record);

/**
 * pcd_record_to_message:
 *
 * Returns: (transfer full): the line without its time, for a log that adds its own
 */
char *pcd_record_to_message (const PcdRecord *record);

/**
 * pcd_record_from_json:
 * @line: what pcd_record_to_json () wrote, perhaps that of another version
 *
 * Unknown members are ignored; an unknown kind becomes %PCD_N_RECORDS.
 *
 * Returns: (transfer full): the record, or %NULL with @error set
 */
PcdRecord *pcd_record_from_json (const char *line, GError **error);

/**
 * pcd_time_to_rfc3339:
 * @usec: microseconds since the epoch
 *
 * Returns: (transfer full): as in JSON: 2026-11-22T15:00:01.123456Z
 */
char *pcd_time_to_rfc3339 (gint64 usec);

/**
 * pcd_time_from_rfc3339:
 * @text: (nullable): such a time; in UTC if it has no zone
 *
 * Returns: microseconds since the epoch, -1 if it is none
 */
gint64 pcd_time_from_rfc3339 (const char *text);

/**
 * pcd_time_to_text:
 * @usec: microseconds since the epoch
 *
 * Returns: (transfer full): as virsh writes it: 2026-11-22 15:00:01.123+0000
 */
char *pcd_time_to_text (gint64 usec);

/**
 * pcd_text_printable:
 * @value: from outside: a domain's name, an error's text
 *
 * A name must not be able to forge a second line, or to talk to the terminal.
 *
 * Returns: (transfer full): UTF-8 without control characters, those being "?"
 */
char *pcd_text_printable (const char *value);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdRecord, pcd_record_free)

G_END_DECLS
