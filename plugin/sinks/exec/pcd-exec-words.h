/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An event as a hook gets it: four words and an environment. Pure. */
#pragma once

#include <glib.h>

#include "postcopyd-plugin.h"

G_BEGIN_DECLS

/**
 * pcd_exec_words:
 *
 * postcopyd-hooks(7) has the table. What an event does not have is "-".
 *
 * Returns: (transfer full): DOMAIN OPERATION SUB-OPERATION EXTRA; %NULL if the note is no JSON
 * object
 */
GStrv pcd_exec_words (const PostcopydNote *note);

/* Returns: (transfer full): all of the environment that a hook gets */
GStrv pcd_exec_environment (const PostcopydNote *note);

G_END_DECLS
