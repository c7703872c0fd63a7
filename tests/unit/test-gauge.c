/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who asks how far a migration is gets one answer, whatever libvirt does; here libvirt's test
 * driver, which knows no QEMU. Real figures are for the lab. */
#include "engine/pcd-gauge.h"
#include "libvirt/pcd-source.h"

#include <string.h>

#define UUID "6695eb01-f6a4-8304-79aa-97f2502e193f" /* of the test driver's one domain */

typedef struct {
  guint n;
  PcdProgress progress;
  char *problem;
} Answers;

static void
on_answer (const PcdProgress *progress, const char *problem, gpointer data)
{
  Answers *answers = data;

  answers->n++;
  answers->progress = *progress;
  g_free (answers->problem);
  answers->problem = g_strdup (problem);
}

static void
test_not_asked (void)
{
  static const struct {
    PcdRole role;
    PcdPhase phase;
    gboolean known;
    const char *problem;
  } rows[] = {
    { PCD_ROLE_DESTINATION, PCD_PHASE_PAUSED, FALSE, "only the source knows" },
    { PCD_ROLE_DESTINATION, PCD_PHASE_COMPLETED, FALSE, "only the source knows" },
    { PCD_ROLE_SOURCE, PCD_PHASE_GONE, FALSE, "ended without completing" },
    { PCD_ROLE_SOURCE, PCD_PHASE_FAILED, FALSE, "ended without completing" },
    { PCD_ROLE_SOURCE, PCD_PHASE_COMPLETED, TRUE, NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (PcdGauge) gauge = pcd_gauge_new ("test:///nowhere-that-is", UUID);
    PcdState state = pcd_state_init (rows[i].role, 0);
    Answers answers = { 0 };

    g_test_message ("row %u", i);
    state.phase = rows[i].phase;
    pcd_gauge_ask (gauge, &state, on_answer, &answers);
    g_assert_cmpuint (answers.n, ==, 1); /* at once */
    g_assert_cmpint (answers.progress.known, ==, rows[i].known);
    g_assert_cmpuint (answers.progress.remaining, ==, 0);
    if (rows[i].problem)
      g_assert_nonnull (strstr (answers.problem, rows[i].problem));
    else
      g_assert_null (answers.problem);
    g_free (answers.problem);
  }
}

static void
test_refused (void)
{
  g_autoptr (PcdGauge) gauge = pcd_gauge_new ("test:///default", UUID);
  PcdState state = pcd_state_init (PCD_ROLE_SOURCE, 0);
  const gint64 until = g_get_monotonic_time () + 5 * G_USEC_PER_SEC;
  Answers first = { 0 }, second = { 0 };

  state.phase = PCD_PHASE_POSTCOPY;
  pcd_gauge_ask (gauge, &state, on_answer, &first);
  pcd_gauge_ask (gauge, &state, on_answer, &second);
  g_assert_cmpuint (first.n, ==, 0); /* it never waits */
  while (second.n == 0 && g_get_monotonic_time () < until)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (first.n, ==, 1);
  g_assert_cmpuint (second.n, ==, 1);
  g_assert_false (second.progress.known);
  g_assert_nonnull (strstr (second.problem, "query-migrate: "));
  g_free (first.problem);
  g_free (second.problem);
}

static void
test_freed_meanwhile (void)
{
  PcdGauge *gauge = pcd_gauge_new ("test:///default", UUID);
  PcdState state = pcd_state_init (PCD_ROLE_SOURCE, 0);
  const gint64 until = g_get_monotonic_time () + G_USEC_PER_SEC / 2;
  Answers answers = { 0 };

  state.phase = PCD_PHASE_PAUSED;
  pcd_gauge_ask (gauge, &state, on_answer, &answers);
  pcd_gauge_free (gauge);
  g_assert_cmpuint (answers.n, ==, 1);
  g_assert_false (answers.progress.known);
  while (g_get_monotonic_time () < until) {
    g_main_context_iteration (NULL, FALSE);
    g_usleep (1000);
  }
  g_assert_cmpuint (answers.n, ==, 1);
  g_free (answers.problem);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  pcd_source_init_event_loop ();
  g_test_add_func ("/gauge/not-asked", test_not_asked);
  g_test_add_func ("/gauge/refused", test_refused);
  g_test_add_func ("/gauge/freed-meanwhile", test_freed_meanwhile);
  return g_test_run ();
}
