/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Written by qapi/block-core.json and qapi/job.json of QEMU 7.2. Pure. */
#include "qmp/pcd-qmp-block.h"

#include "core/pcd-json.h"

#include <string.h>

#define SECTOR 512u

void
pcd_qmp_disk_free (PcdQmpDisk *disk)
{
  if (!disk)
    return;
  g_free (disk->device);
  g_free (disk->node);
  g_free (disk->source);
  g_free (disk->why_not);
  g_free (disk);
}

void
pcd_qmp_job_free (PcdQmpJob *job)
{
  if (!job)
    return;
  g_free (job->id);
  g_free (job->error);
  g_free (job);
}

/* ---- reading: whatever is not as expected is as if it were not there ---- */

static guint64
get_number (JsonObject *object, const char *name)
{
  return (guint64)MAX (pcd_json_get_int (object, name), 0);
}

typedef void (*EachObject) (JsonObject *object, GPtrArray *found);

static GPtrArray *
collect (JsonNode *answer, EachObject each, GDestroyNotify free_one)
{
  GPtrArray *found = g_ptr_array_new_with_free_func (free_one);
  JsonArray *array = answer && JSON_NODE_HOLDS_ARRAY (answer) ? json_node_get_array (answer) : NULL;

  for (guint i = 0; array && i < json_array_get_length (array); i++) {
    JsonNode *element = json_array_get_element (array, i);
    if (JSON_NODE_HOLDS_OBJECT (element))
      each (json_node_get_object (element), found);
  }
  return found;
}

/* Of the whole chain: the copy has what all its files have. A block device says 0. */
static guint64
allocated_of (JsonObject *image, guint64 size)
{
  guint64 sum = 0;

  for (; image; image = pcd_json_get_object (image, "backing-image")) {
    const guint64 one = get_number (image, "actual-size");

    if (one == 0 || one > size - sum)
      return size;
    sum += one;
  }
  return sum;
}

static const char *
why_not (JsonObject *inserted, const PcdQmpDisk *disk)
{
  if (pcd_json_get_boolean (inserted, "ro"))
    return "it is read-only";
  if (!disk->node || strlen (disk->node) == 0)
    return "QEMU has no name for its node";
  if (disk->size == 0)
    return "QEMU cannot tell its size (a passed-through device)";
  return NULL;
}

static void
add_disk (JsonObject *drive, GPtrArray *found)
{
  JsonObject *inserted = pcd_json_get_object (drive, "inserted"),
             *image = pcd_json_get_object (inserted, "image");
  const char *device = pcd_json_get_string (drive, "qdev");
  g_autoptr (PcdQmpDisk) disk = g_new0 (PcdQmpDisk, 1);

  if (!inserted && pcd_json_get_boolean (drive, "removable"))
    return;
  disk->device = g_strdup (device && *device ? device : pcd_json_get_string (drive, "device"));
  disk->node = g_strdup (pcd_json_get_string (inserted, "node-name"));
  disk->source = g_strdup (pcd_json_get_string (image, "filename"));
  disk->size = (get_number (image, "virtual-size") + SECTOR - 1) / SECTOR * SECTOR;
  disk->allocated = allocated_of (image, disk->size);
  disk->why_not = g_strdup (inserted ? why_not (inserted, disk) : "it is empty");
  g_ptr_array_add (found, g_steal_pointer (&disk));
}

GPtrArray *
pcd_qmp_block_list (JsonNode *answer)
{
  return collect (answer, add_disk, (GDestroyNotify)pcd_qmp_disk_free);
}

/* aborting is on the way to concluded; null is gone. */
static void
add_job (JsonObject *object, GPtrArray *found)
{
  const char *id = pcd_json_get_string (object, "id"),
             *status = pcd_json_get_string (object, "status");
  PcdQmpJob *job;

  if (!id || !g_str_has_prefix (id, PCD_QMP_OURS))
    return;
  job = g_new0 (PcdQmpJob, 1);
  job->id = g_strdup (id);
  job->is_done = g_strcmp0 (status, "pending") == 0;
  job->is_over = g_strcmp0 (status, "concluded") == 0;
  job->current = get_number (object, "current-progress");
  job->total = get_number (object, "total-progress");
  job->error = g_strdup (pcd_json_get_string (object, "error"));
  g_ptr_array_add (found, job);
}

GPtrArray *
pcd_qmp_block_jobs (JsonNode *answer)
{
  return collect (answer, add_job, (GDestroyNotify)pcd_qmp_job_free);
}

static void
add_node (JsonObject *object, GPtrArray *found)
{
  const char *name = pcd_json_get_string (object, "node-name");

  if (name && g_str_has_prefix (name, PCD_QMP_OURS))
    g_ptr_array_add (found, g_strdup (name));
}

GPtrArray *
pcd_qmp_block_nodes (JsonNode *answer)
{
  return collect (answer, add_node, g_free);
}

/* ---- writing ---- */

JsonObject *
pcd_qmp_block_share_rw (const char *device)
{
  JsonObject *arguments = json_object_new ();
  g_autofree char *path =
      device[0] == '/' ? g_strdup (device) : g_strconcat ("/machine/peripheral/", device, NULL);

  json_object_set_string_member (arguments, "path", path);
  json_object_set_string_member (arguments, "property", "share-rw");
  return arguments;
}

JsonObject *
pcd_qmp_block_add (const char *name, guint16 port, guint delay_s)
{
  JsonObject *arguments = json_object_new (), *server = json_object_new ();
  g_autofree char *text = g_strdup_printf ("%u", port);

  json_object_set_string_member (server, "type", "inet");
  json_object_set_string_member (server, "host", "127.0.0.1");
  json_object_set_string_member (server, "port", text);
  json_object_set_string_member (arguments, "driver", "nbd");
  json_object_set_string_member (arguments, "node-name", name);
  json_object_set_object_member (arguments, "server", server);
  json_object_set_string_member (arguments, "export", name);
  json_object_set_int_member (arguments, "reconnect-delay", delay_s);
  return arguments;
}

static JsonObject *
backup (const PcdQmpDisk *disk, const char *name, guint64 speed)
{
  JsonObject *action = json_object_new (), *data = json_object_new ();

  json_object_set_string_member (data, "job-id", name);
  json_object_set_string_member (data, "device", disk->node);
  json_object_set_string_member (data, "target", name);
  json_object_set_string_member (data, "sync", "full");
  json_object_set_int_member (data, "speed", (gint64)MIN (speed, (guint64)G_MAXINT64));
  json_object_set_boolean_member (data, "auto-finalize", FALSE);
  json_object_set_boolean_member (data, "auto-dismiss", FALSE);
  json_object_set_string_member (action, "type", "blockdev-backup");
  json_object_set_object_member (action, "data", data);
  return action;
}

JsonObject *
pcd_qmp_block_begin (GPtrArray *disks, GPtrArray *names, guint64 speed)
{
  JsonObject *arguments = json_object_new ();
  JsonArray *actions = json_array_new ();

  for (guint i = 0; i < disks->len; i++)
    json_array_add_object_element (actions, backup (disks->pdata[i], names->pdata[i], speed));
  json_object_set_array_member (arguments, "actions", actions);
  return arguments;
}

JsonObject *
pcd_qmp_block_job (const char *job)
{
  JsonObject *arguments = json_object_new ();

  json_object_set_string_member (arguments, "id", job);
  return arguments;
}

JsonObject *
pcd_qmp_block_node (const char *node)
{
  JsonObject *arguments = json_object_new ();

  json_object_set_string_member (arguments, "node-name", node);
  return arguments;
}
