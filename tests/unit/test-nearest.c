/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pcd-nearest.h: what was meant, and what was not. */
#include "core/pcd-nearest.h"

static const char *const verbs[] = { "probe",  "status", "top",  "stop", "recover",
                                     "policy", "freeze", "hold", NULL };

static const struct {
  const char *typed, *meant;
} cases[] = {
  { "status", "status" },
  { "statsu", "status" },
  { "staus", "status" },
  { "sttatus", "status" },
  { "recovr", "recover" },
  { "revocer", "recover" },
  { "polocy", "policy" },
  { "freze", "freeze" },
  { "stpo", "stop" },
  { "hlod", "hold" },
  { "frob", NULL },
  { "reboot", NULL },
  { "", NULL },
  { "s", NULL },
  { "statistics", NULL },
};

static void
test_words (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    g_assert_cmpstr (pcd_nearest (cases[i].typed, verbs), ==, cases[i].meant);
}

static void
test_long (void)
{
  g_autofree char *just = g_strnfill (64, 'a'), *too_long = g_strnfill (65, 'a');
  const char *const known[] = { just, too_long, NULL };

  g_assert_cmpstr (pcd_nearest (just, known), ==, just);
  g_assert_null (pcd_nearest (too_long, known));
}

static void
test_hint (void)
{
  g_autofree char *hint = pcd_nearest_hint ("statsu", verbs);
  g_autofree char *none = pcd_nearest_hint ("frob", verbs);

  g_assert_cmpstr (hint, ==, " (did you mean 'status'?)");
  g_assert_cmpstr (none, ==, "");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nearest/words", test_words);
  g_test_add_func ("/nearest/long", test_long);
  g_test_add_func ("/nearest/hint", test_hint);
  return g_test_run ();
}
