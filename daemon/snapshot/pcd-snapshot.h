/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes what one side of a migration holds into a bundle: memory, layout, state.
 * Must not know how the guest is held still, nor libvirt, nor QMP. */
#pragma once

#include "snapshot/pcd-memory-part.h"

G_BEGIN_DECLS

/* Of manifest.json; docs/snapshots.md describes it. */
#define PCD_SNAPSHOT_SCHEMA 1

/**
 * PcdSnapshotText: a part of text.
 * @name: of its file
 * @text: (nullable): %NULL if it could not be had
 * @why_not: (nullable): why
 */
typedef struct {
  const char *name;
  char *text;
  char *why_not;
} PcdSnapshotText;

/**
 * PcdSnapshot: what is known when the bundle is begun. Strings are the caller's.
 * @role: "source" or "destination"
 * @incident: 0 for none
 * @connection: (nullable): both ends of the last migration connection, the same on both hosts
 * @began_usec: when the migration began by this host's wall clock, 0 if not known
 * @layout: (nullable): located; %NULL if there is none
 * @layout_note: (nullable): what is wrong with @layout
 * @held: "source", "stopped", "frozen" or "not held"
 * @held_note: (nullable): why it is not held, or how it was
 * @is_consistent: nothing changed the memory while it was read
 * @disks: (nullable): of the manifest
 * @n_disks: how many of them were copied
 * @disks_note: (nullable): why there are none
 * @texts: (element-type PcdSnapshotText)
 * @n_texts: of @texts
 * @count: what became of the memory
 * @took_usec: how long reading it took
 */
typedef struct {
  const char *uuid;
  const char *name;
  const char *role;
  const char *phase;
  const char *cause;
  gint64 incident;
  const char *connection;
  gint64 began_usec;
  PcdRamLayout *layout;
  const char *layout_note;
  const char *held;
  const char *held_note;
  gboolean is_consistent;
  JsonArray *disks;
  guint n_disks;
  const char *disks_note;
  const PcdSnapshotText *texts;
  guint n_texts;
  PcdMemoryCount count;
  gint64 took_usec;
} PcdSnapshot;

/**
 * pcd_snapshot_home:
 * @state_dir: the daemon's; it may be reached by symbolic links
 *
 * Returns: (transfer full): where snapshots are unless somebody says otherwise
 */
char *pcd_snapshot_home (const char *state_dir);

/**
 * pcd_snapshot_begin:
 * @state_dir: (nullable): where a @directory that is not pcd_snapshot_home () is remembered, for
 *   pcd_snapshot_sweep_all ()
 * @directory: of snapshots
 * @pid: QEMU: what it has resident is what must be free on the disk
 *
 * Clears up after those that died, see pcd_snapshot_sweep ().
 *
 * Returns: (transfer full): a bundle named after the domain and the time
 */
PcdBundle *pcd_snapshot_begin (
    const char *state_dir, const char *directory, const char *name, pid_t pid, GError **error);

/**
 * pcd_snapshot_note_frozen:
 *
 * To be called before the guest is frozen for the snapshot's sake: should this process die, who
 * sweeps thaws it.
 */
gboolean pcd_snapshot_note_frozen (PcdBundle *bundle, pid_t pid, GError **error);

/**
 * pcd_snapshot_note_disks:
 * @port: at which QEMU is served while it copies its disks
 * @name: of the domain
 *
 * To be called before QEMU is told: should this process die, who sweeps tells QEMU that it is over.
 */
gboolean pcd_snapshot_note_disks (
    PcdBundle *bundle, pid_t pid, guint16 port, const char *name, GError **error);

/* Writes the texts and the manifest; @ret_path as in pcd_bundle_commit (). */
gboolean pcd_snapshot_commit (PcdBundle *bundle,
                              const PcdSnapshot *snapshot,
                              char **ret_path,
                              GError **error);

/**
 * pcd_snapshot_sweep:
 * @directory: of snapshots; need not exist
 *
 * Removes what a writer that died left, thaws the guest that it had frozen, and has its copies of
 * disks ended, if that QEMU is still the same.
 *
 * Returns: how many were removed
 */
guint pcd_snapshot_sweep (const char *directory);

/* The same in every folder in which snapshots of this daemon may have been begun. */
guint pcd_snapshot_sweep_all (const char *state_dir);

/**
 * pcd_snapshot_process_began:
 *
 * Returns: when the process was started, in µs of the wall clock, 0 if it is gone
 */
gint64 pcd_snapshot_process_began (pid_t pid);

G_END_DECLS
