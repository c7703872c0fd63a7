/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who calls a method, and whether polkit lets them.
 * Must not know what the method does. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Defined for people in units/org.postcopyd.policy. */
#define PCD_AUTHORITY_MANAGE  "org.postcopyd.manage"
#define PCD_AUTHORITY_DESTROY "org.postcopyd.destroy"

/**
 * PcdAuthorityCallback: on the main thread, exactly once.
 * @who: (nullable): the caller for the journal, such as "uid 1000"; %NULL with @error set
 * @error: (nullable): of %PCD_BUS_ERROR, or %G_IO_ERROR_CANCELLED
 */
typedef void (*PcdAuthorityCallback) (const char *who, const GError *error, gpointer data);

/**
 * pcd_authority_check:
 * @invocation: (transfer none): the call; must not be answered before @callback
 * @action_id: one of the two above
 * @cancellable: ends the asking
 *
 * uid 0 may everything, and polkit is not asked. Anyone else may what polkit says; where it is
 * missing or does not answer, nothing. It may ask the caller for a password only if the call came
 * with G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION. Never blocks.
 */
void pcd_authority_check (GDBusMethodInvocation *invocation,
                          const char *action_id,
                          GCancellable *cancellable,
                          PcdAuthorityCallback callback,
                          gpointer data);

G_END_DECLS
