/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `postcopyctl top` knows: rows, their order, the selected one, and a short history of each.
 * Pure: asks nobody, draws nothing. */
#pragma once

#include "ctl/pcd-client-state.h"

G_BEGIN_DECLS

#define PCD_TOP_HISTORY 32

typedef enum {
  PCD_TOP_BY_TROUBLE, /* worst first */
  PCD_TOP_BY_NAME,
  PCD_TOP_BY_BLOCKED, /* most first */
  PCD_TOP_BY_RATE,    /* fastest first */
  PCD_TOP_BY_SINCE,   /* longest first */
  PCD_TOP_N_SORTS,
} PcdTopSort;

/**
 * PcdTopRow:
 * @migration: of the model's state; valid until the next pcd_top_model_set_state ()
 * @rate: pages per second as last told, or -1
 * @rates: pages per second, a sample a tick, newest last; -1 is unknown
 * @blocked: pcd_top_blocked (), likewise
 */
typedef struct {
  PcdClientMigration *migration;
  gint64 rate;
  gboolean fresh; /* told since the last tick */
  gint64 rates[PCD_TOP_HISTORY];
  gint64 blocked[PCD_TOP_HISTORY];
} PcdTopRow;

/* Returns: how many vCPUs wait for a missing page; -1 if nobody knows, or on a source, where none
 * ever does: all pages are there */
gint64 pcd_top_blocked (const PcdClientMigration *migration);

typedef struct _PcdTopModel PcdTopModel;

PcdTopModel *pcd_top_model_new (void);
void pcd_top_model_free (PcdTopModel *model);

/**
 * pcd_top_model_set_state:
 * @state: (transfer full): what the daemon tells now
 *
 * Progress and history of what is still there are kept, and so is the selection.
 */
void pcd_top_model_set_state (PcdTopModel *model, PcdClientState *state);

/* Returns: (transfer none) (nullable): %NULL before the first pcd_top_model_set_state () */
const PcdClientState *pcd_top_model_get_state (const PcdTopModel *model);

/**
 * pcd_top_model_set_progress:
 * @path: of a migration, which may be gone
 * @problem: (transfer full) (nullable): why @progress is not known
 */
void pcd_top_model_set_progress (PcdTopModel *model,
                                 const char *path,
                                 const PcdProgress *progress,
                                 char *problem);

/* Adds a sample to each history. */
void pcd_top_model_tick (PcdTopModel *model);

/* Also ends a reversal. */
void pcd_top_model_sort (PcdTopModel *model, PcdTopSort sort);
void pcd_top_model_reverse (PcdTopModel *model);
PcdTopSort pcd_top_model_get_sort (const PcdTopModel *model);
gboolean pcd_top_model_is_reversed (const PcdTopModel *model);

/**
 * pcd_top_model_filter:
 * @text: (nullable): what a name must have in it, whatever the case; empty or %NULL: nothing
 *
 * Rows that do not match are not shown, but live on.
 */
void pcd_top_model_filter (PcdTopModel *model, const char *text);

/* Rows that match. */
guint pcd_top_model_get_n (const PcdTopModel *model);
/* Rows, whether or not they match. */
guint pcd_top_model_get_n_all (const PcdTopModel *model);
/* Not ended, and neither flowing nor in an early phase; of all rows. */
guint pcd_top_model_get_n_in_trouble (const PcdTopModel *model);
const PcdTopRow *pcd_top_model_get_row (const PcdTopModel *model, guint index);
/* Returns: (nullable): %NULL if there is no row */
const PcdTopRow *pcd_top_model_find (const PcdTopModel *model, const char *path);

/* Moves the selection, as far as there are rows. It stays with its migration while the order
 * changes; but on the first row it stays there. */
void pcd_top_model_move (PcdTopModel *model, int by);
guint pcd_top_model_get_selected (const PcdTopModel *model);

/**
 * pcd_top_model_fit:
 * @height: rows that can be shown
 *
 * Returns: the first row to show, so that the selected one is seen; moved no more than that needs
 */
guint pcd_top_model_fit (PcdTopModel *model, guint height);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdTopModel, pcd_top_model_free)

G_END_DECLS
