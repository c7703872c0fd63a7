/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The phase machine: which event moves which phase where, as tables where a table can say it.
 * Pure. QEMU's own word wins over libvirt's; libvirt's wins over a guess. */
#include "core/pcd-machine.h"

/* How long an ended migration shadows late news about itself. */
#define ECHO_USEC (10 * G_USEC_PER_SEC)

/* A connection that moves this long after libvirt's report of failure belies it. Samples taken
 * before the report, but delivered after it, must not. */
#define BELIE_USEC (G_USEC_PER_SEC / 2)

/* QEMU's status -> phase, per phase. 0 (PCD_PHASE_NONE) keeps the phase: a status that cannot
 * follow is an echo of something older, and a later phase must not be undone by it. */
/* clang-format off */
static const PcdPhase after_status[PCD_N_PHASES][PCD_N_QEMU_STATUSES] = {
  [PCD_PHASE_NONE] = {
    [PCD_QEMU_SETUP] = PCD_PHASE_PRECOPY,
    [PCD_QEMU_ACTIVE] = PCD_PHASE_PRECOPY,
    [PCD_QEMU_PRE_SWITCHOVER] = PCD_PHASE_PRECOPY,
    [PCD_QEMU_DEVICE] = PCD_PHASE_PRECOPY,
    [PCD_QEMU_WAIT_UNPLUG] = PCD_PHASE_PRECOPY,
    [PCD_QEMU_POSTCOPY_DEVICE] = PCD_PHASE_DEVICE,
    [PCD_QEMU_POSTCOPY_ACTIVE] = PCD_PHASE_POSTCOPY,
    [PCD_QEMU_POSTCOPY_PAUSED] = PCD_PHASE_PAUSED,
    [PCD_QEMU_POSTCOPY_RECOVER_SETUP] = PCD_PHASE_RECOVERING,
    [PCD_QEMU_POSTCOPY_RECOVER] = PCD_PHASE_RECOVERING,
    [PCD_QEMU_COMPLETED] = PCD_PHASE_COMPLETED,
    [PCD_QEMU_FAILED] = PCD_PHASE_FAILED,
    [PCD_QEMU_CANCELLED] = PCD_PHASE_FAILED,
  },
  [PCD_PHASE_PRECOPY] = {
    [PCD_QEMU_POSTCOPY_DEVICE] = PCD_PHASE_DEVICE,
    [PCD_QEMU_POSTCOPY_ACTIVE] = PCD_PHASE_POSTCOPY,
    [PCD_QEMU_POSTCOPY_PAUSED] = PCD_PHASE_PAUSED,
    [PCD_QEMU_POSTCOPY_RECOVER_SETUP] = PCD_PHASE_RECOVERING,
    [PCD_QEMU_POSTCOPY_RECOVER] = PCD_PHASE_RECOVERING,
    [PCD_QEMU_COMPLETED] = PCD_PHASE_COMPLETED,
    [PCD_QEMU_FAILED] = PCD_PHASE_FAILED,
    [PCD_QEMU_CANCELLED] = PCD_PHASE_FAILED,
  },
  [PCD_PHASE_DEVICE] = {
    [PCD_QEMU_POSTCOPY_ACTIVE] = PCD_PHASE_POSTCOPY,
    [PCD_QEMU_POSTCOPY_PAUSED] = PCD_PHASE_PAUSED,
    [PCD_QEMU_POSTCOPY_RECOVER_SETUP] = PCD_PHASE_RECOVERING,
    [PCD_QEMU_POSTCOPY_RECOVER] = PCD_PHASE_RECOVERING,
    [PCD_QEMU_COMPLETED] = PCD_PHASE_COMPLETED,
    [PCD_QEMU_FAILED] = PCD_PHASE_FAILED,
    [PCD_QEMU_CANCELLED] = PCD_PHASE_FAILED,
  },
  [PCD_PHASE_POSTCOPY] = {
    [PCD_QEMU_POSTCOPY_PAUSED] = PCD_PHASE_PAUSED,
    [PCD_QEMU_POSTCOPY_RECOVER_SETUP] = PCD_PHASE_RECOVERING,
    [PCD_QEMU_POSTCOPY_RECOVER] = PCD_PHASE_RECOVERING,
    [PCD_QEMU_COMPLETED] = PCD_PHASE_COMPLETED,
    [PCD_QEMU_FAILED] = PCD_PHASE_FAILED,
  },
  [PCD_PHASE_PAUSED] = {
    [PCD_QEMU_POSTCOPY_ACTIVE] = PCD_PHASE_POSTCOPY,
    [PCD_QEMU_POSTCOPY_RECOVER_SETUP] = PCD_PHASE_RECOVERING,
    [PCD_QEMU_POSTCOPY_RECOVER] = PCD_PHASE_RECOVERING,
    [PCD_QEMU_COMPLETED] = PCD_PHASE_COMPLETED,
    [PCD_QEMU_FAILED] = PCD_PHASE_FAILED,
  },
  [PCD_PHASE_RECOVERING] = {
    [PCD_QEMU_POSTCOPY_ACTIVE] = PCD_PHASE_POSTCOPY,
    [PCD_QEMU_POSTCOPY_PAUSED] = PCD_PHASE_PAUSED,
    [PCD_QEMU_COMPLETED] = PCD_PHASE_COMPLETED,
    [PCD_QEMU_FAILED] = PCD_PHASE_FAILED,
  },
};
/* clang-format on */

PcdState
pcd_state_init (PcdRole role, gint64 now)
{
  return (PcdState){ .role = role, .phase_since = now, .flow_since = now };
}

void
pcd_state_recall (PcdState *state, PcdCause cause)
{
  if (state->phase == PCD_PHASE_PAUSED && state->cause == PCD_CAUSE_UNKNOWN &&
      cause != PCD_CAUSE_NONE)
    state->cause = cause;
}

gboolean
pcd_state_is_trouble (const PcdState *state)
{
  return state->phase == PCD_PHASE_PAUSED || state->phase == PCD_PHASE_RECOVERING ||
         state->flow == PCD_FLOW_STALLED;
}

static void
set_flow (PcdState *state, PcdFlow flow, gint64 now)
{
  if (state->flow == flow)
    return;
  state->flow = flow;
  state->flow_since = now;
}

/* The evidence for why the connection ended: our own verdict is the strongest. */
static PcdCause
cause_of_pause (const PcdState *state)
{
  if (state->dead)
    return PCD_CAUSE_NETWORK;
  return state->closed != PCD_CAUSE_NONE ? state->closed : PCD_CAUSE_UNKNOWN;
}

static void
enter (PcdState *state, PcdPhase phase, gint64 now)
{
  if (state->phase == phase)
    return;
  /* A recovery brings a new connection: what was known about the old one says nothing about it. */
  if (phase == PCD_PHASE_RECOVERING ||
      (phase == PCD_PHASE_POSTCOPY && state->phase == PCD_PHASE_PAUSED)) {
    state->closed = PCD_CAUSE_NONE;
    state->dead = FALSE;
  }
  state->phase = phase;
  state->phase_since = now;
  state->unattended = FALSE;
  state->doubted_since = 0;
  state->cause = phase == PCD_PHASE_PAUSED ? cause_of_pause (state) : PCD_CAUSE_NONE;
  set_flow (state, PCD_FLOW_NONE, now);
}

/* The end of this side's QEMU. Before the switch-over nothing was lost on the destination. */
static void
end_of_process (PcdState *state, gint64 now)
{
  if (pcd_phase_has_ended (state->phase))
    return;
  if (state->qemu == PCD_QEMU_COMPLETED)
    enter (state, PCD_PHASE_COMPLETED, now);
  else if (state->role == PCD_ROLE_DESTINATION && state->phase <= PCD_PHASE_PRECOPY)
    enter (state, PCD_PHASE_FAILED, now);
  else
    enter (state, PCD_PHASE_GONE, now);
}

/* libvirt says that post-copy failed. That is QEMU's pause, or only libvirt that lost libvirt while
 * QEMU goes on (FACTS 3): QEMU's own word decides. */
static PcdEffects
doubt (PcdState *state, gint64 now)
{
  if (pcd_phase_has_ended (state->phase) || state->phase == PCD_PHASE_PAUSED)
    return PCD_EFFECT_NONE;
  if (state->phase == PCD_PHASE_RECOVERING)
    return PCD_EFFECT_QUERY;
  if (state->qemu == PCD_QEMU_POSTCOPY_PAUSED) {
    enter (state, PCD_PHASE_PAUSED, now);
    return PCD_EFFECT_NONE;
  }
  /* In postcopy-device there is no guest to be unattended, and QEMU tells how it ends. */
  if (state->phase != PCD_PHASE_DEVICE)
    enter (state, PCD_PHASE_POSTCOPY, now);
  if (!state->unattended)
    state->doubted_since = now;
  return PCD_EFFECT_QUERY;
}

/* QEMU goes on in spite of libvirt's report. */
static void
belie (PcdState *state)
{
  state->unattended = TRUE;
  state->doubted_since = 0;
}

static PcdEffects
on_status (PcdState *state, PcdQemuStatus status, gint64 now)
{
  PcdPhase next;

  if (status == PCD_QEMU_UNKNOWN)
    return PCD_EFFECT_RESYNC;
  if (pcd_phase_has_ended (state->phase))
    return PCD_EFFECT_NONE;
  next = after_status[state->phase][status];
  state->qemu = status;
  if (next != PCD_PHASE_NONE)
    enter (state, next, now);
  if (state->doubted_since && status == PCD_QEMU_POSTCOPY_ACTIVE)
    belie (state);
  return PCD_EFFECT_NONE;
}

/* libvirt says that post-copy runs: its beginning, or the beginning of a recovery. */
static void
postcopy_runs (PcdState *state, gint64 now)
{
  switch (state->phase) {
  case PCD_PHASE_NONE:
  case PCD_PHASE_PRECOPY:
    enter (state, PCD_PHASE_POSTCOPY, now);
    break;
  case PCD_PHASE_PAUSED:
    enter (state, PCD_PHASE_RECOVERING, now);
    break;
  case PCD_PHASE_POSTCOPY:
    state->unattended = FALSE; /* libvirt took it up again */
    state->doubted_since = 0;
    break;
  default:
    break;
  }
}

static PcdEffects
on_lifecycle (PcdState *state, PcdLifecycle lifecycle, gint64 now)
{
  switch (lifecycle) {
  case PCD_LIFECYCLE_INCOMING:
    if (state->phase == PCD_PHASE_NONE)
      enter (state, PCD_PHASE_PRECOPY, now);
    return PCD_EFFECT_NONE;
  case PCD_LIFECYCLE_POSTCOPY:
    postcopy_runs (state, now);
    return PCD_EFFECT_NONE;
  case PCD_LIFECYCLE_POSTCOPY_FAILED:
    return doubt (state, now);
  case PCD_LIFECYCLE_RESUMED_MIGRATED:
    if (pcd_phase_has_ended (state->phase))
      return PCD_EFFECT_NONE;
    if (state->role == PCD_ROLE_DESTINATION)
      enter (state, PCD_PHASE_COMPLETED, now);
    else if (state->phase <= PCD_PHASE_DEVICE)
      enter (state, PCD_PHASE_FAILED, now);
    else /* a source that runs again after its guest ran elsewhere: believe nothing, look */
      return PCD_EFFECT_RESYNC;
    return PCD_EFFECT_NONE;
  case PCD_LIFECYCLE_STOPPED_MIGRATED:
    /* Proof of completion on the source, even if its process was seen to exit before. */
    if (state->role == PCD_ROLE_SOURCE && state->phase != PCD_PHASE_FAILED)
      enter (state, PCD_PHASE_COMPLETED, now);
    else
      end_of_process (state, now);
    return PCD_EFFECT_NONE;
  case PCD_LIFECYCLE_STOPPED:
    end_of_process (state, now);
    return PCD_EFFECT_NONE;
  case PCD_LIFECYCLE_OTHER:
    return PCD_EFFECT_NONE;
  case PCD_LIFECYCLE_UNKNOWN:
  default:
    return PCD_EFFECT_RESYNC;
  }
}

/* An active domain without a migration: the end of ours happened while nobody told us. */
static void
seen_idle (PcdState *state, gint64 now)
{
  if (state->phase <= PCD_PHASE_DEVICE)
    enter (state, PCD_PHASE_FAILED, now);
  else if (state->role == PCD_ROLE_DESTINATION && state->phase != PCD_PHASE_PAUSED)
    enter (state, PCD_PHASE_COMPLETED, now);
}

static PcdEffects
on_seen (PcdState *state, PcdSeen seen, gint64 now)
{
  if (pcd_phase_has_ended (state->phase))
    return PCD_EFFECT_NONE;
  switch (seen) {
  case PCD_SEEN_ABSENT:
    end_of_process (state, now);
    return PCD_EFFECT_NONE;
  case PCD_SEEN_IDLE:
    seen_idle (state, now);
    return PCD_EFFECT_NONE;
  case PCD_SEEN_MIGRATED_IN:
    if (state->role == PCD_ROLE_DESTINATION)
      enter (state, PCD_PHASE_COMPLETED, now);
    return PCD_EFFECT_NONE;
  case PCD_SEEN_PRECOPY:
    if (state->phase == PCD_PHASE_NONE)
      enter (state, PCD_PHASE_PRECOPY, now);
    return PCD_EFFECT_NONE;
  case PCD_SEEN_POSTCOPY:
    if (state->phase < PCD_PHASE_DEVICE)
      enter (state, PCD_PHASE_POSTCOPY, now);
    /* libvirt's answer may be older than what we know of a pause: let QEMU say. */
    return state->phase == PCD_PHASE_PAUSED ? PCD_EFFECT_QUERY : PCD_EFFECT_NONE;
  case PCD_SEEN_POSTCOPY_FAILED:
    return doubt (state, now);
  case PCD_SEEN_UNKNOWN:
  default:
    return PCD_EFFECT_NONE;
  }
}

static PcdEffects
on_net (PcdState *state, PcdFlow flow, gboolean dead, gint64 now)
{
  if (state->phase != PCD_PHASE_POSTCOPY)
    return PCD_EFFECT_NONE;
  set_flow (state, flow, now);
  /* The destination cannot be asked: there only the connection tells. */
  if (state->doubted_since && flow != PCD_FLOW_STALLED && now - state->doubted_since > BELIE_USEC)
    belie (state);
  /* Once per connection. Not while recovering: QEMU 7.2 does not survive it (FACTS 4), and the
   * kernel's own time-out is there. */
  if (!dead || state->dead)
    return PCD_EFFECT_NONE;
  state->dead = TRUE;
  return PCD_EFFECT_SHUTDOWN;
}

static void
on_socket_closed (PcdState *state, PcdCause closed)
{
  if (state->closed == PCD_CAUSE_NONE)
    state->closed = state->dead ? PCD_CAUSE_NETWORK : closed;
  if (state->phase == PCD_PHASE_PAUSED && state->cause == PCD_CAUSE_UNKNOWN)
    state->cause = cause_of_pause (state);
}

/* Post-copy threads without a connection. Without QEMU's word (libvirtd away, or nobody waits there
 * any more) that is a pause. A source that called itself active can be asked, and was seen to stay
 * active so: then somebody has to pause it, which is what policies do about a stall. */
static PcdEffects
on_no_socket (PcdState *state, gint64 now)
{
  if (state->phase != PCD_PHASE_POSTCOPY)
    return PCD_EFFECT_NONE;
  if (state->role == PCD_ROLE_SOURCE && state->qemu == PCD_QEMU_POSTCOPY_ACTIVE) {
    set_flow (state, PCD_FLOW_STALLED, now);
    return PCD_EFFECT_QUERY;
  }
  enter (state, PCD_PHASE_PAUSED, now);
  return PCD_EFFECT_NONE;
}

PcdState
pcd_machine_step (const PcdState *state, const PcdEvent *event, gint64 now, PcdEffects *ret_effects)
{
  PcdState next = *state;
  PcdEffects effects = PCD_EFFECT_NONE;

  switch (event->kind) {
  case PCD_EVENT_QEMU_STATUS:
    effects = on_status (&next, event->status, now);
    break;
  case PCD_EVENT_LIFECYCLE:
    effects = on_lifecycle (&next, event->lifecycle, now);
    break;
  case PCD_EVENT_SEEN:
    effects = on_seen (&next, event->seen, now);
    break;
  case PCD_EVENT_NET:
    effects = on_net (&next, event->net.flow, event->net.dead, now);
    break;
  case PCD_EVENT_SOCKET_CLOSED:
    on_socket_closed (&next, event->closed);
    break;
  case PCD_EVENT_SOCKET_FOUND:
    /* Takes back a pause that was only inferred from the lack of a connection. */
    if (next.phase == PCD_PHASE_PAUSED && next.qemu != PCD_QEMU_POSTCOPY_PAUSED)
      enter (&next, PCD_PHASE_POSTCOPY, now);
    break;
  case PCD_EVENT_NO_SOCKET:
    effects = on_no_socket (&next, now);
    break;
  case PCD_EVENT_PROCESS_EXITED:
    end_of_process (&next, now);
    break;
  default:
    break;
  }
  if (ret_effects)
    *ret_effects = effects;
  return next;
}

static gboolean
is_a_beginning (const PcdEvent *event)
{
  switch (event->kind) {
  case PCD_EVENT_QEMU_STATUS:
    return event->status == PCD_QEMU_SETUP || event->status == PCD_QEMU_ACTIVE ||
           event->status == PCD_QEMU_WAIT_UNPLUG;
  case PCD_EVENT_LIFECYCLE:
    return event->lifecycle == PCD_LIFECYCLE_INCOMING;
  case PCD_EVENT_SEEN:
    return event->seen == PCD_SEEN_PRECOPY;
  default:
    return FALSE;
  }
}

static gboolean
is_a_middle (const PcdEvent *event)
{
  switch (event->kind) {
  case PCD_EVENT_QEMU_STATUS:
    return event->status >= PCD_QEMU_POSTCOPY_DEVICE && event->status <= PCD_QEMU_POSTCOPY_RECOVER;
  case PCD_EVENT_LIFECYCLE:
    return event->lifecycle == PCD_LIFECYCLE_POSTCOPY ||
           event->lifecycle == PCD_LIFECYCLE_POSTCOPY_FAILED;
  case PCD_EVENT_SEEN:
    return event->seen == PCD_SEEN_POSTCOPY || event->seen == PCD_SEEN_POSTCOPY_FAILED;
  default:
    return FALSE;
  }
}

gboolean
pcd_machine_starts_migration (const PcdState *last, const PcdEvent *event, gint64 now)
{
  if (last && !pcd_phase_has_ended (last->phase))
    return FALSE;
  if (is_a_beginning (event))
    return TRUE;
  return is_a_middle (event) && (!last || now - last->phase_since > ECHO_USEC);
}
