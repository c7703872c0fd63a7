/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every verb of postcopyctl, one line each; defined in pcd-verb-<name>.c (what acts: -act, -hold),
 * listed in pcd-ctl.c. */
#pragma once

#include "ctl/pcd-verb.h"

G_BEGIN_DECLS

extern const PcdVerb pcd_verb_debug;
extern const PcdVerb pcd_verb_destroy;
extern const PcdVerb pcd_verb_doctor;
extern const PcdVerb pcd_verb_events;
extern const PcdVerb pcd_verb_force_pause;
extern const PcdVerb pcd_verb_freeze;
extern const PcdVerb pcd_verb_hold;
extern const PcdVerb pcd_verb_list;
extern const PcdVerb pcd_verb_incident;
extern const PcdVerb pcd_verb_inspect;
extern const PcdVerb pcd_verb_plugins;
extern const PcdVerb pcd_verb_policy;
extern const PcdVerb pcd_verb_probe;
extern const PcdVerb pcd_verb_recover;
extern const PcdVerb pcd_verb_release;
extern const PcdVerb pcd_verb_resume;
extern const PcdVerb pcd_verb_sinks;
extern const PcdVerb pcd_verb_snapshot;
extern const PcdVerb pcd_verb_status;
extern const PcdVerb pcd_verb_stop;
extern const PcdVerb pcd_verb_top;

G_END_DECLS
