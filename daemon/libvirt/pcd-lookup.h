/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From what an operator calls a domain to its UUID and name, for commands that work without the
 * daemon. Must not know what the domain is wanted for. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * pcd_lookup_domain:
 * @uri: (nullable): libvirt URI, %NULL for libvirt's own choice
 * @domain: an id, a UUID or a name, tried in this order as virsh does
 * @timeout_usec: how long libvirt may take for everything
 * @ret_uuid: (out): its UUID
 * @ret_name: (out): its name
 * @error: return location
 *
 * Opens a read-only connection in a thread of its own and leaves that behind if it is late: a
 * libvirtd that hangs costs the caller no more than @timeout_usec. Calls pcd_vir_init ().
 *
 * Returns: %FALSE with %G_IO_ERROR_NOT_FOUND if libvirt knows no such domain or it does not run,
 *   %G_IO_ERROR_TIMED_OUT, or %G_IO_ERROR_NOT_CONNECTED if libvirt cannot be asked
 */
gboolean pcd_lookup_domain (const char *uri,
                            const char *domain,
                            gint64 timeout_usec,
                            char **ret_uuid,
                            char **ret_name,
                            GError **error);

G_END_DECLS
