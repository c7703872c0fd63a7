/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What --help and `help` say, each within a screen of 24 lines by 80 columns.
 * Must not know what verbs do. */
#pragma once

#include "ctl/pcd-verb.h"

G_BEGIN_DECLS

/**
 * pcd_help_of_tool:
 * @options: those before the verb
 *
 * Returns: (transfer full): of `postcopyctl --help`
 */
char *pcd_help_of_tool (const GOptionEntry *options);

/**
 * pcd_help_list:
 * @verbs: (array zero-terminated=1)
 *
 * Returns: (transfer full): of `postcopyctl help all`: a line each, the name and what it does
 */
char *pcd_help_list (const PcdVerb *const *verbs);

/**
 * pcd_help_of_verb:
 * @subverb: (nullable): one of its subverbs, as typed
 * @options: (nullable): all that it has
 *
 * Returns: (transfer full): of `postcopyctl VERB [SUBVERB] --help`
 */
char *
pcd_help_of_verb (const PcdVerb *verb, const PcdSubverb *subverb, const GOptionEntry *options);

/**
 * pcd_help_nearest:
 * @word: that is no verb
 *
 * Returns: (nullable): the verb that was meant: it begins so, or one or two letters are wrong
 */
const char *pcd_help_nearest (const PcdVerb *const *verbs, const char *word);

G_END_DECLS
