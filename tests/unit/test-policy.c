/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Policies: every fixture by its folder, every message by its golden file, the shipped ones,
 * loading all or nothing, and who may choose what. PCD_UPDATE=1 writes the golden messages anew. */
#include "core/pcd-node.h"
#include "core/pcd-params.h"
#include "core/pcd-policy-set.h"
#include "engine/pcd-policy-load.h"

#include <glib/gstdio.h>
#include <string.h>

static const char *const shipped[] = { "fence", "forensic", "observe", "protect", "recover" };

static char *
fixtures (const char *folder)
{
  return g_build_filename (g_getenv ("PCD_FIXTURES"), "policies", folder, NULL);
}

static GPtrArray *
list_json (const char *folder)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &error);
  const char *name;

  g_assert_no_error (error);
  while ((name = g_dir_read_name (dir)))
    if (g_str_has_suffix (name, ".json"))
      g_ptr_array_add (names, g_strdup (name));
  g_assert_cmpuint (names->len, >, 0);
  return g_steal_pointer (&names);
}

static void
test_valid (void)
{
  g_autofree char *folder = fixtures ("valid");
  g_autoptr (GPtrArray) names = list_json (folder);

  for (guint i = 0; i < names->len; i++) {
    g_autofree char *path = g_build_filename (folder, g_ptr_array_index (names, i), NULL);
    g_autoptr (GError) error = NULL;
    g_autoptr (PcdPolicy) policy = pcd_policy_load_file (path, &error);

    g_assert_no_error (error);
    g_assert_cmpstr (policy->origin, ==, path);
  }
}

/* The message, without the folder, is that of NAME.error beside NAME.json. */
static void
check_message (const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *golden = g_strdup_printf ("%.*s.error", (int)strlen (path) - 5, path);
  g_autofree char *expected = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdPolicy) policy = pcd_policy_load_file (path, &error);

  if (policy)
    g_error ("%s: was read as a good policy", path);
  g_assert_true (g_str_has_prefix (error->message, folder));
  g_autofree char *message = g_strconcat (error->message + strlen (folder) + 1, "\n", NULL);
  if (g_getenv ("PCD_UPDATE"))
    g_assert_true (g_file_set_contents (golden, message, -1, NULL));
  g_clear_error (&error);
  g_file_get_contents (golden, &expected, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (message, ==, expected);
}

static void
test_invalid (gconstpointer data)
{
  g_autofree char *folder = fixtures (data);
  g_autoptr (GPtrArray) names = list_json (folder);

  for (guint i = 0; i < names->len; i++)
    check_message (folder, g_ptr_array_index (names, i));
}

static PcdPolicy *
load_valid (const char *name)
{
  g_autofree char *folder = fixtures ("valid");
  g_autofree char *path = g_strdup_printf ("%s/%s.json", folder, name);
  g_autoptr (GError) error = NULL;
  PcdPolicy *policy = pcd_policy_load_file (path, &error);

  g_assert_no_error (error);
  return policy;
}

static void
test_values (void)
{
  g_autoptr (PcdPolicy) policy = load_valid ("everything");
  const PcdStep *step = policy->steps;

  g_assert_cmpstr (policy->name, ==, "everything-1");
  g_assert_cmpstr (policy->description, ==, "Umlauts are für people: ü 😀");
  g_assert_true (policy->destructive);
  g_assert_cmpint (policy->arm.enabled, ==, 1);
  g_assert_cmpint (policy->arm.network_timeout_usec, ==, 500000);
  g_assert_cmpint (policy->arm.backstop_usec, ==, 20000000);
  g_assert_cmpuint (policy->n_steps, ==, 10);
  g_assert_cmpint (step[0].after_usec, ==, 1500000);
  g_assert_cmpint (step[0].settle_usec, ==, 2000000);
  g_assert_cmpuint (step[2].params.retry.attempts, ==, 1);
  g_assert_cmpint (step[3].predicate, ==, PCD_PREDICATE_PEER_ANSWERS);
  g_assert_cmpint (step[3].params.retry.first_usec, ==, 50000);
  g_assert_cmpfloat (step[3].params.retry.factor, ==, 1.5);
  g_assert_cmpint (step[3].params.retry.ceiling_usec, ==, G_GINT64_CONSTANT (3600000000));
  g_assert_true (step[4].has_else);
  g_assert_cmpint (step[4].else_action, ==, PCD_ACTION_FREEZE);
  g_assert_cmpint (step[4].else_params.retry.first_usec, ==, 500000);
  g_assert_cmpstr (pcd_params_get_word (&step[6].params, PCD_ACTION_DEBUG, "mode"), ==, "stacks");
  g_assert_cmpstr (pcd_params_get_word (&step[7].params, PCD_ACTION_DESTROY, "order"), ==,
                   "source-first");
  g_assert_cmpfloat (pcd_params_get (&step[7].params, PCD_ACTION_DESTROY, "without-proof"), ==, 1);
}

/* Steps and attempts copy parameters: the text stays the policy's. */
static void
test_path (void)
{
  g_autoptr (PcdPolicy) policy = load_valid ("snapshot-directory");
  g_autofree char *text = pcd_params_to_string (&policy->steps[0].params, PCD_ACTION_SNAPSHOT);

  g_assert_cmpstr (text, ==,
                   "first 5s, factor 2, ceiling 1min, attempts 3, speed without limit, directory "
                   "/srv/evidence/of..a.guest/.kept");
}

static void
test_defaults (void)
{
  g_autoptr (PcdPolicy) policy = load_valid ("only-first");
  const PcdStep *step = policy->steps;

  g_assert_cmpint (policy->arm.enabled, ==, -1);
  g_assert_cmpint (policy->arm.network_timeout_usec, ==, -1);
  g_assert_cmpint (policy->arm.backstop_usec, ==, -1);
  g_assert_cmpstr (policy->description, ==, "");
  g_assert_cmpint (step->after_usec, ==, 0);
  /* The default ceiling of 10 s would be below `first`. */
  g_assert_cmpint (step->params.retry.ceiling_usec, ==, 60000000);
}

static PcdPolicySet *
load_shipped (void)
{
  const char *const directories[] = { g_getenv ("PCD_POLICIES"), NULL };
  g_autoptr (GError) error = NULL;
  PcdPolicySet *set = pcd_policy_load_directories (directories, &error);

  g_assert_no_error (error);
  return set;
}

static gboolean
uses (const PcdPolicy *policy, PcdActionKind action)
{
  for (guint i = 0; i < policy->n_steps; i++) {
    const PcdStep *step = &policy->steps[i];
    if (step->action == action || (step->has_else && step->else_action == action))
      return TRUE;
  }
  return FALSE;
}

static void
test_shipped (void)
{
  g_autoptr (PcdPolicySet) set = load_shipped ();

  g_assert_cmpuint (pcd_policy_set_get_length (set), ==, G_N_ELEMENTS (shipped));
  for (guint i = 0; i < G_N_ELEMENTS (shipped); i++) {
    const PcdPolicy *policy = pcd_policy_set_get_nth (set, i);

    g_assert_cmpstr (policy->name, ==, shipped[i]);
    g_assert_cmpstr (policy->description, !=, "");
    g_assert_cmpint (policy->destructive, ==, g_str_equal (policy->name, "fence"));
    g_assert_cmpint (uses (policy, PCD_ACTION_RECOVER), ==, !g_str_equal (policy->name, "observe"));
  }
  const PcdPolicy *recover = pcd_policy_set_lookup (set, "recover");
  g_assert_false (uses (recover, PCD_ACTION_STOP) || uses (recover, PCD_ACTION_FREEZE));
  const PcdPolicy *observe = pcd_policy_set_lookup (set, "observe");
  for (guint i = 0; i < observe->n_steps; i++)
    g_assert_cmpint (observe->steps[i].action, ==, PCD_ACTION_NOTIFY);
  g_assert_cmpint (observe->arm.enabled, ==, 0);
}

static void
test_rule_10_slow_is_not_dead (void)
{
  g_autoptr (PcdPolicySet) set = load_shipped ();

  for (guint i = 0; i < pcd_policy_set_get_length (set); i++) {
    const PcdPolicy *policy = pcd_policy_set_get_nth (set, i);
    for (guint step = 0; step < policy->n_steps; step++)
      g_assert_cmpint (policy->steps[step].when, !=, PCD_WHEN_SLOW);
  }
  /* And nobody's policy can do more than tell. */
  for (guint action = 0; action < PCD_N_ACTIONS; action++)
    g_assert_cmpint (!!(pcd_action_get_spec (action)->whens & 1u << PCD_WHEN_SLOW), ==,
                     action == PCD_ACTION_NOTIFY);
}

static void
test_rule_3_no_resume_on_the_source (void)
{
  g_assert_cmpuint (pcd_action_get_spec (PCD_ACTION_RESUME)->roles, ==, 1u << PCD_ROLE_DESTINATION);
}

static void
test_rule_4_metadata_cannot_destroy (void)
{
  static const PcdPolicyMatch matches[] = {
    { "db-*", "protect" },
    { "fenced-*", "fence" },
    { "odd-*", "no-such" },
    { "*", "forensic" },
  };
  static const struct {
    const char *wish, *domain;
    gboolean allow_destroy;
    const char *expected, *note;
  } rows[] = {
    { NULL, "web-1", FALSE, "forensic", NULL },
    { NULL, "db-1", FALSE, "protect", NULL },
    { "observe", "db-1", FALSE, "observe", NULL },
    { "observe", "db-1", TRUE, "observe", NULL },
    { "fence", "db-1", FALSE, "protect",
      "policy \"fence\", chosen by the domain's metadata, destroys, and this host's configuration "
      "has no allow-destroy" },
    { "fence", "db-1", TRUE, "fence", NULL },
    { NULL, "fenced-1", FALSE, "recover",
      "policy \"fence\", chosen by match in postcopyd.conf, destroys, and this host's "
      "configuration has no allow-destroy" },
    { NULL, "fenced-1", TRUE, "fence", NULL },
    { "FENCE", "db-1", FALSE, "protect",
      "policy \"FENCE\", chosen by the domain's metadata, does not exist on this host" },
    { "a\n\033[2J", "odd-1", FALSE, "recover",
      "policy \"a\\n\\033[2J\", chosen by the domain's metadata, does not exist on this host; "
      "policy \"no-such\", chosen by match in postcopyd.conf, does not exist on this host" },
  };
  g_autoptr (PcdPolicySet) set = load_shipped ();

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *note = NULL;
    const PcdPolicy *policy =
        pcd_policy_set_select (set, rows[i].wish, rows[i].domain, matches, G_N_ELEMENTS (matches),
                               rows[i].allow_destroy, &note);

    g_assert_cmpstr (policy->name, ==, rows[i].expected);
    g_assert_cmpstr (note, ==, rows[i].note);
    g_assert_true (rows[i].allow_destroy || !policy->destructive);
  }
}

typedef struct {
  char *shipped;
  char *local;
} Directories;

static void
set_up (Directories *fixture, gconstpointer data)
{
  fixture->shipped = g_dir_make_tmp ("pcd-shipped-XXXXXX", NULL);
  fixture->local = g_dir_make_tmp ("pcd-local-XXXXXX", NULL);
}

static void
remove_tree (char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir))) {
    g_autofree char *file = g_build_filename (path, name, NULL);
    g_remove (file);
  }
  g_rmdir (path);
  g_free (path);
}

static void
tear_down (Directories *fixture, gconstpointer data)
{
  remove_tree (fixture->shipped);
  remove_tree (fixture->local);
}

static void
put (const char *directory, const char *file, const char *text)
{
  g_autofree char *path = g_build_filename (directory, file, NULL);

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static PcdPolicySet *
load_both (const Directories *fixture, GError **error)
{
  const char *const directories[] = { fixture->shipped, fixture->local, "/nonexistent-pcd", NULL };

  return pcd_policy_load_directories (directories, error);
}

#define RECOVER "{ \"name\": \"recover\", \"steps\": [] }"

static void
test_override (Directories *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  put (fixture->shipped, "recover.json", RECOVER);
  put (fixture->shipped, "a.json", "{ \"name\": \"a\", \"description\": \"old\", \"steps\": [] }");
  put (fixture->shipped, "policy.schema.json", "{}");
  put (fixture->local, ".hidden.json", "{}");
  put (fixture->local, "notes.txt", "{}");
  put (fixture->local, "b.json", "{ \"name\": \"a\", \"description\": \"new\", \"steps\": [] }");
  g_autoptr (PcdPolicySet) set = load_both (fixture, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (pcd_policy_set_get_length (set), ==, 2);
  g_assert_cmpstr (pcd_policy_set_lookup (set, "a")->description, ==, "new");
}

static void
test_all_or_nothing (Directories *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  put (fixture->shipped, "recover.json", RECOVER);
  put (fixture->local, "good.json", "{ \"name\": \"good\", \"steps\": [] }");
  put (fixture->local, "bad.json", "{ \"name\": \"bad\", \"steps\": [ { \"do\": \"x\" } ] }");
  g_assert_null (load_both (fixture, &error));
  g_assert_error (error, PCD_NODE_ERROR, PCD_NODE_ERROR_VALUE);
  g_assert_nonnull (strstr (error->message, "bad.json:1:29: $.steps[0]: \"when\" is missing"));
}

static void
test_same_name_twice (Directories *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  put (fixture->shipped, "recover.json", RECOVER);
  put (fixture->shipped, "z.json", RECOVER);
  g_assert_null (load_both (fixture, &error));
  g_assert_error (error, PCD_POLICY_SET_ERROR, PCD_POLICY_SET_ERROR_DUPLICATE);
}

static void
test_no_default (Directories *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (load_both (fixture, &error));
  g_assert_error (error, PCD_POLICY_SET_ERROR, PCD_POLICY_SET_ERROR_NO_DEFAULT);
}

static void
test_rule_4_default_cannot_destroy (Directories *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  put (fixture->local, "recover.json",
       "{ \"name\": \"recover\", \"steps\": [ { \"when\": \"paused\", \"do\": \"destroy\", "
       "\"with\": { \"order\": \"source-first\" } } ] }");
  g_assert_null (load_both (fixture, &error));
  g_assert_error (error, PCD_POLICY_SET_ERROR, PCD_POLICY_SET_ERROR_DESTRUCTIVE_DEFAULT);
}

/* A file that grows no end and one that never gives a byte. */
static void
test_odd_files (void)
{
  static const struct {
    const char *path, *message;
  } rows[] = {
    { "/dev/zero", "/dev/zero: more than 64 KiB, expected a policy" },
    { "/nonexistent-pcd.json",
      "/nonexistent-pcd.json: No such file or directory, expected a policy" },
    { "/tmp", "/tmp: is a directory, expected a file" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_null (pcd_policy_load_file (rows[i].path, &error));
    g_assert_cmpstr (error->message, ==, rows[i].message);
  }
}

/* Every prefix of a good policy, and every one with a byte changed: no crash, and never a success
 * without a name. */
static void
test_damaged (void)
{
  g_autofree char *folder = fixtures ("valid"), *text = NULL;
  g_autofree char *path = g_build_filename (folder, "everything.json", NULL);
  gsize length = 0;

  g_assert_true (g_file_get_contents (path, &text, &length, NULL));
  for (gsize i = 0; i < length; i++) {
    g_autofree char *copy = g_memdup2 (text, i ?: 1);
    g_autoptr (GError) error = NULL;
    g_autoptr (PcdPolicy) cut = pcd_policy_parse (copy, i, "x", &error);
    g_assert_true ((cut == NULL) == (error != NULL));
    g_assert_true (cut == NULL || i == length - 1); /* without the last line end */

    g_autofree char *changed = g_memdup2 (text, length);
    g_autoptr (GError) other = NULL;
    changed[i] = "{}[]\",:\\0x\xff\n"[i % 12];
    g_autoptr (PcdPolicy) policy = pcd_policy_parse (changed, length, "x", &other);
    g_assert_true ((policy == NULL) == (other != NULL));
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/policy/valid", test_valid);
  g_test_add_data_func ("/policy/invalid", "invalid", test_invalid);
  g_test_add_data_func ("/policy/invalid-parser-only", "invalid-parser-only", test_invalid);
  g_test_add_data_func ("/policy/not-json", "not-json", test_invalid);
  g_test_add_func ("/policy/values", test_values);
  g_test_add_func ("/policy/path", test_path);
  g_test_add_func ("/policy/defaults", test_defaults);
  g_test_add_func ("/policy/shipped", test_shipped);
  g_test_add_func ("/policy/rule-3/no-resume-on-the-source", test_rule_3_no_resume_on_the_source);
  g_test_add_func ("/policy/rule-4/metadata-cannot-destroy", test_rule_4_metadata_cannot_destroy);
  g_test_add_func ("/policy/rule-10/slow-is-not-dead", test_rule_10_slow_is_not_dead);
  g_test_add ("/policy/load/override", Directories, NULL, set_up, test_override, tear_down);
  g_test_add ("/policy/load/all-or-nothing", Directories, NULL, set_up, test_all_or_nothing,
              tear_down);
  g_test_add ("/policy/load/same-name-twice", Directories, NULL, set_up, test_same_name_twice,
              tear_down);
  g_test_add ("/policy/load/no-default", Directories, NULL, set_up, test_no_default, tear_down);
  g_test_add ("/policy/rule-4/default-cannot-destroy", Directories, NULL, set_up,
              test_rule_4_default_cannot_destroy, tear_down);
  g_test_add_func ("/policy/odd-files", test_odd_files);
  g_test_add_func ("/policy/damaged", test_damaged);
  return g_test_run ();
}
