/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every verb of postcopyctl, one line each; defined in pcd-verb-<name>.c, listed in pcd-ctl.c. */
#pragma once

#include "ctl/pcd-verb.h"

G_BEGIN_DECLS

extern const PcdVerb pcd_verb_events;
extern const PcdVerb pcd_verb_list;
extern const PcdVerb pcd_verb_incident;
extern const PcdVerb pcd_verb_inspect;
extern const PcdVerb pcd_verb_policy;
extern const PcdVerb pcd_verb_probe;
extern const PcdVerb pcd_verb_status;

G_END_DECLS
