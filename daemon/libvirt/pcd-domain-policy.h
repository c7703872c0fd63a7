/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes the policy's name into a domain's metadata, for commands that work without the daemon.
 * Must not know policies, nor keep a connection. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * pcd_domain_policy_set:
 * @uri: (nullable): libvirt URI, %NULL for libvirt's own choice
 * @domain: an id, a UUID or a name, tried in this order as virsh does
 * @policy: (nullable): lower case letters, digits and dashes; %NULL takes it out
 * @timeout_usec: how long libvirt may take for everything
 *
 * The same as `virsh metadata DOMAIN --uri https://postcopyd.org/policy/1 --key postcopyd --set
 * '<policy name="POLICY"/>'`, `--live` if it runs and `--config` if it is persistent. libvirt
 * refuses while a migration runs, after waiting for its job lock. A call that overstays is left
 * alone, and may still take effect.
 *
 * Returns: %FALSE with %G_IO_ERROR_NOT_FOUND, %G_IO_ERROR_TIMED_OUT, %G_IO_ERROR_NOT_CONNECTED, or
 *   %G_IO_ERROR_FAILED if libvirt would not write it
 */
gboolean pcd_domain_policy_set (
    const char *uri, const char *domain, const char *policy, gint64 timeout_usec, GError **error);

G_END_DECLS
