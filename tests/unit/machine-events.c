/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All events of the machine, and how to get it into each phase.
 * Must not judge: that is for the tests that use it. */
#include "machine-events.h"

static void
add_row (GArray *rows, char *name, PcdEvent event)
{
  g_array_append_val (rows, ((Row){ name, event }));
}

GArray *
every_event (void)
{
  GArray *rows = g_array_new (FALSE, FALSE, sizeof (Row));

  for (guint i = 0; i < PCD_N_QEMU_STATUSES; i++)
    add_row (rows, g_strdup_printf ("QEMU `%s`", pcd_qemu_status_to_string (i)), status (i));
  for (guint i = 0; i < PCD_N_LIFECYCLES; i++)
    add_row (rows, g_strdup_printf ("event %s", pcd_lifecycle_to_string (i)), lifecycle (i));
  for (guint i = 0; i < PCD_N_SEEN; i++)
    add_row (rows, g_strdup_printf ("seen %s", pcd_seen_to_string (i)), seen (i));
  for (guint i = PCD_FLOW_FLOWING; i < PCD_N_FLOWS; i++)
    add_row (rows, g_strdup_printf ("network %s", pcd_flow_to_string (i)), net (i, FALSE));
  add_row (rows, g_strdup ("network dead"), net (PCD_FLOW_STALLED, TRUE));
  for (guint i = PCD_CAUSE_NETWORK; i < PCD_N_CAUSES; i++)
    add_row (rows, g_strdup_printf ("socket closed: %s", pcd_cause_to_string (i)), closed (i));
  add_row (rows, g_strdup ("migration socket found"), plain (PCD_EVENT_SOCKET_FOUND));
  add_row (rows, g_strdup ("no migration socket"), plain (PCD_EVENT_NO_SOCKET));
  add_row (rows, g_strdup ("QEMU exited"), plain (PCD_EVENT_PROCESS_EXITED));
  return rows;
}

void
free_rows (GArray *rows)
{
  for (guint i = 0; i < rows->len; i++)
    g_free (g_array_index (rows, Row, i).name);
  g_array_unref (rows);
}

PcdState
state_in (PcdRole role, PcdPhase phase)
{
  static const PcdQemuStatus words[PCD_N_PHASES] = {
    [PCD_PHASE_PRECOPY] = PCD_QEMU_ACTIVE,
    [PCD_PHASE_DEVICE] = PCD_QEMU_POSTCOPY_DEVICE,
    [PCD_PHASE_POSTCOPY] = PCD_QEMU_POSTCOPY_ACTIVE,
    [PCD_PHASE_PAUSED] = PCD_QEMU_POSTCOPY_PAUSED,
    [PCD_PHASE_RECOVERING] = PCD_QEMU_POSTCOPY_RECOVER,
    [PCD_PHASE_COMPLETED] = PCD_QEMU_COMPLETED,
    [PCD_PHASE_FAILED] = PCD_QEMU_FAILED,
  };
  PcdState state = pcd_state_init (role, SECOND);
  PcdEvent event = status (words[phase]);

  if (phase == PCD_PHASE_GONE) {
    event = status (PCD_QEMU_POSTCOPY_ACTIVE);
    state = pcd_machine_step (&state, &event, SECOND, NULL);
    event = plain (PCD_EVENT_PROCESS_EXITED);
  }
  if (phase != PCD_PHASE_NONE)
    state = pcd_machine_step (&state, &event, SECOND, NULL);
  g_assert_cmpint (state.phase, ==, phase);
  return state;
}
