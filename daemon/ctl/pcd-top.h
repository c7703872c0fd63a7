/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of `postcopyctl top` share: what it shows now, and what it is about to do.
 * Belongs to the main loop; nothing in it waits. */
#pragma once

#include "ctl/pcd-top-link.h"
#include "ctl/pcd-top-look.h"
#include "ctl/pcd-top-model.h"
#include "ctl/pcd-top-signals.h"

G_BEGIN_DECLS

typedef enum { PCD_TOP_LIST, PCD_TOP_DETAIL, PCD_TOP_THREADS, PCD_TOP_HELP } PcdTopPane;

/**
 * PcdTop:
 * @lost: (nullable): why the daemon does not answer
 * @lost_time: since when, microseconds since the epoch
 * @message: (nullable): an outcome, or the question of @method
 * @pane_first: line that the pane begins with
 * @shown: (nullable): path of the migration in the pane
 * @shown_name: its name
 * @text: (nullable): what the pane shows; of a migration that is gone, the last that was known
 * @text_time: when that was known
 * @seen: (nullable): what was seen of @shown
 * @filter: (nullable): being typed if @typing
 * @method: (nullable): what y would do, with @path, called @word for people
 * @asking: paths whose progress is asked for
 */
typedef struct {
  const PcdCtl *ctl;
  GMainLoop *loop;
  PcdTopModel *model;
  PcdTopLink *link;
  PcdTopSignals *signals;
  char *lost;
  gint64 lost_time;
  char *message;
  PcdTopPane pane;
  guint pane_first;
  char *shown;
  char *shown_name;
  char *text;
  gint64 text_time;
  PcdTopSeen *seen;
  gboolean looking;
  GString *filter;
  gboolean typing;
  const char *method;
  const char *word;
  char *path;
  char *name;
  guint n_ticks;
  guint draw_id;
  gint64 drawn;
  GHashTable *asking;
} PcdTop;

/* Draws at once. */
void pcd_top_draw (PcdTop *self);
/* Soon, but no more than five times a second. */
void pcd_top_draw_soon (PcdTop *self);
/* What a key does is seen within 20 ms. */
void pcd_top_draw_for_key (PcdTop *self);
void pcd_top_say (PcdTop *self, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Returns: (nullable): the migration that a key is about: that of the pane, or the selected one. */
const PcdClientMigration *pcd_top_get_current (const PcdTop *self);

/* Looks at what the pane shows, unless a look is under way. */
void pcd_top_look_again (PcdTop *self);

void pcd_top_on_key (PcdTop *self, int key);

G_END_DECLS
