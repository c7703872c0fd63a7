/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The inside of the engine, for the files it is made of and for nobody else. */
#pragma once

#include "engine/pcd-engine.h"
#include "engine/pcd-migration.h"
#include "host/pcd-netnews.h"

G_BEGIN_DECLS

struct _PcdEngine {
  PcdConfig config;
  PcdSource *source;
  GPtrArray *migrations; /* (element-type PcdMigration): in the order in which they began */
  PcdTeller *teller;
  gboolean connected;
  gint64 connection_time;
  char *connection_reason;
  guint expiry;
  GCancellable *cancellable; /* of what looks at guests that an earlier daemon left */
  GHashTable *wishes;  /* utf8 UUID -> utf8 policy: metadata that was read before its migration */
  PcdNetnews *netnews; /* while a peer is watched */
  PcdResponseEnv env;  /* no policies while actions are not enabled */
  PcdMigrationEnv shared; /* points into this very struct */
  char *uri;
  char *policy_dir;
  char *state_dir;
  GHashTable *flags; /* utf8 -> (utf8 -> utf8): what an earlier daemon knew; NULL once used */
  GPtrArray *left; /* (element-type PcdOpenIncident): what an earlier daemon left; NULL once told */
};

/**
 * pcd_engine_find:
 *
 * The migration that an event or an order is about: that of the same role, or, where the role is
 * not known, the one that has not ended; an ended one serves only if there is no other.
 *
 * Returns: (transfer none) (nullable)
 */
PcdMigration *pcd_engine_find (PcdEngine *engine, const PcdDomainRef *domain);

G_END_DECLS
