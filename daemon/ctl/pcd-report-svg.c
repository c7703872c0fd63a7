/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The picture of an incident: a lane each for phase, flow, waiting vCPUs and each of them, actions,
 * the network and retransmissions, of one side or both, over one axis of time. Colours are the
 * style sheet's, by class. */
#include "ctl/pcd-report.h"

#include "core/pcd-duration.h"

#include <glib/gi18n.h>
#include <string.h>

#define WIDTH       960
#define LEFT        130
#define RIGHT       20
#define LANE        26
#define GAP         8
#define LETTER      6.6 /* width of one in the labels of bars */
#define NARROWEST   2.0
#define MARK_RADIUS 4

typedef struct {
  GString *to;
  gint64 from;
  gint64 until;
  int y;
} Picture;

static double
x_of (const Picture *self, gint64 time)
{
  const double share = (double)(time - self->from) / (double)(self->until - self->from);

  return LEFT + CLAMP (share, 0, 1) * (WIDTH - LEFT - RIGHT);
}

/* Numbers as CSS and SVG read them, whatever the locale. */
static const char *
number (char *buffer, double value)
{
  return g_ascii_formatd (buffer, G_ASCII_DTOSTR_BUF_SIZE, "%.1f", value);
}

static void
add_label (Picture *self, const char *label)
{
  g_autofree char *safe = g_markup_escape_text (label, -1);

  g_string_append_printf (self->to, "<text class=\"lane\" x=\"%d\" y=\"%d\">%s</text>\n", LEFT - 10,
                          self->y + LANE / 2 + 4, safe);
}

static void
add_bar (
    Picture *self, gint64 from, gint64 to, const char *class, const char *word, const char *title)
{
  char x[G_ASCII_DTOSTR_BUF_SIZE], w[G_ASCII_DTOSTR_BUF_SIZE];
  const double left = x_of (self, from), width = MAX (x_of (self, to) - left, NARROWEST);
  g_autofree char *safe_word = g_markup_escape_text (word, -1);
  g_autofree char *safe_title = g_markup_escape_text (title, -1);

  g_string_append_printf (self->to,
                          "<g><title>%s</title><rect class=\"%s\" x=\"%s\" y=\"%d\" width=\"%s\" "
                          "height=\"%d\" rx=\"2\"/>",
                          safe_title, class, number (x, left), self->y, number (w, width), LANE);
  if ((double)g_utf8_strlen (word, -1) * LETTER + 6 < width)
    g_string_append_printf (self->to, "<text class=\"bar\" x=\"%s\" y=\"%d\">%s</text>",
                            number (x, left + 4), self->y + LANE / 2 + 4, safe_word);
  g_string_append (self->to, "</g>\n");
}

/* Words of phases and flows are ours and become classes; a newer postcopyd's have no colour. */
static char *
class_of (const char *lane, const char *word)
{
  g_autofree char *safe = g_strcanon (g_strdup (word), "abcdefghijklmnopqrstuvwxyz-", '-');

  return g_strconcat (lane, " ", safe, NULL);
}

static void
add_spans (Picture *self, const char *label, const char *lane, const GPtrArray *spans)
{
  if (spans->len == 0)
    return;
  add_label (self, label);
  for (guint i = 0; i < spans->len; i++) {
    const PcdReportSpan *span = g_ptr_array_index (spans, i);
    g_autofree char *class = class_of (lane, span->word);
    g_autofree char *lasted = pcd_duration_to_text (span->to - span->from, TRUE);
    g_autofree char *title = g_strdup_printf (_ ("%s for %s"), span->word, lasted);
    if (!g_str_equal (span->word, "none") && pcd_report_lasted (span))
      add_bar (self, span->from, span->to, class, span->word, title);
  }
  self->y += LANE + GAP;
}

static void
add_blocked (Picture *self, const PcdReportSide *side)
{
  const PcdReportPoint *last = NULL;
  gboolean any = FALSE;

  for (guint i = 0; i <= side->points->len; i++) {
    const PcdReportPoint *point =
        i < side->points->len ? g_ptr_array_index (side->points, i) : NULL;
    if (point && !g_str_equal (point->kind, "blocked"))
      continue;
    if (last && last->number > 0) {
      g_autofree char *word = g_strdup_printf ("%u", last->number);
      g_autofree char *title =
          g_strdup_printf (ngettext ("%u vCPU waits for missing memory",
                                     "%u vCPUs wait for missing memory", last->number),
                           last->number);
      add_bar (self, last->time, point ? point->time : side->end, "blocked", word, title);
      any = TRUE;
    }
    last = point;
  }
  if (!any)
    return;
  add_label (self, _ ("vCPUs waiting"));
  self->y += LANE + GAP;
}

static void
add_threads (Picture *self, const PcdReportSide *side)
{
  for (guint i = 0; i < side->threads->len; i++) {
    const PcdReportThread *thread = g_ptr_array_index (side->threads, i);
    g_autofree char *label = thread->vcpu >= 0 ? g_strdup_printf (_ ("vCPU %d waits"), thread->vcpu)
                                               : g_strdup_printf (_ ("%d waits"), thread->tid);
    add_spans (self, label, "blocked", thread->waits);
  }
}

/* Steps: as high as there were tries without an answer. */
static void
add_retransmits (Picture *self, const PcdReportSide *side)
{
  guint most = 0;

  for (guint i = 0; i < side->samples->len; i++)
    most = MAX (most, g_array_index (side->samples, PcdReportSample, i).retransmits);
  if (most == 0)
    return;
  add_label (self, _ ("retransmits"));
  for (guint i = 0; i < side->samples->len; i++) {
    const PcdReportSample *sample = &g_array_index (side->samples, PcdReportSample, i);
    const gint64 to = i + 1 < side->samples->len ? sample[1].time : side->end;
    const double left = x_of (self, sample->time),
                 height = (double)LANE * sample->retransmits / most;
    char x[G_ASCII_DTOSTR_BUF_SIZE], y[G_ASCII_DTOSTR_BUF_SIZE], w[G_ASCII_DTOSTR_BUF_SIZE],
        h[G_ASCII_DTOSTR_BUF_SIZE];
    if (sample->retransmits == 0)
      continue;
    g_autofree char *safe = g_markup_printf_escaped (
        _ ("%u retransmissions without an answer, %u segments not acknowledged"),
        sample->retransmits, sample->unacked);
    g_string_append_printf (
        self->to,
        "<rect class=\"retransmits\" x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\">"
        "<title>%s</title></rect>\n",
        number (x, left), number (y, self->y + LANE - height),
        number (w, MAX (x_of (self, to) - left, NARROWEST)), number (h, height), safe);
  }
  self->y += LANE + GAP;
}

/* Most actions are too short for a label of their own: it stands behind, if the next leaves room.
 */
static void
label_action (Picture *self, const PcdReportSide *side, guint i)
{
  const PcdReportAction *action = g_ptr_array_index (side->actions, i);
  const double width = (double)g_utf8_strlen (action->action, -1) * LETTER + 6;
  const double left = x_of (self, action->from), right = MAX (x_of (self, action->to), left + 2);
  double room = WIDTH - RIGHT - right;
  char x[G_ASCII_DTOSTR_BUF_SIZE];

  if (i + 1 < side->actions->len)
    room = x_of (self, ((PcdReportAction *)g_ptr_array_index (side->actions, i + 1))->from) - right;
  if (width < right - left || width > room)
    return;
  g_autofree char *safe = g_markup_escape_text (action->action, -1);
  g_string_append_printf (self->to, "<text class=\"note\" x=\"%s\" y=\"%d\">%s</text>\n",
                          number (x, right + 3), self->y + LANE / 2 + 4, safe);
}

static void
add_actions (Picture *self, const PcdReportSide *side)
{
  if (side->actions->len == 0)
    return;
  add_label (self, _ ("actions"));
  for (guint i = 0; i < side->actions->len; i++) {
    const PcdReportAction *action = g_ptr_array_index (side->actions, i);
    label_action (self, side, i);
    g_autofree char *class = class_of ("action", action->outcome);
    g_autofree char *title = g_strdup_printf ("%s: %s%s%s", action->action, action->outcome,
                                              action->reason ? ": " : "", action->reason ?: "");
    add_bar (self, action->from, action->to, class, action->action, title);
  }
  self->y += LANE + GAP;
}

static gboolean
is_network (const PcdReportPoint *point)
{
  return g_str_equal (point->kind, "armed") || g_str_equal (point->kind, "shutdown") ||
         g_str_equal (point->kind, "cause") || g_str_equal (point->kind, "libvirt");
}

/* What a dot means stands behind it, if the next leaves room. */
static void
label_point (Picture *self, const PcdReportSide *side, guint i)
{
  const PcdReportPoint *point = g_ptr_array_index (side->points, i);
  const char *word = g_str_equal (point->kind, "armed")      ? _ ("connection watched")
                     : g_str_equal (point->kind, "shutdown") ? _ ("given up as dead")
                     : g_str_equal (point->kind, "cause")    ? _ ("cause known")
                                                             : point->text;
  const double left = x_of (self, point->time) + MARK_RADIUS;
  double room = WIDTH - RIGHT - left;
  char x[G_ASCII_DTOSTR_BUF_SIZE];

  for (guint k = i + 1; k < side->points->len; k++) {
    const PcdReportPoint *next = g_ptr_array_index (side->points, k);
    if (!is_network (next))
      continue;
    room = x_of (self, next->time) - MARK_RADIUS - left;
    break;
  }
  if ((double)g_utf8_strlen (word, -1) * LETTER + 6 > room)
    return;
  g_autofree char *safe = g_markup_escape_text (word, -1);
  g_string_append_printf (self->to, "<text class=\"note\" x=\"%s\" y=\"%d\">%s</text>\n",
                          number (x, left + 3), self->y + LANE / 2 + 4, safe);
}

static void
add_network (Picture *self, const PcdReportSide *side)
{
  char x[G_ASCII_DTOSTR_BUF_SIZE];
  gboolean any = FALSE;

  for (guint i = 0; i < side->points->len; i++) {
    const PcdReportPoint *point = g_ptr_array_index (side->points, i);
    if (!is_network (point))
      continue;
    g_autofree char *text = g_markup_printf_escaped ("%s: %s", point->kind, point->text);
    g_string_append_printf (self->to,
                            "<circle class=\"mark %s\" cx=\"%s\" cy=\"%d\" r=\"%d\">"
                            "<title>%s</title></circle>\n",
                            point->kind, number (x, x_of (self, point->time)), self->y + LANE / 2,
                            MARK_RADIUS, text);
    label_point (self, side, i);
    any = TRUE;
  }
  if (!any)
    return;
  add_label (self, _ ("network"));
  self->y += LANE + GAP;
}

/* Steps of 1, 2 or 5 times a power of ten seconds, or of minutes: no more than eight ticks. */
static gint64
tick_step (gint64 span)
{
  static const double seconds[] = { .01, .02, .05, .1,  .2,  .5,   1,    2,    5,    10,   20,
                                    30,  60,  120, 300, 600, 1200, 1800, 3600, 7200, 21600 };

  for (guint i = 0; i < G_N_ELEMENTS (seconds); i++)
    if ((double)span / (seconds[i] * G_USEC_PER_SEC) <= 8)
      return (gint64)(seconds[i] * G_USEC_PER_SEC);
  return 86400 * (gint64)G_USEC_PER_SEC;
}

static void
add_axis (Picture *self)
{
  const gint64 step = tick_step (self->until - self->from);

  for (gint64 t = 0; t <= self->until - self->from; t += step) {
    char x[G_ASCII_DTOSTR_BUF_SIZE], seconds[G_ASCII_DTOSTR_BUF_SIZE];
    number (x, x_of (self, self->from + t));
    g_ascii_formatd (seconds, sizeof seconds, step < G_USEC_PER_SEC ? "%.2f" : "%.0f",
                     (double)t / G_USEC_PER_SEC);
    g_string_append_printf (self->to,
                            "<line class=\"grid\" x1=\"%s\" x2=\"%s\" y1=\"0\" y2=\"%d\"/>"
                            "<text class=\"tick\" x=\"%s\" y=\"%d\">+%s s</text>\n",
                            x, x, self->y, x, self->y + 16, seconds);
  }
}

void
pcd_report_svg (GString *to, const PcdReportSide *const *sides, guint n_sides)
{
  g_autoptr (GString) lanes = g_string_new (NULL);
  Picture picture = { .to = lanes, .from = G_MAXINT64, .until = G_MININT64 };

  for (guint i = 0; i < n_sides; i++) {
    picture.from = MIN (picture.from, sides[i]->began);
    picture.until = MAX (picture.until, sides[i]->end);
  }
  picture.until = MAX (picture.until, picture.from + 1000);
  for (guint i = 0; i < n_sides; i++) {
    g_autofree char *ends = pcd_report_ends (sides[i]);
    g_autofree char *role =
        g_markup_printf_escaped ("%s%s%s", sides[i]->role, ends ? ", " : "", ends ?: "");
    g_string_append_printf (lanes, "<text class=\"side\" x=\"0\" y=\"%d\">%s</text>\n",
                            picture.y + 16, role);
    picture.y += 24;
    add_spans (&picture, _ ("phase"), "phase", sides[i]->phases);
    add_spans (&picture, _ ("flow"), "flow", sides[i]->flows);
    add_blocked (&picture, sides[i]);
    add_threads (&picture, sides[i]);
    add_actions (&picture, sides[i]);
    add_network (&picture, sides[i]);
    add_retransmits (&picture, sides[i]);
    picture.y += GAP;
  }
  g_autofree char *title = g_markup_escape_text (_ ("What happened when"), -1);
  g_autofree char *text =
      g_markup_escape_text (_ ("Lanes over time; the tables below say the same in words."), -1);
  Picture axis = picture;
  g_autoptr (GString) grid = g_string_new (NULL);
  axis.to = grid;
  add_axis (&axis);
  g_string_append_printf (
      to,
      "<svg role=\"img\" aria-labelledby=\"picture-title\" aria-describedby=\"picture-text\" "
      "viewBox=\"0 0 %d %d\">\n"
      "<title id=\"picture-title\">%s</title>\n"
      "<desc id=\"picture-text\">%s</desc>\n%s%s</svg>\n",
      WIDTH, picture.y + 24, title, text, grid->str, lanes->str);
}
