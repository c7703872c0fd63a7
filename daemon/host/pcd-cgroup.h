/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thread's cgroup v2: where it is, what is in it, a cgroup of its own.
 * Must not know what threads do, nor decide to freeze any. */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/* The folders that we make are called this and PID-TID. */
#define PCD_CGROUP_PREFIX "postcopyd-"

/**
 * pcd_cgroup_parse_mount:
 * @mountinfo: text of /proc/self/mountinfo
 *
 * Pure. Prefers a mount of the hierarchy's root, so that the paths of /proc/PID/cgroup fit.
 *
 * Returns: (transfer full) (nullable): where cgroup v2 is mounted, as beside v1 at
 *   /sys/fs/cgroup/unified; no controller is needed there: the freezer is part of v2 itself
 */
char *pcd_cgroup_parse_mount (const char *mountinfo);

/**
 * pcd_cgroup_parse_path:
 * @text: text of /proc/PID/task/TID/cgroup
 *
 * Pure.
 *
 * Returns: (transfer full) (nullable): the path behind `0::`; %NULL if there is none, or it lies
 *   outside our cgroup namespace, or was removed
 */
char *pcd_cgroup_parse_path (const char *text);

/**
 * pcd_cgroup_find_mount:
 *
 * Returns: (transfer full) (nullable): the mount, %NULL with %G_IO_ERROR_NOT_SUPPORTED
 */
char *pcd_cgroup_find_mount (GError **error);

/**
 * pcd_cgroup_of_thread:
 * @mount: where cgroup v2 is mounted
 *
 * Returns: (transfer full) (nullable): the folder of the thread's cgroup, %NULL with @error set
 */
char *pcd_cgroup_of_thread (const char *mount, pid_t pid, pid_t tid, GError **error);

/**
 * pcd_cgroup_is_of_one:
 *
 * Returns: whether the folder is a threaded cgroup with this very thread in it and no other, as
 *   libvirt's `.../libvirt/vcpuN` are
 */
gboolean pcd_cgroup_is_of_one (const char *folder, pid_t tid);

/* Whether we made the folder. */
gboolean pcd_cgroup_is_ours (const char *folder);

/**
 * pcd_cgroup_make_own:
 * @parent: the thread's cgroup now
 *
 * Makes a threaded cgroup in it and moves the thread there. That makes @parent a "domain threaded"
 * one, which the kernel refuses while controllers that know processes only are enabled below it
 * (Documentation/admin-guide/cgroup-v2.rst, Threads). Removes empty ones of ours beside it, left by
 * QEMUs that ended.
 *
 * Returns: (transfer full) (nullable): its folder, %NULL with @error set and nothing changed
 */
char *pcd_cgroup_make_own (const char *parent, pid_t pid, pid_t tid, GError **error);

/**
 * pcd_cgroup_drop_own:
 * @folder: from pcd_cgroup_make_own()
 *
 * Moves the thread back into the parent and removes the folder.
 */
gboolean pcd_cgroup_drop_own (const char *folder, pid_t tid, GError **error);

/* Writes cgroup.freeze; returns at once, before anything is frozen. */
gboolean pcd_cgroup_freeze (const char *folder, gboolean freeze, GError **error);

/* Whether cgroup.freeze says so: it was asked for. */
gboolean pcd_cgroup_is_freezing (const char *folder);

/* Whether cgroup.events says so: every thread in it, and so below it, stands still. Also when it is
 * a parent that is frozen. */
gboolean pcd_cgroup_is_frozen (const char *folder);

/* A note on the folder that we froze it: an extended attribute, which outlives the daemon. */
gboolean pcd_cgroup_mark (const char *folder, gboolean on, GError **error);
gboolean pcd_cgroup_is_marked (const char *folder);

G_END_DECLS
