/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every event and detail, state and reason, job operation that libvirt 9.0 to 11 knows, by number:
 * the numbers are libvirt's ABI, so a wrong constant in our tables shows here. */
#include "libvirt/pcd-lifecycle.h"

enum { SOURCE, DESTINATION, EITHER };

static void
assert_role (gboolean known, PcdRole role, int expected)
{
  g_assert_cmpint (known, ==, expected != EITHER);
  if (known)
    g_assert_cmpint (role, ==, expected == SOURCE ? PCD_ROLE_SOURCE : PCD_ROLE_DESTINATION);
}

/* All that is not OTHER, UNKNOWN or STOPPED, as FACTS 3 of the design has it. */
static const struct {
  int event;
  int detail;
  PcdLifecycle lifecycle;
  int role;
} moments[] = {
  { 2, 1, PCD_LIFECYCLE_INCOMING, DESTINATION },
  { 3, 7, PCD_LIFECYCLE_POSTCOPY, SOURCE },
  { 3, 8, PCD_LIFECYCLE_POSTCOPY_FAILED, EITHER },
  { 4, 1, PCD_LIFECYCLE_RESUMED_MIGRATED, EITHER },
  { 4, 3, PCD_LIFECYCLE_POSTCOPY, DESTINATION },
  { 4, 4, PCD_LIFECYCLE_POSTCOPY_FAILED, DESTINATION },
  { 5, 3, PCD_LIFECYCLE_STOPPED_MIGRATED, SOURCE },
};

static const int n_details[] = { 4, 2, 5, 9, 5, 7, 3, 2, 2 };

static void
check_event (int event, int detail)
{
  gboolean is_known = event >= 0 && event < (int)G_N_ELEMENTS (n_details) && detail >= 0 &&
                      detail < n_details[event];
  PcdLifecycle expected = !is_known    ? PCD_LIFECYCLE_UNKNOWN
                          : event == 5 ? PCD_LIFECYCLE_STOPPED
                                       : PCD_LIFECYCLE_OTHER;
  PcdTold told = pcd_lifecycle_translate (event, detail);
  int role = EITHER;

  for (guint i = 0; i < G_N_ELEMENTS (moments); i++)
    if (moments[i].event == event && moments[i].detail == detail) {
      expected = moments[i].lifecycle;
      role = moments[i].role;
    }
  g_test_message ("event %d, detail %d", event, detail);
  g_assert_cmpstr (pcd_lifecycle_to_string (told.lifecycle), ==,
                   pcd_lifecycle_to_string (expected));
  assert_role (told.role_known, told.role, role);
}

static void
test_events (void)
{
  for (int event = -2; event < 20; event++)
    for (int detail = -2; detail < 20; detail++)
      check_event (event, detail);
  check_event (G_MAXINT, G_MAXINT);
  check_event (G_MININT, G_MININT);
}

/* Every row holds for the jobs named by its columns. */
static const struct {
  int state;
  int reason;
  gboolean needs_job;
  PcdSeen none; /* no job, or one that is no migration */
  int none_role;
  PcdSeen out;
  PcdSeen in;
} sights[] = {
#define IDLE TRUE, PCD_SEEN_IDLE, EITHER, PCD_SEEN_PRECOPY
  /* running */
  { 1, 0, IDLE, PCD_SEEN_POSTCOPY },
  { 1, 1, IDLE, PCD_SEEN_POSTCOPY },
  { 1, 2, TRUE, PCD_SEEN_MIGRATED_IN, DESTINATION, PCD_SEEN_PRECOPY, PCD_SEEN_MIGRATED_IN },
  { 1, 3, IDLE, PCD_SEEN_POSTCOPY },
  { 1, 4, IDLE, PCD_SEEN_POSTCOPY },
  { 1, 5, IDLE, PCD_SEEN_POSTCOPY },
  { 1, 6, IDLE, PCD_SEEN_POSTCOPY },
  { 1, 7, IDLE, PCD_SEEN_POSTCOPY },
  { 1, 8, IDLE, PCD_SEEN_POSTCOPY },
  { 1, 9, IDLE, PCD_SEEN_POSTCOPY },
  /* blocked */
  { 2, 0, IDLE, PCD_SEEN_POSTCOPY },
  /* paused: migration and starting-up are a QEMU that waits for its guest */
  { 3, 0, IDLE, PCD_SEEN_POSTCOPY },
  { 3, 1, IDLE, PCD_SEEN_POSTCOPY },
  { 3, 2, IDLE, PCD_SEEN_PRECOPY },
  { 3, 3, IDLE, PCD_SEEN_POSTCOPY },
  { 3, 4, IDLE, PCD_SEEN_POSTCOPY },
  { 3, 5, IDLE, PCD_SEEN_POSTCOPY },
  { 3, 6, IDLE, PCD_SEEN_POSTCOPY },
  { 3, 7, IDLE, PCD_SEEN_POSTCOPY },
  { 3, 8, IDLE, PCD_SEEN_POSTCOPY },
  { 3, 9, IDLE, PCD_SEEN_POSTCOPY },
  { 3, 10, IDLE, PCD_SEEN_POSTCOPY },
  { 3, 11, IDLE, PCD_SEEN_PRECOPY },
  { 3, 14, IDLE, PCD_SEEN_POSTCOPY },
  /* being shut down, crashed, suspended by its guest */
  { 4, 0, IDLE, PCD_SEEN_POSTCOPY },
  { 4, 1, IDLE, PCD_SEEN_POSTCOPY },
  { 6, 0, IDLE, PCD_SEEN_POSTCOPY },
  { 6, 1, IDLE, PCD_SEEN_POSTCOPY },
  { 7, 0, IDLE, PCD_SEEN_POSTCOPY },
};

/* Here the job is not asked, and must not matter. */
static const struct {
  int state;
  int reason;
  PcdSeen seen;
  int role;
} plain[] = {
  { 1, 10, PCD_SEEN_POSTCOPY, DESTINATION }, { 1, 11, PCD_SEEN_POSTCOPY_FAILED, DESTINATION },
  { 3, 12, PCD_SEEN_POSTCOPY, SOURCE },      { 3, 13, PCD_SEEN_POSTCOPY_FAILED, SOURCE },
  { 5, 0, PCD_SEEN_ABSENT, EITHER },         { 5, 4, PCD_SEEN_ABSENT, EITHER },
  { 5, 8, PCD_SEEN_ABSENT, EITHER },         { 5, 99, PCD_SEEN_ABSENT, EITHER },
  { 0, 0, PCD_SEEN_UNKNOWN, EITHER },        { 1, 12, PCD_SEEN_UNKNOWN, EITHER },
  { 2, 1, PCD_SEEN_UNKNOWN, EITHER },        { 3, 15, PCD_SEEN_UNKNOWN, EITHER },
  { 4, 2, PCD_SEEN_UNKNOWN, EITHER },        { 6, 2, PCD_SEEN_UNKNOWN, EITHER },
  { 7, 1, PCD_SEEN_UNKNOWN, EITHER },        { 8, 0, PCD_SEEN_UNKNOWN, EITHER },
  { -1, 0, PCD_SEEN_UNKNOWN, EITHER },       { 1, -1, PCD_SEEN_UNKNOWN, EITHER },
};

static void
check_sight (int state, int reason, PcdJob job, PcdSeen seen, int role)
{
  PcdSight sight = pcd_seen_translate (state, reason, job);

  g_test_message ("state %d, reason %d, job %d", state, reason, job);
  g_assert_cmpstr (pcd_seen_to_string (sight.seen), ==, pcd_seen_to_string (seen));
  assert_role (sight.role_known, sight.role, role);
}

static void
test_states (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (sights); i++) {
    int state = sights[i].state, reason = sights[i].reason;

    g_assert_true (pcd_seen_needs_job (state, reason));
    check_sight (state, reason, PCD_JOB_NONE, sights[i].none, sights[i].none_role);
    check_sight (state, reason, PCD_JOB_OTHER, sights[i].none, sights[i].none_role);
    check_sight (state, reason, PCD_JOB_MIGRATION_OUT, sights[i].out, SOURCE);
    check_sight (state, reason, PCD_JOB_MIGRATION_IN, sights[i].in, DESTINATION);
    check_sight (state, reason, PCD_JOB_UNKNOWN, PCD_SEEN_UNKNOWN, EITHER);
  }
  for (guint i = 0; i < G_N_ELEMENTS (plain); i++) {
    g_assert_false (pcd_seen_needs_job (plain[i].state, plain[i].reason));
    for (guint job = 0; job < PCD_N_JOBS; job++)
      check_sight (plain[i].state, plain[i].reason, job, plain[i].seen, plain[i].role);
  }
}

static void
test_jobs (void)
{
  static const PcdJob jobs[] = {
    [0] = PCD_JOB_UNKNOWN,      [1] = PCD_JOB_OTHER, /* start */
    [2] = PCD_JOB_OTHER,        [3] = PCD_JOB_OTHER, /* save, restore */
    [4] = PCD_JOB_MIGRATION_IN, [5] = PCD_JOB_MIGRATION_OUT,
    [6] = PCD_JOB_OTHER,        [7] = PCD_JOB_OTHER,    /* snapshot, its revert */
    [8] = PCD_JOB_OTHER,        [9] = PCD_JOB_OTHER,    /* dump, backup */
    [10] = PCD_JOB_OTHER,       [11] = PCD_JOB_UNKNOWN, /* snapshot's deletion; the next */
  };

  for (guint i = 0; i < G_N_ELEMENTS (jobs); i++)
    g_assert_cmpint (pcd_job_from_operation (i), ==, jobs[i]);
  g_assert_cmpint (pcd_job_from_operation (-1), ==, PCD_JOB_UNKNOWN);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/lifecycle/events", test_events);
  g_test_add_func ("/lifecycle/states", test_states);
  g_test_add_func ("/lifecycle/jobs", test_jobs);
  return g_test_run ();
}
