/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How far one migration is, for whoever asks: at rest while nobody does.
 * Must not know who asks, nor how the figures are got. All on the main thread. */
#pragma once

#include "core/pcd-machine.h"
#include "core/pcd-progress.h"

G_BEGIN_DECLS

typedef struct _PcdGauge PcdGauge;

/**
 * PcdProgressCallback: on the main thread, exactly once, maybe before the asking call returns.
 * @progress: never %NULL
 * @problem: (nullable): why it is not known; %NULL if it is
 */
typedef void (*PcdProgressCallback) (const PcdProgress *progress,
                                     const char *problem,
                                     gpointer data);

/**
 * pcd_gauge_new:
 * @uri: (nullable) (transfer none): libvirt; must outlive it
 *
 * Returns: (transfer full): free with pcd_gauge_free ()
 */
PcdGauge *pcd_gauge_new (const char *uri, const char *uuid);

/* Who still waits is answered. */
void pcd_gauge_free (PcdGauge *gauge);

/**
 * pcd_gauge_ask:
 * @state: of the migration
 *
 * QEMU is asked at most once at a time and three times a second, however many ask; a libvirt that
 * does not answer is not asked again before it did.
 */
void
pcd_gauge_ask (PcdGauge *gauge, const PcdState *state, PcdProgressCallback callback, gpointer data);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdGauge, pcd_gauge_free)

G_END_DECLS
