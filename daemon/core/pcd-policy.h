/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Policies: checked, immutable. What cannot work is refused when it is read, not when it is needed.
 * Pure; who loads the text is engine/pcd-policy-load. */
#pragma once

#include "core/pcd-action.h"

#include <glib/gi18n.h>

G_BEGIN_DECLS

/* More steps than anyone needs, and few enough for a ladder to be a plain struct. */
#define PCD_POLICY_MAX_STEPS 16

/* Holds when nobody chose; must exist in every set, and may not be destructive. */
#define PCD_POLICY_DEFAULT "recover"

/* Anything larger is not a policy. */
#define PCD_POLICY_MAX_BYTES (64 * 1024)

/**
 * PcdStep: one step of a policy.
 * @when: the condition
 * @after_usec: how long it must have held
 * @predicate: %PCD_PREDICATE_NONE or what must be true for @action
 * @action: what to do
 * @params: checked parameters of @action
 * @has_else: whether @else_action is done when @predicate is not true
 * @else_action: see @has_else
 * @else_params: defaults of @else_action
 * @settle_usec: how long after its start no other step but notify is started
 */
typedef struct {
  PcdWhen when;
  gint64 after_usec;
  PcdPredicate predicate;
  PcdActionKind action;
  PcdParams params;
  gboolean has_else;
  PcdActionKind else_action;
  PcdParams else_params;
  gint64 settle_usec;
} PcdStep;

/**
 * PcdPolicyArm: how the migration sockets are watched; -1 leaves it to the host's configuration.
 * @enabled: 1 arm, 0 watch only
 * @network_timeout_usec: silence after which a connection is dead
 * @backstop_usec: TCP_USER_TIMEOUT; 0 is off
 */
typedef struct {
  gint enabled;
  gint64 network_timeout_usec;
  gint64 backstop_usec;
} PcdPolicyArm;

/**
 * PcdPolicy: refcounted (atomically), never changes.
 * @name: lower case letters, digits and dashes
 * @description: for people; may be empty
 * @origin: the file it came from
 * @arm: see #PcdPolicyArm
 * @destructive: has a destructive action
 * @steps: in the file's order
 */
typedef struct {
  char *name;
  char *description;
  char *origin;
  PcdPolicyArm arm;
  gboolean destructive;
  guint n_steps;
  PcdStep steps[PCD_POLICY_MAX_STEPS];
} PcdPolicy;

/**
 * pcd_policy_parse:
 * @text: JSON; need not end with NUL
 * @length: in bytes
 * @origin: file name, kept and used in messages
 *
 * Errors are of %PCD_NODE_ERROR and read "FILE:LINE:COL: PATH: what, expected what".
 *
 * Returns: (transfer full): the policy, or %NULL
 */
PcdPolicy *pcd_policy_parse (const char *text, gsize length, const char *origin, GError **error);
PcdPolicy *pcd_policy_ref (PcdPolicy *policy);
void pcd_policy_unref (PcdPolicy *policy);

/* What pcd_policy_name_is_good () wants, for messages. */
#define PCD_POLICY_NAME_EXPECTED                                                                   \
  N_ ("up to 32 lower case letters, digits and dashes, a letter first")

/**
 * pcd_policy_name_is_good:
 *
 * Returns: whether a policy can have that name
 */
gboolean pcd_policy_name_is_good (const char *name);

/**
 * pcd_step_to_string:
 *
 * Returns: (transfer full): one line for people:
 *   "when paused for 10s: stop if kickable, else freeze"
 */
char *pcd_step_to_string (const PcdStep *step);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdPolicy, pcd_policy_unref)

G_END_DECLS
