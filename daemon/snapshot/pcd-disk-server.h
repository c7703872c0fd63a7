/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An NBD server on the loopback for one process: what it writes becomes disk images.
 * Must not know why it writes, nor QMP. */
#pragma once

#include "snapshot/pcd-disk-image.h"

#include <sys/types.h>

G_BEGIN_DECLS

/**
 * PcdDiskServer: QEMU is confined: by AppArmor or SELinux, in a mount namespace, as a user of its
 * own, so it can open no file of ours. What libvirt's policies let it do is to connect by TCP:
 * abstractions/libvirt-qemu (libvirt 9.0) has "network inet stream" and no rule for unix sockets of
 * others. Anybody on the host could connect to that port, so whose the other end is is looked up
 * (/proc/net/tcp, /proc/PID/fd) before a word is said; others are hung up on.
 *
 * Every request is answered with "done", whatever became of it: an error would fail the write of a
 * guest whose old data could not be copied away (blockdev-backup, QEMU before 10.1). Each
 * connection has a thread of its own.
 */
typedef struct _PcdDiskServer PcdDiskServer;

/**
 * pcd_disk_server_new:
 * @pid: the only process that may connect
 * @port: 0 for any that is free
 */
PcdDiskServer *pcd_disk_server_new (pid_t pid, guint16 port, GError **error);

/* Hangs up; waits for the threads. */
void pcd_disk_server_free (PcdDiskServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdDiskServer, pcd_disk_server_free)

guint16 pcd_disk_server_get_port (const PcdDiskServer *server);

/* How many times QEMU has connected. */
guint pcd_disk_server_get_n_served (PcdDiskServer *server);

/**
 * pcd_disk_server_add:
 * @image: (transfer none): must outlive the server
 *
 * Returns: (transfer full): the name of its export. It ends in the disk's size, so that a server
 *   that does not know it any more can serve it: what is written is thrown away then
 */
char *pcd_disk_server_add (PcdDiskServer *server, PcdDiskImage *image);

G_END_DECLS
