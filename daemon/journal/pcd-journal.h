/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What happened and what was done about it, in SQLite, so that it outlives the daemon.
 * All writing is in one thread of its own; must not know policies or libvirt. */
#pragma once

#include "core/pcd-ladder.h"
#include "core/pcd-record.h"

G_BEGIN_DECLS

#define PCD_JOURNAL_ERROR (pcd_journal_error_quark ())
GQuark pcd_journal_error_quark (void);

typedef enum {
  PCD_JOURNAL_ERROR_NONE_YET,   /* there is no database */
  PCD_JOURNAL_ERROR_PERMISSION, /* it may not be read or written by this user */
  PCD_JOURNAL_ERROR_NOT_FOUND,  /* no such incident */
  PCD_JOURNAL_ERROR_DOUBLED,    /* the ticket of that incident was journaled already */
  PCD_JOURNAL_ERROR_DAMAGED,    /* what is there is no journal, or not all of one */
  PCD_JOURNAL_ERROR_NEWER,      /* a newer postcopyd wrote it */
  PCD_JOURNAL_ERROR_IN_USE,     /* another postcopyd has it */
  PCD_JOURNAL_ERROR_DISK,       /* full, read-only, broken */
} PcdJournalError;

/* Main thread only, all of it but pcd_journal_list () and pcd_journal_show (). %NULL for a journal
 * that could not be opened is good everywhere: an intent fails then, so that nothing is done, and
 * the rest is lost. */
typedef struct _PcdJournal PcdJournal;

/* Kept at most: the newest ended incidents, and the newest records of all incidents together.
 * Pruned when it is opened and while it grows; open incidents and their intents never are. */
#define PCD_JOURNAL_KEEP_INCIDENTS 10000
#define PCD_JOURNAL_KEEP_RECORDS   100000

/**
 * pcd_journal_open:
 * @state_dir: folder, made if it is not there (0700)
 * @ret_notice: (out) (transfer full) (nullable): for people: a damaged database was set aside, and
 *   where
 *
 * Opens STATE_DIR/journal.sqlite (WAL, synchronous=FULL), the only one to write it (a lock on
 * STATE_DIR/journal.lock). A damaged file, -wal and -shm are renamed to
 * journal.sqlite.damaged-TIME, that of an unknown newer version to journal.sqlite.version-N-TIME,
 * and a fresh one begun; nothing is ever deleted. Damage that shows only later, while writing, is
 * dealt with in the same way, told as a warning, and what is open goes on in the fresh one.
 *
 * Checks the whole file, but for no more than 2 s.
 *
 * Returns: (transfer full): %NULL if it cannot be read and written here: a full or read-only disk,
 *   no permission, another postcopyd
 */
PcdJournal *pcd_journal_open (const char *state_dir, char **ret_notice, GError **error);

/* Waits, at most 2 s, until what was asked for is on disk. Callbacks that have not been called
 * never are. */
void pcd_journal_close (PcdJournal *journal);

/**
 * pcd_journal_add_record:
 * @incident: 0 if the record belongs to none
 *
 * Queues it; returns at once. Records may be lost while the disk cannot be written, or if they come
 * much faster than it writes: they are counted, and a warning says so once.
 */
void pcd_journal_add_record (PcdJournal *journal, gint64 incident, const PcdRecord *record);

/**
 * pcd_journal_begin_incident:
 * @time: microseconds since the epoch, as all times here but those in a #PcdLadder
 *
 * An incident begins with the first stall or pause of a migration, or with an operator's request,
 * and ends with the migration. Ids are unique for ever, also over a database set aside: the number
 * is given out at once, the row is queued and kept until the disk takes it.
 *
 * Returns: its id, 0 if @journal is %NULL
 */
gint64 pcd_journal_begin_incident (
    PcdJournal *journal, const char *uuid, const char *name, PcdRole role, gint64 time);

/* @how: the last phase, or why it ended otherwise. */
void pcd_journal_end_incident (PcdJournal *journal, gint64 incident, const char *how, gint64 time);

/**
 * PcdJournalCallback: on the main thread, never from within the call that asked, once it is on disk
 * (@error %NULL) or cannot be. A disk that hangs answers late: look again whether it is still due.
 */
typedef void (*PcdJournalCallback) (const GError *error, gpointer data);

/**
 * pcd_journal_intent:
 * @incident: begun before, not 0
 * @ticket: unique in the incident; a second intent with it is refused
 * @who: "policy NAME", or the operator: "uid 1000"
 * @ladder: (nullable): the ladder after the step, kept beside it in the same transaction
 *
 * Rule 5: an effect is carried out only after @callback without an error. After an error nothing of
 * it is on disk, but that it cannot be ruled out when the disk itself failed: then the ticket may
 * show as unfinished after a restart, never the other way round.
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
 * restarted in between). @reason, @ladder: (nullable). The first result of a ticket counts; one
 * without an intent is ignored. */
void pcd_journal_result (PcdJournal *journal,
                         gint64 incident,
                         guint64 ticket,
                         const char *outcome,
                         const char *reason,
                         const PcdLadder *ladder,
                         gint64 time);

/* Keeps @ladder, changed without an intent or a result, such as by an operator. Returns at once. */
void pcd_journal_keep_ladder (PcdJournal *journal, gint64 incident, const PcdLadder *ladder);

/* Keeps flags that outlive the daemon, such as what we stopped or froze ("stopped", "frozen",
 * "held"); @value NULL removes. Returns at once. */
void
pcd_journal_set_flag (PcdJournal *journal, const char *uuid, const char *flag, const char *value);

/**
 * pcd_journal_secure_flag:
 *
 * The same for a flag without which something must not be done: rule 5, as for
 * pcd_journal_intent ().
 */
void pcd_journal_secure_flag (PcdJournal *journal,
                              const char *uuid,
                              const char *flag,
                              const char *value,
                              PcdJournalCallback callback,
                              gpointer data);

/**
 * PcdOpenIncident: what an earlier daemon left, for the first look after a start.
 * @same_boot: the host has not been booted since: only then do the times in @ladder mean anything,
 *   and only then can the QEMU of that incident be alive
 * @ladder: see @has_ladder; not yet passed through pcd_ladder_restart ()
 * @ladder_error: (nullable): there is a ladder, but it cannot be understood: to be told to people,
 *   and nothing done by policy
 * @unfinished: (element-type guint64): tickets whose result is not known
 * @flags: (element-type utf8 utf8): of @uuid
 */
typedef struct {
  gint64 id;
  char *uuid;
  char *name;
  PcdRole role;
  gint64 began;
  gboolean same_boot;
  PcdLadder ladder;
  gboolean has_ladder;
  char *ladder_error;
  GArray *unfinished;
  GHashTable *flags;
} PcdOpenIncident;

void pcd_open_incident_free (PcdOpenIncident *incident);

/**
 * pcd_journal_get_open:
 *
 * What was open when pcd_journal_open () read the disk; does no I/O itself.
 *
 * Returns: (transfer full) (element-type PcdOpenIncident): oldest first; frees its elements
 */
GPtrArray *pcd_journal_get_open (PcdJournal *journal, GError **error);

/**
 * pcd_journal_get_flags:
 *
 * The flags that were set then, also of domains without an open incident.
 *
 * Returns: (transfer full) (element-type utf8 GHashTable): by UUID, then by flag
 */
GHashTable *pcd_journal_get_flags (PcdJournal *journal);

/**
 * pcd_journal_list:
 * @most: no more than these, 0 for all
 *
 * For `incident list`: opens the database read-only by itself, so that it works beside a daemon and
 * without one. JSON: [{id, uuid, domain, role, began, ended, how, actions}], newest first.
 *
 * Returns: (transfer full)
 */
struct _JsonNode *pcd_journal_list (const char *state_dir, guint most, GError **error);

/* One incident with its timeline: records, intents, results in the order in which they came. */
struct _JsonNode *pcd_journal_show (const char *state_dir, gint64 incident, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdJournal, pcd_journal_close)

G_END_DECLS
