/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a policy may say: when, if, do, and the parameters of each action, as tables.
 * Pure; knows what an action is allowed to mean, not how it is done. */
#pragma once

#include "core/pcd-types.h"

#include <glib/gi18n.h>

G_BEGIN_DECLS

/**
 * PcdWhen: the conditions a step can wait for: the phases, then the flows of phase postcopy.
 */
typedef enum {
  PCD_WHEN_PRECOPY,
  PCD_WHEN_DEVICE,
  PCD_WHEN_POSTCOPY,
  PCD_WHEN_PAUSED,
  PCD_WHEN_RECOVERING,
  PCD_WHEN_COMPLETED,
  PCD_WHEN_FAILED,
  PCD_WHEN_GONE,
  PCD_WHEN_FLOWING,
  PCD_WHEN_SLOW,
  PCD_WHEN_STALLED,
  PCD_N_WHENS,
} PcdWhen;

/**
 * PcdPredicate: what `if` can ask. Facts are measured and may be unknown.
 * @PCD_PREDICATE_NONE: no `if`
 * @PCD_PREDICATE_KICKABLE: a signal gets every vCPU out of KVM_RUN now, so that `stop` returns
 * @PCD_PREDICATE_TRACEABLE: a debugger can attach to every thread now
 * @PCD_PREDICATE_BLOCKED: some thread waits for a missing page
 * @PCD_PREDICATE_PEER_ANSWERS: the destination's libvirt answers
 */
typedef enum {
  PCD_PREDICATE_NONE,
  PCD_PREDICATE_KICKABLE,
  PCD_PREDICATE_TRACEABLE,
  PCD_PREDICATE_BLOCKED,
  PCD_PREDICATE_PEER_ANSWERS,
  PCD_N_PREDICATES,
} PcdPredicate;

/**
 * PcdFact: the answer to a predicate. Unknown is never taken for yes.
 */
typedef enum {
  PCD_FACT_UNKNOWN,
  PCD_FACT_NO,
  PCD_FACT_YES,
} PcdFact;

/* So many actions of loaded modules a process can come to know of. */
#define PCD_ACTION_MAX_LOADED 16

/**
 * PcdActionKind: the built-in actions; those of loaded modules have the numbers from
 * %PCD_N_ACTIONS on, in the order of pcd_action_declare (), up to %PCD_ACTION_MAX. What is kept or
 * sent is the name.
 */
typedef enum {
  PCD_ACTION_NOTIFY,
  PCD_ACTION_FORCE_PAUSE,
  PCD_ACTION_RECOVER,
  PCD_ACTION_STOP,
  PCD_ACTION_FREEZE,
  PCD_ACTION_SNAPSHOT,
  PCD_ACTION_DEBUG,
  PCD_ACTION_RESUME,
  PCD_ACTION_DESTROY,
  PCD_N_ACTIONS,
  PCD_ACTION_MAX = PCD_N_ACTIONS + PCD_ACTION_MAX_LOADED,
} PcdActionKind;

typedef enum {
  PCD_PARAM_DURATION, /* microseconds */
  PCD_PARAM_NUMBER,
  PCD_PARAM_COUNT,
  PCD_PARAM_BOOLEAN, /* 0 or 1 */
  PCD_PARAM_WORD,    /* index in the list of words */
  PCD_PARAM_PATH,    /* in @own of #PcdParams, if it was given */
  PCD_PARAM_TEXT,    /* of an action of a loaded module: as it is written, no value */
} PcdParamType;

/**
 * PcdParamSpec: one parameter of `with`.
 * @name: as in JSON
 * @type: see #PcdParamType
 * @minimum: smallest good value, inclusive
 * @maximum: largest, inclusive
 * @initial: value when it is not given
 * @words: (nullable): of %PCD_PARAM_WORD
 * @required: no default
 * @expected: for messages
 */
typedef struct {
  const char *name;
  PcdParamType type;
  double minimum;
  double maximum;
  double initial;
  const char *const *words;
  gboolean required;
  const char *expected;
} PcdParamSpec;

/**
 * PcdRetry: how an action that did not succeed is tried again.
 * @first_usec: delay after the first attempt
 * @factor: each further delay is so many times the one before
 * @ceiling_usec: no delay is longer
 * @attempts: 0 is without end
 */
typedef struct {
  gint64 first_usec;
  double factor;
  gint64 ceiling_usec;
  guint attempts;
} PcdRetry;

#define PCD_ACTION_MAX_PARAMS 4

/**
 * PcdActionSpec: what a policy may do with an action.
 * @name: as in JSON
 * @summary: one line for people
 * @roles: bits 1 << #PcdRole: where it means anything; elsewhere the step is skipped
 * @hung_roles: likewise, of @roles: there only while QEMU hangs
 * @whens: bits 1 << #PcdWhen: where it is possible and safe
 * @destructive: only with `allow-destroy` in the host's own configuration, and beside nothing else
 * @handles_guest: touches the guest or its process: one such at a time, in the policy's order
 * @repeatable: may be done again when nobody knows whether it was
 * @any_params: of a loaded module: `with` may have names that are not in @params, as texts
 * @own_params: (nullable): likewise: those names only
 * @once: at most once in an incident, however often the condition comes back
 * @ends_condition: its success shows as the end of the step's condition; as long as that holds it
 *   is tried again, whatever it reported
 * @yields: not done while paused by an operator's own wish
 * @undoes: undoes what was done for this migration, and nothing else: needless where nothing was
 * @retry: defaults
 * @params: beyond those of #PcdRetry, which every action has; ended by a %NULL name
 */
typedef struct {
  const char *name;
  const char *summary;
  guint roles;
  guint hung_roles;
  guint whens;
  gboolean destructive;
  gboolean handles_guest;
  gboolean repeatable;
  gboolean any_params;
  const char *const *own_params;
  gboolean once;
  gboolean ends_condition;
  gboolean yields;
  gboolean undoes;
  PcdRetry retry;
  PcdParamSpec params[PCD_ACTION_MAX_PARAMS + 1];
} PcdActionSpec;

/**
 * PcdParams: the checked parameters of one action in one step.
 * @retry: see #PcdRetry
 * @values: parallel to @params of the action's #PcdActionSpec
 * @own: (nullable): a{ss}: paths, and what a loaded module's action knows, as written; borrowed
 * from the policy: a copy that outlives it needs a reference
 */
typedef struct {
  PcdRetry retry;
  double values[PCD_ACTION_MAX_PARAMS];
  GVariant *own;
} PcdParams;

/* Absolute, without empty, . and .. components, of at most %PCD_PATH_MAX bytes. What is there on a
 * host is not asked. */
#define PCD_PATH_MAX 200
gboolean pcd_path_is_good (const char *path);

#define PCD_PATH_EXPECTED                                                                          \
  N_ ("an absolute path of up to 200 characters, without . and .. and without a / at its end")

/* Static strings; "?" for a value out of range. */
const char *pcd_when_to_string (PcdWhen when);
const char *pcd_action_to_string (PcdActionKind action);
const char *pcd_predicate_to_string (PcdPredicate predicate);

/* %TRUE and the value if @word is one. */
gboolean pcd_when_from_string (const char *word, PcdWhen *ret_when);
gboolean pcd_action_from_string (const char *word, PcdActionKind *ret_action);
gboolean pcd_predicate_from_string (const char *word, PcdPredicate *ret_predicate);

/**
 * pcd_predicate_roles:
 *
 * Returns: bits 1 << #PcdRole: where the fact can be known at all
 */
guint pcd_predicate_roles (PcdPredicate predicate);

/**
 * pcd_when_holds:
 *
 * Returns: %TRUE in that phase, or in that flow of phase postcopy
 */
gboolean pcd_when_holds (PcdWhen when, PcdPhase phase, PcdFlow flow);

/**
 * pcd_action_declare:
 * @spec: name, summary, destructive, handles_guest, repeatable and own_params, which are copied;
 * the rest follows from them
 *
 * Makes the action of a loaded module known, or changes what is known of it. It stays known as long
 * as the process lives, as ladders and journals may name it: what policies may name is said by
 * pcd_action_set_usable (). Main thread; the names may be read in any.
 *
 * Returns: %FALSE if there are too many
 */
gboolean pcd_action_declare (const PcdActionSpec *spec, PcdActionKind *ret_action);

/* Whether policies may name it; of built-ins always. */
void pcd_action_set_usable (PcdActionKind action, gboolean usable);
gboolean pcd_action_is_usable (PcdActionKind action);

/* Above all that are known. */
guint pcd_action_get_end (void);

/**
 * pcd_action_name_is_loaded:
 *
 * Returns: whether @name can be that of a loaded module: "vendor.name", up to 64 lower case
 * letters, digits and dashes with a dot between them. No built-in has a dot
 */
gboolean pcd_action_name_is_loaded (const char *name);

/**
 * pcd_action_get_spec:
 *
 * Returns: (transfer none): static
 */
const PcdActionSpec *pcd_action_get_spec (PcdActionKind action);

/**
 * pcd_retry_get_specs:
 *
 * The parameters of #PcdRetry, in the order of its members, which every action takes.
 *
 * Returns: (transfer none): four, ended by a %NULL name
 */
const PcdParamSpec *pcd_retry_get_specs (void);

/**
 * pcd_params_init:
 *
 * Returns: the defaults of @action
 */
PcdParams pcd_params_init (PcdActionKind action);

/**
 * pcd_params_get:
 *
 * Returns: the value of parameter @name of @action, which must exist
 */
double pcd_params_get (const PcdParams *params, PcdActionKind action, const char *name);

/* The same, of a %PCD_PARAM_WORD: static. */
const char *pcd_params_get_word (const PcdParams *params, PcdActionKind action, const char *name);

G_END_DECLS
