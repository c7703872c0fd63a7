/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What keys do. What may change a guest names it and asks first; to hold it is harmless, and is
 * wanted quickly. */
#include "bus/pcd-bus-error.h"
#include "ctl/pcd-top-screen.h"
#include "ctl/pcd-top.h"

#include <glib/gi18n.h>
#include <string.h>

/* The daemon may ask polkit, and polkit a person; a recovery itself takes a while. */
#define ANSWER_MSEC (150 * 1000)
#define ESCAPE      27
#define ERASE_ALL   21 /* Ctrl-U */
#define MAX_FILTER  60 /* bytes */

/* ---- acting ---- */

typedef struct {
  PcdTop *top;
  char *name;
  const char *word;
} Order;

static void
order_free (gpointer data)
{
  Order *order = data;

  g_free (order->name);
  g_free (order);
}

static void
on_outcome (GVariant *reply, const GError *error, gpointer data)
{
  const Order *order = data;
  const char *outcome = _ ("done"), *reason = "";

  if (!reply) {
    const gboolean refused = g_error_matches (error, PCD_BUS_ERROR, PCD_BUS_ERROR_NOT_AUTHORIZED) ||
                             g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_ACCESS_DENIED);
    g_autoptr (GError) copy = g_error_copy (error);
    g_dbus_error_strip_remote_error (copy);
    pcd_top_say (order->top, "%s: %s: %s: %s", order->name, order->word,
                 refused ? _ ("refused") : _ ("failed"), copy->message);
    return;
  }
  if (g_variant_n_children (reply) == 2)
    g_variant_get (reply, "(&s&s)", &outcome, &reason);
  pcd_top_say (order->top, "%s: %s: %s%s%s", order->name, order->word, outcome, *reason ? ": " : "",
               reason);
}

static void
act (PcdTop *self)
{
  const gboolean is_act = g_str_equal (self->method, "Act");
  const PcdClientQuestion question = {
    .path = self->path,
    .method = self->method,
    .arguments = is_act ? g_variant_new ("(sa{sv})", "recover", NULL) : NULL,
    .reply_type = is_act ? "(ss)" : "()",
    .timeout_msec = ANSWER_MSEC,
  };
  Order *order = g_new0 (Order, 1);

  *order = (Order){ self, g_strdup (self->name), self->word };
  pcd_top_say (self, _ ("%s: %s: asked"), self->name, self->word);
  if (!pcd_top_link_ask (self->link, &question, on_outcome, order, order_free))
    pcd_top_say (self, _ ("%s: %s: not asked: %s"), self->name, self->word,
                 self->lost ?: _ ("postcopyd is not there"));
}

static void
want (PcdTop *self, const PcdClientMigration *m, const char *method, const char *word)
{
  if (self->lost) {
    pcd_top_say (self, _ ("%s: %s: not asked: %s"), m->name, word, self->lost);
    return;
  }
  g_free (self->path);
  g_free (self->name);
  self->path = g_strdup (m->path);
  self->name = g_strdup (m->name);
  self->method = method;
  self->word = word;
  if (g_str_equal (method, "Hold")) {
    act (self);
    self->method = NULL;
    return;
  }
  pcd_top_say (self, _ ("%s %s (%s)? [y/N]"), word, m->name, m->role);
}

static void
confirm (PcdTop *self, int key)
{
  if (key == 'y' || key == 'Y')
    act (self);
  else
    pcd_top_say (self, _ ("%s: %s: left alone"), self->name, self->word);
  self->method = NULL;
}

/* ---- panes ---- */

static void
open_pane (PcdTop *self, PcdTopPane pane, const PcdClientMigration *m)
{
  self->pane = pane;
  self->pane_first = 0;
  g_clear_pointer (&self->text, g_free);
  g_clear_pointer (&self->seen, pcd_top_seen_free);
  if (!m)
    return;
  g_autofree char *path = g_strdup (m->path), *name = g_strdup (m->name);
  g_free (self->shown);
  g_free (self->shown_name);
  self->shown = g_steal_pointer (&path);
  self->shown_name = g_steal_pointer (&name);
  pcd_top_look_again (self);
}

static void
close_pane (PcdTop *self)
{
  self->pane = PCD_TOP_LIST;
  g_clear_pointer (&self->shown, g_free);
  g_clear_pointer (&self->seen, pcd_top_seen_free);
}

const PcdClientMigration *
pcd_top_get_current (const PcdTop *self)
{
  if (self->pane == PCD_TOP_DETAIL || self->pane == PCD_TOP_THREADS) {
    const PcdTopRow *row = pcd_top_model_find (self->model, self->shown);
    return row ? row->migration : NULL;
  }
  if (pcd_top_model_get_n (self->model) == 0)
    return NULL;
  return pcd_top_model_get_row (self->model, pcd_top_model_get_selected (self->model))->migration;
}

static void
on_looked (PcdTopSeen *seen, gpointer data)
{
  PcdTop *self = data;

  self->looking = FALSE;
  if (g_strcmp0 (seen->path, self->shown) != 0 ||
      (self->pane == PCD_TOP_THREADS) != (seen->report || seen->problem)) {
    pcd_top_seen_free (seen);
    pcd_top_look_again (self);
    return;
  }
  g_clear_pointer (&self->seen, pcd_top_seen_free);
  self->seen = seen;
  pcd_top_draw_soon (self);
}

void
pcd_top_look_again (PcdTop *self)
{
  if (self->looking || (self->pane != PCD_TOP_DETAIL && self->pane != PCD_TOP_THREADS))
    return;
  const PcdClientMigration *m = pcd_top_get_current (self);
  if (!m)
    return;
  self->looking = TRUE;
  pcd_top_look (self->ctl, m, self->pane == PCD_TOP_THREADS, on_looked, self);
}

/* ---- keys ---- */

static gboolean
sort_by_key (PcdTop *self, int key)
{
  static const char keys[PCD_TOP_N_SORTS + 1] = { 'p', 'n', 'b', 'r', 't', '\0' };
  const char *found = key > 0 && key < 0x80 ? strchr (keys, key) : NULL;

  if (key == 'R')
    pcd_top_model_reverse (self->model);
  else if (found)
    pcd_top_model_sort (self->model, (PcdTopSort)(found - keys));
  return found || key == 'R';
}

/* 0 is no key to move by. */
static int
steps_of (int key, guint height)
{
  const int page = (int)MAX (height, 1);

  switch (key) {
  case PCD_TOP_KEY_UP:
  case 'k':
    return -1;
  case PCD_TOP_KEY_DOWN:
  case 'j':
    return 1;
  case PCD_TOP_KEY_PAGE_UP:
    return -page;
  case PCD_TOP_KEY_PAGE_DOWN:
    return page;
  case PCD_TOP_KEY_HOME:
    return -G_MAXINT / 2;
  case PCD_TOP_KEY_END:
    return G_MAXINT / 2;
  default:
    return 0;
  }
}

/* Keys that are about one migration, on the list and on its pages. */
static gboolean
on_migration_key (PcdTop *self, int key)
{
  const PcdClientMigration *m = pcd_top_get_current (self);

  if (key <= 0 || key >= 0x80 || !strchr ("hci\n", key))
    return FALSE;
  if (!m)
    pcd_top_say (self, _ ("there is no migration to do that with"));
  else if (key == 'h')
    want (self, m, m->held ? "Release" : "Hold", m->held ? _ ("release") : _ ("hold"));
  else if (key == 'c')
    want (self, m, "Act", _ ("recover"));
  else
    open_pane (self, key == 'i' ? PCD_TOP_THREADS : PCD_TOP_DETAIL, m);
  return TRUE;
}

static void
on_pane_key (PcdTop *self, int key)
{
  const int steps = steps_of (key, pcd_top_screen_get_pane_height ());

  if (key == ESCAPE || key == 'q' || (self->pane == PCD_TOP_HELP && key == '?'))
    close_pane (self);
  else if (steps != 0)
    self->pane_first = (guint)CLAMP ((gint64)self->pane_first + steps, 0, G_MAXINT / 2);
  else if (self->pane != PCD_TOP_HELP)
    (void)on_migration_key (self, key);
}

static void
set_filter (PcdTop *self, const char *text)
{
  if (text != self->filter->str)
    g_string_assign (self->filter, text);
  pcd_top_model_filter (self->model, self->filter->str);
}

static void
on_typed (PcdTop *self, int key)
{
  GString *filter = self->filter;

  if (key == '\n' || key == ESCAPE)
    self->typing = FALSE;
  if (key == ESCAPE || key == ERASE_ALL)
    set_filter (self, "");
  if (key == PCD_TOP_KEY_BACKSPACE && filter->len > 0)
    g_string_truncate (
        filter,
        (gsize)(g_utf8_find_prev_char (filter->str, filter->str + filter->len) - filter->str));
  if (key < PCD_TOP_KEY_OTHER && g_unichar_isprint ((gunichar)key) && filter->len < MAX_FILTER)
    g_string_append_unichar (filter, (gunichar)key);
  set_filter (self, filter->str);
}

static void
on_list_key (PcdTop *self, int key)
{
  const int steps = steps_of (key, pcd_top_screen_get_height ());

  if (key == 'q') {
    g_main_loop_quit (self->loop);
  } else if (key == '?') {
    open_pane (self, PCD_TOP_HELP, NULL);
  } else if (key == '/') {
    self->typing = TRUE;
  } else if (key == ESCAPE) {
    set_filter (self, "");
    g_clear_pointer (&self->message, g_free);
  } else if (steps != 0) {
    pcd_top_model_move (self->model, steps);
  } else if (!sort_by_key (self, key)) {
    (void)on_migration_key (self, key);
  }
}

void
pcd_top_on_key (PcdTop *self, int key)
{
  if (self->method)
    confirm (self, key);
  else if (self->typing)
    on_typed (self, key);
  else if (self->pane != PCD_TOP_LIST)
    on_pane_key (self, key);
  else
    on_list_key (self, key);
}
