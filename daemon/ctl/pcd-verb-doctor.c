/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl doctor: has the facts gathered and judged, and prints what came of it.
 * Must not know what is good or bad. */
#include "ctl/pcd-busy.h"
#include "ctl/pcd-verbs.h"

#include <glib/gi18n.h>
#include <unistd.h>

#include "core/pcd-record.h"
#include "doctor/pcd-ask.h"
#include "doctor/pcd-judge.h"

static int run (const PcdCtl *ctl, int argc, char **argv);

const PcdVerb pcd_verb_doctor = {
  .name = "doctor",
  .synopsis = "",
  .summary = N_ ("Check whether this host is fit for post-copy and its recovery"),
  .run = run,
  .is_local = TRUE,
};

typedef struct {
  gboolean json;
  gboolean quiet;
  char *config;
  char *policy_dir;
  char *ask;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->config);
  g_free (options->policy_dir);
  g_free (options->ask);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

static void
print_finding (const PcdFinding *finding, gboolean colour)
{
  static const char *const colours[PCD_N_SEVERITIES] = { "\033[32m", "\033[36m", "\033[33m",
                                                         "\033[31m" };
  const char *indent = "                            ";

  g_print ("%s%-7s%s  %-17s  %s%s%s\n", colour ? colours[finding->severity] : "",
           pcd_severity_to_string (finding->severity), colour ? "\033[0m" : "", finding->id,
           finding->about ? finding->about : "", finding->about ? ": " : "", finding->seen);
  if (finding->severity == PCD_SEVERITY_OK)
    return;
  g_print ("%s%s\n", indent, finding->why);
  for (guint i = 0; finding->mend[i]; i++)
    g_print ("%s  %s%s%s\n", indent, colour ? "\033[1m" : "", finding->mend[i],
             colour ? "\033[0m" : "");
}

static void
print_text (GPtrArray *findings)
{
  gboolean colour = isatty (STDOUT_FILENO) && !g_getenv ("NO_COLOR") &&
                    g_strcmp0 (g_getenv ("TERM"), "dumb") != 0;

  for (guint i = 0; i < findings->len; i++)
    print_finding (g_ptr_array_index (findings, i), colour);
  const guint n_errors = pcd_findings_count (findings, PCD_SEVERITY_ERROR);
  const guint n_warnings = pcd_findings_count (findings, PCD_SEVERITY_WARNING);
  const guint n_notes = pcd_findings_count (findings, PCD_SEVERITY_NOTE);
  g_autofree char *errors =
      g_strdup_printf (ngettext ("%u error", "%u errors", n_errors), n_errors);
  g_autofree char *warnings =
      g_strdup_printf (ngettext ("%u warning", "%u warnings", n_warnings), n_warnings);
  g_autofree char *notes = g_strdup_printf (ngettext ("%u note", "%u notes", n_notes), n_notes);
  /* TRANSLATORS: a host: "2 errors", "1 warning", "0 notes" */
  g_print (pcd_findings_are_sound (findings) ? _ ("\nsound: %s, %s, %s\n")
                                             : _ ("\nnot sound: %s, %s, %s\n"),
           errors, warnings, notes);
}

static void
print_json (GPtrArray *findings, const PcdFacts *facts)
{
  g_autoptr (JsonNode) node = pcd_findings_to_json (findings, facts->hostname);
  g_autofree char *text = json_to_string (node, TRUE);

  g_print ("%s\n", text);
}

static void
on_news (const char *text, gpointer data)
{
  g_autofree char *printable = pcd_text_printable (text);

  pcd_busy_tell (data, printable);
}

static int
run (const PcdCtl *ctl, int argc, char **argv)
{
  g_auto (Options) options = { 0 };
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &options.json, N_ ("Print JSON"), NULL },
    { "config", 0, 0, G_OPTION_ARG_FILENAME, &options.config,
      N_ ("postcopyd.conf (default: that of the running daemon)"), "FILE" },
    { "policy-dir", 0, 0, G_OPTION_ARG_FILENAME, &options.policy_dir,
      N_ ("policies (default: those of the running daemon)"), "DIR" },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &options.quiet, N_ ("No progress on the terminal"),
      NULL },
    { PCD_ASK_OPTION, 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &options.ask,
      N_ ("Ask this libvirt, print its answer"), "URI" },
    { NULL },
  };
  int code = pcd_verb_parse_alone (&pcd_verb_doctor, entries, &argc, &argv);

  if (code >= 0)
    return code;
  if (options.ask) {
    pcd_ask_one (options.ask);
    return PCD_EXIT_DONE;
  }
  PcdBusy *busy = pcd_busy_begin (options.quiet || ctl->quiet ? PCD_BUSY_QUIET : 0,
                                  _ ("looking at this host"), NULL);
  const PcdFactsOptions what = {
    .uri = ctl->connect,
    .bus = ctl->bus,
    .config = options.config,
    .policy_dir = options.policy_dir,
    .news = on_news,
    .news_data = busy,
  };
  g_autoptr (PcdFacts) facts = pcd_facts_gather (&what);
  pcd_busy_end (busy);
  g_autoptr (GPtrArray) findings = pcd_judge (facts);
  if (options.json)
    print_json (findings, facts);
  else
    print_text (findings);
  return pcd_findings_are_sound (findings) ? PCD_EXIT_DONE : PCD_EXIT_FAILED;
}
