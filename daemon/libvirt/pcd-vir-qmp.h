/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP through libvirt, for a source: on a destination in post-copy libvirt waits 30 s (FACTS 3).
 * Must not know what the commands are for. */
#pragma once

#include "core/pcd-invitation.h"
#include "libvirt/pcd-vir.h"

G_BEGIN_DECLS

/**
 * pcd_vir_qmp:
 * @line: a whole QMP command, JSON
 * @error: %PCD_VIR_ERROR if libvirt did not send it, %G_IO_ERROR_FAILED with QEMU's own words if
 *   QEMU refused it
 *
 * virDomainQemuMonitorCommand: a job of kind "query", which libvirt's failed post-copy allows. The
 * domain is marked as tainted by it ("custom-monitor"). Blocks.
 *
 * Returns: (transfer full) (nullable): QEMU's whole reply
 */
char *pcd_vir_qmp (virDomainPtr domain, const char *line, GError **error);

/**
 * pcd_vir_qmp_query_migrate:
 * @ret_word: (out) (transfer full): QEMU's word; not written on failure
 * @error: %G_IO_ERROR_NOT_FOUND if the domain is gone from there, or does not run: libvirt ends a
 *   source on completion, but a QEMU that was killed looks the same
 *
 * Returns: the migration's status; %PCD_QEMU_UNKNOWN with @error set if there was nobody to ask, or
 *   it could not be asked
 */
PcdQemuStatus pcd_vir_qmp_query_migrate (virDomainPtr domain, char **ret_word, GError **error);

/* The invitation in that QEMU; %FALSE if there is none, or it cannot be asked. */
gboolean pcd_vir_qmp_find_invitation (virDomainPtr domain, char **ret_id, PcdEndpoint *ret_listens);

/* Takes the invitation away; that it is not there is no failure. */
void pcd_vir_qmp_remove_invitation (virDomainPtr domain, const char *id);

/* Whether the stream is encrypted: parameter `tls-creds`, QEMU 2.7. */
gboolean pcd_vir_qmp_uses_tls (virDomainPtr domain);

G_END_DECLS
