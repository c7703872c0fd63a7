/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events for tests of the machine: by one word each, and all of them with their names in
 * docs/phases.md. Must not know what the machine makes of them. */
#pragma once

#include "core/pcd-machine.h"

#define SECOND G_USEC_PER_SEC

static inline PcdEvent
status (PcdQemuStatus word)
{
  return (PcdEvent){ .kind = PCD_EVENT_QEMU_STATUS, .status = word };
}

static inline PcdEvent
lifecycle (PcdLifecycle what)
{
  return (PcdEvent){ .kind = PCD_EVENT_LIFECYCLE, .lifecycle = what };
}

static inline PcdEvent
seen (PcdSeen what)
{
  return (PcdEvent){ .kind = PCD_EVENT_SEEN, .seen = what };
}

static inline PcdEvent
net (PcdFlow flow, gboolean dead)
{
  return (PcdEvent){ .kind = PCD_EVENT_NET, .net = { flow, dead } };
}

static inline PcdEvent
closed (PcdCause cause)
{
  return (PcdEvent){ .kind = PCD_EVENT_SOCKET_CLOSED, .closed = cause };
}

static inline PcdEvent
plain (PcdEventKind kind)
{
  return (PcdEvent){ .kind = kind };
}

typedef struct {
  char *name;
  PcdEvent event;
} Row;

/* Every event there is, with the name it has in the table: of Row. For free_rows (). */
GArray *every_event (void);
void free_rows (GArray *rows);

/* A state of that phase as it is reached by QEMU's own words. */
PcdState state_in (PcdRole role, PcdPhase phase);
