/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sink `exec`: the programs of a folder, as libvirt has its hooks. */
#pragma once

#include "sinks/pcd-sink-type.h"

G_BEGIN_DECLS

/* `directory`, if the section does not say. */
#define PCD_EXEC_DIRECTORY PCD_SYSCONFDIR "/postcopyd/hooks.d"

extern const PcdSinkType pcd_exec_sink_type;

G_END_DECLS
