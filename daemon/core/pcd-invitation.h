/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a destination whose QEMU hangs leaves for the source's postcopyd: where it listens.
 * Pure; must not know how it gets there, nor what is done with it. */
#pragma once

#include "core/pcd-socket-match.h"

G_BEGIN_DECLS

/* The note is a character device that nothing uses, in the source's own QEMU: the one place that
 * the destination's daemon can write to and the source's can read, by libvirt, while a post-copy
 * has failed (metadata cannot be set then: FACTS 3). Its id is all there is to it. */
#define PCD_INVITATION_PREFIX "postcopyd-recover_"

/**
 * pcd_invitation_to_id:
 * @listens: where the destination's QEMU listens
 *
 * Returns: (transfer full): letters, digits and `-._` only, as QEMU's id_wellformed() wants it
 */
char *pcd_invitation_to_id (const PcdEndpoint *listens);

/**
 * pcd_invitation_from_id:
 * @ret_listens: (out): written if %TRUE; a numeric address and a port, both checked
 *
 * Returns: %FALSE if @id is no invitation
 */
gboolean pcd_invitation_from_id (const char *id, PcdEndpoint *ret_listens);

/**
 * pcd_invitation_find:
 * @reply: (nullable): QEMU's to `query-chardev`, as a whole
 * @ret_id: (out) (transfer full): written if %TRUE
 * @ret_listens: (out): likewise
 *
 * Returns: %TRUE for the first one that there is
 */
gboolean pcd_invitation_find (const char *reply, char **ret_id, PcdEndpoint *ret_listens);

/* (transfer full): for QEMU's `migrate` and `migrate-recover`: "tcp:10.9.0.2:49215". */
char *pcd_invitation_to_uri (const PcdEndpoint *listens);

G_END_DECLS
