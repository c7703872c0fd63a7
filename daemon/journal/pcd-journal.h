/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What happened and what was done about it, in SQLite, so that it outlives the daemon.
 * All writing is in one thread of its own; must not know policies or libvirt. */
#pragma once

#include "core/pcd-ladder.h"
#include "core/pcd-record.h"

G_BEGIN_DECLS

typedef struct _PcdJournal PcdJournal;

/**
 * pcd_journal_open:
 * @state_dir: folder, made if it is not there (0700)
 * @ret_notice: (out) (transfer full) (nullable): for people: a damaged database was set aside, and
 *   where
 *
 * Opens STATE_DIR/journal.sqlite (WAL, synchronous=FULL). A damaged file, or one of an unknown
 * newer version, is renamed to journal.sqlite.damaged-TIME and a fresh one begun; never deleted.
 *
 * Returns: (transfer full): %NULL only if not even a fresh one can be made
 */
PcdJournal *pcd_journal_open (const char *state_dir, char **ret_notice, GError **error);

/* Waits, at most 2 s, until what was asked for is on disk. */
void pcd_journal_close (PcdJournal *journal);

/**
 * pcd_journal_add_record:
 * @incident: 0 if the record belongs to none
 *
 * Queues it; returns at once.
 */
void pcd_journal_add_record (PcdJournal *journal, gint64 incident, const PcdRecord *record);

/**
 * pcd_journal_begin_incident:
 *
 * An incident begins with the first stall or pause of a migration and ends with it. Ids are unique
 * for ever: the number is given out at once, the row is queued.
 *
 * Returns: its id
 */
gint64 pcd_journal_begin_incident (
    PcdJournal *journal, const char *uuid, const char *name, PcdRole role, gint64 time);

/* @how: the last phase, or why it ended otherwise. */
void pcd_journal_end_incident (PcdJournal *journal, gint64 incident, const char *how, gint64 time);

/**
 * PcdJournalCallback: on the main thread, once it is on disk (@error %NULL) or cannot be.
 */
typedef void (*PcdJournalCallback) (const GError *error, gpointer data);

/**
 * pcd_journal_intent:
 * @who: "policy NAME", or the operator: "uid 1000"
 * @ladder: (nullable): the ladder after the step, kept beside it in the same transaction
 *
 * Rule 5: an effect is carried out only after @callback without an error.
 */
void pcd_journal_intent (PcdJournal *journal,
                         gint64 incident,
                         guint64 ticket,
                         const char *action,
                         const char *who,
                         const PcdLadder *ladder,
                         gint64 time,
                         PcdJournalCallback callback,
                         gpointer data);

/* What became of it: "done", "refused", "failed", "abandoned" (deadline), "unknown" (the daemon was
 * restarted in between). */
void pcd_journal_result (PcdJournal *journal,
                         gint64 incident,
                         guint64 ticket,
                         const char *outcome,
                         const char *reason,
                         const PcdLadder *ladder,
                         gint64 time);

/* Keeps flags that outlive the daemon, such as what we stopped or froze ("stopped", "frozen",
 * "held"); @value NULL removes. Returns at once. */
void
pcd_journal_set_flag (PcdJournal *journal, const char *uuid, const char *flag, const char *value);

/**
 * PcdOpenIncident: what an earlier daemon left, for the first look after a start.
 * @unfinished: (element-type guint64): tickets whose result is not known
 * @flags: (element-type utf8 utf8)
 */
typedef struct {
  gint64 id;
  char *uuid;
  char *name;
  PcdRole role;
  gint64 began;
  PcdLadder ladder;
  gboolean has_ladder;
  GArray *unfinished;
  GHashTable *flags;
} PcdOpenIncident;

void pcd_open_incident_free (PcdOpenIncident *incident);

/**
 * pcd_journal_get_open:
 *
 * To be called once, before anything is written; reads the disk.
 *
 * Returns: (transfer full) (element-type PcdOpenIncident)
 */
GPtrArray *pcd_journal_get_open (PcdJournal *journal, GError **error);

/**
 * pcd_journal_list:
 *
 * For `incident list`: opens the database read-only by itself, so that it works beside a daemon and
 * without one. JSON: [{id, uuid, domain, role, began, ended, how, actions}], newest first.
 *
 * Returns: (transfer full)
 */
struct _JsonNode *pcd_journal_list (const char *state_dir, guint most, GError **error);

/* One incident with its timeline: records, intents, results in order of time. */
struct _JsonNode *pcd_journal_show (const char *state_dir, gint64 incident, GError **error);

G_END_DECLS
