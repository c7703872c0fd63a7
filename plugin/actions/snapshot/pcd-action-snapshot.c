/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Action `snapshot`: holds the guest still, keeps this side's memory and state in a bundle, and
 * lets the guest go again if it was not held before. */
#include "actions/snapshot/pcd-action-snapshot.h"

#include "actions/freeze/pcd-action-freeze.h"
#include "actions/resume/pcd-action-resume.h"
#include "actions/snapshot/pcd-snapshot-disks.h"
#include "actions/stop/pcd-action-stop.h"

#include <string.h>

#define STATUS_USEC (2 * G_USEC_PER_SEC)

typedef enum { NOT_HELD, STOPPED, FROZEN, SOURCE } Held;

static const char *const held_words[] = { "not held", "stopped", "frozen", "source" };

typedef struct {
  PcdSnapshotSide side;
  Held held;
  gboolean by_us; /* to be let go again */
  char *note;
} Hold;

static void
hold_clear (Hold *hold)
{
  g_free (hold->side.why_no_monitor);
  g_free (hold->note);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Hold, hold_clear)

static gboolean
is_frozen (pid_t pid)
{
  PcdFreezeReport freeze = { 0 };
  g_autoptr (PcdThreadReport) threads =
      pcd_action_look (pid, PCD_THREADS_CHEAP, NULL, &freeze, NULL);

  return threads && freeze.n_vcpus > 0 && freeze.n_frozen + freeze.n_pending == freeze.n_vcpus;
}

/* Anything but "running" and "inmigrate": QEMU lets no vCPU run. */
static gboolean
is_stopped (const Hold *hold)
{
  g_autofree char *status =
      hold->side.monitor
          ? pcd_monitor_keeper_get_status (hold->side.monitor, "query-status",
                                           pcd_action_limit (hold->side.job, STATUS_USEC), NULL)
          : NULL;

  return g_strcmp0 (status, "paused") == 0;
}

static gboolean
is_held (const Hold *hold)
{
  switch (hold->held) {
  case SOURCE:
    return TRUE;
  case STOPPED:
    return is_stopped (hold);
  case FROZEN:
    return is_frozen (hold->side.migration->pid);
  case NOT_HELD:
  default:
    return FALSE;
  }
}

/* The other actions' own ways, with their own gates. */
static PostcopydOutcome
do_other (const Hold *hold, const PostcopydPlugin *plugin, char *text, size_t size)
{
  PcdActionHost host = *pcd_action_host (hold->side.migration);
  PostcopydMigration view = *hold->side.migration;

  host.for_snapshot = hold->held != FROZEN;
  host.we_stopped |= hold->held == STOPPED;
  view.internal = &host;
  view.n_params = 0;
  view.params = NULL;
  text[0] = '\0';
  return plugin->action->run (&view, hold->side.job, text, size);
}

static gboolean
take_hold (Hold *hold, PcdBundle *bundle, GError **error)
{
  const PostcopydMigration *migration = hold->side.migration;
  char stop[256], freeze[256];

  if (pcd_action_is_source (migration)) {
    hold->held = SOURCE;
    return TRUE;
  }
  if (is_frozen (migration->pid))
    hold->held = FROZEN;
  else if (is_stopped (hold))
    hold->held = STOPPED;
  if (hold->held != NOT_HELD)
    return TRUE;
  if (do_other (hold, &pcd_action_stop_plugin, stop, sizeof stop) == POSTCOPYD_DONE) {
    hold->held = STOPPED;
    hold->by_us = TRUE;
    return TRUE;
  }
  /* So that a guest is not left frozen by a daemon that died. */
  if (!pcd_snapshot_note_frozen (bundle, migration->pid, error))
    return FALSE;
  if (do_other (hold, &pcd_action_freeze_plugin, freeze, sizeof freeze) == POSTCOPYD_DONE) {
    hold->held = FROZEN;
    hold->by_us = TRUE;
    hold->note = g_strdup (freeze);
    return TRUE;
  }
  hold->note = g_strdup_printf ("stop: %s; freeze: %s", stop, freeze);
  return TRUE;
}

/* (nullable): what is wrong now. */
static char *
let_go (Hold *hold, PcdBundle *bundle)
{
  char text[256] = "";

  if (!hold->by_us)
    return NULL;
  hold->by_us = FALSE;
  if (do_other (hold, &pcd_action_resume_plugin, text, sizeof text) != POSTCOPYD_DONE)
    return g_strdup_printf ("the guest is still %s: %s; 'postcopyctl resume' lets it go on",
                            held_words[hold->held], text);
  if (hold->held == STOPPED)
    pcd_action_not_stopped (hold->side.migration);
  pcd_bundle_set_note (bundle, NULL, NULL);
  return NULL;
}

static gboolean
on_progress (guint64 done, guint64 total, gpointer data)
{
  const PostcopydJob *job = data;

  job->progress (job, done, total, "memory");
  return !job->cancelled (job) && g_get_monotonic_time () < job->deadline_usec;
}

/* With what QEMU says about its RAM, else with what the kernel shows. */
static gboolean
find_layout (PcdSnapshotSide *side,
             PcdGuestMemory *memory,
             PcdSnapshot *snapshot,
             char **ret_note,
             GError **error)
{
  g_autoptr (GError) problem = NULL;
  g_autoptr (PcdRamLayout) layout = pcd_ram_layout_ask (pcd_snapshot_ask, side, &problem);

  if (layout && !pcd_ram_layout_locate (layout, memory, &problem))
    g_clear_pointer (&layout, pcd_ram_layout_free);
  if (!layout) {
    *ret_note = g_strdup_printf ("QEMU's own layout could not be had: %s", problem->message);
    layout = pcd_ram_layout_from_areas (pcd_guest_memory_get_areas (memory));
  }
  if (layout->blocks->len == 0) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 "where the guest's memory is cannot be told: %s", *ret_note);
    return FALSE;
  }
  snapshot->layout = g_steal_pointer (&layout);
  return TRUE;
}

static gboolean
keep_memory (Hold *hold, PcdBundle *bundle, PcdSnapshot *snapshot, char **ret_note, GError **error)
{
  gint64 began = g_get_monotonic_time ();
  g_autoptr (PcdGuestMemory) memory = pcd_guest_memory_open (hold->side.migration->pid, error);

  if (!memory || !find_layout (&hold->side, memory, snapshot, ret_note, error) ||
      !pcd_memory_part_write (bundle, memory, snapshot->layout, on_progress,
                              (gpointer)hold->side.job, &snapshot->count, error))
    return FALSE;
  snapshot->took_usec = g_get_monotonic_time () - began;
  snapshot->is_consistent = is_held (hold);
  return TRUE;
}

static char *
directory_of (const PostcopydMigration *migration)
{
  const PcdActionHost *host = pcd_action_host (migration);
  const char *wish = host->directory ? host->directory : pcd_action_param (migration, "directory");

  if (wish)
    return g_strdup (wish);
  return host->state_dir ? pcd_snapshot_home (host->state_dir) : NULL;
}

static PostcopydOutcome
tell (const PcdReason *reason,
      const PcdSnapshot *snapshot,
      const char *path,
      const char *still_held)
{
  return pcd_action_done (reason,
                          "%s: %" G_GUINT64_FORMAT " pages, %" G_GUINT64_FORMAT
                          " missing, in %.1f s, %u disks, guest %s%s%s%s",
                          path, snapshot->count.present, snapshot->count.missing,
                          (double)snapshot->took_usec / G_USEC_PER_SEC, snapshot->n_disks,
                          snapshot->held, snapshot->is_consistent ? "" : ", not consistent",
                          still_held ? "; " : "", still_held ? still_held : "");
}

static PostcopydOutcome
fill (Hold *hold, PcdBundle *bundle, const PcdReason *reason)
{
  const PostcopydMigration *migration = hold->side.migration;
  PcdSnapshotText texts[PCD_SNAPSHOT_N_TEXTS] = { 0 };
  g_autofree char *layout_note = NULL, *still_held = NULL, *path = NULL;
  g_autoptr (GError) error = NULL;
  PcdSnapshot snapshot = { .uuid = migration->uuid,
                           .name = migration->name,
                           .role = migration->role,
                           .phase = migration->phase,
                           .cause = migration->cause,
                           .incident = migration->incident,
                           .connection = migration->connection,
                           .texts = texts,
                           .n_texts = PCD_SNAPSHOT_N_TEXTS };
  g_autoptr (PcdSnapshotDisks) disks = NULL;
  g_autoptr (JsonArray) disk_list = NULL;
  gboolean good = take_hold (hold, bundle, &error);

  /* As they are now, while the guest is held; they are copied beside all that follows. */
  if (good) {
    disks = pcd_snapshot_disks_begin (&hold->side, bundle);
    good = keep_memory (hold, bundle, &snapshot, &layout_note, &error);
  }
  snapshot.held = held_words[hold->held];
  snapshot.held_note = hold->note;
  snapshot.layout_note = layout_note;
  if (good)
    pcd_snapshot_get_texts (&hold->side, hold->held == SOURCE || hold->held == STOPPED, texts,
                            &snapshot.began_usec);
  still_held = let_go (hold, bundle);
  if (good) {
    pcd_snapshot_disks_finish (disks);
    snapshot.disks = disk_list = pcd_snapshot_disks_describe (disks);
    snapshot.disks_note = pcd_snapshot_disks_get_note (disks);
    snapshot.n_disks = pcd_snapshot_disks_get_n (disks);
    good = pcd_snapshot_commit (bundle, &snapshot, &path, &error);
  }
  pcd_snapshot_clear_texts (texts);
  g_clear_pointer (&snapshot.layout, pcd_ram_layout_free);
  if (good)
    return tell (reason, &snapshot, path, still_held);
  if (still_held)
    return pcd_action_fail (reason, "no snapshot is left: %s; %s", error->message, still_held);
  return pcd_action_fail (reason, "no snapshot is left: %s", error->message);
}

static PostcopydOutcome
run (const PostcopydMigration *migration, const PostcopydJob *job, char *text, size_t size)
{
  const PcdReason reason = { text, size };
  g_autoptr (GError) error = NULL;
  g_auto (Hold) hold = { .side = { .migration = migration, .job = job } };
  g_autofree char *directory = directory_of (migration);
  g_autoptr (PcdBundle) bundle = NULL;

  if (pcd_action_has_ended (migration))
    return pcd_action_refuse (&reason,
                              "the migration has ended (%s); 'virsh dump' keeps a guest that runs",
                              migration->phase);
  if (!g_str_equal (migration->phase, "paused") && !g_str_equal (migration->flow, "stalled"))
    return pcd_action_refuse (
        &reason, "in phase %s the other side still sends or gets pages; try again in a pause",
        migration->phase);
  if (migration->pid <= 0)
    return pcd_action_refuse (&reason, PCD_ACTION_NO_PROCESS);
  if (!directory)
    return pcd_action_refuse (&reason, "there is no folder for snapshots; give one by --directory");
  hold.side.monitor = pcd_action_monitor (migration, &hold.side.why_no_monitor);
  bundle = pcd_snapshot_begin (pcd_action_host (migration)->state_dir, directory, migration->name,
                               migration->pid, &error);
  if (!bundle)
    return pcd_action_refuse (&reason, "%s", error->message);
  return fill (&hold, bundle, &reason);
}

static const PostcopydAction action = { .struct_size = sizeof action, .run = run };

const PostcopydPlugin pcd_action_snapshot_plugin = {
  .abi_major = POSTCOPYD_ABI_MAJOR,
  .abi_minor = POSTCOPYD_ABI_MINOR,
  .struct_size = sizeof (PostcopydPlugin),
  .name = "snapshot",
  .kind = "action",
  .description = "Keep what this side has of the guest's memory, its disks and its state.",
  .action = &action,
};
