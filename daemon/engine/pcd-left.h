/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a guest whose migration ended while postcopyd was away stands still by our doing.
 * Looks only; must not know migrations. */
#pragma once

#include "journal/pcd-journal.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* @pid: of the QEMU that is held, 0 if none is. @incident: borrowed. On the main thread. */
typedef void (*PcdLeftCallback) (const PcdOpenIncident *incident, pid_t pid, gpointer data);

/**
 * pcd_left_look:
 * @incident: (transfer full): a destination's, of a domain that is there
 * @cancellable: once cancelled, @callback is not called
 *
 * In a thread of its own, as it looks for a process.
 */
void pcd_left_look (PcdOpenIncident *incident,
                    GCancellable *cancellable,
                    PcdLeftCallback callback,
                    gpointer data);

G_END_DECLS
