/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Replays records against ladders. Pure: time is that of the records. */
#include "core/pcd-simulate.h"

#include <glib/gi18n.h>
#include <json-glib/json-glib.h>
#include <string.h>

/* A change of several things is told as several records, one right after the other. */
#define TOGETHER_USEC 1000

/* One migration of the trace. */
typedef struct {
  const PcdRecord *record;
  PcdState state;
  PcdLadder ladder;
  PcdFact blocked;
  gint64 wakeup;
  guint64 recovering; /* ticket of a recover that waits for the trace, or 0 */
  gboolean stirred;
  gboolean touched; /* by trouble or an action */
} Replay;

typedef struct {
  PcdPolicy *policy;
  const PcdSimulateOptions *options;
  const PcdSimulateFuncs *funcs;
  gpointer data;
  GPtrArray *replays;
} Simulation;

typedef const char *(*WordFunc) (guint value);

static const char *
phase_word (guint value)
{
  return pcd_phase_to_string (value);
}

static const char *
flow_word (guint value)
{
  return pcd_flow_to_string (value);
}

static const char *
cause_word (guint value)
{
  return pcd_cause_to_string (value);
}

/* -1 if @word is none of them. */
static gint
find_word (const char *word, WordFunc to_word, guint n)
{
  for (guint i = 0; word && i < n; i++)
    if (g_str_equal (word, to_word (i)))
      return (gint)i;
  return -1;
}

/* The value of @record's `to`, or -1; kinds that say nothing to a ladder are always good. */
static gint
value_of (const PcdRecord *record)
{
  switch (record->kind) {
  case PCD_RECORD_PHASE:
    return find_word (record->to, phase_word, PCD_N_PHASES);
  case PCD_RECORD_FLOW:
    return find_word (record->to, flow_word, PCD_N_FLOWS);
  case PCD_RECORD_CAUSE:
    return find_word (record->to, cause_word, PCD_N_CAUSES);
  case PCD_RECORD_UNATTENDED:
    return g_strcmp0 (record->to, "yes") == 0;
  case PCD_RECORD_BLOCKED:
    return record->to && !g_str_equal (record->to, "0");
  default:
    return 0;
  }
}

static gboolean
check_record (
    const PcdRecord *record, const PcdRecord *last, const char *file, guint line, GError **error)
{
  if (value_of (record) < 0) {
    g_autofree char *word = g_strescape (record->to ?: "", NULL);
    g_set_error (error, JSON_PARSER_ERROR, JSON_PARSER_ERROR_INVALID_DATA,
                 _ ("%s:%u: unknown %s \"%s\", expected one of postcopyd(8)"), file, line,
                 pcd_record_kind_to_string (record->kind), word);
    return FALSE;
  }
  /* Half of all time there is leaves room for every sum. */
  if (record->monotonic < 0 || record->monotonic > G_MAXINT64 / 2) {
    g_set_error (error, JSON_PARSER_ERROR, JSON_PARSER_ERROR_INVALID_DATA,
                 _ ("%s:%u: monotonic-usec out of range, expected microseconds since boot"), file,
                 line);
    return FALSE;
  }
  if (last && record->monotonic < last->monotonic) {
    g_set_error (
        error, JSON_PARSER_ERROR, JSON_PARSER_ERROR_INVALID_DATA,
        _ ("%s:%u: monotonic-usec goes back, expected the records of one host in their order"),
        file, line);
    return FALSE;
  }
  return TRUE;
}

GPtrArray *
pcd_trace_parse (const char *text, const char *file, GError **error)
{
  g_autoptr (GPtrArray) records = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_record_free);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (guint i = 0; lines[i]; i++) {
    const PcdRecord *last = records->len > 0 ? g_ptr_array_index (records, records->len - 1) : NULL;
    g_autoptr (GError) local = NULL;

    if (*g_strstrip (lines[i]) == '\0')
      continue;
    PcdRecord *record = pcd_record_from_json (lines[i], &local);
    if (!record) {
      g_set_error (error, JSON_PARSER_ERROR, JSON_PARSER_ERROR_PARSE,
                   _ ("%s:%u: %s, expected a line of 'postcopyctl events --json'"), file, i + 1,
                   local->message);
      return NULL;
    }
    if (!check_record (record, last, file, i + 1, error)) {
      pcd_record_free (record);
      return NULL;
    }
    g_ptr_array_add (records, record);
  }
  if (records->len > 0)
    return g_steal_pointer (&records);
  g_set_error (error, JSON_PARSER_ERROR, JSON_PARSER_ERROR_INVALID_DATA,
               _ ("%s: no record, expected lines of 'postcopyctl events --json'"), file);
  return NULL;
}

static Replay *
find_replay (Simulation *simulation, const PcdRecord *record)
{
  for (guint i = 0; i < simulation->replays->len; i++) {
    Replay *replay = g_ptr_array_index (simulation->replays, i);
    if (replay->state.role == record->role && g_str_equal (replay->record->uuid, record->uuid))
      return replay;
  }
  return NULL;
}

/* A domain may migrate more than once in a trace. */
static Replay *
get_replay (Simulation *simulation, const PcdRecord *record)
{
  Replay *replay = find_replay (simulation, record);
  gboolean anew = replay && pcd_phase_has_ended (replay->state.phase) &&
                  record->kind == PCD_RECORD_PHASE && !pcd_phase_has_ended (value_of (record));

  if (replay && !anew)
    return replay;
  if (!replay) {
    replay = g_new0 (Replay, 1);
    g_ptr_array_add (simulation->replays, replay);
  }
  *replay = (Replay){ .record = record, .wakeup = G_MAXINT64 };
  replay->state = pcd_state_init (record->role, record->monotonic);
  replay->ladder = pcd_ladder_init (record->role);
  replay->blocked = simulation->options->facts[PCD_PREDICATE_BLOCKED];
  return replay;
}

static void
set_phase (PcdState *state, PcdPhase phase, gint64 now)
{
  state->phase = phase;
  state->phase_since = state->flow_since = now;
  state->flow = PCD_FLOW_NONE;
  state->cause = PCD_CAUSE_NONE;
  state->unattended = FALSE;
}

static void
apply_record (Replay *replay, const PcdRecord *record)
{
  PcdState *state = &replay->state;
  gint value = value_of (record);

  switch (record->kind) {
  case PCD_RECORD_PHASE:
    set_phase (state, (PcdPhase)value, record->monotonic);
    break;
  case PCD_RECORD_FLOW:
    state->flow = (PcdFlow)value;
    state->flow_since = record->monotonic;
    break;
  case PCD_RECORD_CAUSE:
    state->cause = (PcdCause)value;
    break;
  case PCD_RECORD_UNATTENDED:
    state->unattended = value;
    break;
  case PCD_RECORD_BLOCKED:
    replay->blocked = value ? PCD_FACT_YES : PCD_FACT_NO;
    break;
  default:
    break;
  }
  replay->touched |= pcd_state_is_trouble (state);
}

static void feed (Simulation *simulation, Replay *replay, PcdLadderEvent event, gint64 now);

/* How the action ends, if it does now. */
static void
carry_out (Simulation *simulation, Replay *replay, const PcdLadderEffect *effect, gint64 now)
{
  PcdOutcome outcome = simulation->options->outcomes[effect->action];

  simulation->funcs->effect (now, replay->record, effect, simulation->data);
  if (effect->kind == PCD_LADDER_CANCEL && effect->ticket == replay->recovering)
    outcome = PCD_OUTCOME_FAILED;
  else if (effect->kind != PCD_LADDER_START)
    return;
  else if (effect->action == PCD_ACTION_RECOVER && outcome == PCD_OUTCOME_DONE) {
    replay->recovering = effect->ticket;
    return;
  }
  if (effect->ticket == replay->recovering)
    replay->recovering = 0;
  feed (simulation, replay, (PcdLadderEvent){ PCD_LADDER_FINISHED, effect->ticket, outcome }, now);
}

static void
feed (Simulation *simulation, Replay *replay, PcdLadderEvent event, gint64 now)
{
  PcdLadderInput input = { .policy = simulation->policy,
                           .state = &replay->state,
                           .allow_destroy = simulation->options->allow_destroy,
                           .untouched = !replay->touched };
  PcdLadderEffects effects;

  memcpy (input.facts, simulation->options->facts, sizeof input.facts);
  input.facts[PCD_PREDICATE_BLOCKED] = replay->blocked;
  replay->ladder = pcd_ladder_step (&replay->ladder, &input, &event, now, &effects);
  replay->wakeup = effects.wakeup;
  replay->touched |= effects.n > 0;
  for (guint i = 0; i < effects.n; i++)
    carry_out (simulation, replay, &effects.effects[i], now);
}

/* Everything that falls due up to and including @until. */
static void
advance (Simulation *simulation, gint64 until)
{
  for (;;) {
    Replay *first = NULL;

    for (guint i = 0; i < simulation->replays->len; i++) {
      Replay *replay = g_ptr_array_index (simulation->replays, i);
      if (replay->wakeup <= until && (!first || replay->wakeup < first->wakeup))
        first = replay;
    }
    if (!first)
      return;
    feed (simulation, first, (PcdLadderEvent){ PCD_LADDER_TICK }, first->wakeup);
  }
}

/* The records from @start that belong together; returns the index after them. */
static guint
take_together (Simulation *simulation, GPtrArray *records, guint start)
{
  const PcdRecord *first = g_ptr_array_index (records, start);
  guint i = start;

  for (; i < records->len; i++) {
    const PcdRecord *record = g_ptr_array_index (records, i);
    if (record->monotonic - first->monotonic >= TOGETHER_USEC)
      break;
    if (!record->uuid)
      continue;
    Replay *replay = get_replay (simulation, record);
    apply_record (replay, record);
    replay->stirred = TRUE;
    simulation->funcs->record (record, simulation->data);
  }
  return i;
}

static void
react (Simulation *simulation, gint64 now)
{
  for (guint i = 0; i < simulation->replays->len; i++) {
    Replay *replay = g_ptr_array_index (simulation->replays, i);
    guint64 ticket = replay->recovering;

    if (!replay->stirred)
      continue;
    replay->stirred = FALSE;
    gboolean over = ticket != 0 && (replay->state.phase == PCD_PHASE_POSTCOPY ||
                                    pcd_phase_has_ended (replay->state.phase));
    PcdOutcome outcome =
        replay->state.phase == PCD_PHASE_GONE ? PCD_OUTCOME_FAILED : PCD_OUTCOME_DONE;
    if (over) {
      replay->recovering = 0;
      feed (simulation, replay, (PcdLadderEvent){ PCD_LADDER_FINISHED, ticket, outcome }, now);
    }
    feed (simulation, replay, (PcdLadderEvent){ PCD_LADDER_TICK }, now);
  }
}

void
pcd_simulate (PcdPolicy *policy,
              GPtrArray *records,
              const PcdSimulateOptions *options,
              const PcdSimulateFuncs *funcs,
              gpointer data)
{
  g_autoptr (GPtrArray) replays = g_ptr_array_new_with_free_func (g_free);
  Simulation simulation = { policy, options, funcs, data, replays };
  gint64 now = 0;

  for (guint i = 0; i < records->len;) {
    const PcdRecord *first = g_ptr_array_index (records, i);

    /* What is due at the very time of a record would see its news already. */
    advance (&simulation, first->monotonic - 1);
    i = take_together (&simulation, records, i);
    now = ((const PcdRecord *)g_ptr_array_index (records, i - 1))->monotonic;
    react (&simulation, now);
  }
  advance (&simulation, now + options->for_usec);
}
