/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All policies of a host, and which of them applies to a domain.
 * Pure and immutable; a reload makes a new set or keeps the old one. */
#pragma once

#include "core/pcd-policy.h"

G_BEGIN_DECLS

typedef struct _PcdPolicySet PcdPolicySet;

#define PCD_POLICY_SET_ERROR (pcd_policy_set_error_quark ())
GQuark pcd_policy_set_error_quark (void);

typedef enum {
  PCD_POLICY_SET_ERROR_NO_DEFAULT,
  PCD_POLICY_SET_ERROR_DESTRUCTIVE_DEFAULT,
  PCD_POLICY_SET_ERROR_DUPLICATE,
} PcdPolicySetError;

/**
 * PcdPolicyMatch: a line of the host's configuration.
 * @pattern: a glob for domain names
 * @policy: a policy's name
 */
typedef struct {
  const char *pattern;
  const char *policy;
} PcdPolicyMatch;

/**
 * pcd_policy_set_new:
 * @policies: (transfer none) (element-type PcdPolicy): of one or more directories, in that order
 *
 * A policy replaces one of the same name from another directory before; two in one directory are
 * an error, and so is a set without %PCD_POLICY_DEFAULT, or with a destructive one.
 *
 * Returns: (transfer full): the set, or %NULL with @error set
 */
PcdPolicySet *pcd_policy_set_new (GPtrArray *policies, GError **error);
PcdPolicySet *pcd_policy_set_ref (PcdPolicySet *set);
void pcd_policy_set_unref (PcdPolicySet *set);

/**
 * pcd_policy_set_lookup:
 *
 * Returns: (transfer none) (nullable): the policy of that name; lives as long as @set
 */
PcdPolicy *pcd_policy_set_lookup (PcdPolicySet *set, const char *name);

/* Sorted by name. */
guint pcd_policy_set_get_length (PcdPolicySet *set);
PcdPolicy *pcd_policy_set_get_nth (PcdPolicySet *set, guint n);

/**
 * pcd_policy_set_select:
 * @wish: (nullable): the name in the domain's metadata, which a tenant may have written
 * @domain: the domain's name
 * @matches: (array length=n_matches): of the host's configuration, first match holds
 * @n_matches: length of @matches
 * @allow_destroy: the host's own configuration has allow-destroy
 * @ret_note: (out) (optional) (transfer full): why what was wished for does not apply, or %NULL
 *
 * The wish, else the first match, else the default; one that is unknown or not allowed is passed
 * over. Without @allow_destroy the answer is never destructive, whatever @wish and @matches say.
 *
 * Returns: (transfer none): never %NULL; lives as long as @set
 */
PcdPolicy *pcd_policy_set_select (PcdPolicySet *set,
                                  const char *wish,
                                  const char *domain,
                                  const PcdPolicyMatch *matches,
                                  guint n_matches,
                                  gboolean allow_destroy,
                                  char **ret_note);

/**
 * pcd_policy_set_choose:
 * @chosen: (nullable): the name that an operator chose for this migration
 * @ret_source: (out): a static string: "operator", "metadata", "configuration", "default"
 *
 * As pcd_policy_set_select (), with the operator's choice before all; that is passed over, too, if
 * it is unknown or not allowed any more.
 */
PcdPolicy *pcd_policy_set_choose (PcdPolicySet *set,
                                  const char *chosen,
                                  const char *wish,
                                  const char *domain,
                                  const PcdPolicyMatch *matches,
                                  guint n_matches,
                                  gboolean allow_destroy,
                                  const char **ret_source,
                                  char **ret_note);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdPolicySet, pcd_policy_set_unref)

G_END_DECLS
