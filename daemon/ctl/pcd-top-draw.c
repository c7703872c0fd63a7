/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Puts a picture together: titles, the text of a pane, and how old all of it is. */
#include "core/pcd-record.h"
#include "ctl/pcd-show-block.h"
#include "ctl/pcd-show.h"
#include "ctl/pcd-top-screen.h"
#include "ctl/pcd-top-text.h"
#include "ctl/pcd-show-threads.h"
#include "ctl/pcd-top.h"

#include <glib/gi18n.h>
#include <string.h>

#define DRAW_USEC     (200 * G_TIME_SPAN_MILLISECOND)
#define KEY_DRAW_USEC (20 * G_TIME_SPAN_MILLISECOND)

static const char help[] =
    N_ ("Up Down j k PgUp PgDn Home End   select a migration, or scroll a page. The first\n"
        "        row is whichever is first; below it, the selection follows its migration\n"
        "Enter   what is the matter with it, and what you can do; on that page\n"
        "i       the threads of its QEMU: which of them wait for missing memory\n"
        "Esc q   back; q on the list ends top\n"
        "\n"
        "h       hold it, at once: no automatic action from now on.\n"
        "        If it is held, release it: asks first\n"
        "c       recover it: reconnect a paused migration, from its source: asks first\n"
        "\n"
        "p worst trouble first       n by name       b most blocked vCPUs first\n"
        "r highest page rate first, as known of rows that were on the screen\n"
        "t longest in its phase first                R the other way round\n"
        "/       only names with these letters in them; Esc shows all again\n"
        "\n"
        "%s.  S/D: source or destination\n"
        "BLOCKED and its picture: vCPUs that wait for missing memory; full is all\n"
        "PAGES/S, RATE and picture: pages per second, each row by its own highest\n"
        "MISSING: memory that the destination does not have yet");

/* As everywhere here, UTC. */
static char *
clock_of (gint64 usec)
{
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc (usec / G_USEC_PER_SEC);

  return g_date_time_format (time, "%H:%M:%SZ");
}

/* ---- how old it is ---- */

/* (nullable): for the title. */
static char *
describe_age (const PcdTop *self, gint64 now)
{
  const PcdClientState *state = pcd_top_model_get_state (self->model);

  if (!self->lost && (!state || state->connected))
    return NULL;
  const gint64 since = self->lost ? self->lost_time : state->connection_since;
  g_autofree char *when = clock_of (since);
  g_autofree char *ago = pcd_top_age (now - since);
  const char *why = self->lost ?: _ ("postcopyd is not connected to libvirt");

  if (!state)
    return g_strdup_printf (_ ("nothing known yet: %s"), why);
  return g_strdup_printf (_ ("last known, old since %s (%s): %s"), when, ago, why);
}

/* What is done about it. */
static char *
describe_remedy (const PcdTop *self)
{
  const PcdClientState *state = pcd_top_model_get_state (self->model);

  if (self->lost)
    return g_strdup_printf (_ ("trying again; h and c cannot act until it is back: %s"),
                            self->lost);
  return g_strdup_printf (_ ("postcopyd tries again by itself: %s"), state->connection_reason);
}

/* ---- titles ---- */

static const char *
describe_sort (PcdTopSort sort)
{
  static const char *const names[PCD_TOP_N_SORTS] = {
    N_ ("by trouble"), N_ ("by name"), N_ ("by blocked"), N_ ("by rate"), N_ ("by since"),
  };

  return _ (names[sort]);
}

static char *
make_list_title (const PcdTop *self)
{
  if (!pcd_top_model_get_state (self->model))
    return g_strdup (_ ("connecting"));
  const guint n = pcd_top_model_get_n_all (self->model);
  GString *title = g_string_new (NULL);

  g_string_append_printf (title, ngettext ("%u migration", "%u migrations", n), n);
  g_string_append_printf (title, _ (", %u in trouble, "),
                          pcd_top_model_get_n_in_trouble (self->model));
  g_string_append (title, describe_sort (pcd_top_model_get_sort (self->model)));
  if (pcd_top_model_is_reversed (self->model))
    g_string_append (title, _ (", reversed"));
  if (self->filter->len > 0)
    g_string_append_printf (title, _ ("; %u with '%s'"), pcd_top_model_get_n (self->model),
                            self->filter->str);
  return g_string_free (title, FALSE);
}

static char *
make_pane_title (const PcdTop *self)
{
  const PcdTopRow *row = self->shown ? pcd_top_model_find (self->model, self->shown) : NULL;

  if (self->pane == PCD_TOP_HELP)
    return g_strdup (_ ("help"));
  g_autofree char *when = clock_of (self->text_time);
  if (!row)
    return g_strdup_printf (_ ("%s: not there any more; as of %s"), self->shown_name, when);
  if (self->pane == PCD_TOP_THREADS && self->seen)
    return g_strdup_printf (_ ("threads of %s (%s), process %d, as of %s"), self->shown_name,
                            row->migration->role, row->migration->pid, when);
  if (self->pane == PCD_TOP_THREADS)
    return g_strdup_printf (_ ("threads of %s (%s)"), self->shown_name, row->migration->role);
  return g_strdup_printf (_ ("%s (%s), as of %s"), self->shown_name, row->migration->role, when);
}

/* ---- panes ---- */

static char *
make_threads (const PcdTop *self, const PcdTerminal *terminal)
{
  const PcdTopSeen *seen = self->seen;

  if (!seen)
    return g_strdup (_ ("looking at its threads ..."));
  if (seen->report)
    return pcd_show_threads (seen->report, terminal);
  g_autofree char *problem = pcd_text_printable (seen->problem ?: "");
  g_autofree char *text =
      g_strdup_printf (_ ("Its threads cannot be shown: %s. "
                          "This is tried again by itself; Enter shows what postcopyd knows."),
                       problem);
  GString *wrapped = g_string_new (NULL);
  pcd_terminal_wrap (terminal, wrapped, text, 0);
  return g_string_free (wrapped, FALSE);
}

static char *
make_help (const PcdTerminal *terminal)
{
  return g_strdup_printf (_ (help), terminal->unicode ? _ ("! bad  ▲ look at it  ● well  · ended")
                                                      : _ ("! bad  ~ look at it  * well  . ended"));
}

/* What is gone stays as it was known last. */
static void
make_text (PcdTop *self, gint64 now)
{
  const PcdTerminal *terminal = pcd_top_screen_get_terminal ();
  const PcdTopRow *row = self->shown ? pcd_top_model_find (self->model, self->shown) : NULL;
  char *text = NULL;

  if (self->pane == PCD_TOP_HELP)
    text = make_help (terminal);
  else if (self->pane == PCD_TOP_THREADS)
    text = make_threads (self, terminal);
  else if (row)
    text = pcd_show_block (pcd_top_model_get_state (self->model), row->migration,
                           self->seen && self->seen->has_look ? &self->seen->look : NULL, terminal,
                           now);
  if (!text)
    return;
  g_free (self->text);
  self->text = text;
  if (self->pane == PCD_TOP_THREADS)
    self->text_time = self->seen ? self->seen->time : now;
  else
    self->text_time = self->lost ? self->lost_time : now;
}

/* ---- the lines below ---- */

static char *
make_detail (const PcdTop *self, gboolean is_old, gint64 now)
{
  const PcdClientMigration *m = pcd_top_get_current (self);

  if (is_old)
    return describe_remedy (self);
  if (!m)
    return g_strdup ("");
  g_autofree char *deeds = pcd_top_deeds (m, now);
  if (!*m->last_action)
    return g_strdup_printf ("%s: %s", m->name, deeds);
  return g_strdup_printf (_ ("%s: %s; did %s: %s"), m->name, deeds, m->last_action,
                          m->last_outcome);
}

static char *
make_message (const PcdTop *self)
{
  if (self->typing)
    return g_strdup_printf (_ ("only names with: %s_   (Enter keeps it, Esc shows all)"),
                            self->filter->str);
  return g_strdup (self->message ?: "");
}

static const char *
keys_of (const PcdTop *self)
{
  switch (self->pane) {
  case PCD_TOP_HELP:
    return _ ("q Esc back  Up Down PgUp PgDn scroll");
  case PCD_TOP_DETAIL:
    return _ ("q Esc back  h hold  c recover  i threads  Up Down PgUp PgDn scroll");
  case PCD_TOP_THREADS:
    return _ ("q Esc back  h hold  c recover  Enter detail  Up Down PgUp PgDn scroll");
  default:
    return _ ("q quit ? help Enter detail i threads h hold c recover / filter pnbrtR sort");
  }
}

static char *
describe_nothing (const PcdTop *self)
{
  if (!pcd_top_model_get_state (self->model))
    return g_strdup (_ ("nothing is known yet"));
  if (pcd_top_model_get_n_all (self->model) > 0)
    return g_strdup_printf (_ ("no name with '%s' in it; Esc shows all"), self->filter->str);
  return g_strdup (_ ("no migrations; one that starts appears here by itself"));
}

void
pcd_top_draw (PcdTop *self)
{
  const gint64 now = g_get_real_time ();
  g_autofree char *age = describe_age (self, now);
  g_autofree char *nothing = describe_nothing (self);
  g_autofree char *message = make_message (self);
  g_autofree char *detail = make_detail (self, age != NULL, now);

  if (self->pane != PCD_TOP_LIST)
    make_text (self, now);
  g_autofree char *own =
      self->pane == PCD_TOP_LIST ? make_list_title (self) : make_pane_title (self);
  g_autofree char *title = g_strconcat ("postcopyctl top: ", age ?: own, NULL);
  /* Whose pane it is, comes first. */
  if (age && self->pane != PCD_TOP_LIST) {
    g_free (title);
    title = g_strconcat (own, "; ", age, NULL);
  }
  PcdTopPicture picture = {
    .model = self->model,
    .title = title,
    .is_old = age != NULL,
    .detail = detail,
    .message = message,
    .keys = keys_of (self),
    .pane = self->pane == PCD_TOP_LIST ? NULL : self->text,
    .pane_first = self->pane_first,
    .nothing = nothing,
    .now = now,
  };
  pcd_top_screen_draw (&picture);
  self->pane_first = picture.pane_first;
  self->drawn = g_get_monotonic_time ();
}

static gboolean
on_draw (gpointer data)
{
  PcdTop *self = data;

  self->draw_id = 0;
  pcd_top_draw (self);
  return G_SOURCE_REMOVE;
}

/* At once, but for one that is held down: it repeats 30 times a second. */
void
pcd_top_draw_for_key (PcdTop *self)
{
  const gint64 left = self->drawn + KEY_DRAW_USEC - g_get_monotonic_time ();

  g_clear_handle_id (&self->draw_id, g_source_remove);
  if (left <= 0)
    pcd_top_draw (self);
  else
    self->draw_id = g_timeout_add ((guint)(left / G_TIME_SPAN_MILLISECOND + 1), on_draw, self);
}

void
pcd_top_draw_soon (PcdTop *self)
{
  const gint64 left = self->drawn + DRAW_USEC - g_get_monotonic_time ();

  if (!self->draw_id)
    self->draw_id = g_timeout_add ((guint)(CLAMP (left, 0, DRAW_USEC) / G_TIME_SPAN_MILLISECOND),
                                   on_draw, self);
}

void
pcd_top_say (PcdTop *self, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_free (self->message);
  self->message = g_strdup_vprintf (format, args);
  va_end (args);
  pcd_top_draw_soon (self);
}
