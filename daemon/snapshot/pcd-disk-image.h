/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A new qcow2 file that is written to in any order. Must not know who writes, nor where it is kept.
 *
 * Version 3, no backing file, no snapshots; docs/interop/qcow2.txt of QEMU. What is never written
 * takes no room; nor do whole clusters of zeros. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Any thread. */
typedef struct _PcdDiskImage PcdDiskImage;

/**
 * pcd_disk_image_new:
 * @fd: (transfer none): empty, open for reading and writing; must outlive the image
 * @size: of the disk, in bytes
 *
 * Keeps 4 bytes per cluster in memory; clusters grow with the disk, so that this is at most 64 MiB.
 *
 * Returns: (transfer full): all zeros
 */
PcdDiskImage *pcd_disk_image_new (int fd, guint64 size);
void pcd_disk_image_free (PcdDiskImage *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdDiskImage, pcd_disk_image_free)

guint64 pcd_disk_image_get_size (const PcdDiskImage *image);

/**
 * pcd_disk_image_write:
 *
 * Never fails: the first error is kept, and nothing is written any more. It is the guest's own
 * write that would fail, see docs/snapshots.md.
 */
void pcd_disk_image_write (PcdDiskImage *image, guint64 offset, gconstpointer data, gsize size);

/* Likewise. */
void pcd_disk_image_write_zeros (PcdDiskImage *image, guint64 offset, guint64 size);

/* From now on nothing is written: the file is somebody else's business. */
void pcd_disk_image_abandon (PcdDiskImage *image);

/* Zeros where nothing can be read. */
void pcd_disk_image_read (PcdDiskImage *image, guint64 offset, gpointer data, gsize size);

/**
 * pcd_disk_image_check:
 *
 * Returns: %FALSE with the first error, %G_IO_ERROR_NO_SPACE for one
 */
gboolean pcd_disk_image_check (PcdDiskImage *image, GError **error);

/* Writes the tables: only now it is a qcow2 file. Does not flush to disk. */
gboolean pcd_disk_image_finish (PcdDiskImage *image, GError **error);

G_END_DECLS
