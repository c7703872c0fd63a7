/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods that change something: argument, authority, engine, answer.
 * Decides nothing about migrations, and holds no bus connection. */
#pragma once

#include "bus/pcd-dbus-generated.h"
#include "engine/pcd-engine.h"

G_BEGIN_DECLS

typedef struct _PcdOperate PcdOperate;

/* Reads the configuration again; %FALSE if it is bad. */
typedef gboolean (*PcdOperateReload) (gpointer data, GError **error);

/**
 * pcd_operate_new:
 * @engine: (transfer none): gets the orders
 * @manager: (transfer none): its Reload () is answered from now on
 * @objects: (transfer none): where jobs are shown
 * @reload: does it
 *
 * Returns: (transfer full): free before @engine and @manager cannot be used any more
 */
PcdOperate *pcd_operate_new (PcdEngine *engine,
                             PcdDbusManager1 *manager,
                             GDBusObjectManagerServer *objects,
                             PcdOperateReload reload,
                             gpointer data);

/* Callers whose authority is still looked up get an error; orders under way are answered. */
void pcd_operate_free (PcdOperate *operate);

/**
 * pcd_operate_migration:
 * @skeleton: (transfer none): its methods are answered from now on, as long as it lives or until
 *   pcd_operate_free ()
 */
void pcd_operate_migration (PcdOperate *operate,
                            PcdDbusMigration1 *skeleton,
                            const char *uuid,
                            PcdRole role);

G_END_DECLS
