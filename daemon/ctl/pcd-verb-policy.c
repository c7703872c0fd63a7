/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl policy: checks, lists, shows, sets and simulates policies. Needs no daemon. */
#include "ctl/pcd-policy-assign.h"

#include "core/pcd-json.h"
#include "core/pcd-nearest.h"
#include "core/pcd-params.h"
#include "ctl/pcd-pick.h"
#include "ctl/pcd-plugin-names.h"
#include "ctl/pcd-policy-simulate.h"
#include "ctl/pcd-table.h"
#include "ctl/pcd-verbs.h"

#include <glib/gi18n.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "core/pcd-duration.h"
#include "engine/pcd-policy-load.h"

static int run (const PcdCtl *ctl, int argc, char **argv);

static const PcdSubverb subverbs[] = {
  { "list", "", N_ ("The policies of this host"), "json policy-dir config", NULL },
  { "show", "NAME", N_ ("One of them, with every default"), "json policy-dir config",
    "policy show recover" },
  { "check", "FILE...", N_ ("Whether files are good policies"), "config",
    "policy check my-policy.json" },
  { "set", "DOMAIN NAME | DOMAIN --default", N_ ("Give a domain its policy"),
    "default role policy-dir config", "policy set vm1 protect" },
  { "simulate", "POLICY TRACE",
    N_ ("What a policy would have done; TRACE is saved 'events --json'"),
    "outcome fact allow-destroy for json policy-dir config",
    "policy simulate recover trace.jsonl --for 10min" },
  { NULL },
};

const PcdVerb pcd_verb_policy = {
  .name = "policy",
  .synopsis =
      "list | show NAME | check FILE... | set DOMAIN NAME|--default | simulate POLICY TRACE",
  .summary = N_ ("Check, list, show, set or simulate policies"),
  .subverbs = subverbs,
  .usage = "COMMAND [ARGUMENT...]",
  .options = "json policy-dir config",
  .run = run,
  .is_local = TRUE,
};

typedef struct {
  char *config;
  char *policy_dir;
  char *role;
  gboolean use_default;
  gboolean json;
  PcdPolicySimulate simulate;
} Options;

static PcdPolicySet *
load_set (const Options *options)
{
  g_auto (GStrv) directories = pcd_policy_default_directories (options->policy_dir);
  g_autoptr (GError) error = NULL;
  PcdPolicySet *set = pcd_policy_load_directories ((const char *const *)directories, &error);

  if (!set)
    g_printerr (_ ("postcopyctl policy: %s; --policy-dir DIR looks elsewhere\n"), error->message);
  return set;
}

static char *
nearest_hint (PcdPolicySet *set, const char *name)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (guint i = 0; i < pcd_policy_set_get_length (set); i++)
    g_ptr_array_add (names, (gpointer)pcd_policy_set_get_nth (set, i)->name);
  g_ptr_array_add (names, NULL);
  return pcd_nearest_hint (name, (const char *const *)names->pdata);
}

static int
check (int n, char **files)
{
  int result = PCD_EXIT_DONE;

  if (n == 0) {
    g_printerr (_ ("postcopyctl policy check: no file, expected one or more policies (*.json)\n"));
    return PCD_EXIT_USAGE;
  }
  for (int i = 0; i < n; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PcdPolicy) policy = pcd_policy_load_file (files[i], &error);

    if (!policy) {
      g_printerr ("%s\n", error->message);
      result = PCD_EXIT_USAGE;
      continue;
    }
    if (policy->destructive)
      g_print (ngettext ("%s: policy \"%s\", %u step, destroys: good\n",
                         "%s: policy \"%s\", %u steps, destroys: good\n", policy->n_steps),
               files[i], policy->name, policy->n_steps);
    else
      g_print (ngettext ("%s: policy \"%s\", %u step: good\n",
                         "%s: policy \"%s\", %u steps: good\n", policy->n_steps),
               files[i], policy->name, policy->n_steps);
  }
  return result;
}

static void
add_duration (JsonBuilder *builder, const char *name, gint64 usec)
{
  g_autofree char *text = pcd_duration_to_string (usec);

  pcd_json_add_string (builder, name, text);
}

static void
add_param (const char *name, PcdParamType type, double value, const char *text, gpointer data)
{
  JsonBuilder *builder = data;

  json_builder_set_member_name (builder, name);
  if (type == PCD_PARAM_BOOLEAN)
    json_builder_add_boolean_value (builder, value != 0);
  else if (type == PCD_PARAM_COUNT)
    json_builder_add_int_value (builder, (gint64)value);
  else if (type == PCD_PARAM_NUMBER)
    json_builder_add_double_value (builder, value);
  else
    json_builder_add_string_value (builder, text);
}

static void
add_params (JsonBuilder *builder, const PcdParams *params, PcdActionKind action)
{
  json_builder_set_member_name (builder, "with");
  json_builder_begin_object (builder);
  pcd_params_foreach (params, action, add_param, builder);
  json_builder_end_object (builder);
}

static void
add_step (JsonBuilder *builder, const PcdStep *step)
{
  json_builder_begin_object (builder);
  pcd_json_add_string (builder, "when", pcd_when_to_string (step->when));
  add_duration (builder, "after", step->after_usec);
  if (step->predicate != PCD_PREDICATE_NONE)
    pcd_json_add_string (builder, "if", pcd_predicate_to_string (step->predicate));
  pcd_json_add_string (builder, "do", pcd_action_to_string (step->action));
  if (step->has_else)
    pcd_json_add_string (builder, "else", pcd_action_to_string (step->else_action));
  add_params (builder, &step->params, step->action);
  add_duration (builder, "settle", step->settle_usec);
  json_builder_end_object (builder);
}

static void
add_arm (JsonBuilder *builder, const PcdPolicyArm *arm)
{
  json_builder_set_member_name (builder, "arm");
  json_builder_begin_object (builder);
  if (arm->enabled >= 0)
    pcd_json_add_boolean (builder, "enabled", arm->enabled);
  if (arm->network_timeout_usec >= 0)
    add_duration (builder, "network-timeout", arm->network_timeout_usec);
  if (arm->backstop_usec == 0)
    pcd_json_add_string (builder, "backstop", "off");
  else if (arm->backstop_usec > 0)
    add_duration (builder, "backstop", arm->backstop_usec);
  json_builder_end_object (builder);
}

static void
add_policy (JsonBuilder *builder, const PcdPolicy *policy, gboolean with_steps)
{
  json_builder_begin_object (builder);
  pcd_json_add_string (builder, "name", policy->name);
  pcd_json_add_string (builder, "description", policy->description);
  pcd_json_add_string (builder, "origin", policy->origin);
  pcd_json_add_boolean (builder, "destructive", policy->destructive);
  if (with_steps) {
    add_arm (builder, &policy->arm);
    json_builder_set_member_name (builder, "steps");
    json_builder_begin_array (builder);
    for (guint i = 0; i < policy->n_steps; i++)
      add_step (builder, &policy->steps[i]);
    json_builder_end_array (builder);
  }
  json_builder_end_object (builder);
}

static void
print_json (JsonBuilder *builder)
{
  g_autoptr (JsonNode) root = json_builder_get_root (builder);
  g_autofree char *text = json_to_string (root, TRUE);

  g_print ("%s\n", text);
}

static int
list (const Options *options)
{
  static const PcdTableColumn columns[] = {
    { N_ ("Name"), 12, 1 },
    { N_ ("Description"), 48, 1 },
    { NULL },
  };
  g_autoptr (PcdPolicySet) set = load_set (options);
  g_autoptr (PcdTable) table = pcd_table_new (columns);
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  if (!set)
    return PCD_EXIT_USAGE;
  json_builder_begin_array (builder);
  for (guint i = 0; i < pcd_policy_set_get_length (set); i++) {
    const PcdPolicy *policy = pcd_policy_set_get_nth (set, i);
    add_policy (builder, policy, FALSE);
    const char *const cells[] = { policy->name, policy->description, NULL };
    pcd_table_add (table, g_strdupv ((GStrv)cells));
  }
  json_builder_end_array (builder);
  if (options->json) {
    print_json (builder);
  } else {
    g_autofree char *text = pcd_table_to_text (table, '-', NULL);
    g_print ("%s", text);
  }
  return PCD_EXIT_DONE;
}

static void
show_arm (const PcdPolicyArm *arm)
{
  g_autofree char *timeout = pcd_duration_to_string (MAX (arm->network_timeout_usec, 0));
  g_autofree char *backstop = pcd_duration_to_string (MAX (arm->backstop_usec, 0));

  g_print (_ ("Arms:        %s\n"), arm->enabled < 0 ? _ ("as postcopyd.conf says")
                                    : arm->enabled   ? _ ("yes")
                                                     : _ ("no, watches only"));
  if (arm->network_timeout_usec >= 0)
    g_print (_ ("Network time-out: %s\n"), timeout);
  if (arm->backstop_usec >= 0)
    g_print (_ ("Backstop:    %s\n"), arm->backstop_usec ? backstop : _ ("off"));
}

static void
show_text (const PcdPolicy *policy)
{
  g_print (_ ("Name:        %s\nDescription: %s\nFrom:        %s\nDestroys:    %s\n"), policy->name,
           policy->description, policy->origin,
           policy->destructive ? _ ("yes; needs allow-destroy in postcopyd.conf") : _ ("no"));
  show_arm (&policy->arm);
  g_print (_ ("Steps:\n"));
  for (guint i = 0; i < policy->n_steps; i++) {
    const PcdStep *step = &policy->steps[i];
    g_autofree char *text = pcd_step_to_string (step);
    g_autofree char *params = pcd_params_to_string (&step->params, step->action);
    g_autofree char *settle = pcd_duration_to_string (step->settle_usec);

    g_print (_ (" %2u. %s\n       with %s\n"), i, text, params);
    if (step->settle_usec)
      g_print (_ ("       then nothing else for %s\n"), settle);
  }
}

static int
show (const Options *options, const char *name)
{
  g_autoptr (PcdPolicySet) set = load_set (options);
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  if (!set)
    return PCD_EXIT_USAGE;
  const PcdPolicy *policy = pcd_policy_set_lookup (set, name);
  if (!policy) {
    g_autofree char *hint = nearest_hint (set, name);
    g_printerr (_ ("postcopyctl policy show: no policy '%s', expected one of those that "
                   "'postcopyctl policy list' shows%s\n"),
                name, hint);
    return PCD_EXIT_USAGE;
  }
  if (!options->json) {
    show_text (policy);
    return PCD_EXIT_DONE;
  }
  add_policy (builder, policy, TRUE);
  print_json (builder);
  return PCD_EXIT_DONE;
}

/* POLICY is a file if it looks like one, else a name. */
static PcdPolicy *
find_policy (const Options *options, const char *name)
{
  g_autoptr (GError) error = NULL;

  if (g_str_has_suffix (name, ".json") || strchr (name, '/')) {
    PcdPolicy *policy = pcd_policy_load_file (name, &error);
    if (!policy)
      g_printerr ("%s\n", error->message);
    return policy;
  }
  g_autoptr (PcdPolicySet) set = load_set (options);
  PcdPolicy *policy = set ? pcd_policy_set_lookup (set, name) : NULL;
  if (set && !policy) {
    g_autofree char *hint = nearest_hint (set, name);
    g_printerr (_ ("postcopyctl policy simulate: no policy '%s', expected one of those that "
                   "'postcopyctl policy list' shows, or a file%s\n"),
                name, hint);
  }
  return policy ? pcd_policy_ref (policy) : NULL;
}

static int
simulate (const Options *options, const char *name, const char *trace)
{
  g_autoptr (PcdPolicy) policy = find_policy (options, name);

  return policy ? pcd_policy_simulate (policy, trace, &options->simulate, options->json)
                : PCD_EXIT_USAGE;
}

/* @name: NULL for what is configured. The daemon's own policies count, not those found from here.
 */
static int
set_policy (const PcdCtl *ctl, const Options *options, const char *domain, const char *name)
{
  int exit_code = pcd_policy_assign_migration (ctl, domain, options->role, name);

  if (exit_code >= 0)
    return exit_code;
  g_autoptr (PcdPolicySet) set = name ? load_set (options) : NULL;
  if (name && !set)
    return PCD_EXIT_USAGE;
  if (!name || pcd_policy_set_lookup (set, name))
    return pcd_policy_assign_domain (ctl, domain, name);
  g_autofree char *hint = nearest_hint (set, name);
  g_printerr (_ ("postcopyctl policy set: no policy '%s', expected one of those that 'postcopyctl "
                 "policy list' shows%s\n"),
              name, hint);
  return PCD_EXIT_USAGE;
}

static int
usage (const char *word)
{
  g_autofree char *hint = pcd_verb_hint (&pcd_verb_policy, word);

  g_printerr (_ ("postcopyctl policy: expected %s%s; see 'postcopyctl policy --help'\n"),
              pcd_verb_policy.synopsis, hint);
  return PCD_EXIT_USAGE;
}

/* Policies may name the actions of plugins. Where the daemon's own configuration cannot be read, as
 * by somebody else than root, they are not known. */
static gboolean
know_plugins (const Options *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) plugins = pcd_plugin_names (options->config, &error);

  if (!plugins)
    g_printerr ("postcopyctl policy: %s\n", error->message);
  return plugins || !options->config;
}

static int
dispatch (const PcdCtl *ctl, const Options *options, int argc, char **argv)
{
  const char *verb = argc > 1 ? argv[1] : "";

  if (!know_plugins (options))
    return PCD_EXIT_USAGE;
  if (g_str_equal (verb, "check"))
    return check (argc - 2, argv + 2);
  if (g_str_equal (verb, "list") && argc == 2)
    return list (options);
  if (g_str_equal (verb, "show") && argc == 3)
    return show (options, argv[2]);
  if (!pcd_pick_check_role (options->role))
    return PCD_EXIT_USAGE;
  if (g_str_equal (verb, "set") && options->use_default && argc == 3)
    return set_policy (ctl, options, argv[2], NULL);
  if (g_str_equal (verb, "set") && !options->use_default && argc == 4)
    return set_policy (ctl, options, argv[2], argv[3]);
  if (g_str_equal (verb, "simulate") && argc == 4)
    return simulate (options, argv[2], argv[3]);
  return usage (argc > 1 ? verb : NULL);
}

static int
run (const PcdCtl *ctl, int argc, char **argv)
{
  Options options = { .simulate.quiet = ctl->quiet };
  PcdPolicySimulate *simulation = &options.simulate;
  const GOptionEntry entries[] = {
    { "policy-dir", 0, 0, G_OPTION_ARG_FILENAME, &options.policy_dir,
      N_ ("Look for policies here only"), "DIR" },
    { "config", 0, 0, G_OPTION_ARG_FILENAME, &options.config,
      N_ ("postcopyd.conf, which names plugins"), "FILE" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &options.json, N_ ("Print JSON"), NULL },
    { "default", 0, 0, G_OPTION_ARG_NONE, &options.use_default, N_ ("Back to what is configured"),
      NULL },
    { "role", 0, 0, G_OPTION_ARG_STRING, &options.role,
      N_ ("source or destination, if it has a migration of each"), "ROLE" },
    { "outcome", 0, 0, G_OPTION_ARG_STRING_ARRAY, &simulation->outcomes,
      N_ ("Actions end so: done, refused, failed"), "[ACTION=]OUTCOME" },
    { "fact", 0, 0, G_OPTION_ARG_STRING_ARRAY, &simulation->facts,
      N_ ("What holds: yes, no or unknown"), "PREDICATE=ANSWER" },
    { "allow-destroy", 0, 0, G_OPTION_ARG_NONE, &simulation->allow_destroy,
      N_ ("As on a host that allows it"), NULL },
    { "for", 0, 0, G_OPTION_ARG_STRING, &simulation->go_on, N_ ("Go on after the last event"),
      "DURATION" },
    { NULL },
  };

  int result = pcd_verb_parse (&pcd_verb_policy, entries, &argc, &argv);
  if (result < 0)
    result = dispatch (ctl, &options, argc, argv);
  g_free (options.config);
  g_free (options.policy_dir);
  g_free (options.role);
  g_strfreev (simulation->outcomes);
  g_strfreev (simulation->facts);
  g_free (simulation->go_on);
  return result;
}
