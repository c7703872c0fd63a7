/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl probe: runs the kernel probe here and prints it. Needs no daemon, and must not know
 * how the probe works. */
#include "ctl/pcd-busy.h"
#include "ctl/pcd-table.h"
#include "ctl/pcd-verbs.h"

#include "host/pcd-probe.h"

#include <glib/gi18n.h>

static int run (const PcdCtl *ctl, int argc, char **argv);

const PcdVerb pcd_verb_probe = {
  .name = "probe",
  .synopsis = "",
  .summary = N_ ("Measure whether a vCPU that waits for a missing page can be interrupted"),
  .run = run,
  .is_local = TRUE,
};

static void
print_json (const PcdProbeResult *result)
{
  g_autoptr (JsonNode) node = pcd_probe_result_to_json (result);
  g_autofree char *text = json_to_string (node, TRUE);

  g_print ("%s\n", text);
}

static const char *
word_for (const PcdProbeFault *fault)
{
  switch (fault->outcome) {
  case PCD_PROBE_INTERRUPTIBLE:
    return _ ("yes");
  case PCD_PROBE_NOT_INTERRUPTIBLE:
    return _ ("no");
  case PCD_PROBE_NOT_APPLICABLE:
    return _ ("n/a");
  case PCD_PROBE_FAILED:
  case PCD_N_PROBE_OUTCOMES:
    break;
  }
  return "?";
}

static void
print_text (const PcdProbeResult *result)
{
  static const PcdTableColumn columns[] = {
    { N_ ("fault"), 12, 0 }, { N_ ("interruptible"), 13, 1 }, { N_ ("usec"), 8, 1, TRUE },
    { N_ ("retry"), 5, 2 },  { N_ ("detail"), 0, 2 },         { NULL },
  };
  g_autoptr (PcdTable) table = pcd_table_new (columns);

  for (PcdProbeKind kind = 0; kind < PCD_N_PROBE_KINDS; kind++) {
    const PcdProbeFault *fault = &result->faults[kind];
    gboolean ran =
        fault->outcome == PCD_PROBE_INTERRUPTIBLE || fault->outcome == PCD_PROBE_NOT_INTERRUPTIBLE;
    g_autofree char *usec =
        fault->usec >= 0 ? g_strdup_printf ("%" G_GINT64_FORMAT, fault->usec) : g_strdup ("-");

    const char *const cells[] = { pcd_probe_kind_to_string (kind),
                                  word_for (fault),
                                  usec,
                                  !ran                     ? "-"
                                  : fault->retry_completed ? _ ("done")
                                                           : _ ("FAILED"),
                                  fault->detail ?: "",
                                  NULL };
    pcd_table_add (table, g_strdupv ((GStrv)cells));
  }
  g_autofree char *text = pcd_table_to_text (table, 0, NULL);
  g_print ("%s", text);
  g_print (_ ("\nkernel %s: %s (%s)\n%s\n"), result->kernel,
           pcd_probe_verdict_to_string (result->verdict), pcd_probe_how_to_string (result->how),
           pcd_probe_verdict_meaning (result->verdict));
}

static int
run (const PcdCtl *ctl, int argc, char **argv)
{
  g_autoptr (PcdProbeResult) result = NULL;
  g_autoptr (GError) error = NULL;
  gboolean json = FALSE, quiet = FALSE;
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_ ("Print JSON"), NULL },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &quiet, N_ ("No progress on the terminal"), NULL },
    { NULL },
  };
  int code = pcd_verb_parse_alone (&pcd_verb_probe, entries, &argc, &argv);

  if (code >= 0)
    return code;
  PcdBusy *busy = pcd_busy_begin (quiet || ctl->quiet ? PCD_BUSY_QUIET : 0,
                                  _ ("measuring how this kernel treats waiting vCPUs"), NULL);
  result = pcd_probe_run (NULL, &error);
  pcd_busy_end (busy);
  if (!result) {
    g_printerr ("postcopyctl probe: %s\n", error->message);
    return PCD_EXIT_FAILED;
  }
  if (json)
    print_json (result);
  else
    print_text (result);
  if (result->reason)
    g_printerr ("postcopyctl probe: %s\n", result->reason);
  return result->how == PCD_PROBE_HOW_MEASURED ? PCD_EXIT_DONE : PCD_EXIT_FAILED;
}
