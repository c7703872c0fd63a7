/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is said to QEMU about copies of its disks, and what it answers.
 * Pure: JSON in, JSON out; must not know how it is sent. */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* Of everything in QEMU that is ours: nodes and jobs. libvirt's are libvirt-..., #... is QEMU's. */
#define PCD_QMP_OURS "pcd-copy-"

/**
 * PcdQmpDisk: a drive of the guest.
 * @device: what the drive is attached to: libvirt's alias or a QOM path
 * @node: (nullable): the node at the top of its chain
 * @source: (nullable): where it is kept, as QEMU words it
 * @size: of the disk, in bytes, whole sectors
 * @allocated: what a copy takes at most, metadata aside
 * @why_not: (nullable): why it is not to be copied
 */
typedef struct {
  char *device;
  char *node;
  char *source;
  guint64 size;
  guint64 allocated;
  char *why_not;
} PcdQmpDisk;

void pcd_qmp_disk_free (PcdQmpDisk *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdQmpDisk, pcd_qmp_disk_free)

/**
 * pcd_qmp_block_list:
 * @answer: of `query-block`
 *
 * Returns: (transfer full) (element-type PcdQmpDisk): every drive, in QEMU's order. Those without a
 *   medium that are no disk's (an empty CD-ROM, a floppy) are left out
 */
GPtrArray *pcd_qmp_block_list (JsonNode *answer);

/**
 * pcd_qmp_block_share_rw:
 *
 * Returns: (transfer full): arguments of `qom-get`: whether others may write to the disk, too
 */
JsonObject *pcd_qmp_block_share_rw (const char *device);

/**
 * pcd_qmp_block_add:
 * @port: of 127.0.0.1
 * @delay_s: how long requests wait for a server that has gone to come back
 *
 * Returns: (transfer full): arguments of `blockdev-add`: a node of that name, served there
 */
JsonObject *pcd_qmp_block_add (const char *name, guint16 port, guint delay_s);

/**
 * pcd_qmp_block_begin:
 * @disks: (element-type PcdQmpDisk): to be copied
 * @names: of the target nodes, and of the jobs, likewise
 * @speed: bytes/s of each, 0 for no limit
 *
 * The job does not end by itself (auto-finalize): that drains the guest's disk, and has to wait
 * while a thread of QEMU waits for a page. Nor does it vanish (auto-dismiss): it says how it ended.
 *
 * Returns: (transfer full): arguments of `transaction`: all copies begin at the same moment
 */
JsonObject *pcd_qmp_block_begin (GPtrArray *disks, GPtrArray *names, guint64 speed);

/* (transfer full): {"id": @job} */
JsonObject *pcd_qmp_block_job (const char *job);

/* (transfer full): {"node-name": @node} */
JsonObject *pcd_qmp_block_node (const char *node);

/**
 * PcdQmpJob:
 * @is_done: it has copied all, and waits for `job-finalize`
 * @is_over: it has ended, and waits for `job-dismiss`
 * @error: (nullable): why it failed
 */
typedef struct {
  char *id;
  gboolean is_done;
  gboolean is_over;
  guint64 current;
  guint64 total;
  char *error;
} PcdQmpJob;

void pcd_qmp_job_free (PcdQmpJob *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdQmpJob, pcd_qmp_job_free)

/**
 * pcd_qmp_block_jobs:
 * @answer: of `query-jobs`
 *
 * Returns: (transfer full) (element-type PcdQmpJob): ours
 */
GPtrArray *pcd_qmp_block_jobs (JsonNode *answer);

/**
 * pcd_qmp_block_nodes:
 * @answer: of `query-named-block-nodes`
 *
 * Returns: (transfer full) (element-type utf8): the names of ours
 */
GPtrArray *pcd_qmp_block_nodes (JsonNode *answer);

G_END_DECLS
