/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What somebody meant who mistyped a word. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * pcd_nearest:
 * @word: what was typed
 * @known: (array zero-terminated=1): what there is
 *
 * A letter too many, too few or another, or two in the wrong order, count as one mistake each; a
 * third of the letters may be mistakes, no more. Pure.
 *
 * Returns: (transfer none) (nullable): the one of @known that is nearest, or %NULL if none is near
 */
const char *pcd_nearest (const char *word, const char *const *known);

/**
 * pcd_nearest_hint:
 * @word: what was typed
 * @known: (array zero-terminated=1): what there is
 *
 * Returns: (transfer full): to go before the rest of a message: " (did you mean 'status'?)", or ""
 */
char *pcd_nearest_hint (const char *word, const char *const *known);

G_END_DECLS
