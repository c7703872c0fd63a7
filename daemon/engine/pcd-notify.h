/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the service manager is told: ready, reloading, a status line, the watchdog.
 * All of it does nothing where there is no service manager. */
#pragma once

#include "engine/pcd-engine.h"

G_BEGIN_DECLS

typedef struct _PcdNotify PcdNotify;

/**
 * pcd_notify_new:
 * @engine: (transfer none): followed for the status line; must be freed before the result is
 * @uri: (nullable): the libvirt URI to show
 *
 * Starts feeding the watchdog from the main loop if the service manager asked for that
 * (sd_watchdog_enabled(3)); without it there is no timer.
 *
 * Returns: (transfer full): free with pcd_notify_free ()
 */
PcdNotify *pcd_notify_new (PcdEngine *engine, const char *uri);
void pcd_notify_free (PcdNotify *notify);

/**
 * pcd_notify_ready:
 *
 * READY=1 and the first status line; after pcd_notify_reloading (), the end of the reload.
 */
void pcd_notify_ready (PcdNotify *notify);

/* RELOADING=1 with the time that `Type=notify-reload` of systemd 253 wants. */
void pcd_notify_reloading (PcdNotify *notify);

void pcd_notify_stopping (PcdNotify *notify);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdNotify, pcd_notify_free)

G_END_DECLS
