/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tells listeners what happens, and keeps the last records for those who come later.
 * Must not know what a migration is beyond its view. All on the main thread. */
#pragma once

#include "engine/pcd-engine.h"

G_BEGIN_DECLS

typedef struct _PcdTeller PcdTeller;

PcdTeller *pcd_teller_new (void);
void pcd_teller_free (PcdTeller *teller);

/* @listener: (transfer none): must outlive it */
void pcd_teller_add_listener (PcdTeller *teller, const PcdListener *listener, gpointer data);

/**
 * pcd_teller_compose:
 *
 * The record has its number and its time, and no domain yet; pcd_teller_tell () is next.
 *
 * Returns: (transfer full)
 */
PcdRecord *pcd_teller_compose (
    PcdTeller *teller, PcdRecordKind kind, const char *from, const char *to, const char *detail);

/**
 * pcd_teller_compose_aside:
 *
 * A record that is not told to listeners: it has the number of the last one that was.
 *
 * Returns: (transfer full)
 */
PcdRecord *pcd_teller_compose_aside (PcdTeller *teller,
                                     PcdRecordKind kind,
                                     const char *to,
                                     const char *detail);

/* Keeps @record, (transfer full), and tells it. */
void pcd_teller_tell (PcdTeller *teller, PcdRecord *record);

void pcd_teller_changed (PcdTeller *teller, const PcdMigrationView *view);
void pcd_teller_removed (PcdTeller *teller, const char *uuid, PcdRole role);
void pcd_teller_connection (PcdTeller *teller, gboolean connected);

/* See pcd_engine_get_records (). */
GPtrArray *pcd_teller_get_records (PcdTeller *teller, guint64 after);

G_END_DECLS
