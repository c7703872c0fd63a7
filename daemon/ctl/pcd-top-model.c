/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rows are kept by object path: an order, a selection and a history outlive each new state. */
#include "ctl/pcd-top-model.h"

#include "core/pcd-types.h"
#include "ctl/pcd-show.h"

#include <string.h>

#define FIRST_CALM 5 /* of the ranks */

struct _PcdTopModel {
  PcdClientState *state; /* (nullable) */
  GHashTable *by_path;   /* path to PcdTopRow */
  GPtrArray *order;      /* of those rows whose names match */
  char *filter;          /* (nullable): folded */
  PcdTopSort sort;
  gboolean reversed;
  char *selected_path; /* (nullable) */
  guint selected;
  guint first;
};

PcdTopModel *
pcd_top_model_new (void)
{
  PcdTopModel *self = g_new0 (PcdTopModel, 1);

  self->by_path = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->order = g_ptr_array_new ();
  return self;
}

void
pcd_top_model_free (PcdTopModel *self)
{
  if (!self)
    return;
  g_ptr_array_unref (self->order);
  g_hash_table_unref (self->by_path);
  pcd_client_state_free (self->state);
  g_free (self->filter);
  g_free (self->selected_path);
  g_free (self);
}

/* ---- order ---- */

static gboolean
is (const char *word, const char *other)
{
  return g_str_equal (word, other);
}

/* 0 is the worst. */
static int
rank_of (const PcdClientMigration *m)
{
  static const PcdPhase calm[] = { PCD_PHASE_POSTCOPY,  PCD_PHASE_DEVICE, PCD_PHASE_PRECOPY,
                                   PCD_PHASE_COMPLETED, PCD_PHASE_GONE,   PCD_PHASE_NONE };

  if (is (m->phase, pcd_phase_to_string (PCD_PHASE_PAUSED)))
    return 0;
  if (is (m->flow, pcd_flow_to_string (PCD_FLOW_STALLED)))
    return 1;
  if (is (m->phase, pcd_phase_to_string (PCD_PHASE_FAILED)))
    return 2;
  if (is (m->phase, pcd_phase_to_string (PCD_PHASE_RECOVERING)))
    return 3;
  if (m->unattended || is (m->flow, pcd_flow_to_string (PCD_FLOW_SLOW)) ||
      pcd_show_held_still_by (m))
    return FIRST_CALM - 1;
  for (guint i = 0; i < G_N_ELEMENTS (calm); i++)
    if (is (m->phase, pcd_phase_to_string (calm[i])))
      return FIRST_CALM + (int)i;
  return FIRST_CALM + (int)G_N_ELEMENTS (calm);
}

gint64
pcd_top_blocked (const PcdClientMigration *migration)
{
  if (!migration->measured || is (migration->role, pcd_role_to_string (PCD_ROLE_SOURCE)))
    return -1;
  return migration->n_blocked_vcpus;
}

static int
compare_numbers (gint64 a, gint64 b)
{
  return (a > b) - (a < b);
}

static int
compare_by (PcdTopSort sort, const PcdTopRow *a, const PcdTopRow *b)
{
  const PcdClientMigration *x = a->migration, *y = b->migration;

  switch (sort) {
  case PCD_TOP_BY_TROUBLE:
    return compare_numbers (rank_of (x), rank_of (y))
               ?: compare_numbers (pcd_top_blocked (y), pcd_top_blocked (x));
  case PCD_TOP_BY_BLOCKED:
    return compare_numbers (pcd_top_blocked (y), pcd_top_blocked (x));
  case PCD_TOP_BY_RATE:
    return compare_numbers (b->rate, a->rate);
  case PCD_TOP_BY_SINCE:
    return compare_numbers (x->phase_time, y->phase_time);
  default:
    return 0;
  }
}

static gint
compare_rows (gconstpointer a, gconstpointer b, gpointer data)
{
  const PcdTopModel *self = data;
  const PcdTopRow *x = *(gpointer const *)a, *y = *(gpointer const *)b;
  int by_key = compare_by (self->sort, x, y);

  if (by_key == 0)
    by_key = strcmp (x->migration->name, y->migration->name);
  if (by_key == 0)
    by_key = strcmp (x->migration->path, y->migration->path);
  return self->reversed ? -by_key : by_key;
}

static void
select_row (PcdTopModel *self, guint index)
{
  g_clear_pointer (&self->selected_path, g_free);
  self->selected = 0;
  if (self->order->len == 0)
    return;
  self->selected = MIN (index, self->order->len - 1);
  if (self->selected > 0)
    self->selected_path = g_strdup (pcd_top_model_get_row (self, self->selected)->migration->path);
}

static gboolean
matches (const PcdTopModel *self, const PcdTopRow *row)
{
  if (!self->filter)
    return TRUE;
  g_autofree char *valid = g_utf8_make_valid (row->migration->name, -1);
  g_autofree char *folded = g_utf8_casefold (valid, -1);
  return strstr (folded, self->filter) != NULL;
}

/* The selection stays with its migration; if that is gone, with its place. The first row is the
 * first, whichever that is: whoever has chosen nothing must not lose sight of the worst. */
static void
arrange (PcdTopModel *self)
{
  GHashTableIter all;
  PcdTopRow *row;

  g_ptr_array_set_size (self->order, 0);
  g_hash_table_iter_init (&all, self->by_path);
  while (g_hash_table_iter_next (&all, NULL, (gpointer *)&row))
    if (matches (self, row))
      g_ptr_array_add (self->order, row);
  g_ptr_array_sort_with_data (self->order, compare_rows, self);
  for (guint i = 0; i < self->order->len; i++)
    if (g_strcmp0 (pcd_top_model_get_row (self, i)->migration->path, self->selected_path) == 0) {
      self->selected = i;
      return;
    }
  select_row (self, self->selected);
}

void
pcd_top_model_sort (PcdTopModel *self, PcdTopSort sort)
{
  self->sort = sort;
  self->reversed = FALSE;
  arrange (self);
}

void
pcd_top_model_reverse (PcdTopModel *self)
{
  self->reversed = !self->reversed;
  arrange (self);
}

void
pcd_top_model_filter (PcdTopModel *self, const char *text)
{
  g_clear_pointer (&self->filter, g_free);
  if (text && *text)
    self->filter = g_utf8_casefold (text, -1);
  arrange (self);
}

PcdTopSort
pcd_top_model_get_sort (const PcdTopModel *self)
{
  return self->sort;
}

gboolean
pcd_top_model_is_reversed (const PcdTopModel *self)
{
  return self->reversed;
}

/* ---- what is known ---- */

static PcdTopRow *
row_new (void)
{
  PcdTopRow *row = g_new0 (PcdTopRow, 1);

  row->rate = -1;
  for (guint i = 0; i < PCD_TOP_HISTORY; i++)
    row->rates[i] = row->blocked[i] = -1;
  return row;
}

/* Progress is asked for apart from the state, and less often. */
static void
keep_progress (PcdClientMigration *old, PcdClientMigration *new)
{
  if (!g_str_equal (old->phase, new->phase))
    return;
  new->asked = old->asked;
  new->progress = old->progress;
  new->problem = g_steal_pointer (&old->problem);
}

void
pcd_top_model_set_state (PcdTopModel *self, PcdClientState *state)
{
  GHashTable *rows = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);

  for (guint i = 0; i < state->migrations->len; i++) {
    PcdClientMigration *migration = g_ptr_array_index (state->migrations, i);
    PcdTopRow *row = NULL;
    char *key = NULL;

    if (g_hash_table_steal_extended (self->by_path, migration->path, (gpointer *)&key,
                                     (gpointer *)&row))
      keep_progress (row->migration, migration);
    else
      row = row_new ();
    g_free (key);
    row->migration = migration;
    if (!migration->asked)
      row->rate = -1;
    g_hash_table_insert (rows, g_strdup (migration->path), row);
  }
  g_hash_table_unref (self->by_path);
  self->by_path = rows;
  pcd_client_state_free (self->state);
  self->state = state;
  arrange (self);
}

const PcdClientState *
pcd_top_model_get_state (const PcdTopModel *self)
{
  return self->state;
}

void
pcd_top_model_set_progress (PcdTopModel *self,
                            const char *path,
                            const PcdProgress *progress,
                            char *problem)
{
  PcdTopRow *row = g_hash_table_lookup (self->by_path, path);

  if (!row) {
    g_free (problem);
    return;
  }
  g_free (row->migration->problem);
  row->migration->problem = problem;
  row->migration->progress = *progress;
  row->migration->asked = TRUE;
  row->fresh = TRUE;
  row->rate = progress->known && progress->rate >= 0 && progress->page_size > 0
                  ? progress->rate / progress->page_size
                  : -1;
  if (self->sort == PCD_TOP_BY_RATE)
    arrange (self);
}

static void
push (gint64 *ring, gint64 value)
{
  memmove (ring, ring + 1, (PCD_TOP_HISTORY - 1) * sizeof *ring);
  ring[PCD_TOP_HISTORY - 1] = value;
}

void
pcd_top_model_tick (PcdTopModel *self)
{
  GHashTableIter all;
  PcdTopRow *row;

  g_hash_table_iter_init (&all, self->by_path);
  while (g_hash_table_iter_next (&all, NULL, (gpointer *)&row)) {
    push (row->rates, row->fresh ? row->rate : -1);
    push (row->blocked, pcd_top_blocked (row->migration));
    row->fresh = FALSE;
  }
}

guint
pcd_top_model_get_n (const PcdTopModel *self)
{
  return self->order->len;
}

guint
pcd_top_model_get_n_all (const PcdTopModel *self)
{
  return g_hash_table_size (self->by_path);
}

guint
pcd_top_model_get_n_in_trouble (const PcdTopModel *self)
{
  GHashTableIter all;
  PcdTopRow *row;
  guint n = 0;

  g_hash_table_iter_init (&all, self->by_path);
  while (g_hash_table_iter_next (&all, NULL, (gpointer *)&row))
    n += rank_of (row->migration) < FIRST_CALM;
  return n;
}

const PcdTopRow *
pcd_top_model_get_row (const PcdTopModel *self, guint index)
{
  return g_ptr_array_index (self->order, index);
}

const PcdTopRow *
pcd_top_model_find (const PcdTopModel *self, const char *path)
{
  return g_hash_table_lookup (self->by_path, path);
}

/* ---- the selection ---- */

void
pcd_top_model_move (PcdTopModel *self, int by)
{
  select_row (self, (guint)CLAMP ((gint64)self->selected + by, 0, (gint64)G_MAXINT));
}

guint
pcd_top_model_get_selected (const PcdTopModel *self)
{
  return self->selected;
}

guint
pcd_top_model_fit (PcdTopModel *self, guint height)
{
  const guint last_first = self->order->len > height ? self->order->len - height : 0;

  self->first = MIN (self->first, last_first);
  if (self->selected < self->first)
    self->first = self->selected;
  else if (height > 0 && self->selected >= self->first + height)
    self->first = self->selected - height + 1;
  return self->first;
}
