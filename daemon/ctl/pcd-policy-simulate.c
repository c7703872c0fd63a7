/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options in, a course of events out, as text or one JSON object per line. */
#include "ctl/pcd-policy-simulate.h"

#include "core/pcd-json.h"

#include <glib/gi18n.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "core/pcd-duration.h"
#include "core/pcd-simulate.h"
#include "ctl/pcd-busy.h"
#include "ctl/pcd-verb.h"
#include "engine/pcd-file.h"

/* A day of flapping is some MiB. */
#define MAX_TRACE_BYTES (64 * 1024 * 1024)

typedef struct {
  gboolean json;
  gint64 start;
} Printer;

static gboolean
parse_outcome (const char *text, PcdSimulateOptions *options)
{
  const char *equals = strchr (text, '='), *word = equals ? equals + 1 : text;
  g_autofree char *name = g_strndup (text, equals ? (gsize)(equals - text) : 0);
  PcdActionKind action = PCD_ACTION_MAX;
  guint outcome = PCD_OUTCOME_DONE;

  while (outcome <= PCD_OUTCOME_FAILED && !g_str_equal (word, pcd_outcome_to_string (outcome)))
    outcome++;
  if (outcome > PCD_OUTCOME_FAILED || (equals && !pcd_action_from_string (name, &action)))
    return FALSE;
  for (guint i = 0; i < PCD_ACTION_MAX; i++)
    if (!equals || i == action)
      options->outcomes[i] = outcome;
  return TRUE;
}

static gboolean
parse_fact (const char *text, PcdSimulateOptions *options)
{
  static const char *const answers[] = { "unknown", "no", "yes" };
  const char *equals = strchr (text, '=');
  g_autofree char *name = g_strndup (text, equals ? (gsize)(equals - text) : 0);
  PcdPredicate predicate;

  if (!equals || !pcd_predicate_from_string (name, &predicate))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    if (g_str_equal (equals + 1, answers[i])) {
      options->facts[predicate] = i;
      return TRUE;
    }
  return FALSE;
}

static gboolean
parse_options (const PcdPolicySimulate *typed, PcdSimulateOptions *options)
{
  for (guint i = 0; typed->outcomes && typed->outcomes[i]; i++)
    if (!parse_outcome (typed->outcomes[i], options)) {
      g_printerr (_ ("postcopyctl policy simulate: --outcome: got '%s', expected done, refused or "
                     "failed, alone or as "
                     "ACTION=OUTCOME, such as stop=refused\n"),
                  typed->outcomes[i]);
      return FALSE;
    }
  for (guint i = 0; typed->facts && typed->facts[i]; i++)
    if (!parse_fact (typed->facts[i], options)) {
      g_printerr (_ ("postcopyctl policy simulate: --fact: got '%s', expected kickable, traceable, "
                     "blocked or "
                     "peer-answers, = and yes, no or unknown\n"),
                  typed->facts[i]);
      return FALSE;
    }
  if (typed->go_on && !pcd_duration_parse (typed->go_on, &options->for_usec, NULL)) {
    g_printerr (
        _ ("postcopyctl policy simulate: --for: got '%s', expected a duration such as 10min\n"),
        typed->go_on);
    return FALSE;
  }
  options->allow_destroy = typed->allow_destroy;
  return TRUE;
}

/* "  +12.345s  vm1 source       ", of which nothing can talk to the terminal. */
static void
print_head (const Printer *printer, gint64 time, const PcdRecord *record)
{
  g_autoptr (GString) name = g_string_new (NULL);
  g_autofree char *valid = g_utf8_make_valid (record->domain ?: record->uuid, -1);
  gint64 ms = (time - printer->start) / 1000;

  for (const char *p = valid; *p; p = g_utf8_next_char (p)) {
    gunichar c = g_utf8_get_char (p);
    g_string_append_unichar (name, g_unichar_iscntrl (c) ? '?' : c);
  }
  g_print ("%+6" G_GINT64_FORMAT ".%03ds  %s %-11s  ", ms / 1000, (int)(ms % 1000), name->str,
           pcd_role_to_string (record->role));
}

/* The trace itself, so that the actions can be read beside what they answer. */
static void
print_record (const PcdRecord *record, gpointer data)
{
  const Printer *printer = data;
  g_autofree char *to = g_strescape (record->to ?: "", NULL);
  const gboolean is_action = record->kind == PCD_RECORD_ACTION;
  g_autofree char *action = is_action ? g_strescape (record->from ?: "", NULL) : NULL;

  if (printer->json || record->kind >= PCD_N_RECORDS)
    return;
  print_head (printer, record->monotonic, record);
  g_print ("%s %s%s%s\n", pcd_record_kind_to_string (record->kind), action ?: "",
           is_action ? " " : "", to);
}

static void
print_effect_text (const Printer *printer,
                   gint64 time,
                   const PcdRecord *record,
                   const PcdLadderEffect *effect)
{
  print_head (printer, time, record);
  g_print ("=> %s %s", pcd_ladder_effect_to_string (effect->kind),
           pcd_action_to_string (effect->action));
  if (effect->kind == PCD_LADDER_START)
    g_print (_ (" (step %d, attempt %u)"), effect->step, effect->attempt);
  else if (effect->kind == PCD_LADDER_REFUSE)
    g_print (_ (" (step %d; needs allow-destroy in postcopyd.conf)"), effect->step);
  g_print ("\n");
}

static void
print_effect_json (const Printer *printer,
                   gint64 time,
                   const PcdRecord *record,
                   const PcdLadderEffect *effect)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  pcd_json_add_int (builder, "after-usec", time - printer->start);
  pcd_json_add_int (builder, "monotonic-usec", time);
  pcd_json_add_string (builder, "uuid", record->uuid ?: "");
  pcd_json_add_string (builder, "domain", record->domain ?: "");
  pcd_json_add_string (builder, "role", pcd_role_to_string (record->role));
  pcd_json_add_string (builder, "what", pcd_ladder_effect_to_string (effect->kind));
  pcd_json_add_string (builder, "action", pcd_action_to_string (effect->action));
  pcd_json_add_string (builder, "when", pcd_when_to_string (effect->when));
  pcd_json_add_int (builder, "step", effect->step);
  pcd_json_add_int (builder, "attempt", effect->attempt);
  json_builder_end_object (builder);
  g_autoptr (JsonNode) root = json_builder_get_root (builder);
  g_autofree char *line = json_to_string (root, FALSE);
  g_print ("%s\n", line);
}

static void
print_effect (gint64 time, const PcdRecord *record, const PcdLadderEffect *effect, gpointer data)
{
  const Printer *printer = data;

  if (printer->json)
    print_effect_json (printer, time, record, effect);
  else
    print_effect_text (printer, time, record, effect);
}

int
pcd_policy_simulate (PcdPolicy *policy,
                     const char *trace,
                     const PcdPolicySimulate *typed,
                     gboolean json)
{
  static const PcdSimulateFuncs funcs = { print_record, print_effect };
  PcdSimulateOptions options = { 0 };
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) error = NULL;

  if (!parse_options (typed, &options))
    return PCD_EXIT_USAGE;
  g_autoptr (GPtrArray) records = NULL;
  g_autofree char *reading = g_strdup_printf (_ ("reading %s"), trace);
  PcdBusy *busy = pcd_busy_begin (typed->quiet ? PCD_BUSY_QUIET : 0, reading, NULL);
  if (pcd_file_read (trace, MAX_TRACE_BYTES, _ ("a trace"), text, &error))
    records = pcd_trace_parse (text->str, trace, &error);
  pcd_busy_end (busy);
  if (!records) {
    g_printerr ("%s\n", error->message);
    return PCD_EXIT_USAGE;
  }
  const PcdRecord *first = g_ptr_array_index (records, 0);
  Printer printer = { json, first->monotonic };
  if (!json)
    g_print (_ ("What policy %s would do stands behind =>; all else is the trace.\n\n"),
             policy->name);
  pcd_simulate (policy, records, &options, &funcs, &printer);
  return PCD_EXIT_DONE;
}
