/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl: finds the verb and hands over. Knows no verb's business. */
#include "bus/pcd-connect-host.h"
#include "core/pcd-nearest.h"
#include "ctl/pcd-help.h"
#include "ctl/pcd-verbs.h"
#include "host/pcd-stderr.h"

#include <glib/gi18n.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

static const PcdVerb *const verbs[] = {
  &pcd_verb_probe,       &pcd_verb_doctor,
  &pcd_verb_inspect,     &pcd_verb_list,
  &pcd_verb_status,      &pcd_verb_top,
  &pcd_verb_events,      &pcd_verb_sinks,
  &pcd_verb_policy,      &pcd_verb_plugins,
  &pcd_verb_incident,    &pcd_verb_recover,
  &pcd_verb_force_pause, &pcd_verb_stop,
  &pcd_verb_freeze,      &pcd_verb_debug,
  &pcd_verb_resume,      &pcd_verb_snapshot,
  &pcd_verb_destroy,     &pcd_verb_hold,
  &pcd_verb_release,     NULL,
};

static const PcdSubverb *
find_subverb (const PcdVerb *verb, const char *word)
{
  for (const PcdSubverb *s = verb->subverbs; s && s->name; s++)
    if (g_str_equal (s->name, word))
      return s;
  return NULL;
}

/* (nullable): an option that systemctl takes anywhere, and postcopyctl before the verb. */
static const char *
find_misplaced (char *const *argv)
{
  static const char *const names[] = { "--connect", "-c", "--bus", "--host", "-H" };

  for (guint i = 1; argv[i]; i++)
    for (guint j = 0; j < G_N_ELEMENTS (names); j++)
      if (g_str_equal (argv[i], names[j]) ||
          (g_str_has_prefix (argv[i], names[j]) && argv[i][strlen (names[j])] == '='))
        return names[j];
  return NULL;
}

char *
pcd_verb_hint (const PcdVerb *verb, const char *word)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  if (!word || find_subverb (verb, word))
    return g_strdup ("");
  for (const PcdSubverb *s = verb->subverbs; s && s->name; s++)
    g_ptr_array_add (names, (gpointer)s->name);
  g_ptr_array_add (names, NULL);
  return pcd_nearest_hint (word, (const char *const *)names->pdata);
}

/* GOption names the option in its message and nowhere else. */
static char *
hint_option (const GOptionEntry *entries, const GError *error)
{
  const char *typed = strstr (error->message, "--");
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);

  if (!typed || !g_error_matches (error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION))
    return g_strdup ("");
  g_autofree char *word = g_strndup (typed, strcspn (typed, " ="));
  for (const GOptionEntry *e = entries; e && e->long_name; e++)
    if (!(e->flags & G_OPTION_FLAG_HIDDEN))
      g_ptr_array_add (names, g_strconcat ("--", e->long_name, NULL));
  g_ptr_array_add (names, NULL);
  return pcd_nearest_hint (word, (const char *const *)names->pdata);
}

static int
fail_to_parse (const PcdVerb *verb,
               const GOptionEntry *entries,
               char *const *argv,
               const GError *error)
{
  const char *misplaced = find_misplaced (argv);
  const char *program = g_get_prgname ();
  g_autofree char *hint = hint_option (entries, error);

  if (misplaced && g_error_matches (error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION))
    g_printerr (_ ("%s: %s stands before the command: 'postcopyctl %s ... %s'\n"), program,
                misplaced, misplaced, verb->name);
  else
    g_printerr (_ ("%s: %s%s; see '%s --help'\n"), program, error->message, hint, program);
  return PCD_EXIT_USAGE;
}

/* JSON is for programs, and the same in all languages: so then are all words of that run. */
static void
speak_english_to_programs (const GOptionEntry *entries)
{
  for (; entries && entries->long_name; entries++)
    if (g_str_equal (entries->long_name, "json") && *(const gboolean *)entries->arg_data)
      setlocale (LC_MESSAGES, "C");
}

int
pcd_verb_parse (const PcdVerb *verb, const GOptionEntry *entries, int *argc, char ***argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *program = g_strconcat ("postcopyctl ", verb->name, NULL);
  gboolean help = FALSE;
  const GOptionEntry own[] = {
    { "help", 'h', 0, G_OPTION_ARG_NONE, &help, N_ ("Show this help"), NULL },
    { NULL },
  };

  g_set_prgname (program);
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_add_main_entries (context, own, GETTEXT_PACKAGE);
  if (entries)
    g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  if (!g_option_context_parse (context, argc, argv, &error))
    return fail_to_parse (verb, entries, *argv, error);
  if (help) {
    g_autofree char *text =
        pcd_help_of_verb (verb, *argc > 1 ? find_subverb (verb, (*argv)[1]) : NULL, entries);
    g_print ("%s", text);
    return PCD_EXIT_DONE;
  }
  speak_english_to_programs (entries);
  return -1;
}

int
pcd_verb_parse_alone (const PcdVerb *verb, const GOptionEntry *entries, int *argc, char ***argv)
{
  int exit_code = pcd_verb_parse (verb, entries, argc, argv);

  if (exit_code >= 0 || *argc <= 1)
    return exit_code;
  g_printerr (_ ("%s: unexpected argument '%s'; it takes none\n"), g_get_prgname (), (*argv)[1]);
  return PCD_EXIT_USAGE;
}

int
pcd_verb_refuse_host (const PcdCtl *ctl, const char *words)
{
  g_printerr (_ ("postcopyctl: --host: '%s' looks at its own host; run it there: ssh %s "
                 "postcopyctl %s ...\n"),
              words, ctl->host, words);
  return PCD_EXIT_USAGE;
}

static int
run_verb (const PcdVerb *verb, const PcdCtl *ctl, int argc, char **argv)
{
  g_autoptr (GError) error = NULL;

  if (ctl->host && !pcd_host_check (ctl->host, &error)) {
    g_printerr ("postcopyctl: --host: %s\n", error->message);
    return PCD_EXIT_USAGE;
  }
  if (ctl->host && verb->is_local)
    return pcd_verb_refuse_host (ctl, verb->name);
  return verb->run (ctl, argc, argv);
}

/* Only here: the daemon's own words stay English whatever its locale, as they are kept in records,
 * compared and searched for. What it tells over D-Bus is shown as it came. */
static void
speak_the_users_language (void)
{
  setlocale (LC_ALL, "");
  bindtextdomain (GETTEXT_PACKAGE, g_getenv ("POSTCOPYCTL_LOCALEDIR") ?: PCD_LOCALEDIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  textdomain (GETTEXT_PACKAGE);
}

static int
run_word (const PcdCtl *ctl, int argc, char **argv)
{
  for (guint i = 0; verbs[i]; i++)
    if (g_str_equal (verbs[i]->name, argv[0]))
      return run_verb (verbs[i], ctl, argc, argv);
  const char *nearest = pcd_help_nearest (verbs, argv[0]);
  if (nearest)
    g_printerr (
        _ ("postcopyctl: unknown command '%s'; did you mean '%s'? See 'postcopyctl --help'\n"),
        argv[0], nearest);
  else
    g_printerr (_ ("postcopyctl: unknown command '%s'; see 'postcopyctl --help'\n"), argv[0]);
  return PCD_EXIT_USAGE;
}

/* `help`, `help all`, `help VERB [SUBVERB]`, and --help */
static int
help (const PcdCtl *ctl, const GOptionEntry *options, int argc, char **argv)
{
  const gboolean all = argc == 2 && g_str_equal (argv[1], "all");

  if (argc > 1 && !all) {
    char *words[] = { argv[1], argc > 2 ? argv[2] : (char *)"--help", (char *)"--help", NULL };
    return run_word (ctl, argc > 2 ? 3 : 2, words);
  }
  g_autofree char *text = all ? pcd_help_list (verbs) : pcd_help_of_tool (options);
  g_print ("%s", text);
  return PCD_EXIT_DONE;
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *connect = NULL, *bus = NULL, *host = NULL;
  gboolean version = FALSE, quiet = FALSE, wants_help = FALSE;
  const GOptionEntry entries[] = {
    { "connect", 'c', 0, G_OPTION_ARG_STRING, &connect, N_ ("libvirt connection URI"), "URI" },
    { "bus", 0, 0, G_OPTION_ARG_STRING, &bus, N_ ("system, session or a D-Bus address"), "BUS" },
    { "host", 'H', 0, G_OPTION_ARG_STRING, &host, N_ ("Ask another host's postcopyd, by ssh"),
      "[USER@]HOST" },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &quiet, N_ ("No progress on the terminal"), NULL },
    { "version", 0, 0, G_OPTION_ARG_NONE, &version, N_ ("Show the version"), NULL },
    { NULL },
  };
  const GOptionEntry own[] = {
    { "help", 'h', 0, G_OPTION_ARG_NONE, &wants_help, NULL, NULL },
    { NULL },
  };

  speak_the_users_language ();
  pcd_stderr_init ();
  g_set_prgname ("postcopyctl");
  g_option_context_set_strict_posix (context, TRUE);
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_add_main_entries (context, own, GETTEXT_PACKAGE);
  if (!g_option_context_parse (context, &argc, &argv, &error)) {
    g_printerr (_ ("postcopyctl: %s; see 'postcopyctl --help'\n"), error->message);
    return PCD_EXIT_USAGE;
  }
  if (version) {
    g_print ("postcopyctl %s\n", PCD_VERSION);
    return PCD_EXIT_DONE;
  }
  const PcdCtl ctl = { .connect = connect, .bus = bus, .host = host, .quiet = quiet };
  if (wants_help)
    return help (&ctl, entries, 0, NULL);
  if (argc < 2) {
    g_autofree char *text = pcd_help_of_tool (entries);
    g_printerr ("%s", text);
    return PCD_EXIT_USAGE;
  }
  if (g_str_equal (argv[1], "help"))
    return help (&ctl, entries, argc - 1, argv + 1);
  return run_word (&ctl, argc - 1, argv + 1);
}
