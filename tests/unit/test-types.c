/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every value has a word of its own, and QEMU's words come back as the value they name. */
#include "core/pcd-types.h"

static void
test_words_are_distinct (void)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < PCD_N_PHASES; i++)
    g_assert_true (g_hash_table_add (seen, (gpointer)pcd_phase_to_string (i)));
  g_assert_cmpstr (pcd_phase_to_string (PCD_N_PHASES), ==, "?");
  g_assert_cmpstr (pcd_flow_to_string (PCD_N_FLOWS), ==, "?");
  g_assert_cmpstr (pcd_cause_to_string (PCD_N_CAUSES), ==, "?");
}

static void
test_qemu_words_round_trip (void)
{
  for (guint i = PCD_QEMU_NONE; i < PCD_N_QEMU_STATUSES; i++)
    g_assert_cmpint (pcd_qemu_status_from_string (pcd_qemu_status_to_string (i)), ==, i);
  g_assert_cmpint (pcd_qemu_status_from_string ("postcopy-warp"), ==, PCD_QEMU_UNKNOWN);
  g_assert_cmpint (pcd_qemu_status_from_string (NULL), ==, PCD_QEMU_UNKNOWN);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/types/words-are-distinct", test_words_are_distinct);
  g_test_add_func ("/types/qemu-words-round-trip", test_qemu_words_round_trip);
  return g_test_run ();
}
