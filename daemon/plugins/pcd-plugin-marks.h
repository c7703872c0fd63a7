/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of a plugin was running when the process ended, and how often that was so: files, so that
 * they outlive it. Must not know how a plugin is loaded or called. */
#pragma once

#include <glib.h>
#include <sys/stat.h>

G_BEGIN_DECLS

/* So many deaths of the process are enough. */
#define PCD_PLUGIN_DEATHS 2

/**
 * pcd_plugin_marks_begin:
 * @directory: of the marks; must exist
 * @name: of the plugin
 *
 * Writes down, on disk when it returns, that its code is about to run.
 */
gboolean pcd_plugin_marks_begin (const char *directory, const char *name, GError **error);

/* None of it runs any more. */
void pcd_plugin_marks_end (const char *directory, const char *name);

/**
 * pcd_plugin_marks_count:
 * @file: of the plugin, as it is now
 * @ret_news: (out): its code was running when the last process ended, in this boot of the machine
 *
 * Once in the life of a process for each plugin, before any of its code runs: takes what the last
 * process left. Deaths with another file under that name do not count: it was replaced or changed.
 *
 * Returns: deaths so far
 */
guint pcd_plugin_marks_count (const char *directory,
                              const char *name,
                              const struct stat *file,
                              gboolean *ret_news);

/* As if it had never been to blame. */
void pcd_plugin_marks_forget (const char *directory, const char *name);

/**
 * pcd_plugin_marks_deaths:
 *
 * Reads only, for who is not the daemon.
 */
guint pcd_plugin_marks_deaths (const char *directory, const char *name, const struct stat *file);

G_END_DECLS
