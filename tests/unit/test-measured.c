/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which looks at a QEMU are kept with an incident, how often, and in what words. */
#include "engine/pcd-measured.h"

#define S ((gint64)G_USEC_PER_SEC)

static PcdMeasure *
look (guint retransmits, gint64 heard_usec, guint n_blocked)
{
  PcdMeasure *measure = pcd_measure_new ();
  PcdSocketView *view = g_new0 (PcdSocketView, 1);

  measure->n_vcpus = 2;
  measure->n_blocked_vcpus = n_blocked;
  view->local = g_strdup ("10.0.0.1:1");
  view->remote = g_strdup ("10.0.0.2:2");
  view->unacked = 10;
  view->retransmits = retransmits;
  view->heard_usec = heard_usec;
  g_ptr_array_add (measure->sockets, view);
  for (guint i = 0; i < n_blocked; i++) {
    const PcdBlockedView blocked = { 100 + (gint)i, (gint)i, PCD_FAULT_PATH_KERNEL_COPY,
                                     i ? -1 : 1500 * 1000 };
    g_ptr_array_add (measure->blocked, g_memdup2 (&blocked, sizeof blocked));
  }
  return measure;
}

static gboolean
take (PcdMeasured *self, gint64 incident, gint64 now, guint retransmits, guint n_blocked)
{
  g_autofree char *to = NULL, *detail = NULL;
  PcdMeasure *measure = look (retransmits, now, n_blocked);
  const gboolean kept = pcd_measured_take (self, incident, now, measure, &to, &detail);

  g_assert_cmpint (kept, ==, to != NULL);
  pcd_measure_free (measure);
  return kept;
}

static void
test_words (void)
{
  PcdMeasured self = { 0 };
  g_autofree char *to = NULL, *detail = NULL;
  PcdMeasure *measure = look (3, 1234 * 1000, 2);

  g_assert_true (pcd_measured_take (&self, 1, 5 * S, measure, &to, &detail));
  g_assert_cmpstr (to, ==, "2 of 2 vCPUs blocked");
  g_assert_cmpstr (detail, ==,
                   "10.0.0.1:1 -> 10.0.0.2:2: unacked 10, retransmits 3, heard 1.2 s ago; thread "
                   "100 (vCPU 0) blocked: kernel-side-copy for 1.5 s; thread 101 (vCPU 1) blocked: "
                   "kernel-side-copy");
  pcd_measure_free (measure);
  pcd_measured_clear (&self);
}

/* Time alone is no news; a change is, if the last one kept is old enough, or of another incident.
 */
static void
test_news (void)
{
  PcdMeasured self = { 0 };

  g_assert_false (take (&self, 0, 1 * S, 0, 0));
  g_assert_true (take (&self, 7, 2 * S, 0, 0));
  g_assert_false (take (&self, 7, 20 * S, 0, 0));
  g_assert_true (take (&self, 7, 21 * S, 1, 0));
  g_assert_false (take (&self, 7, 21 * S + S / 2, 1, 1));
  g_assert_true (take (&self, 7, 22 * S, 1, 1));
  g_assert_true (take (&self, 8, 22 * S, 1, 1));
  g_assert_false (take (&self, 0, 30 * S, 2, 1));
  pcd_measured_clear (&self);
}

/* Whatever changes all the time: sixty in the first minute, 54 up to ten, then one per minute. */
static void
test_pace (void)
{
  PcdMeasured self = { 0 };
  guint kept[3] = { 0 };

  for (gint64 now = 0; now < 3600 * S; now += S / 5)
    if (take (&self, 1, 1000 * S + now, (guint)(now / (S / 5)), 0))
      kept[now < 60 * S ? 0 : now < 600 * S ? 1 : 2]++;
  g_assert_cmpuint (kept[0], ==, 60);
  g_assert_cmpuint (kept[1], ==, 54);
  g_assert_cmpuint (kept[2], ==, 50);
  pcd_measured_clear (&self);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/measured/words", test_words);
  g_test_add_func ("/measured/news", test_news);
  g_test_add_func ("/measured/pace", test_pace);
  return g_test_run ();
}
