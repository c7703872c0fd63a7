/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Veto hooks that really run: what they are told, what they say, those that hang, crash, or are
 * not root's alone. Root. */
#include "engine/pcd-veto.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
  char *folder;
  char *hooks;
  PcdVetoConfig *config;
  GMainLoop *loop;
  gboolean said;
  PcdVetoVerdict verdict;
  gint64 again_usec;
  char *author, *reason, *problem;
  guint ticks;
} Fixture;

static void
up (Fixture *f, gconstpointer data)
{
  g_autofree char *made = g_dir_make_tmp ("pcd-veto-XXXXXX", NULL);

  f->folder = realpath (made, NULL);
  f->hooks = g_build_filename (f->folder, "veto.d", NULL);
  g_assert_cmpint (g_mkdir (f->hooks, 0755), ==, 0);
  f->config = pcd_veto_config_new ();
  g_assert_true (pcd_veto_config_parse (f->config, "command", f->hooks));
  g_assert_true (pcd_veto_config_parse (f->config, "timeout", "30s"));
  f->loop = g_main_loop_new (NULL, FALSE);
}

static void
forget (Fixture *f)
{
  g_clear_pointer (&f->author, g_free);
  g_clear_pointer (&f->reason, g_free);
  g_clear_pointer (&f->problem, g_free);
  f->said = FALSE;
}

static void
down (Fixture *f, gconstpointer data)
{
  const char *const argv[] = { "rm", "-rf", f->folder, NULL };

  g_assert_true (g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               NULL, NULL, NULL));
  forget (f);
  pcd_veto_config_unref (f->config);
  g_main_loop_unref (f->loop);
  free (f->folder);
  g_free (f->hooks);
}

static char *
write_hook (Fixture *f, const char *name, const char *script)
{
  g_autofree char *path = g_build_filename (f->hooks, name, NULL);
  g_autofree char *text = g_strconcat ("#!/bin/sh\n", script, "\n", NULL);
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_chmod (path, 0755), ==, 0);
  return g_steal_pointer (&path);
}

static void
on_say (const PcdVetoSay *say, gpointer data)
{
  Fixture *f = data;

  f->said = TRUE;
  f->verdict = say->verdict;
  f->again_usec = say->again_usec;
  f->author = g_strdup (say->author);
  f->reason = g_strdup (say->reason);
  f->problem = g_strdup (say->problem);
  g_main_loop_quit (f->loop);
}

static gboolean
on_tick (gpointer data)
{
  ((Fixture *)data)->ticks++;
  return G_SOURCE_CONTINUE;
}

static const PcdVetoQuestion question = {
  .domain = "web 1; reboot",
  .uuid = "3f7c0d4e-0000-4000-8000-000000000001",
  .action = PCD_ACTION_RECOVER,
  .role = "source",
  .policy = "recover",
  .phase = "paused",
  .cause = "network",
  .incident = 12,
};

static void
ask (Fixture *f)
{
  guint tick = g_timeout_add (10, on_tick, f);

  forget (f);
  f->ticks = 0;
  pcd_veto_ask (f->config, &question, on_say, f);
  g_main_loop_run (f->loop);
  g_source_remove (tick);
  g_assert_true (f->said);
}

static char *
read_file (Fixture *f, const char *name)
{
  g_autofree char *path = g_build_filename (f->folder, name, NULL);
  char *text = NULL;

  g_file_get_contents (path, &text, NULL, NULL);
  return text;
}

static void
test_told (Fixture *f, gconstpointer data)
{
  g_autofree char *script = g_strdup_printf (
      "printf '%%s|' \"$@\" >%1$s/args; cat >%1$s/input; env >%1$s/env; echo delay 9 wait",
      f->folder);
  g_autofree char *hook = write_hook (f, "fence", script);

  ask (f);
  g_autofree char *args = read_file (f, "args"), *input = read_file (f, "input");
  g_autofree char *env = read_file (f, "env");
  g_autoptr (JsonNode) root = json_from_string (input, NULL);
  JsonObject *object = json_node_get_object (root);
  g_assert_cmpstr (args, ==, "web 1; reboot|recover|source|recover|");
  g_assert_cmpint (json_object_get_int_member (object, "version"), ==, 1);
  g_assert_cmpstr (json_object_get_string_member (object, "domain"), ==, "web 1; reboot");
  g_assert_cmpstr (json_object_get_string_member (object, "action"), ==, "recover");
  g_assert_cmpstr (json_object_get_string_member (object, "cause"), ==, "network");
  g_assert_cmpint (json_object_get_int_member (object, "incident"), ==, 12);
  g_assert_null (strstr (env, "PCD_"));
  g_assert_cmpint (f->verdict, ==, PCD_VETO_DELAY);
  g_assert_cmpint (f->again_usec, ==, 9 * G_USEC_PER_SEC);
  g_assert_cmpstr (f->author, ==, hook);
  g_assert_cmpstr (f->reason, ==, "wait");
  g_assert_null (f->problem);
}

/* In the order of their names; the first that is against it ends the asking. */
static void
test_folder (Fixture *f, gconstpointer data)
{
  ask (f);
  g_assert_cmpint (f->verdict, ==, PCD_VETO_ALLOW);
  g_assert_null (f->author);

  g_autofree char *first = write_hook (f, "10-a", "exit 0");
  g_autofree char *left = write_hook (f, "15-b~", "echo deny left over");
  ask (f);
  g_assert_cmpint (f->verdict, ==, PCD_VETO_ALLOW);
  g_assert_cmpstr (f->author, ==, first);

  g_autofree char *script = g_strdup_printf ("touch %s/asked", f->folder);
  g_autofree char *last = write_hook (f, "30-c", script);
  g_autofree char *second = write_hook (f, "20-b", "echo fenced; exit 77");
  ask (f);
  g_autofree char *asked = read_file (f, "asked");
  g_assert_cmpint (f->verdict, ==, PCD_VETO_DENY);
  g_assert_cmpstr (f->author, ==, second);
  g_assert_cmpstr (f->reason, ==, "fenced");
  g_assert_cmpint (f->again_usec, ==, f->config->retry_usec);
  g_assert_null (asked);
}

/* Its children, too, are killed at the time-out, and the main loop goes on all the while. */
static void
test_hangs (Fixture *f, gconstpointer data)
{
  g_autofree char *script =
      g_strdup_printf ("sleep 1000 & echo $! >%s/child; echo deny; wait", f->folder);
  g_autofree char *hook = write_hook (f, "hangs", script);

  f->config->timeout_usec = G_USEC_PER_SEC;
  gint64 began = g_get_monotonic_time ();
  ask (f);
  gint64 took = g_get_monotonic_time () - began;
  g_assert_cmpint (took, >=, G_USEC_PER_SEC);
  g_assert_cmpuint (f->ticks, >=, 20);
  g_assert_cmpint (f->verdict, ==, PCD_VETO_ALLOW);
  g_assert_nonnull (strstr (f->problem, "veto.d/hangs did not answer within 1 s"));
  g_autofree char *child = read_file (f, "child");
  for (guint i = 0; i < 500 && kill (atoi (child), 0) == 0; i++)
    g_usleep (10 * 1000); /* whoever inherits it reaps it */
  g_autofree char *stat = g_strdup_printf ("/proc/%d/stat", atoi (child));
  g_autofree char *text = NULL;
  g_assert_true (!g_file_get_contents (stat, &text, NULL, NULL) || strstr (text, ") Z "));

  f->config->deny_unanswered = TRUE;
  ask (f);
  g_assert_cmpint (f->verdict, ==, PCD_VETO_DENY);
  g_assert_cmpstr (f->author, ==, "[veto] default");
  g_assert_nonnull (strstr (f->reason, "did not answer"));
}

/* A process that it leaves behind does not keep its answer. */
static void
test_leaves_behind (Fixture *f, gconstpointer data)
{
  g_autofree char *hook = write_hook (f, "leaves", "sleep 3 & echo deny; exit 0");
  gint64 began = g_get_monotonic_time ();

  f->config->timeout_usec = 60 * (gint64)G_USEC_PER_SEC;
  ask (f);
  g_assert_cmpint (f->verdict, ==, PCD_VETO_DENY);
  g_assert_cmpint (g_get_monotonic_time () - began, <, 30 * (gint64)G_USEC_PER_SEC);
}

static void
test_no_answer (Fixture *f, gconstpointer data)
{
  static const struct {
    const char *script, *problem;
  } broken[] = {
    { "kill -SEGV $$", "was killed by signal 11" },
    { "exit 3", "ended with status 3" },
    { "echo perhaps", "wrote \"perhaps\"" },
    { "exec /nonexistent", "ended with status" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (broken); i++) {
    g_autofree char *hook = write_hook (f, "broken", broken[i].script);

    f->config->deny_unanswered = FALSE;
    ask (f);
    g_assert_cmpint (f->verdict, ==, PCD_VETO_ALLOW);
    g_assert_nonnull (strstr (f->problem, broken[i].problem));
    g_assert_nonnull (strstr (f->problem, hook));
    f->config->deny_unanswered = TRUE;
    ask (f);
    g_assert_cmpint (f->verdict, ==, PCD_VETO_DENY);
  }
}

/* It does not end, and so has not answered; one that writes more than a pipe takes, and ends, has.
 */
static void
test_floods (Fixture *f, gconstpointer data)
{
  g_autofree char *hook = write_hook (f, "floods", "yes deny | head -c 1000000");

  ask (f);
  g_assert_cmpint (f->verdict, ==, PCD_VETO_DENY);
  g_free (g_steal_pointer (&hook));
  hook = write_hook (f, "floods", "exec yes deny");
  f->config->timeout_usec = G_USEC_PER_SEC;
  ask (f);
  g_assert_nonnull (strstr (f->problem, "did not answer"));
}

static void
check_refused (Fixture *f, const char *path, const char *why)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (pcd_veto_config_check (f->config, &error));
  g_assert_nonnull (strstr (error->message, path));
  g_assert_nonnull (strstr (error->message, why));
  ask (f);
  g_assert_cmpint (f->verdict, ==, PCD_VETO_ALLOW);
  g_assert_nonnull (strstr (f->problem, path));
  g_assert_nonnull (strstr (f->problem, why));
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  g_autofree char *hook = write_hook (f, "fence", "echo deny");
  g_autoptr (GError) error = NULL;

  g_assert_true (pcd_veto_config_check (f->config, &error));
  g_assert_no_error (error);
  g_assert_cmpint (g_chmod (hook, 0757), ==, 0);
  check_refused (f, hook, "is writable by everyone");
  g_assert_cmpint (g_chmod (hook, 0755), ==, 0);
  g_assert_cmpint (chown (hook, 65534, 0), ==, 0);
  check_refused (f, hook, "does not belong to root");
  g_assert_cmpint (chown (hook, 0, 65534), ==, 0);
  g_assert_cmpint (g_chmod (hook, 0775), ==, 0);
  check_refused (f, hook, "is writable by its group");
  g_assert_cmpint (g_chmod (hook, 0644), ==, 0);
  check_refused (f, hook, "is not executable");
  g_assert_cmpint (g_chmod (hook, 0755), ==, 0);
  g_assert_cmpint (g_chmod (f->hooks, 0777), ==, 0);
  check_refused (f, f->hooks, "is writable by everyone");
  g_assert_cmpint (g_chmod (f->hooks, 0755), ==, 0);
  ask (f);
  g_assert_cmpint (f->verdict, ==, PCD_VETO_DENY);

  /* A link is as good as where it leads to, and as the way there. */
  g_autofree char *other = g_build_filename (f->folder, "other", NULL);
  g_autofree char *target = g_build_filename (other, "fence", NULL);
  g_assert_cmpint (g_mkdir (other, 0777), ==, 0);
  g_assert_cmpint (g_chmod (other, 0777), ==, 0);
  g_assert_cmpint (g_rename (hook, target), ==, 0);
  g_assert_cmpint (symlink (target, hook), ==, 0);
  check_refused (f, other, "is writable by everyone");

  g_assert_true (pcd_veto_config_parse (f->config, "command", "/nonexistent/veto"));
  check_refused (f, "/nonexistent/veto", "No such file");
}

static gboolean
on_quit (gpointer data)
{
  g_main_loop_quit (data);
  return G_SOURCE_REMOVE;
}

static void
test_dropped (Fixture *f, gconstpointer data)
{
  g_autofree char *script = g_strdup_printf ("echo $$ >%s/pid; sleep 1000", f->folder);
  g_autofree char *hook = write_hook (f, "hangs", script);
  PcdVeto *veto = pcd_veto_ask (f->config, &question, on_say, f);
  g_autofree char *pid = NULL;

  for (guint i = 0; i < 3000 && !(pid && *pid); i++) {
    g_usleep (10 * 1000);
    g_free (pid);
    pid = read_file (f, "pid");
  }
  g_assert_cmpint (kill (atoi (pid), 0), ==, 0);
  pcd_veto_drop (veto);
  for (guint i = 0; i < 3000 && kill (atoi (pid), 0) == 0; i++)
    g_usleep (10 * 1000);
  g_assert_cmpint (kill (atoi (pid), 0), ==, -1);
  g_timeout_add (100, on_quit, f->loop);
  g_main_loop_run (f->loop);
  g_assert_false (f->said);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/veto/" name, Fixture, NULL, up, func, down)
  ADD ("told", test_told);
  ADD ("folder", test_folder);
  ADD ("hangs", test_hangs);
  ADD ("leaves-behind", test_leaves_behind);
  ADD ("no-answer", test_no_answer);
  ADD ("floods", test_floods);
  ADD ("refused", test_refused);
  ADD ("dropped", test_dropped);
  return g_test_run ();
}
