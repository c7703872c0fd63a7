/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A table for people and JSON for programs, out of one PcdClientState. */
#include "ctl/pcd-show.h"

#include "core/pcd-action.h"
#include "core/pcd-json.h"
#include "core/pcd-ladder.h"
#include "core/pcd-text.h"

#include <glib/gi18n.h>
#include <json-glib/json-glib.h>
#include <string.h>

#define N_COLUMNS 6

gboolean
pcd_show_matches (const PcdClientMigration *migration, const char *domain)
{
  return !domain || g_str_equal (migration->name, domain) ||
         g_ascii_strcasecmp (migration->uuid, domain) == 0;
}

gboolean
pcd_show_is_phase (const PcdClientMigration *migration, PcdPhase phase)
{
  return g_str_equal (migration->phase, pcd_phase_to_string (phase));
}

gboolean
pcd_show_is_flow (const PcdClientMigration *migration, PcdFlow flow)
{
  return pcd_show_is_phase (migration, PCD_PHASE_POSTCOPY) &&
         g_str_equal (migration->flow, pcd_flow_to_string (flow));
}

gboolean
pcd_show_is_source (const PcdClientMigration *migration)
{
  return g_str_equal (migration->role, pcd_role_to_string (PCD_ROLE_SOURCE));
}

gboolean
pcd_show_has_ended (const PcdClientMigration *migration)
{
  for (guint i = 0; i < PCD_N_PHASES; i++)
    if (g_str_equal (migration->phase, pcd_phase_to_string (i)))
      return pcd_phase_has_ended (i);
  return FALSE;
}

const char *
pcd_show_held_still_by (const PcdClientMigration *migration)
{
  const char *action = migration->last_action;

  if (!g_str_equal (action, pcd_action_to_string (PCD_ACTION_STOP)) &&
      !g_str_equal (action, pcd_action_to_string (PCD_ACTION_FREEZE)))
    return NULL;
  return g_str_equal (migration->last_outcome, pcd_outcome_to_string (PCD_OUTCOME_DONE)) &&
                 g_str_equal (migration->role, pcd_role_to_string (PCD_ROLE_DESTINATION)) &&
                 !g_str_equal (migration->phase, pcd_phase_to_string (PCD_PHASE_GONE))
             ? action
             : NULL;
}

char *
pcd_show_disconnected (const PcdClientState *state)
{
  if (state->connected)
    return NULL;
  g_autofree char *since = pcd_time_to_text (state->connection_since);
  g_autofree char *reason = pcd_text_printable (state->connection_reason);
  return g_strdup_printf (_ ("not connected to libvirt since %s: %s\n"), since,
                          *reason ? reason : _ ("no reason given"));
}

static const char *
word_or_dash (const char *word)
{
  return *word && !g_str_equal (word, "none") ? word : "-";
}

/* Everything that makes the bare word of the phase less than the whole truth stands beside it. */
static char *
describe_phase (const PcdClientState *state, const PcdClientMigration *migration)
{
  return g_strconcat (migration->phase, migration->unattended ? _ (" (unattended)") : "",
                      pcd_show_held_still_by (migration) ? _ (" (held still)") : "",
                      state->connected ? "" : _ (" (last known)"), NULL);
}

static GStrv
table_row (const PcdClientState *state, const PcdClientMigration *migration)
{
  GStrv cells = g_new0 (char *, N_COLUMNS + 1);

  cells[0] = pcd_text_printable (migration->name);
  cells[1] = g_strdup (migration->role);
  cells[2] = describe_phase (state, migration);
  cells[3] = g_strdup (word_or_dash (migration->flow));
  cells[4] = g_strdup (word_or_dash (migration->cause));
  cells[5] = pcd_time_to_text (migration->phase_time);
  return cells;
}

static void
append_row (GString *text, char **cells, const glong *widths)
{
  for (guint i = 0; i < N_COLUMNS; i++) {
    g_string_append_printf (text, "%s%s", i ? "   " : " ", cells[i]);
    for (glong pad = (glong)pcd_text_width (cells[i]); i + 1 < N_COLUMNS && pad < widths[i]; pad++)
      g_string_append_c (text, ' ');
  }
  g_string_append_c (text, '\n');
}

/* The look of virsh list: vshTable of libvirt's tools/vsh-table.c. */
char *
pcd_show_table (const PcdClientState *state)
{
  const char *const titles[] = { _ ("Name"),  _ ("Role"),  _ ("Phase"), _ ("Flow"),
                                 _ ("Cause"), _ ("Since"), NULL };
  g_autoptr (GPtrArray) rows = g_ptr_array_new_with_free_func ((GDestroyNotify)g_strfreev);
  g_autoptr (GString) text = g_string_new (NULL);
  glong widths[N_COLUMNS] = { 0 }, total = 0;

  g_ptr_array_add (rows, g_strdupv ((GStrv)titles));
  for (guint i = 0; i < state->migrations->len; i++)
    g_ptr_array_add (rows, table_row (state, g_ptr_array_index (state->migrations, i)));
  for (guint column = 0; column < N_COLUMNS; column++) {
    for (guint i = 0; i < rows->len; i++) {
      char **cells = g_ptr_array_index (rows, i);
      widths[column] = MAX (widths[column], (glong)pcd_text_width (cells[column]));
    }
    total += widths[column] + 3;
  }
  for (guint i = 0; i < rows->len; i++) {
    append_row (text, g_ptr_array_index (rows, i), widths);
    if (i > 0)
      continue;
    g_autofree char *line = g_strnfill (total, '-');
    g_string_append_printf (text, "%s\n", line);
  }
  g_string_append_c (text, '\n');
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
add_time (JsonBuilder *builder, const char *name, gint64 usec)
{
  g_autofree char *time = pcd_time_to_rfc3339 (usec);

  pcd_json_add_string (builder, name, time);
}

/* The ends of a connection, and what is on its way. */
static void
add_ends (JsonBuilder *builder, const char *local, const char *remote)
{
  pcd_json_add_string (builder, "local", local);
  pcd_json_add_string (builder, "remote", remote);
}

static void
add_under_way (JsonBuilder *builder, guint unacked, guint retransmits)
{
  pcd_json_add_int (builder, "unacked", unacked);
  pcd_json_add_int (builder, "retransmits", retransmits);
}

static void
add_sockets (JsonBuilder *builder, const GPtrArray *sockets)
{
  json_builder_set_member_name (builder, "sockets");
  json_builder_begin_array (builder);
  for (guint i = 0; i < sockets->len; i++) {
    const PcdClientSocket *s = g_ptr_array_index (sockets, i);
    json_builder_begin_object (builder);
    add_ends (builder, s->local, s->remote);
    pcd_json_add_boolean (builder, "armed", s->armed);
    pcd_json_add_int (builder, "heard-usec", s->heard_usec);
    add_under_way (builder, s->unacked, s->retransmits);
    json_builder_end_object (builder);
  }
  json_builder_end_array (builder);
}

static void
add_time_if_known (JsonBuilder *builder, const char *name, gint64 usec)
{
  if (usec > 0) {
    add_time (builder, name, usec);
    return;
  }
  json_builder_set_member_name (builder, name);
  json_builder_add_null_value (builder);
}

static void
add_lost (JsonBuilder *builder, const PcdClientLost *lost)
{
  json_builder_set_member_name (builder, "lost-connection");
  if (!lost) {
    json_builder_add_null_value (builder);
    return;
  }
  json_builder_begin_object (builder);
  add_ends (builder, lost->local, lost->remote);
  pcd_json_add_string (builder, "interface", lost->interface);
  add_time_if_known (builder, "heard", lost->heard);
  add_time_if_known (builder, "acknowledged", lost->acked);
  add_under_way (builder, lost->unacked, lost->retransmits);
  json_builder_end_object (builder);
}

static void
add_count (JsonBuilder *builder, const char *name, gboolean known, guint64 value)
{
  if (known) {
    pcd_json_add_int (builder, name, (gint64)MIN (value, (guint64)G_MAXINT64));
    return;
  }
  json_builder_set_member_name (builder, name);
  json_builder_add_null_value (builder);
}

static void
add_progress (JsonBuilder *builder, const PcdClientMigration *migration)
{
  const PcdProgress *progress = &migration->progress;
  const gboolean known = progress->known;

  json_builder_set_member_name (builder, "progress");
  if (!migration->asked) {
    json_builder_add_null_value (builder);
    return;
  }
  json_builder_begin_object (builder);
  add_count (builder, "remaining-bytes", known, progress->remaining);
  add_count (builder, "remaining-pages", known, pcd_progress_pages (progress));
  add_count (builder, "page-size", known, progress->page_size);
  add_count (builder, "total-bytes", known, progress->total);
  add_count (builder, "bytes-per-second", known && progress->rate >= 0, (guint64)progress->rate);
  add_count (builder, "left-usec", known && progress->left_usec >= 0, (guint64)progress->left_usec);
  pcd_json_add_string (builder, "reason", migration->problem);
  json_builder_end_object (builder);
}

static void
add_vetoes (JsonBuilder *builder, const GPtrArray *vetoes)
{
  json_builder_set_member_name (builder, "vetoes");
  json_builder_begin_array (builder);
  for (guint i = 0; i < vetoes->len; i++) {
    const PcdClientVeto *veto = g_ptr_array_index (vetoes, i);
    json_builder_begin_object (builder);
    pcd_json_add_string (builder, "action", veto->action);
    pcd_json_add_string (builder, "by", veto->by);
    pcd_json_add_string (builder, "reason", veto->reason);
    add_time (builder, "since", (gint64)veto->since);
    add_time (builder, "until", (gint64)veto->until);
    json_builder_end_object (builder);
  }
  json_builder_end_array (builder);
}

static void
add_policy (JsonBuilder *builder, const PcdClientMigration *migration)
{
  pcd_json_add_string (builder, "policy", migration->policy);
  pcd_json_add_string (builder, "policy-source", migration->policy_source);
  pcd_json_add_boolean (builder, "held", migration->held);
  add_vetoes (builder, migration->vetoes);
  pcd_json_add_int (builder, "incident", migration->incident);
  pcd_json_add_string (builder, "doing", migration->doing);
  pcd_json_add_string (builder, "doing-text", migration->doing_text);
  add_count (builder, "doing-done", migration->doing_total > 0, migration->doing_done);
  add_count (builder, "doing-total", migration->doing_total > 0, migration->doing_total);
  pcd_json_add_string (builder, "last-action", migration->last_action);
  pcd_json_add_string (builder, "last-outcome", migration->last_outcome);
  pcd_json_add_string (builder, "last-reason", migration->last_reason);
  pcd_json_add_string (builder, "next-action", migration->next_action);
  add_time_if_known (builder, "next-time", *migration->next_action ? migration->next_time : 0);
}

static void
add_migration (JsonBuilder *builder,
               const PcdClientState *state,
               const PcdClientMigration *migration)
{
  json_builder_begin_object (builder);
  pcd_json_add_string (builder, "uuid", migration->uuid);
  pcd_json_add_string (builder, "name", migration->name);
  pcd_json_add_string (builder, "role", migration->role);
  pcd_json_add_boolean (builder, "stale", !state->connected);
  pcd_json_add_string (builder, "phase", migration->phase);
  add_time (builder, "phase-since", migration->phase_time);
  pcd_json_add_string (builder, "flow", migration->flow);
  pcd_json_add_string (builder, "cause", migration->cause);
  pcd_json_add_string (builder, "cause-detail", migration->cause_detail);
  add_lost (builder, migration->lost);
  pcd_json_add_boolean (builder, "unattended", migration->unattended);
  pcd_json_add_string (builder, "qemu-status", migration->qemu_status);
  pcd_json_add_int (builder, "pid", migration->pid);
  pcd_json_add_boolean (builder, "measured", migration->measured);
  pcd_json_add_int (builder, "vcpus", migration->n_vcpus);
  pcd_json_add_int (builder, "blocked-vcpus", migration->n_blocked_vcpus);
  pcd_json_add_int (builder, "blocked-others", migration->n_blocked_others);
  add_sockets (builder, migration->sockets);
  pcd_json_add_string (builder, "note", migration->note);
  add_progress (builder, migration);
  add_policy (builder, migration);
  json_builder_end_object (builder);
}

char *
pcd_show_json (const PcdClientState *state, const char *domain, gboolean pretty)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  pcd_json_add_string (builder, "version", state->version);
  pcd_json_add_string (builder, "libvirt-uri", state->libvirt_uri);
  pcd_json_add_boolean (builder, "connected", state->connected);
  add_time (builder, "connection-since", state->connection_since);
  pcd_json_add_string (builder, "connection-reason", state->connection_reason);
  json_builder_set_member_name (builder, "migrations");
  json_builder_begin_array (builder);
  for (guint i = 0; i < state->migrations->len; i++) {
    const PcdClientMigration *migration = g_ptr_array_index (state->migrations, i);
    if (pcd_show_matches (migration, domain))
      add_migration (builder, state, migration);
  }
  json_builder_end_array (builder);
  json_builder_end_object (builder);

  g_autoptr (JsonNode) root = json_builder_get_root (builder);
  g_autofree char *text = json_to_string (root, pretty);
  return g_strconcat (text, "\n", NULL);
}
