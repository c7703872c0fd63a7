/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a libvirt says of itself and its host. Must not know what it is wanted for. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdVirSelf:
 * @libvirt: version of the daemon, as of virConnectGetLibVersion (): 9000000 is 9.0.0; 0 not known
 * @qemu: version of its QEMU, as of virConnectGetVersion (); 0 not known
 * @uuid: (nullable): the host's UUID
 * @models: (nullable): security models, such as "apparmor,dac"
 * @label: (nullable): the DAC label of its QEMUs, such as "+64055:+64055"
 */
typedef struct {
  gulong libvirt;
  gulong qemu;
  char *uuid;
  char *models;
  char *label;
} PcdVirSelf;

void pcd_vir_self_clear (PcdVirSelf *self);

/**
 * PcdVirSelfFunc:
 * @self: (transfer none): what is known so far
 */
typedef void (*PcdVirSelfFunc) (const PcdVirSelf *self, gpointer data);

/**
 * pcd_vir_self_ask:
 * @uri: a libvirt
 * @readonly: open it so; what is asked for needs no more
 * @told: called as soon as the versions are known, and once more with the rest. That may come much
 *   later: a libvirt that was just started looks at each QEMU binary first (13 s were seen)
 *
 * Has no deadline of its own: for a process that can be killed. Never asks anybody for a password.
 */
gboolean pcd_vir_self_ask (
    const char *uri, gboolean readonly, PcdVirSelfFunc told, gpointer data, GError **error);

G_END_DECLS
