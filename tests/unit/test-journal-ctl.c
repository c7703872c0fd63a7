/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What postcopyctl incident shows of a journal. */
#include "journal-fixture.h"

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <unistd.h>

static int
ctl (Fixture *f, const char *words, GSpawnChildSetupFunc setup, char **ret_out, char **ret_err)
{
  g_autofree char *line =
      g_strdup_printf ("%s incident %s --state-dir %s", g_getenv ("PCD_CTL"), words, f->dir);
  g_auto (GStrv) argv = g_strsplit (line, " ", -1);
  g_autoptr (GError) error = NULL;
  int status;

  g_spawn_sync (NULL, argv, NULL, 0, setup, NULL, ret_out, ret_err, &status, &error);
  g_assert_no_error (error);
  return WEXITSTATUS (status);
}

static void
assert_ctl (Fixture *f, const char *words, int code, const char *out, const char *err)
{
  g_autofree char *got_out = NULL, *got_err = NULL;

  g_assert_cmpint (ctl (f, words, NULL, &got_out, &got_err), ==, code);
  g_assert_cmpstr (got_out, ==, out);
  if (*err)
    g_assert_nonnull (strstr (got_err, err));
  else
    g_assert_cmpstr (got_err, ==, "");
}

static void
become_nobody (gpointer data)
{
  if (setgid (65534) != 0 || setuid (65534) != 0)
    _exit (99);
}

static void
test_ctl (Fixture *f, gconstpointer data)
{
  PcdRecord record = { .seq = 5,
                       .time = T0 + 1,
                       .kind = PCD_RECORD_PHASE,
                       .uuid = (char *)UUID,
                       .domain = (char *)"web\n1",
                       .role = PCD_ROLE_SOURCE,
                       .from = (char *)"postcopy",
                       .to = (char *)"paused" };

  assert_ctl (f, "list", 0, "no incidents recorded yet\n", "");
  assert_ctl (f, "list --json", 0, "[]\n", "");
  assert_ctl (f, "show 1", 4, "", "no incidents recorded yet");
  assert_ctl (f, "show one", 2, "", "expected the number");
  assert_ctl (f, "list all", 2, "", "expected list | show ID");
  open_journal (f);
  assert_ctl (f, "list", 0, "no incidents recorded yet\n", "");
  gint64 id = pcd_journal_begin_incident (f->journal, UUID, "web\n1", PCD_ROLE_SOURCE, T0);
  pcd_journal_add_record (f->journal, id, &record);
  intend_well (f->journal, id, 1, NULL);
  pcd_journal_result (f->journal, id, 1, "refused", "the peer\ndoes not answer", NULL, T0 + 3000);
  pcd_journal_result (f->journal, id, 1, "done", "twice", NULL, T0 + 4000);
  pcd_journal_result (f->journal, id, 9, "done", "without an intent", NULL, T0 + 4000);
  intend_well (f->journal, id, 2, NULL);
  /* The events of the two that are there already, and one that says more. */
  PcdRecord told = record;
  told.kind = PCD_RECORD_ACTION;
  told.from = (char *)"recover";
  told.detail = (char *)"the peer does not answer";
  for (guint i = 0; i < 4; i++) {
    static const char *const words[] = { "started", "started", "refused", "gave-up" };
    told.to = (char *)words[i];
    told.seq++;
    pcd_journal_add_record (f->journal, id, &told);
  }
  /* The guest is not on the source: nothing is said of its vCPUs there. */
  told.kind = PCD_RECORD_MEASURED;
  told.from = NULL;
  told.to = (char *)"0 of 2 vCPUs blocked";
  told.detail = (char *)"a -> b: unacked 1";
  pcd_journal_add_record (f->journal, id, &told);
  told.detail = NULL;
  pcd_journal_add_record (f->journal, id, &told);
  /* While the daemon has it, and after. */
  for (guint round = 0; round < 2; round++) {
    assert_ctl (f, "list", 0,
                " Id       Began                        Ended                        Role         "
                "How          Actions  Domain\n"
                " 1        2026-11-22 15:00:01.123+0000 -                            source       "
                "-                  2  web?1\n",
                "");
    assert_ctl (f, "show 1", 0,
                "Incident: 1\nDomain:   web?1\nUUID:     " UUID "\nRole:     source\n"
                "Began:    2026-11-22 15:00:01.123+0000\nEnded:    -\nHow:      -\n\n"
                "2026-11-22 15:00:01.123+0000: phase: postcopy -> paused\n"
                "2026-11-22 15:00:01.123+0000: recover: begun by policy recover\n"
                "2026-11-22 15:00:01.126+0000: recover: refused: the peer?does not answer\n"
                "2026-11-22 15:00:01.123+0000: recover: begun by policy recover\n"
                "2026-11-22 15:00:01.123+0000: recover: gave-up: the peer does not answer\n"
                "2026-11-22 15:00:01.123+0000: measured: a -> b: unacked 1\n"
                "2026-11-22 15:00:01.123+0000: measured: no migration connection\n",
                "");
    close_journal (f);
  }
  assert_ctl (f, "show 2", 4, "", "no incident 2");
  g_autofree char *json = NULL;
  g_assert_cmpint (ctl (f, "show 1 --json", NULL, &json, NULL), ==, 0);
  g_autoptr (JsonNode) root = json_from_string (json, NULL);
  JsonArray *timeline = json_object_get_array_member (json_node_get_object (root), "timeline");
  g_assert_cmpuint (json_array_get_length (timeline), ==, 10);
  JsonObject *entry = json_array_get_object_element (timeline, 0);
  g_assert_cmpstr (json_object_get_string_member (entry, "type"), ==, "event");
  g_assert_cmpstr (
      json_object_get_string_member (json_object_get_object_member (entry, "event"), "to"), ==,
      "paused");
  if (geteuid () == 0) {
    g_autofree char *err = NULL;
    g_assert_cmpint (ctl (f, "list", become_nobody, NULL, &err), ==, 1);
    g_assert_nonnull (strstr (err, "only root may read it"));
  }
  damage_newer (f);
  assert_ctl (f, "list", 1, "", "newer postcopyd");
  damage_random (f);
  assert_ctl (f, "list", 1, "", "sets a damaged journal aside");
}

#define ADD(name, func) g_test_add ("/journal/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* What the journal warns of is looked at, not died of. */
  g_log_set_always_fatal (G_LOG_FATAL_MASK);
  ADD ("ctl", test_ctl);
  return g_test_run ();
}
