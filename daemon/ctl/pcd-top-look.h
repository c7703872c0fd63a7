/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `postcopyctl top` sees for itself of one migration, in a thread of its own: a look may take
 * a third of a second, and a process that is stuck more. Draws nothing. */
#pragma once

#include "ctl/pcd-look.h"
#include "host/pcd-threads.h"

G_BEGIN_DECLS

/**
 * PcdTopSeen:
 * @path: of the migration
 * @time: microseconds since the epoch
 * @has_look: @look tells something
 * @report: (nullable): its threads, if they were wanted
 * @problem: (nullable): why there is no @report
 */
typedef struct {
  char *path;
  gint64 time;
  gboolean has_look;
  PcdShowLook look;
  PcdThreadReport *report;
  char *problem;
} PcdTopSeen;

void pcd_top_seen_free (PcdTopSeen *seen);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdTopSeen, pcd_top_seen_free)

/* @seen: (transfer full) */
typedef void (*PcdTopLooked) (PcdTopSeen *seen, gpointer data);

/**
 * pcd_top_look:
 * @ctl: must outlive the look
 * @threads: look at all threads; else only at what pcd_look () does
 * @looked: called once, from the default main context
 */
void pcd_top_look (const PcdCtl *ctl,
                   const PcdClientMigration *migration,
                   gboolean threads,
                   PcdTopLooked looked,
                   gpointer data);

G_END_DECLS
