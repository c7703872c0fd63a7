/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sink `webhook`: brings events to an HTTP server as CloudEvents.
 * What a status means and how HTTP is spoken is in the files beside this one. */
#pragma once

#include "sinks/pcd-sink-type.h"

G_BEGIN_DECLS

extern const PcdSinkType pcd_webhook_sink_type;

G_END_DECLS
