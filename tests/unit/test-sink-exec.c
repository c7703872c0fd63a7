/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hooks that are real programs: which are run, what they are told, and what becomes of one that
 * sleeps, fails or asks for more. */
#include "sink-fixture.h"
#include "sinks/exec/pcd-exec-words.h"
#include "sinks/exec/pcd-exec.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static void
test_words (void)
{
  const struct {
    const char *kind, *json, *words;
  } cases[] = {
    { "phase", "{\"domain\":\"vm1\",\"from\":\"postcopy\",\"to\":\"paused\"}",
      "vm1 paused begin postcopy" },
    { "cause", "{\"kind\":\"cause\",\"domain\":\"vm1\",\"from\":\"none\",\"to\":\"network\"}",
      "vm1 paused cause network" },
    { "action", "{\"kind\":\"action\",\"domain\":\"vm1\",\"from\":\"recover\",\"to\":\"done\"}",
      "vm1 action done recover" },
    { "hold", "{\"kind\":\"hold\",\"domain\":\"a b\",\"to\":\"yes\"}", "a b hold begin -" },
    { "unattended", "{\"kind\":\"unattended\",\"domain\":\"v\",\"from\":\"yes\",\"to\":\"no\"}",
      "v unattended end -" },
    { "libvirt", "{\"kind\":\"libvirt\",\"to\":\"connected\"}", "- libvirt connected -" },
    { "dropped", "{\"kind\":\"dropped\",\"count\":7}", "- dropped 7 -" },
    { "of-tomorrow", "{\"kind\":\"of-tomorrow\",\"domain\":\"\",\"to\":3}", "- of-tomorrow 3 -" },
    { "phase", "[]", NULL },
    { "phase", "{", NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const PostcopydNote note = { .kind = cases[i].kind, .json = cases[i].json };
    g_auto (GStrv) words = pcd_exec_words (&note);
    g_autofree char *joined = words ? g_strjoinv (" ", words) : NULL;
    g_assert_cmpstr (joined, ==, cases[i].words);
  }
}

static char *
make_hook (Fixture *f, const char *name, const char *body)
{
  g_autofree char *folder = g_build_filename (f->dir, "hooks.d", NULL);
  g_autofree char *text = g_strdup_printf ("#!/bin/sh\n%s\n", body);
  char *path = g_build_filename (folder, name, NULL);

  g_mkdir (folder, 0755);
  g_assert_true (g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_NONE, 0755, NULL));
  g_chmod (path, 0755);
  return path;
}

static PcdSinkConfig *
hooks_config (Fixture *f, gint64 timeout_usec)
{
  PcdSinkConfig *config = sink_config (timeout_usec);

  g_hash_table_insert (config->keys, g_strdup ("directory"),
                       g_build_filename (f->dir, "hooks.d", NULL));
  return config;
}

static char *
contents (Fixture *f, const char *name)
{
  g_autofree char *path = g_build_filename (f->dir, name, NULL);
  char *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? text : g_strdup ("");
}

#define LOG "echo \"${0##*/} $1 $2 $3 $4\" >> \"${0%/hooks.d/*}/log\"\n"

static void
test_hooks (Fixture *f, gconstpointer data)
{
  g_autofree char *b =
      make_hook (f, "20-b", LOG "cat > \"${0%/hooks.d/*}/stdin\"; env > \"${0%/hooks.d/*}/env\"");
  g_autofree char *a = make_hook (f, "10-a", LOG "echo broken pipe dream >&2; exit 3");
  g_autofree char *open_to_all = make_hook (f, "30-open", LOG);
  g_autofree char *plain = make_hook (f, "README", LOG);
  g_autofree char *link = g_build_filename (f->dir, "hooks.d", "40-link", NULL);
  g_autofree char *hidden = make_hook (f, ".hidden", LOG);

  g_chmod (open_to_all, 0777);
  g_chmod (plain, 0644);
  g_assert_cmpint (symlink ("/bin/true", link), ==, 0);
  expect ("*10-a ended with status 3: broken pipe dream");
  expect ("*30-open is not run: *writable by everyone*");
  expect ("*40-link is not run: *link out of its folder*");
  expect ("*10-a ended with status 3*");
  start_journal (f, 1000);
  start_runner (f, &pcd_exec_sink_type, hooks_config (f, 30 * G_USEC_PER_SEC));
  add (f, 1, 2);
  g_autoptr (PcdSinkStatus) status = wait_for_status (f, "idle", 2, 0);
  g_autofree char *log = contents (f, "log"), *input = contents (f, "stdin"),
                  *environment = contents (f, "env");
  g_assert_cmpstr (
      log, ==, "10-a vm1 x begin -\n20-b vm1 x begin -\n10-a vm2 x begin -\n20-b vm2 x begin -\n");
  g_assert_cmpstr (input, ==, "{\"kind\":\"phase\",\"domain\":\"vm2\",\"to\":\"x\"}\n");
  g_assert_nonnull (strstr (environment, "POSTCOPYD_KIND=phase\n"));
  g_assert_nonnull (strstr (environment, "POSTCOPYD_UUID=u\n"));
  g_assert_nonnull (strstr (environment, "POSTCOPYD_ROLE=source\n"));
  g_assert_nonnull (strstr (environment, "POSTCOPYD_ID="));
  g_assert_null (strstr (environment, "MESON"));
  g_assert_null (strstr (environment, "PCD_"));
  assert_expected ();
}

/* The first hook sleeps for ever, with a child that ignores SIGTERM. */
static void
test_hook_sleeps (Fixture *f, gconstpointer data)
{
  g_autofree char *a = make_hook (f, "10-a",
                                  "trap '' TERM; sleep 1000 & echo $! > \"${0%/hooks.d/*}/child\"; "
                                  "while :; do sleep 1000; done");
  g_autofree char *b = make_hook (f, "20-b", LOG);

  expect ("*10-a did not end within 1 s and was killed*");
  start_journal (f, 1000);
  start_runner (f, &pcd_exec_sink_type, hooks_config (f, G_USEC_PER_SEC));
  add (f, 1, 1);
  g_autoptr (PcdSinkStatus) status = wait_for_status (f, "idle", 1, 0);
  g_autofree char *log = contents (f, "log"), *child = contents (f, "child");
  g_assert_cmpstr (log, ==, "20-b vm1 x begin -\n");
  g_assert_cmpint (atoi (child), >, 1);
  /* gone, or a zombie that init has not fetched yet */
  g_autofree char *stat_path = g_strdup_printf ("/proc/%d/stat", atoi (child));
  g_autofree char *stat_text = NULL;
  for (guint i = 0; i < 1000 && g_file_get_contents (stat_path, &stat_text, NULL, NULL) &&
                    !strstr (stat_text, ") Z ");
       i++) {
    g_clear_pointer (&stat_text, g_free);
    g_usleep (10000);
  }
  g_assert_true (!stat_text || strstr (stat_text, ") Z "));
  assert_expected ();
}

/* 75 asks for more, of this hook alone; the others saw the event already. */
static void
test_hook_tries_again (Fixture *f, gconstpointer data)
{
  g_autofree char *a = make_hook (f, "10-a", LOG);
  g_autofree char *b =
      make_hook (f, "20-b", LOG "[ $(grep -c 20-b \"${0%/hooks.d/*}/log\") -ge 3 ] || exit 75");
  g_autofree char *c = make_hook (f, "30-c", LOG);

  expect ("*20-b has to see the event again*");
  expect ("*takes events again*");
  start_journal (f, 1000);
  start_runner (f, &pcd_exec_sink_type, hooks_config (f, 30 * G_USEC_PER_SEC));
  add (f, 1, 1);
  g_autoptr (PcdSinkStatus) status = wait_for_status (f, "idle", 1, 0);
  g_autofree char *log = contents (f, "log");
  g_assert_cmpstr (log, ==,
                   "10-a vm1 x begin -\n20-b vm1 x begin -\n30-c vm1 x begin -\n"
                   "20-b vm1 x begin -\n20-b vm1 x begin -\n");
  assert_expected ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  watch_log ();
  g_test_add_func ("/sink-exec/words", test_words);
#define ADD(name, func) g_test_add ("/sink-exec/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("hooks", test_hooks);
  ADD ("hook-sleeps", test_hook_sleeps);
  ADD ("hook-tries-again", test_hook_tries_again);
  return g_test_run ();
}
