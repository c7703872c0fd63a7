/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One migration as this host sees it: its state, the watch on its QEMU, what is done about it.
 * The engine's own; must not know other migrations, nor who listens. All on the main thread. */
#pragma once

#include "core/pcd-event.h"
#include "engine/pcd-gauge.h"
#include "engine/pcd-response.h"
#include "engine/pcd-teller.h"
#include "libvirt/pcd-source.h"

G_BEGIN_DECLS

typedef struct _PcdMigration PcdMigration;

/**
 * PcdMigrationEnv: what all migrations of an engine share.
 * @uri: (nullable): this host's libvirt
 * @config: the host's configuration as it is now
 * @source: libvirt
 * @teller: gets what is worth a record
 * @response: has no policies while actions are not enabled
 * @ended: a migration ended just now, or what is known of an ended one changed
 * @knocks: a migration may have begun or ended to knock at its peer's
 */
typedef struct {
  const char *uri;
  const PcdConfig *config;
  PcdSource *source;
  PcdTeller *teller;
  PcdResponseEnv *response;
  void (*ended) (gpointer data);
  void (*knocks) (gpointer data);
  gpointer data;
} PcdMigrationEnv;

/* @env: (transfer none): must outlive it. It only watches until pcd_migration_enable_actions (). */
PcdMigration *pcd_migration_new (const PcdMigrationEnv *env, const PcdDomainRef *domain);
void pcd_migration_free (PcdMigration *m);

/**
 * pcd_migration_enable_actions:
 * @left: (nullable): what an earlier daemon left of this very migration
 * @flags: (nullable) (element-type utf8 utf8): what an earlier daemon knew of the domain
 * @wish: (nullable): the policy that the domain's metadata names
 */
void pcd_migration_enable_actions (PcdMigration *m,
                                   const PcdOpenIncident *left,
                                   GHashTable *flags,
                                   const char *wish);

/* A destination whose migration completed under an earlier daemon, which left its guest held still.
 * Once actions are enabled; @pid: of its QEMU. */
void pcd_migration_revive (PcdMigration *m, pid_t pid);

/* See pcd_response_holds_guest (). */
gboolean pcd_migration_holds_guest (const PcdMigration *m);
void pcd_migration_look_held (PcdMigration *m);

/* Feeds the reducer and carries out its effects. */
void pcd_migration_apply (PcdMigration *m, const PcdEvent *event);

/* libvirt said a word that this version does not know. %FALSE if it is the same as the last one. */
gboolean pcd_migration_note_unknown (PcdMigration *m, const char *raw);

/* The policies changed; the host's configuration did, on which the watch depends, too. */
void pcd_migration_reselect (PcdMigration *m);
void pcd_migration_reconfigure (PcdMigration *m);

/* A paused source knocks at its destination's libvirt; now, as the network may have come back. */
gboolean pcd_migration_is_knocking (const PcdMigration *m);
void pcd_migration_knock (PcdMigration *m);

void pcd_migration_tell (
    PcdMigration *m, PcdRecordKind kind, const char *from, const char *to, const char *detail);

const char *pcd_migration_get_uuid (const PcdMigration *m);
const PcdState *pcd_migration_get_state (const PcdMigration *m);
gboolean pcd_migration_has_ended (const PcdMigration *m);

/* Returns: (nullable): %NULL while actions are not enabled */
PcdResponse *pcd_migration_get_response (PcdMigration *m);

/* How far it is; see pcd-gauge.h. */
void pcd_migration_ask_progress (PcdMigration *m, PcdProgressCallback callback, gpointer data);

/* Borrowed: valid until the migration changes. */
PcdMigrationView pcd_migration_get_view (const PcdMigration *m);

G_END_DECLS
