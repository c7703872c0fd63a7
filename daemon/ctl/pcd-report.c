/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads an incident's timeline into spans and points, and says it in one sentence. */
#include "ctl/pcd-report.h"

#include "core/pcd-duration.h"
#include "core/pcd-json.h"
#include "core/pcd-record.h"
#include "core/pcd-text.h"

#include <gio/gio.h>
#include <glib/gi18n.h>
#include <inttypes.h>
#include <string.h>

/* "0.0 ms" */
#define SHORTEST_USEC 50

#define CLOCK_DIFFERENCE (60 * G_USEC_PER_SEC)

void
pcd_report_span_free (PcdReportSpan *span)
{
  g_free (span->word);
  g_free (span);
}

static void
action_free (PcdReportAction *action)
{
  g_free (action->action);
  g_free (action->who);
  g_free (action->outcome);
  g_free (action->reason);
  g_free (action);
}

static void
point_free (PcdReportPoint *point)
{
  g_free (point->kind);
  g_free (point->text);
  g_free (point);
}

void
pcd_report_side_free (PcdReportSide *side)
{
  g_free (side->uuid);
  g_free (side->domain);
  g_free (side->role);
  g_free (side->how);
  g_free (side->cause);
  g_ptr_array_unref (side->phases);
  g_ptr_array_unref (side->flows);
  g_ptr_array_unref (side->actions);
  g_ptr_array_unref (side->points);
  g_array_unref (side->samples);
  g_ptr_array_unref (side->threads);
  json_node_unref (side->root);
  g_free (side);
}

/* -1 if there is none. */
static gint64
get_time (JsonObject *object, const char *name)
{
  return pcd_time_from_rfc3339 (pcd_json_get_string (object, name));
}

/* What lasts from now on; what lasted before ends, or began with the incident. */
static void
add_span (GPtrArray *spans, gint64 began, gint64 time, const char *from, const char *to)
{
  if (spans->len > 0) {
    ((PcdReportSpan *)g_ptr_array_index (spans, spans->len - 1))->to = time;
  } else if (from && time > began) {
    PcdReportSpan *first = g_new0 (PcdReportSpan, 1);
    first->from = began;
    first->to = time;
    first->word = g_strdup (from);
    g_ptr_array_add (spans, first);
  }
  PcdReportSpan *span = g_new0 (PcdReportSpan, 1);
  span->from = time;
  span->to = -1;
  span->word = g_strdup (to ?: "unknown");
  g_ptr_array_add (spans, span);
}

static void
add_point (PcdReportSide *side, gint64 time, const char *kind, char *text, const char *number)
{
  PcdReportPoint *point = g_new0 (PcdReportPoint, 1);

  point->time = time;
  point->kind = g_strdup (kind);
  point->text = text;
  point->number = number ? (guint)MIN (g_ascii_strtoull (number, NULL, 10), G_MAXUINT16) : 0;
  g_ptr_array_add (side->points, point);
}

static void
read_event (PcdReportSide *side, gint64 time, JsonObject *event)
{
  const char *kind = pcd_json_get_string (event, "kind") ?: "unknown";
  const char *from = pcd_json_get_string (event, "from"), *to = pcd_json_get_string (event, "to");
  const char *detail = pcd_json_get_string (event, "detail");
  /* The guest has left a source, and no vCPU of it waits there. */
  const gboolean says_nothing =
      g_str_equal (kind, "measured") && g_strcmp0 (side->role, "source") == 0;
  const char *said = says_nothing ? NULL : to;

  /* Intents and results tell it with their time; a step refused without them is news. */
  if (g_str_equal (kind, "action") && to && !g_str_equal (to, "would") &&
      !g_str_equal (to, "gave-up"))
    return;
  if (g_str_equal (kind, "phase"))
    add_span (side->phases, side->began, time, from, to);
  if (g_str_equal (kind, "flow"))
    add_span (side->flows, side->began, time, from, to);
  if (g_str_equal (kind, "measured"))
    pcd_report_read_measured (side, time, detail);
  if (g_str_equal (kind, "cause") && to && !g_str_equal (to, "none")) {
    g_free (side->cause);
    side->cause = g_strdup (to);
  }
  add_point (side, time, kind,
             g_strconcat (from && !g_str_equal (from, "none") ? from : "",
                          from && to && !g_str_equal (from, "none") ? " → " : "", said ?: "",
                          detail && (from || said) ? ": " : "", detail ?: "",
                          says_nothing && !detail ? _ ("no migration connection") : "", NULL),
             to);
}

static void
read_intent (PcdReportSide *side, gint64 time, JsonObject *entry)
{
  PcdReportAction *action = g_new0 (PcdReportAction, 1);

  action->from = time;
  action->to = -1;
  action->ticket = pcd_json_get_int (entry, "ticket");
  action->action = g_strdup (pcd_json_get_string (entry, "action") ?: "unknown");
  action->who = g_strdup (pcd_json_get_string (entry, "who") ?: "");
  action->outcome = g_strdup ("unfinished");
  g_ptr_array_add (side->actions, action);
}

static void
read_result (PcdReportSide *side, gint64 time, JsonObject *entry)
{
  const gint64 ticket = pcd_json_get_int (entry, "ticket");

  for (guint i = side->actions->len; i-- > 0;) {
    PcdReportAction *action = g_ptr_array_index (side->actions, i);
    if (action->ticket != ticket)
      continue;
    g_free (action->outcome);
    action->outcome = g_strdup (pcd_json_get_string (entry, "outcome") ?: "unknown");
    g_free (action->reason);
    action->reason = g_strdup (pcd_json_get_string (entry, "reason"));
    action->to = time;
    return;
  }
}

static void
read_entry (PcdReportSide *side, JsonObject *entry)
{
  const char *type = pcd_json_get_string (entry, "type") ?: "";
  JsonNode *event = json_object_get_member (entry, "event");
  const gint64 time = get_time (entry, "time");

  if (time < 0)
    return;
  side->end = MAX (side->end, time);
  if (g_str_equal (type, "intent")) {
    read_intent (side, time, entry);
  } else if (g_str_equal (type, "result")) {
    read_result (side, time, entry);
  } else if (event && JSON_NODE_HOLDS_OBJECT (event)) {
    read_event (side, time, json_node_get_object (event));
  } else {
    g_autoptr (JsonNode) node = json_node_alloc ();
    json_node_init_object (node, entry);
    add_point (side, time, *type ? type : "unknown", json_to_string (node, FALSE), NULL);
  }
}

static void
close_spans (GPtrArray *spans, gint64 end)
{
  for (guint i = 0; i < spans->len; i++) {
    PcdReportSpan *span = g_ptr_array_index (spans, i);
    if (span->to < span->from)
      span->to = MAX (end, span->from);
  }
}

PcdReportSide *
pcd_report_side_new (JsonNode *root, const char *origin, GError **error)
{
  JsonObject *object = JSON_NODE_HOLDS_OBJECT (root) ? json_node_get_object (root) : NULL;
  JsonNode *timeline = object ? json_object_get_member (object, "timeline") : NULL;

  if (!timeline || !JSON_NODE_HOLDS_ARRAY (timeline) || !pcd_json_get_string (object, "uuid") ||
      !pcd_json_get_string (object, "role") || get_time (object, "began") < 0) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _ ("%s: no incident: expected an object with \"uuid\", \"role\", \"began\" and "
                    "\"timeline\", as 'postcopyctl incident show ID --json' prints it"),
                 origin);
    return NULL;
  }
  PcdReportSide *side = g_new0 (PcdReportSide, 1);
  side->id = pcd_json_get_int (object, "id");
  side->uuid = g_strdup (pcd_json_get_string (object, "uuid"));
  side->domain = g_strdup (pcd_json_get_string (object, "domain") ?: side->uuid);
  side->role = g_strdup (pcd_json_get_string (object, "role"));
  side->how = g_strdup (pcd_json_get_string (object, "how"));
  side->began = get_time (object, "began");
  side->end = MAX (get_time (object, "ended"), side->began);
  side->phases = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_report_span_free);
  side->flows = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_report_span_free);
  side->actions = g_ptr_array_new_with_free_func ((GDestroyNotify)action_free);
  side->points = g_ptr_array_new_with_free_func ((GDestroyNotify)point_free);
  side->samples = g_array_new (FALSE, TRUE, sizeof (PcdReportSample));
  side->threads = pcd_report_threads_new ();
  side->root = json_node_ref (root);
  JsonArray *entries = json_node_get_array (timeline);
  for (guint i = 0; i < json_array_get_length (entries); i++) {
    JsonNode *entry = json_array_get_element (entries, i);
    if (JSON_NODE_HOLDS_OBJECT (entry))
      read_entry (side, json_node_get_object (entry));
  }
  close_spans (side->phases, side->end);
  close_spans (side->flows, side->end);
  for (guint i = 0; i < side->threads->len; i++)
    close_spans (((PcdReportThread *)g_ptr_array_index (side->threads, i))->waits, side->end);
  for (guint i = 0; i < side->actions->len; i++) {
    PcdReportAction *action = g_ptr_array_index (side->actions, i);
    if (action->to < action->from)
      action->to = side->end;
  }
  return side;
}

gboolean
pcd_report_join_check (const PcdReportSide *a, const PcdReportSide *b, GError **error)
{
  const char *problem = NULL;

  if (g_ascii_strcasecmp (a->uuid, b->uuid) != 0)
    problem = _ ("they are of two domains");
  else if (g_str_equal (a->role, b->role))
    problem = _ ("both are of the same role: expected one source and one destination");
  else if (a->began > b->end + CLOCK_DIFFERENCE || b->began > a->end + CLOCK_DIFFERENCE)
    problem = _ ("they have no time in common: these are two migrations");
  if (problem)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _ ("incident %" PRId64 " of %s (%s) and incident %" PRId64
                    " of %s (%s) do not belong together: %s"),
                 a->id, a->uuid, a->role, b->id, b->uuid, b->role, problem);
  return problem == NULL;
}

gint64
pcd_report_paused_usec (const PcdReportSide *side)
{
  gint64 sum = 0;

  for (guint i = 0; i < side->phases->len; i++) {
    const PcdReportSpan *span = g_ptr_array_index (side->phases, i);
    if (g_str_equal (span->word, "paused"))
      sum += span->to - span->from;
  }
  return sum;
}

gboolean
pcd_report_lasted (const PcdReportSpan *span)
{
  return span->to - span->from >= SHORTEST_USEC;
}

char *
pcd_report_ends (const PcdReportSide *side)
{
  g_autoptr (GRegex) ends = g_regex_new ("\\S+:\\d+ -> \\S+:\\d+", G_REGEX_DEFAULT, 0, NULL);

  for (guint i = 0; i < side->points->len; i++) {
    g_autoptr (GMatchInfo) match = NULL;
    const PcdReportPoint *point = g_ptr_array_index (side->points, i);
    if (g_regex_match (ends, point->text, 0, &match))
      return g_match_info_fetch (match, 0);
  }
  return NULL;
}

/* What kept it, and for how long. */
static char *
pause_clause (const PcdReportSide *side)
{
  const gint64 paused = pcd_report_paused_usec (side);
  g_autofree char *lasted = pcd_duration_to_text (paused, TRUE);

  if (paused <= 0)
    return g_strdup (_ ("never paused"));
  if (g_strcmp0 (side->cause, "network") == 0)
    return g_strdup_printf (_ ("paused for %s, because the network failed"), lasted);
  if (g_strcmp0 (side->cause, "peer-closed") == 0)
    return g_strdup_printf (_ ("paused for %s, because the other host closed the connection"),
                            lasted);
  if (g_strcmp0 (side->cause, "operator") == 0)
    return g_strdup_printf (_ ("paused for %s, because it was paused on this host"), lasted);
  return g_strdup_printf (_ ("paused for %s"), lasted);
}

char *
pcd_report_summary (const PcdReportSide *side)
{
  g_autofree char *paused = pause_clause (side);
  guint done = 0;

  for (guint i = 0; i < side->actions->len; i++)
    done +=
        g_str_equal (((PcdReportAction *)g_ptr_array_index (side->actions, i))->outcome, "done");
  /* TRANSLATORS: source or destination, "paused for 2 s, because ...", numbers, how it ended */
  return g_strdup_printf (
      ngettext ("On the %s: %s; %u action, %u of them done; %s.",
                "On the %s: %s; %u actions, %u of them done; %s.", side->actions->len),
      side->role, paused, side->actions->len, done, side->how ?: _ ("it is not over yet"));
}

char *
pcd_report_text (const PcdReportSide *const *sides, guint n_sides)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < n_sides; i++) {
    g_autofree char *name = pcd_text_printable (sides[i]->domain);
    g_autofree char *summary = pcd_report_summary (sides[i]);
    g_autofree char *began = pcd_time_to_text (sides[i]->began);
    g_autofree char *lasted = pcd_duration_to_text (sides[i]->end - sides[i]->began, TRUE);
    g_string_append_printf (text,
                            /* TRANSLATORS: a domain, its role, a number, a sentence */
                            _ ("%s, %s, incident %" PRId64 "\n%s\nBegan %s, lasted %s.\n\n"), name,
                            sides[i]->role, sides[i]->id, summary, began, lasted);
    for (guint k = 0; k < sides[i]->phases->len; k++) {
      const PcdReportSpan *span = g_ptr_array_index (sides[i]->phases, k);
      if (!pcd_report_lasted (span))
        continue;
      g_autofree char *at = pcd_duration_to_text (MAX (span->from - sides[i]->began, 0), TRUE);
      g_autofree char *for_ = pcd_duration_to_text (span->to - span->from, TRUE);
      g_autofree char *padded_at = pcd_text_pad (at, 12), *word = pcd_text_pad (span->word, 12);
      /* TRANSLATORS: when it began, a phase, how long it lasted */
      g_string_append_printf (text, _ ("  +%s %s for %s\n"), padded_at, word, for_);
    }
    g_string_append_c (text, '\n');
    for (guint k = 0; k < sides[i]->actions->len; k++) {
      const PcdReportAction *action = g_ptr_array_index (sides[i]->actions, k);
      g_autofree char *at = pcd_duration_to_text (MAX (action->from - sides[i]->began, 0), TRUE);
      g_autofree char *took = pcd_duration_to_text (action->to - action->from, TRUE);
      g_autofree char *line =
          /* TRANSLATORS: an action, who wanted it, its outcome, a duration, a colon and a reason */
          g_strdup_printf (_ ("%s by %s: %s in %s%s%s"), action->action, action->who,
                           action->outcome, took, action->reason ? ": " : "", action->reason ?: "");
      g_autofree char *printable = pcd_text_printable (line);
      g_autofree char *padded_at = pcd_text_pad (at, 12);
      g_string_append_printf (text, "  +%s %s\n", padded_at, printable);
    }
    g_string_append_c (text, '\n');
  }
  return g_string_free (g_steal_pointer (&text), FALSE);
}
