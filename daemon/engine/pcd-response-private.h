/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The inside of a response, for the files it is made of and for nobody else. */
#pragma once

#include "engine/pcd-response.h"
#include "engine/pcd-veto.h"

G_BEGIN_DECLS

/**
 * PcdStandingVeto: what the hooks said last about one action.
 * @author: (nullable): %NULL if nothing stands against it
 * @reason: (nullable): why
 * @problem: (nullable): what was told of hooks that did not answer, so that it is told once
 * @when: the condition for which it was asked
 * @since: microseconds since the epoch, as @until
 * @until: when the hooks are asked again
 */
typedef struct {
  char *author;
  char *reason;
  char *problem;
  PcdWhen when;
  gint64 since;
  gint64 until;
} PcdStandingVeto;

/* Tickets of operators: the time, so that they stay unique over restarts, and far above the
 * ladder's own. */
#define OPERATOR_TICKET ((guint64)1 << 52)

struct _PcdResponse {
  PcdResponseEnv *env;
  char *uuid;
  char *name;
  PcdState state;
  PcdLadder ladder;
  PcdFact facts[PCD_N_PREDICATES];
  PcdPolicy *policy;
  char *wish;
  char *chosen; /* by an operator, for this migration */
  const char *policy_source;
  gboolean held;
  PcdDeed deed;           /* what `resume` is to undo, apart from a freeze */
  guint undo_id;          /* of a timer */
  guint undo_msec;        /* until the next try */
  guint64 undo_ticket;    /* of the last one */
  gboolean was_paused;    /* when the last daemon ended, and nothing has told otherwise yet */
  gboolean found_held;    /* frozen, by a postcopyd of which nothing else may be known */
  const char *still_held; /* by which action, when the migration had ended; NULL if by none */
  gboolean hung;          /* QEMU may answer nothing until a page comes */
  gint64 incident;
  gint64 last_incident;
  guint64 operator_ticket; /* the last one */
  GPtrArray *attempts;     /* (element-type PcdAttempt): under way */
  GPtrArray *questions;    /* of pcd-response-veto.c: whether an attempt may be made */
  PcdStandingVeto vetoes[PCD_ACTION_MAX];
  GArray *shown_vetoes; /* (element-type PcdVetoView): of the last pcd_response_fill_view () */
  guint wakeup;
  PcdMigrationView said; /* the members that fill_view () gives */
  char *last_reason;
  const PcdResponseCallbacks *callbacks;
  gpointer data;
};

void
pcd_response_tell (PcdResponse *self, PcdActionKind action, const char *what, const char *detail);
void pcd_response_open_incident (PcdResponse *self);
void pcd_response_set_flag (PcdResponse *self, const char *flag, const char *value);
void pcd_response_climb (PcdResponse *self, const PcdLadderEvent *event);
/* The two halves of a climb: in between, what the ladder decided can be written down. */
void
pcd_response_step (PcdResponse *self, const PcdLadderEvent *event, PcdLadderEffects *ret_effects);
void pcd_response_carry_out_all (PcdResponse *self, const PcdLadderEffects *effects);

/* pcd-response-attempt.c */

/* For an operator's request, or one of our own. */
guint64 pcd_response_new_ticket (PcdResponse *self);
void pcd_response_begin (PcdResponse *self, const PcdAttemptSpec *spec, const char *who);
void pcd_response_cancel (PcdResponse *self, guint64 ticket);
/* Nobody asked for a guest that a snapshot left stopped. */
void pcd_response_watch_undo (PcdResponse *self);
void pcd_response_begin_by_policy (PcdResponse *self,
                                   guint64 ticket,
                                   PcdActionKind action,
                                   const PcdParams *params);

/* The value of the flag "stopped" in the journal; NULL without a deed. */
const char *pcd_response_deed_to_string (PcdDeed deed);

/* pcd-response-restart.c: before and after a policy was chosen. */
void pcd_response_take_over (PcdResponse *self, const PcdOpenIncident *left);
void pcd_response_report_unfinished (PcdResponse *self, const PcdOpenIncident *left);

/* pcd-response-held.c */
/* Looks anew; what has changed is told. */
gboolean pcd_response_look_held (PcdResponse *self);
void pcd_response_held_fill_view (const PcdResponse *self, PcdMigrationView *view);

/* pcd-response-veto.c */

/* Whether hooks have to be asked first; then they are, and what comes of it is done. */
gboolean pcd_response_veto_ask (PcdResponse *self, const PcdLadderEffect *start);
/* Whether @ticket was only a question: it is dropped then, and the ladder knows. */
gboolean pcd_response_veto_cancel (PcdResponse *self, guint64 ticket);
/* Drops what was asked, and said, for a condition that is over. */
void pcd_response_veto_update (PcdResponse *self);
/* Whether something is asked, or vetoed. */
gboolean pcd_response_veto_is_open (PcdResponse *self);
void pcd_response_veto_fill_view (PcdResponse *self, PcdMigrationView *view);
void pcd_response_veto_clear (PcdResponse *self);

G_END_DECLS
