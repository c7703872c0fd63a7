/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Texts around those of GOption; of a verb with subverbs, only the options that matter to one. */
#include "ctl/pcd-help.h"

#include "core/pcd-nearest.h"

#include <glib/gi18n.h>
#include <string.h>

/* Related ones share a line, or it would be no screen; each verb has a line in `help all`. */
static const struct {
  const char *verbs;
  const char *what;
} groups[] = {
  { "list, status, top", N_ ("Migrations on this host: in short, in full, live") },
  { "events, sinks", N_ ("What postcopyd told, and who gets it") },
  { "incident", N_ ("What happened to migrations in trouble; reports") },
  { "probe, doctor", N_ ("Whether this kernel, and this host, are fit") },
  { "inspect", N_ ("Which threads of a QEMU wait for missing memory") },
  { "policy, plugins", N_ ("What is done by itself, and by others' code") },
  { "recover, force-pause", N_ ("Reconnect a paused migration; have a dead one paused") },
  { "stop, freeze, resume", N_ ("Hold the guest on the destination; undo that") },
  { "debug, snapshot", N_ ("Keep what there is of QEMU, and of the guest") },
  { "destroy", N_ ("Give up a side of a migration that cannot be completed") },
  { "hold, release", N_ ("No automatic action on a domain; again") },
};

static char *
help_of (const char *synopsis,
         const char *summary,
         const GOptionEntry *options,
         const char *description)
{
  g_autoptr (GOptionContext) context = g_option_context_new (synopsis);
  gboolean help;
  const GOptionEntry own[] = {
    { "help", 'h', 0, G_OPTION_ARG_NONE, &help, N_ ("Show this help"), NULL },
    { NULL },
  };

  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_set_summary (context, summary);
  g_option_context_add_main_entries (context, own, GETTEXT_PACKAGE);
  if (options)
    g_option_context_add_main_entries (context, options, GETTEXT_PACKAGE);
  g_option_context_set_description (context, description && *description ? description : NULL);
  g_autofree char *text = g_option_context_get_help (context, TRUE, NULL);
  return g_strconcat (g_strchomp (text), "\n", NULL);
}

char *
pcd_help_of_tool (const GOptionEntry *options)
{
  g_autoptr (GString) text = g_string_new (_ ("Commands:\n"));

  for (guint i = 0; i < G_N_ELEMENTS (groups); i++)
    g_string_append_printf (text, "  %-20s  %s\n", groups[i].verbs, _ (groups[i].what));
  g_string_append (
      text, _ ("'postcopyctl help COMMAND' tells more about one, 'postcopyctl help all' of each."));
  return help_of ("COMMAND [ARGUMENT...]", NULL, options, text->str);
}

char *
pcd_help_list (const PcdVerb *const *verbs)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; verbs[i]; i++)
    g_string_append_printf (text, "%-11s  %s\n", verbs[i]->name, _ (verbs[i]->summary));
  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* Those of which @names, separated by spaces, has the long name; %NULL is all. */
static GArray *
choose (const GOptionEntry *options, const char *names)
{
  GArray *chosen = g_array_new (TRUE, TRUE, sizeof (GOptionEntry));
  g_auto (GStrv) wanted = names ? g_strsplit (names, " ", -1) : NULL;

  for (const GOptionEntry *o = options; o && o->long_name; o++)
    if (!wanted || g_strv_contains ((const char *const *)wanted, o->long_name))
      g_array_append_vals (chosen, o, 1);
  return chosen;
}

static char *
describe (const PcdVerb *verb, const char *example)
{
  g_autoptr (GString) text = g_string_new (NULL);

  if (verb && verb->subverbs) {
    g_string_append (text, _ ("Commands:\n"));
    for (const PcdSubverb *s = verb->subverbs; s->name; s++)
      g_string_append_printf (text, "  %-10s %s\n", s->name, _ (s->summary));
    g_string_append_printf (text, _ ("'postcopyctl %s COMMAND --help' tells more about one.\n"),
                            verb->name);
  }
  if (example)
    g_string_append_printf (text, "%s%s postcopyctl %s", text->len ? "\n" : "", _ ("Example:"),
                            example);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

char *
pcd_help_of_verb (const PcdVerb *verb, const PcdSubverb *subverb, const GOptionEntry *options)
{
  g_autoptr (GArray) chosen = choose (options, subverb ? subverb->options : verb->options);
  g_autofree char *description =
      subverb ? describe (NULL, subverb->example) : describe (verb, verb->example);
  g_autofree char *synopsis = subverb ? g_strconcat (subverb->name, " ", subverb->synopsis, NULL)
                                      : g_strdup (verb->subverbs ? verb->usage : verb->synopsis);

  return help_of (synopsis, _ (subverb ? subverb->summary : verb->summary),
                  (const GOptionEntry *)(gpointer)chosen->data, description);
}

const char *
pcd_help_nearest (const PcdVerb *const *verbs, const char *word)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (guint i = 0; verbs[i]; i++) {
    if (strlen (word) >= 3 && g_str_has_prefix (verbs[i]->name, word))
      return verbs[i]->name;
    g_ptr_array_add (names, (gpointer)verbs[i]->name);
  }
  g_ptr_array_add (names, NULL);
  return pcd_nearest (word, (const char *const *)names->pdata);
}
