/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A ladder as JSON with words, so that another build of postcopyd reads the same out of it.
 * Pure; must not know where the text is kept. */
#pragma once

#include "core/pcd-ladder.h"

G_BEGIN_DECLS

/**
 * pcd_ladder_to_json:
 *
 * Returns: (transfer full): one line
 */
char *pcd_ladder_to_json (const PcdLadder *ladder);

/**
 * pcd_ladder_from_json:
 * @text: what pcd_ladder_to_json () wrote
 * @origin: for messages
 *
 * Strict: every member must be there and mean something, and there may be no other. What was half
 * understood could do something twice.
 *
 * Returns: %FALSE with @error (of %PCD_NODE_ERROR) set
 */
gboolean
pcd_ladder_from_json (const char *text, const char *origin, PcdLadder *ret_ladder, GError **error);

G_END_DECLS
