/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is done about one migration: its policy's ladder, the orders of operators, the journal.
 * Decides nothing: the ladder does; must not know libvirt or D-Bus. */
#pragma once

#include "core/pcd-policy-set.h"
#include "engine/pcd-attempt.h"
#include "engine/pcd-veto-config.h"
#include "engine/pcd-watch.h"
#include "journal/pcd-journal.h"

G_BEGIN_DECLS

typedef struct _PcdResponse PcdResponse;

/**
 * PcdResponseEnv: what all responses of a daemon share. Main thread only.
 * @policies: replaced as a whole by a reload
 * @journal: (nullable): %NULL if it could not be opened: every intent fails then, and nothing is
 * done
 * @uri: (nullable): this host's libvirt
 * @state_dir: (nullable): where actions keep what belongs to an incident
 * @allow_destroy: the host's own configuration says so
 * @dry_run: tell what would be done
 * @veto: (nullable): who is to be asked before policy acts
 * @turns: of recoveries
 */
typedef struct {
  PcdPolicySet *policies;
  const PcdPolicyMatch *matches;
  guint n_matches;
  PcdJournal *journal;
  const char *uri;
  const char *state_dir;
  gboolean allow_destroy;
  gboolean dry_run;
  PcdVetoConfig *veto;
  PcdTurns turns;
} PcdResponseEnv;

/**
 * PcdResponseCallbacks:
 * @tell: something worth a record
 * @changed: what pcd_response_fill_view () says has changed
 * @fill: the request's @pid, @peer_address and @host, as they are now; @way is an operator's wish
 *   which way to go to the peer, a network or a libvirt URI, or %NULL. What the callee gives is
 * ours, see pcd_request_clear ()
 * @look_at_guest: whether its QEMU is there, and whether our mark is on a freeze of it
 */
typedef struct {
  void (*tell) (
      PcdRecordKind kind, const char *from, const char *to, const char *detail, gpointer data);
  void (*changed) (gpointer data);
  void (*fill) (PcdRequest *request, const char *way, gpointer data);
  gboolean (*look_at_guest) (gboolean *ret_frozen, gpointer data);
} PcdResponseCallbacks;

/**
 * pcd_response_new:
 * @env: (transfer none): must outlive it
 * @left: (nullable): what an earlier daemon left of this very incident
 */
PcdResponse *pcd_response_new (PcdResponseEnv *env,
                               const char *uuid,
                               const char *name,
                               PcdRole role,
                               const PcdOpenIncident *left,
                               const PcdResponseCallbacks *callbacks,
                               gpointer data);

/* Actions that run are left behind; their answers are dropped. */
void pcd_response_free (PcdResponse *response);

/* Begins an incident if @state is one, so that what is told of it belongs to it. */
void pcd_response_note_trouble (PcdResponse *response, const PcdState *state);

/* The guest was found frozen by postcopyd: there is something to undo, incident or not. */
void pcd_response_note_found_held (PcdResponse *response);

/**
 * pcd_response_holds_guest:
 *
 * Returns: whether, when it was last looked at, the migration had ended and its guest stood still
 *   by our doing
 */
gboolean pcd_response_holds_guest (const PcdResponse *response);

/* Looks whether anything is left: as long as the guest is held still its incident stays open, by
 * which the next daemon knows. */
void pcd_response_end_incident_if_over (PcdResponse *response);

/**
 * pcd_response_update:
 * @measure: (nullable): the last look at QEMU
 * @peer_answers: whether the destination's libvirt can be reached
 *
 * To be called whenever one of them changes.
 */
void pcd_response_update (PcdResponse *response,
                          const PcdState *state,
                          const PcdMeasure *measure,
                          PcdFact peer_answers);

/* A reload, or new metadata: @wish is the policy named there. Takes effect at once. */
void pcd_response_set_wish (PcdResponse *response, const char *wish);
void pcd_response_reselect (PcdResponse *response);

/* The operator's word; see pcd_engine_order () and its neighbours. */
void pcd_response_order (PcdResponse *response,
                         const PcdOrder *order,
                         PcdOrderCallback callback,
                         gpointer data);
gboolean pcd_response_hold (PcdResponse *response, gboolean held, const char *who, GError **error);
gboolean
pcd_response_set_policy (PcdResponse *response, const char *name, const char *who, GError **error);

/* How the policy in force wants sockets to be watched. */
const PcdPolicy *pcd_response_get_policy (PcdResponse *response);

/* 0 for none; the last one stays known after its end. */
gint64 pcd_response_get_incident (const PcdResponse *response);
gint64 pcd_response_get_last_incident (const PcdResponse *response);

/* Fills the members of @view from @policy to @next_time; borrowed strings. */
void pcd_response_fill_view (PcdResponse *response, PcdMigrationView *view);

G_END_DECLS
