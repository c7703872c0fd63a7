/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The server's side of the NBD protocol, as much of it as a backup target needs.
 * Must not know who is at the other end. */
#pragma once

#include "snapshot/pcd-disk-image.h"

G_BEGIN_DECLS

/**
 * PcdDiskExport:
 * @size: bytes
 * @image: (nullable): what is written is thrown away without one
 */
typedef struct {
  guint64 size;
  PcdDiskImage *image;
} PcdDiskExport;

/* Returns: %FALSE if there is none of that name */
typedef gboolean (*PcdDiskFind) (const char *name, gpointer data, PcdDiskExport *ret_export);

/**
 * pcd_disk_nbd_serve:
 * @fd: a connected stream socket
 *
 * Until the other end hangs up or says what makes no sense. Fixed newstyle, NBD_OPT_GO, simple
 * replies: doc/proto.md of the NBD project. Requests are answered in their order.
 */
void pcd_disk_nbd_serve (int fd, PcdDiskFind find, gpointer data);

G_END_DECLS
