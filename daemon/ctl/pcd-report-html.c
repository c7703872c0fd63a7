/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The page of an incident: the sentence, the picture, tables that say the same in words. */
#include "ctl/pcd-report.h"

#include "core/pcd-duration.h"
#include "core/pcd-record.h"

#include <glib/gi18n.h>
#include <inttypes.h>
#include <string.h>

/* Contrast of text is at least 4.5 to 1 (WCAG 2.1 AA) in both schemes. */
static const char style[] =
    ":root{color-scheme:light dark;--ink:#1c2024;--faint:#5b6570;--paper:#fff;--line:#d5dae0;"
    "--good:#2e7d4f;--warn:#8f5f00;--bad:#c53030;--calm:#4a6fa5;--dull:#66707a;--bar:#fff}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--faint:#a5b0ba;--paper:#14171a;"
    "--line:#343b42;--good:#6fcf97;--warn:#f2c14e;--bad:#ff8a80;--calm:#8fb4e8;--dull:#8a949e;"
    "--bar:#111}}"
    "body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);"
    "max-width:64rem;margin:0 auto;padding:1.5rem}"
    "h1{font-size:1.6rem;margin:0 0 .5rem}h2{font-size:1.2rem;margin:2rem 0 .5rem}"
    ".skip{position:absolute;left:-99rem}.skip:focus{position:static}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}"
    "dt,.tick,.lane{color:var(--faint);fill:var(--faint)}dd{margin:0;overflow-wrap:anywhere}"
    ".scroll{overflow-x:auto}.scroll:focus{outline:2px solid var(--calm)}"
    "table{border-collapse:collapse;width:100%;font-size:.9rem}caption{text-align:left;"
    "color:var(--faint);padding:1rem 0 .3rem}"
    "th,td{text-align:left;vertical-align:top;padding:.25rem .8rem .25rem 0;"
    "border-bottom:1px solid var(--line)}td:last-child{overflow-wrap:anywhere}"
    ".sides{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(20rem,100%),1fr));gap:0 "
    "2rem}"
    "td:first-child{white-space:nowrap;font-variant-numeric:tabular-nums}"
    "svg{width:100%;min-width:44rem;height:auto;font:12px system-ui,sans-serif}"
    ".lane{text-anchor:end}.tick{text-anchor:middle}.side{font-weight:600;font-size:14px;"
    "fill:var(--ink)}.note{fill:var(--ink)}.grid{stroke:var(--line)}.bar{fill:var(--bar)}"
    ".phase,.flow,.action{fill:var(--dull)}.blocked{fill:var(--warn)}"
    ".postcopy,.flowing,.done,.completed{fill:var(--good)}.precopy,.device{fill:var(--calm)}"
    ".retransmits,.paused,.failed,.stalled,.gone,.abandoned,.unfinished{fill:var(--bad)}"
    ".recovering,.slow,.refused{fill:var(--warn)}"
    ".legend{list-style:none;padding:0;margin:.5rem 0;font-size:.9rem;display:grid;gap:.2rem 2rem;"
    "grid-template-columns:repeat(auto-fit,minmax(min(24rem,100%),1fr))}"
    ".legend li{display:flex;gap:.6rem;align-items:baseline}"
    ".legend svg{flex:none;width:1.2rem;min-width:0;height:.8rem;overflow:visible}"
    ".mark{fill:var(--calm);stroke:var(--paper)}.mark.shutdown,.mark.cause{fill:var(--bad)}"
    "@media print{body{max-width:none;padding:0;font-size:11pt}.skip{display:none}"
    "table{page-break-inside:auto}tr,svg,li{page-break-inside:avoid}details>*{display:block}}";

static void add (GString *page, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* All that comes from outside goes through here, or through g_markup_escape_text (). */
static void
add (GString *page, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *text = g_markup_vprintf_escaped (format, args);
  va_end (args);
  g_string_append (page, text);
}

/* The policy allows this very style sheet and nothing else. */
static void
add_head (GString *page, const char *title)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  guint8 digest[32];
  gsize size = sizeof digest;

  g_checksum_update (sum, (const guchar *)style, sizeof style - 1);
  g_checksum_get_digest (sum, digest, &size);
  g_autofree char *hash = g_base64_encode (digest, size);
  add (page,
       "<!DOCTYPE html>\n<html lang=\"%s\">\n<head>\n<meta charset=\"utf-8\">\n"
       "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
       "'sha256-%s'\">\n"
       "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
       "<meta name=\"referrer\" content=\"no-referrer\">\n"
       "<title>%s</title>\n",
       /* TRANSLATORS: the tag of your language, such as de or pt-BR: a page says which it is in */
       _ ("en"), hash, title);
  g_string_append_printf (page, "<style>%s</style>\n</head>\n", style);
}

static void
add_fact (GString *page, const char *what, const char *text)
{
  add (page, "<dt>%s</dt><dd>%s</dd>\n", what, text);
}

static void
add_facts (GString *page, const PcdReportSide *side)
{
  g_autofree char *ends = pcd_report_ends (side);
  g_autofree char *summary = pcd_report_summary (side);
  g_autofree char *began = pcd_time_to_text (side->began);
  g_autofree char *end = pcd_time_to_text (side->end);
  g_autofree char *lasted = pcd_duration_to_text (side->end - side->began, TRUE);

  add (page, "<div>\n<p>%s</p>\n<dl>\n", summary);
  /* TRANSLATORS: source or destination; so in all that follow */
  g_autofree char *incident = g_strdup_printf (_ ("%" PRId64 " of the %s"), side->id, side->role);
  add_fact (page, _ ("Incident"), incident);
  if (ends)
    add_fact (page, _ ("Connection"), ends);
  add_fact (page, _ ("Began"), began);
  add_fact (page, side->how ? _ ("Ended") : _ ("Last seen"), end);
  add_fact (page, _ ("Lasted"), lasted);
  g_string_append (page, "</dl>\n</div>\n");
}

/* A table that can be scrolled must be reachable by keyboard to be scrolled by it. */
static void
begin_table (GString *page, const char *caption, const char *const *columns)
{
  add (page,
       "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"%s\"><table>"
       "<caption>%s</caption>\n<thead><tr>",
       caption, caption);
  for (; *columns; columns++)
    add (page, "<th scope=\"col\">%s</th>", *columns);
  g_string_append (page, "</tr></thead>\n<tbody>\n");
}

static void
end_table (GString *page)
{
  g_string_append (page, "</tbody></table></div>\n");
}

static char *
when (const PcdReportSide *side, gint64 time)
{
  return g_strdup_printf (_ ("+%.3f s"), (double)(time - side->began) / G_USEC_PER_SEC);
}

static void
add_spans (GString *page,
           const PcdReportSide *side,
           const char *what,
           const char *caption,
           const GPtrArray *spans)
{
  const char *const columns[] = { _ ("When"), what, _ ("For"), NULL };

  if (spans->len == 0)
    return;
  begin_table (page, caption, columns);
  for (guint i = 0; i < spans->len; i++) {
    const PcdReportSpan *span = g_ptr_array_index (spans, i);
    if (!pcd_report_lasted (span))
      continue;
    g_autofree char *at = when (side, span->from);
    g_autofree char *lasted = pcd_duration_to_text (span->to - span->from, TRUE);
    add (page, "<tr><td>%s</td><td>%s</td><td>%s</td></tr>\n", at, span->word, lasted);
  }
  end_table (page);
}

static void
add_actions (GString *page, const PcdReportSide *side)
{
  const char *const columns[] = { _ ("When"), _ ("Action"), _ ("By"), _ ("Outcome"),
                                  _ ("Took"), _ ("Reason"), NULL };
  g_autofree char *caption = g_strdup_printf (_ ("Actions on the %s"), side->role);

  if (side->actions->len == 0)
    return;
  begin_table (page, caption, columns);
  for (guint i = 0; i < side->actions->len; i++) {
    const PcdReportAction *action = g_ptr_array_index (side->actions, i);
    g_autofree char *at = when (side, action->from);
    g_autofree char *took = pcd_duration_to_text (action->to - action->from, TRUE);
    add (page, "<tr><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>\n", at,
         action->action, action->who, action->outcome, took, action->reason ?: "");
  }
  end_table (page);
}

static void
add_points (GString *page, const PcdReportSide *side)
{
  const char *const columns[] = { _ ("When"), _ ("Event"), _ ("What"), NULL };
  g_autofree char *caption = g_strdup_printf (_ ("Events on the %s"), side->role);

  if (side->points->len == 0)
    return;
  g_autofree char *summary =
      g_strdup_printf (ngettext ("%u event on the %s", "%u events on the %s", side->points->len),
                       side->points->len, side->role);
  add (page, "<details open><summary>%s</summary>\n", summary);
  begin_table (page, caption, columns);
  for (guint i = 0; i < side->points->len; i++) {
    const PcdReportPoint *point = g_ptr_array_index (side->points, i);
    g_autofree char *at = when (side, point->time);
    add (page, "<tr><td>%s</td><td>%s</td><td>%s</td></tr>\n", at, point->kind, point->text);
  }
  end_table (page);
  g_string_append (page, "</details>\n");
}

/* Shapes that are drawn, for the background of an element is not printed. */
static void
add_key (GString *page, const char *shape, const char *class, const char *text)
{
  g_string_append_printf (
      page, "<li><svg aria-hidden=\"true\" viewBox=\"0 0 18 12\"><%s class=\"%s\"/></svg>", shape,
      class);
  add (page, "<span>%s</span></li>\n", text);
}

static void
add_legend (GString *page)
{
  static const char bar[] = "rect width=\"18\" height=\"12\" rx=\"2\"";
  static const char dot[] = "circle cx=\"9\" cy=\"6\" r=\"5\"";
  const struct {
    const char *shape, *class, *text;
  } keys[] = {
    { bar, "done", _ ("well: postcopy, flowing, completed, done") },
    { bar, "precopy", _ ("before post-copy: precopy, device") },
    { bar, "slow",
      _ ("to be looked at: slow, recovering, refused; vCPUs that wait, and how many") },
    { bar, "paused",
      _ ("bad: stalled, paused, failed, gone, abandoned, unfinished; retransmissions, the higher "
         "the more") },
    { bar, "phase", _ ("anything else") },
    { dot, "mark", _ ("network: something happened") },
    { dot, "mark shutdown",
      _ ("network: the connection was given up as dead, or the cause is known") },
  };

  add (page, "<ul class=\"legend\" aria-label=\"%s\">\n",
       _ ("What the colours of the picture mean"));
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    add_key (page, keys[i].shape, keys[i].class, keys[i].text);
  add (page, "</ul>\n<p>%s</p>\n",
       _ ("The words of a bar or dot that has no room for them show where the pointer rests, and "
          "are in "
          "the tables below."));
}

char *
pcd_report_html (const PcdReportSide *const *sides, guint n_sides)
{
  g_autoptr (GString) page = g_string_new (NULL);
  g_autofree char *title = g_strdup_printf (_ ("%s: a migration in trouble"), sides[0]->domain);

  add_head (page, title);
  add (page, "<body>\n<a class=\"skip\" href=\"#words\">%s</a>\n<main>\n<h1>%s</h1>\n",
       _ ("Skip the picture"), title);
  add (page, "<dl><dt>%s</dt><dd>%s</dd><dt>UUID</dt><dd>%s</dd></dl>\n", _ ("Domain"),
       sides[0]->domain, sides[0]->uuid);
  g_string_append (page, "<div class=\"sides\">\n");
  for (guint i = 0; i < n_sides; i++)
    add_facts (page, sides[i]);
  g_string_append (page, "</div>\n");
  if (n_sides > 1)
    add (page, "<p>%s</p>\n", _ ("Each side's times are by its own clock."));
  add (page,
       "<h2>%s</h2>\n<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"%s\">\n",
       _ ("What happened when"), _ ("Picture of what happened when"));
  pcd_report_svg (page, sides, n_sides);
  g_string_append (page, "</div>\n");
  add_legend (page);
  g_string_append (page, "<div id=\"words\">\n");
  for (guint i = 0; i < n_sides; i++) {
    g_autofree char *heading = g_strdup_printf (_ ("The %s in words"), sides[i]->role);
    add (page, "<h2>%s</h2>\n", heading);
    g_autofree char *phases = g_strdup_printf (_ ("Phases of the %s"), sides[i]->role);
    g_autofree char *flows = g_strdup_printf (_ ("Flows of the %s"), sides[i]->role);
    add_spans (page, sides[i], _ ("Phase"), phases, sides[i]->phases);
    add_spans (page, sides[i], _ ("Flow"), flows, sides[i]->flows);
    add_actions (page, sides[i]);
    add_points (page, sides[i]);
  }
  g_string_append (page, "</div>\n</main>\n</body>\n</html>\n");
  return g_string_free (g_steal_pointer (&page), FALSE);
}
