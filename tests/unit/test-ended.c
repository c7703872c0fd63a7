/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is refused once a migration has ended: nobody would undo it. */
#include "core/pcd-ended.h"

#include <string.h>

#define DESTINATION PCD_ROLE_DESTINATION

static void
test_words (void)
{
  static const struct {
    PcdActionKind action;
    PcdRole role;
    PcdPhase phase;
    const char *says; /* NULL: allowed */
  } cases[] = {
    { PCD_ACTION_FREEZE, DESTINATION, PCD_PHASE_COMPLETED, "'virsh suspend'" },
    { PCD_ACTION_STOP, DESTINATION, PCD_PHASE_COMPLETED, "'virsh suspend'" },
    { PCD_ACTION_SNAPSHOT, DESTINATION, PCD_PHASE_COMPLETED, "'virsh dump'" },
    { PCD_ACTION_DESTROY, DESTINATION, PCD_PHASE_COMPLETED, "'virsh destroy'" },
    { PCD_ACTION_RECOVER, DESTINATION, PCD_PHASE_COMPLETED, "has completed" },
    { PCD_ACTION_FORCE_PAUSE, PCD_ROLE_SOURCE, PCD_PHASE_COMPLETED, "runs on the destination" },
    { PCD_ACTION_FREEZE, DESTINATION, PCD_PHASE_FAILED, "has failed" },
    { PCD_ACTION_FREEZE, DESTINATION, PCD_PHASE_GONE, "QEMU ended" },
    { PCD_ACTION_RESUME, DESTINATION, PCD_PHASE_COMPLETED, NULL },
    { PCD_ACTION_DEBUG, DESTINATION, PCD_PHASE_COMPLETED, NULL },
    { PCD_N_ACTIONS, DESTINATION, PCD_PHASE_COMPLETED, NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const char *why = pcd_ended_why_not (cases[i].action, cases[i].role, cases[i].phase);
    if (!why != !cases[i].says || (why && !strstr (why, cases[i].says)))
      g_error ("case %u: '%s', not '%s'", i, why ?: "allowed", cases[i].says ?: "allowed");
  }
}

/* In both roles every action that could leave a guest still is refused after the end; none before
 * it. */
static void
test_all (void)
{
  for (PcdPhase phase = 0; phase < PCD_N_PHASES; phase++)
    for (PcdActionKind action = 0; action < PCD_N_ACTIONS; action++)
      for (PcdRole role = PCD_ROLE_SOURCE; role <= PCD_ROLE_DESTINATION; role++) {
        const gboolean refused = pcd_ended_why_not (action, role, phase) != NULL;
        const gboolean holds = action == PCD_ACTION_STOP || action == PCD_ACTION_FREEZE;

        if (!pcd_phase_has_ended (phase))
          g_assert_false (refused);
        else if (holds)
          g_assert_true (refused);
      }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ended/words", test_words);
  g_test_add_func ("/ended/all", test_all);
  return g_test_run ();
}
