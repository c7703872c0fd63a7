/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What pcd-plugin.c and pcd-plugins.c know of each other. For nobody else. */
#pragma once

#include <string.h>
#include <sys/stat.h>

#include "plugins/pcd-plugins.h"

G_BEGIN_DECLS

struct _PcdPlugin {
  gatomicrefcount refs;
  char *name;
  char *path; /* NULL: built-in */
  char *problem;
  gboolean is_used;
  struct stat file; /* that was loaded */
  PostcopydPlugin table;
  PostcopydAction action;
  PostcopydSink sink;
  GVariant *settings;
  char *directory;
  GMutex lock; /* the rest */
  char *marks;
  guint inside;
  guint overdue;
};

PcdPlugin *pcd_plugin_new (const char *name);

/* @table: may be of another minor version, and was checked */
void pcd_plugin_take_table (PcdPlugin *plugin, const PostcopydPlugin *table);

/* The process ends because it was asked to: who runs now is not to blame. */
void pcd_plugin_excuse (PcdPlugin *plugin);

G_END_DECLS
