/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The phase machine of one migration, seen from one host: step (state, event, now) -> state,
 * effects. Pure: reads no clock, logs nothing, calls nobody. */
#pragma once

#include "core/pcd-event.h"

G_BEGIN_DECLS

/**
 * PcdState:
 * @role: this host's side; never changes
 * @phase: see #PcdPhase
 * @flow: meaningful in %PCD_PHASE_POSTCOPY, else %PCD_FLOW_NONE
 * @cause: meaningful in %PCD_PHASE_PAUSED, else %PCD_CAUSE_NONE
 * @unattended: libvirt reports failure while QEMU goes on migrating: wait, do not act
 * @doubted_since: libvirt reported failure then, and QEMU's word on it is not in yet; 0 if none
 * @qemu: QEMU's last word in this migration, %PCD_QEMU_UNKNOWN before the first
 * @closed: why the current connection closed, %PCD_CAUSE_NONE while it has not
 * @dead: we judged the current connection dead and asked for its shutdown
 * @phase_since: when @phase began, microseconds of CLOCK_MONOTONIC
 * @flow_since: when @flow began, likewise
 */
typedef struct {
  PcdRole role;
  PcdPhase phase;
  PcdFlow flow;
  PcdCause cause;
  gboolean unattended;
  gint64 doubted_since;
  PcdQemuStatus qemu;
  PcdCause closed;
  gboolean dead;
  gint64 phase_since;
  gint64 flow_since;
} PcdState;

/**
 * PcdEffects: what a step asks the shell to do; a set of bits.
 * @PCD_EFFECT_QUERY: find out QEMU's migration status: by query-migrate on the source, by looking
 *   at the process on the destination, where libvirt would hold the call for 30 s (FACTS 3)
 * @PCD_EFFECT_RESYNC: ask libvirt for this domain's state; nothing may be concluded from the event
 * @PCD_EFFECT_SHUTDOWN: shut the migration sockets down, so that QEMU goes to postcopy-paused
 */
typedef enum {
  PCD_EFFECT_NONE = 0,
  PCD_EFFECT_QUERY = 1 << 0,
  PCD_EFFECT_RESYNC = 1 << 1,
  PCD_EFFECT_SHUTDOWN = 1 << 2,
} PcdEffects;

/**
 * pcd_state_init:
 *
 * A migration about which nothing is known but which side this is.
 */
PcdState pcd_state_init (PcdRole role, gint64 now);

/**
 * pcd_state_recall:
 * @cause: of the pause that an earlier daemon saw begin
 *
 * Who comes into a pause has no evidence of its own; what was seen by another is better than none.
 */
void pcd_state_recall (PcdState *state, PcdCause cause);

/* Whether a guest may be waiting for pages that do not come: what begins an incident. */
gboolean pcd_state_is_trouble (const PcdState *state);

/**
 * pcd_machine_step:
 * @state: the state before
 * @event: what happened
 * @now: microseconds of CLOCK_MONOTONIC, not before any time in @state
 * @ret_effects: (out): what the shell shall do
 *
 * Returns: the state after. Equal to @state when the event says nothing new.
 */
PcdState pcd_machine_step (const PcdState *state,
                           const PcdEvent *event,
                           gint64 now,
                           PcdEffects *ret_effects);

/**
 * pcd_machine_starts_migration:
 * @last: (nullable): the domain's last known migration in that role
 * @event: what happened to the domain
 * @now: microseconds of CLOCK_MONOTONIC
 *
 * An ended migration is only followed by a new one when @event can be nothing but a beginning, or
 * long enough after: libvirt's answers may be older than QEMU's last word.
 *
 * Returns: %TRUE if @event is reason to begin a new record
 */
gboolean pcd_machine_starts_migration (const PcdState *last, const PcdEvent *event, gint64 now);

G_END_DECLS
