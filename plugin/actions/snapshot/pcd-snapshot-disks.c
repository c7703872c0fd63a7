/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blockdev-backup jobs, begun by one transaction, into images that this process serves to QEMU.
 * Everything of ours in QEMU is called pcd-copy-... and removed in every outcome. */
#include "actions/snapshot/pcd-snapshot-disks.h"

#include "qmp/pcd-qmp-block.h"
#include "snapshot/pcd-disk-clean.h"

#include <gio/gio.h>
#include <stdlib.h>

#define ANSWER_USEC  (5 * G_USEC_PER_SEC)
#define CLEAN_USEC   (10 * G_USEC_PER_SEC)
#define LOOK_USEC    (100 * 1000)
#define SILENT_USEC  (15 * G_USEC_PER_SEC) /* QEMU may be busy with something else */
#define RESERVE_USEC (60 * G_USEC_PER_SEC) /* for checksums and the end of the bundle */
#define MIB          (1024.0 * 1024.0)
/* Beside the data: tables, partly filled clusters, the file system's own. */
#define SLACK_OF(size) ((size) / 256 + (8u << 20))

typedef struct {
  PcdQmpDisk *disk; /* of the list */
  char *name;       /* of the node and the job */
  char *file;
  PcdBundlePart *part;
  char *why_not;
  gboolean is_copied;
  gboolean is_kept;
} Copy;

struct _PcdSnapshotDisks {
  PcdSnapshotSide *side;
  PcdBundle *bundle;
  GPtrArray *list;   /* (element-type PcdQmpDisk) */
  GPtrArray *copies; /* (element-type Copy) */
  GPtrArray *images; /* (element-type PcdDiskImage), one for each copy */
  PcdDiskLink *link;
  PcdDiskServer *server;
  char *note;
  gboolean is_begun;
};

static void
copy_free (Copy *copy)
{
  g_free (copy->name);
  g_free (copy->file);
  g_free (copy->why_not);
  g_free (copy);
}

static gint64
limit (const PcdSnapshotDisks *self)
{
  return pcd_action_limit (self->side->job, ANSWER_USEC);
}

/* ---- the end, in every outcome ---- */

static void
drop_part (Copy *copy, const char *why_not)
{
  if (copy->part)
    pcd_bundle_drop_part (copy->part);
  copy->part = NULL;
  if (!copy->why_not)
    copy->why_not = g_strdup (why_not);
}

static gboolean
go_on (guint64 done, guint64 total, gpointer data)
{
  const PostcopydJob *job = data;

  job->progress (job, done, total, "checksums of disks");
  return !job->cancelled (job) && g_get_monotonic_time () < job->deadline_usec - ANSWER_USEC;
}

static void
keep_part (PcdSnapshotDisks *self, Copy *copy, PcdDiskImage *image)
{
  g_autoptr (GError) error = NULL;

  if (pcd_disk_image_finish (image, &error) &&
      pcd_bundle_part_end_read (copy->part, go_on, (gpointer)self->side->job, &error)) {
    copy->is_kept = TRUE;
    return;
  }
  drop_part (copy, error->message);
}

/* QEMU is told first: while it may write, the images and who serves them have to be there. */
static void
end (PcdSnapshotDisks *self)
{
  g_autoptr (GError) error = NULL;
  gboolean is_clean =
      !self->link || pcd_disk_clean (self->link, g_get_monotonic_time () + CLEAN_USEC, &error);

  if (is_clean)
    g_clear_pointer (&self->server, pcd_disk_server_free);
  for (guint i = 0; i < self->copies->len; i++) {
    Copy *copy = self->copies->pdata[i];

    if (copy->is_copied && !copy->is_kept)
      keep_part (self, copy, self->images->pdata[i]);
    else
      drop_part (copy, "it was called off");
  }
  if (!is_clean) {
    g_message ("copies of disks of QEMU %d cannot be ended yet: %s",
               (int)self->side->migration->pid, error->message);
    pcd_disk_clean_later (g_steal_pointer (&self->link), g_steal_pointer (&self->server),
                          g_ptr_array_ref (self->images));
  }
  g_clear_pointer (&self->link, pcd_disk_link_free);
  pcd_bundle_set_note_of (self->bundle, "disks", NULL, NULL);
  self->is_begun = FALSE;
}

void
pcd_snapshot_disks_free (PcdSnapshotDisks *self)
{
  if (!self)
    return;
  if (self->link)
    end (self);
  g_clear_pointer (&self->list, g_ptr_array_unref);
  g_ptr_array_unref (self->copies);
  g_ptr_array_unref (self->images);
  g_free (self->note);
  g_free (self);
}

/* ---- the beginning ---- */

/* Others write to it, too: their writes are not seen, so there is no moment of it. */
static gboolean
is_shared (PcdSnapshotDisks *self, const PcdQmpDisk *disk)
{
  g_autoptr (JsonNode) answer =
      disk->device ? pcd_disk_link_call (self->link, "qom-get",
                                         pcd_qmp_block_share_rw (disk->device), limit (self), NULL)
                   : NULL;

  return answer && json_node_get_value_type (answer) == G_TYPE_BOOLEAN &&
         json_node_get_boolean (answer);
}

static gboolean
choose (PcdSnapshotDisks *self, GPtrArray *chosen, GError **error)
{
  g_autoptr (JsonNode) answer =
      pcd_disk_link_call (self->link, "query-block", NULL, limit (self), error);

  if (!answer)
    return FALSE;
  self->list = pcd_qmp_block_list (answer);
  for (guint i = 0; i < self->list->len; i++) {
    PcdQmpDisk *disk = self->list->pdata[i];

    if (!disk->why_not && is_shared (self, disk))
      disk->why_not = g_strdup ("others may write to it, too (shareable)");
    if (!disk->why_not)
      g_ptr_array_add (chosen, disk);
  }
  if (chosen->len > 0)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
               "the guest has no disk that it can write to");
  return FALSE;
}

static gboolean
check_space (PcdSnapshotDisks *self, GPtrArray *chosen, GError **error)
{
  guint64 needed = 0;

  for (guint i = 0; i < chosen->len; i++) {
    const PcdQmpDisk *disk = chosen->pdata[i];
    needed += disk->allocated + SLACK_OF (disk->allocated);
  }
  return pcd_bundle_check_space (self->bundle, needed, error);
}

static gboolean
make_copy (PcdSnapshotDisks *self, PcdQmpDisk *disk, GError **error)
{
  Copy *copy = g_new0 (Copy, 1);
  PcdDiskImage *image;

  copy->disk = disk;
  copy->file = g_strdup_printf ("disk-%u.qcow2", self->copies->len);
  g_ptr_array_add (self->copies, copy);
  copy->part = pcd_bundle_begin_part (self->bundle, copy->file, error);
  if (!copy->part)
    return FALSE;
  image = pcd_disk_image_new (pcd_bundle_part_get_fd (copy->part), disk->size);
  g_ptr_array_add (self->images, image);
  copy->name = pcd_disk_server_add (self->server, image);
  return TRUE;
}

static gboolean
add_node (PcdSnapshotDisks *self, const Copy *copy, GError **error)
{
  g_autoptr (JsonNode) answer = pcd_disk_link_call (
      self->link, "blockdev-add",
      pcd_qmp_block_add (copy->name, pcd_disk_server_get_port (self->server), PCD_DISK_DELAY_S),
      limit (self), error);

  return answer != NULL;
}

/* MiB/s for all of them together -> bytes/s for each. */
static guint64
speed_of (const PcdSnapshotDisks *self)
{
  const char *text = pcd_action_param (self->side->migration, "speed");
  const double speed = text ? g_ascii_strtod (text, NULL) : 0;

  return speed > 0 ? (guint64)MAX (speed * MIB / self->copies->len, 1) : 0;
}

static gboolean
begin_all (PcdSnapshotDisks *self, GPtrArray *chosen, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autoptr (JsonNode) answer = NULL;

  for (guint i = 0; i < chosen->len; i++) {
    if (!make_copy (self, chosen->pdata[i], error) ||
        !add_node (self, self->copies->pdata[i], error))
      return FALSE;
    g_ptr_array_add (names, ((Copy *)self->copies->pdata[i])->name);
  }
  answer = pcd_disk_link_call (self->link, "transaction",
                               pcd_qmp_block_begin (chosen, names, speed_of (self)), limit (self),
                               error);
  return answer != NULL;
}

static gboolean
start (PcdSnapshotDisks *self, GError **error)
{
  const PostcopydMigration *migration = self->side->migration;
  g_autoptr (GPtrArray) chosen = g_ptr_array_new ();

  if (pcd_action_is_source (migration)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                 "since the switch-over the disks are the destination's");
    return FALSE;
  }
  if (!self->side->monitor) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED, "%s",
                 self->side->why_no_monitor
                     ? self->side->why_no_monitor
                     : "there is no control monitor: libvirt's hook gives QEMU one when it "
                       "comes in by a migration, see 'postcopyctl doctor'");
    return FALSE;
  }
  self->link = pcd_disk_link_new (migration->pid, migration->name, self->side->monitor);
  /* Where a thread of QEMU waits for a page, nothing is begun. */
  if (!choose (self, chosen, error) || !check_space (self, chosen, error) ||
      !pcd_disk_link_may_send (self->link, "transaction", error) ||
      !pcd_disk_clean (self->link, limit (self), error))
    return FALSE;
  self->server = pcd_disk_server_new (migration->pid, 0, error);
  return self->server &&
         pcd_snapshot_note_disks (self->bundle, migration->pid,
                                  pcd_disk_server_get_port (self->server), migration->name,
                                  error) &&
         begin_all (self, chosen, error);
}

PcdSnapshotDisks *
pcd_snapshot_disks_begin (PcdSnapshotSide *side, PcdBundle *bundle)
{
  PcdSnapshotDisks *self = g_new0 (PcdSnapshotDisks, 1);
  g_autoptr (GError) error = NULL;

  self->side = side;
  self->bundle = bundle;
  self->copies = g_ptr_array_new_with_free_func ((GDestroyNotify)copy_free);
  self->images = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_disk_image_free);
  self->is_begun = start (self, &error);
  if (self->is_begun)
    return self;
  self->note = g_strdup (error->message);
  for (guint i = 0; i < self->copies->len; i++)
    drop_part (self->copies->pdata[i], error->message);
  if (self->copies->len > 0)
    end (self);
  g_clear_pointer (&self->link, pcd_disk_link_free);
  g_clear_pointer (&self->server, pcd_disk_server_free);
  return self;
}

/* ---- in between ---- */

typedef struct {
  gint64 until;
  gint64 answered; /* last */
} Wait;

static gboolean
is_settled (const Copy *copy)
{
  return copy->is_copied || copy->why_not;
}

static const PcdQmpJob *
find_job (GPtrArray *jobs, const Copy *copy)
{
  for (guint i = 0; i < jobs->len; i++)
    if (g_str_equal (((const PcdQmpJob *)jobs->pdata[i])->id, copy->name))
      return jobs->pdata[i];
  return NULL;
}

/* That drains the guest's disk; where it could hang QEMU the job waits for another look. */
static void
finalize (PcdSnapshotDisks *self, const Copy *copy)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) answer = pcd_disk_link_call (
      self->link, "job-finalize", pcd_qmp_block_job (copy->name), limit (self), &error);

  if (!answer)
    g_debug ("%s: %s", copy->name, error->message);
}

static void
look_at (PcdSnapshotDisks *self, guint index, const PcdQmpJob *job)
{
  Copy *copy = self->copies->pdata[index];
  g_autoptr (GError) error = NULL;

  if (!pcd_disk_image_check (self->images->pdata[index], &error))
    copy->why_not = g_strdup (error->message);
  else if (!job)
    copy->why_not = g_strdup ("its job is gone from QEMU");
  else if (job->is_over && job->error)
    copy->why_not = g_strdup_printf ("QEMU's job failed: %s", job->error);
  else if (job->is_over)
    copy->is_copied = TRUE;
  else if (job->is_done)
    finalize (self, copy);
}

static void
give_up (PcdSnapshotDisks *self, const char *why)
{
  for (guint i = 0; i < self->copies->len; i++) {
    Copy *copy = self->copies->pdata[i];
    if (!is_settled (copy))
      copy->why_not = g_strdup (why);
  }
}

static void
tell_progress (PcdSnapshotDisks *self, GPtrArray *jobs)
{
  guint64 done = 0, total = 0;

  for (guint i = 0; i < jobs->len; i++) {
    const PcdQmpJob *job = jobs->pdata[i];
    done += job->current;
    total += job->total;
  }
  self->side->job->progress (self->side->job, done, total, "disks");
}

/* Returns: whether there is more to wait for. */
static gboolean
look (PcdSnapshotDisks *self, Wait *wait)
{
  const PostcopydJob *job = self->side->job;
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) answer =
      pcd_disk_link_call (self->link, "query-jobs", NULL, limit (self), &error);
  g_autoptr (GPtrArray) jobs = answer ? pcd_qmp_block_jobs (answer) : NULL;
  const gint64 now = g_get_monotonic_time ();
  gboolean more = FALSE;

  if (jobs) {
    wait->answered = now;
    tell_progress (self, jobs);
  } else if (!pcd_disk_link_is_alive (self->link)) {
    give_up (self, "QEMU has ended");
  } else if (now - wait->answered > SILENT_USEC) {
    give_up (self, error->message);
  }
  for (guint i = 0; i < self->copies->len; i++) {
    Copy *copy = self->copies->pdata[i];
    if (jobs && !is_settled (copy))
      look_at (self, i, find_job (jobs, copy));
    more |= !is_settled (copy);
  }
  if (more && job->cancelled (job))
    give_up (self, "it was called off");
  else if (more && now > wait->until)
    give_up (self, "there was no time left for it");
  else
    return more;
  return FALSE;
}

void
pcd_snapshot_disks_finish (PcdSnapshotDisks *self)
{
  const gint64 now = g_get_monotonic_time (), left = self->side->job->deadline_usec - now;
  Wait wait = { now + left - MIN (RESERVE_USEC, left / 4), now };

  if (!self->is_begun)
    return;
  while (look (self, &wait))
    g_usleep (LOOK_USEC);
  end (self);
}

/* ---- what is told ---- */

static const Copy *
find_copy (const PcdSnapshotDisks *self, const PcdQmpDisk *disk)
{
  for (guint i = 0; i < self->copies->len; i++)
    if (((const Copy *)self->copies->pdata[i])->disk == disk)
      return self->copies->pdata[i];
  return NULL;
}

static void
add_text (JsonObject *object, const char *name, const char *text)
{
  g_autofree char *valid = text ? g_utf8_make_valid (text, -1) : NULL;

  if (valid)
    json_object_set_string_member (object, name, valid);
  else
    json_object_set_null_member (object, name);
}

static JsonObject *
describe (const PcdSnapshotDisks *self, const PcdQmpDisk *disk)
{
  const Copy *copy = find_copy (self, disk);
  JsonObject *object = json_object_new ();

  add_text (object, "part", copy && copy->is_kept ? copy->file : NULL);
  add_text (object, "device", disk->device);
  add_text (object, "node", disk->node);
  add_text (object, "source", disk->source);
  json_object_set_int_member (object, "size", (gint64)disk->size);
  if (!copy || !copy->is_kept)
    add_text (object, "reason", disk->why_not ? disk->why_not : copy ? copy->why_not : self->note);
  else
    json_object_set_null_member (object, "reason");
  return object;
}

JsonArray *
pcd_snapshot_disks_describe (const PcdSnapshotDisks *self)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; self->list && i < self->list->len; i++)
    json_array_add_object_element (array, describe (self, self->list->pdata[i]));
  return array;
}

const char *
pcd_snapshot_disks_get_note (const PcdSnapshotDisks *self)
{
  return self->note;
}

guint
pcd_snapshot_disks_get_n (const PcdSnapshotDisks *self)
{
  guint n = 0;

  for (guint i = 0; i < self->copies->len; i++)
    n += ((const Copy *)self->copies->pdata[i])->is_kept;
  return n;
}
