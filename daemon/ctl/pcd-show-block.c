/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One migration for people: a headline, facts, what is done and what can be done. */
#include "ctl/pcd-show-block.h"

#include "core/pcd-duration.h"
#include "core/pcd-text.h"
#include "ctl/pcd-show-advice.h"
#include "ctl/pcd-show.h"

#include <glib/gi18n.h>
#include <inttypes.h>
#include <string.h>

#define LABEL_WIDTH 11
#define INDENT      2

typedef struct {
  const PcdClientState *state;
  const PcdClientMigration *migration;
  const PcdShowLook *look;
  const PcdTerminal *terminal;
  gint64 now;
  GString *text;
  guint label_width;
} Block;

void
pcd_show_look_clear (PcdShowLook *look)
{
  g_clear_pointer (&look->interface, g_free);
  g_clear_pointer (&look->obstacle, g_free);
}

/* All labels are in one column, whatever the language. */
static guint
widest_label (void)
{
  static const char *const labels[] = {
    N_ ("UUID:"),   N_ ("Since:"),   N_ ("QEMU:"), N_ ("Network:"), N_ ("Evidence:"),
    N_ ("Guest:"),  N_ ("Missing:"), N_ ("Note:"), N_ ("Policy:"),  N_ ("Did:"),
    N_ ("Vetoed:"), N_ ("Does:"),    N_ ("Will:"), N_ ("You can:"),
  };
  guint width = LABEL_WIDTH;

  for (guint i = 0; i < G_N_ELEMENTS (labels); i++)
    width = MAX (width, pcd_text_width (_ (labels[i])) + 1);
  return width;
}

static void add_field (Block *self, const char *label, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

static void
add_label (Block *self, const char *label)
{
  g_autofree char *padded = pcd_text_pad (label, self->label_width);

  g_string_append_printf (self->text, "%*s", INDENT, "");
  pcd_terminal_paint (self->terminal, self->text, PCD_COLOUR_FAINT, padded);
}

static void
add_field (Block *self, const char *label, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *value = g_strdup_vprintf (format, args);
  va_end (args);
  g_autofree char *printable = pcd_text_printable (value);
  add_label (self, label);
  pcd_terminal_wrap (self->terminal, self->text, printable, INDENT + self->label_width);
}

/* ---- the headline ---- */

PcdColour
pcd_show_colour (const PcdClientMigration *migration)
{
  if (pcd_show_is_phase (migration, PCD_PHASE_PAUSED) ||
      pcd_show_is_phase (migration, PCD_PHASE_FAILED))
    return PCD_COLOUR_BAD;
  if (pcd_show_is_phase (migration, PCD_PHASE_RECOVERING) ||
      pcd_show_is_flow (migration, PCD_FLOW_STALLED) ||
      pcd_show_is_flow (migration, PCD_FLOW_SLOW) || migration->unattended ||
      pcd_show_held_still_by (migration))
    return PCD_COLOUR_WARN;
  return pcd_show_has_ended (migration) ? PCD_COLOUR_FAINT : PCD_COLOUR_GOOD;
}

static const char *
explain_cause (const PcdClientMigration *migration)
{
  static const struct {
    PcdCause cause;
    const char *text;
  } causes[] = {
    { PCD_CAUSE_NETWORK, N_ ("the network failed") },
    { PCD_CAUSE_PEER_CLOSED, N_ ("the other host closed the connection") },
    { PCD_CAUSE_OPERATOR, N_ ("it was paused on this host") },
  };

  for (guint i = 0; i < G_N_ELEMENTS (causes); i++)
    if (g_str_equal (migration->cause, pcd_cause_to_string (causes[i].cause)))
      return _ (causes[i].text);
  return _ ("the cause is unknown");
}

/* (nullable) */
static const char *
explain (const PcdClientMigration *migration)
{
  if (pcd_show_is_phase (migration, PCD_PHASE_PAUSED))
    return explain_cause (migration);
  if (migration->unattended)
    return _ ("libvirt lost its connection and reports a failure; QEMU goes on, nothing is lost");
  if (pcd_show_is_flow (migration, PCD_FLOW_STALLED))
    return _ ("nothing arrives any more");
  if (pcd_show_is_flow (migration, PCD_FLOW_SLOW))
    return _ ("slow, but pages flow");
  if (pcd_show_is_flow (migration, PCD_FLOW_FLOWING))
    return _ ("pages flow");
  if (pcd_show_is_phase (migration, PCD_PHASE_FAILED))
    return pcd_show_is_source (migration) ? _ ("the guest was not moved")
                                          : _ ("the guest did not arrive here");
  if (pcd_show_is_phase (migration, PCD_PHASE_GONE))
    return _ ("QEMU is not there any more");
  return NULL;
}

static void
add_headline (Block *self)
{
  const PcdClientMigration *m = self->migration;
  const PcdColour colour = self->state->connected ? pcd_show_colour (m) : PCD_COLOUR_WARN;
  g_autofree char *name = pcd_text_printable (m->name);
  g_autofree char *duration = pcd_duration_to_text (self->now - m->phase_time, FALSE);
  g_autofree char *phase =
      g_strdup_printf ("%s%s", m->phase, m->unattended ? _ (" (unattended)") : "");
  g_autofree char *span =
      g_strdup_printf (pcd_show_has_ended (m) ? _ ("%s ago") : _ ("for %s"), duration);
  const char *why = explain (m);

  pcd_terminal_paint (self->terminal, self->text, colour, self->terminal->unicode ? "●" : "*");
  g_string_append_c (self->text, ' ');
  pcd_terminal_paint (self->terminal, self->text, PCD_COLOUR_STRONG, name);
  g_string_append_printf (self->text, " (%s): ", m->role);
  pcd_terminal_paint (self->terminal, self->text, colour, phase);
  g_string_append_printf (self->text, " %s%s%s%s\n", span, why ? ": " : "", why ?: "",
                          self->state->connected ? "" : _ (" (last known)"));
}

/* ---- facts ---- */

static void
add_since (Block *self)
{
  const PcdClientMigration *m = self->migration;
  g_autofree char *since = pcd_time_to_text (m->phase_time);

  if (m->incident)
    add_field (self, _ ("Since:"), _ ("%s, incident %" PRId64), since, m->incident);
  else
    add_field (self, _ ("Since:"), "%s", since);
  if (m->pid)
    add_field (self, _ ("QEMU:"), _ ("process %d, says %s"), m->pid, m->qemu_status);
}

static char *
describe_ends (const Block *self, const char *local, const char *remote)
{
  return g_strdup_printf (self->terminal->unicode ? "%s → %s" : _ ("%s to %s"), local, remote);
}

/* (nullable) */
static const char *
describe_link (PcdLink link)
{
  switch (link) {
  case PCD_LINK_GONE:
    return _ ("it is gone now");
  case PCD_LINK_DOWN:
    return _ ("it is down now");
  case PCD_LINK_NO_CARRIER:
    return _ ("it has no link now");
  case PCD_LINK_UP:
    return _ ("it is up now");
  default:
    return NULL;
  }
}

static char *
describe_ago (const Block *self, gint64 time)
{
  g_autofree char *ago = time > 0 ? pcd_duration_to_text (self->now - time, FALSE) : NULL;

  return ago ? g_strdup_printf (_ ("%s ago"), ago) : g_strdup (_ ("at an unknown time"));
}

/* Which network it was: the one to be mended. */
static void
add_lost (Block *self, const PcdClientLost *lost)
{
  const char *link = self->look ? describe_link (self->look->lost_link) : NULL;
  g_autofree char *over = !*lost->interface ? g_strdup ("")
                          : link ? g_strdup_printf (_ (", over %s (%s)"), lost->interface, link)
                                 : g_strdup_printf (_ (", over %s"), lost->interface);
  g_autofree char *ends = describe_ends (self, lost->local, lost->remote);
  g_autofree char *heard = describe_ago (self, lost->heard);
  g_autofree char *acked = describe_ago (self, lost->acked);

  add_field (self, _ ("Network:"),
             /* TRANSLATORS: two addresses, ", over eth1" or nothing, two times as "3 s ago" */
             _ ("lost: %s%s; last heard %s, acknowledged %s, %u unacknowledged, "
                "%u retransmissions"),
             ends, over, heard, acked, lost->unacked, lost->retransmits);
}

/* `eth1, 10.9.0.1:40000 → 10.9.0.2:49152` */
static char *
describe_path (const Block *self, const PcdClientSocket *socket)
{
  const gboolean known = self->look && self->look->interface;
  g_autofree char *ends = describe_ends (self, socket->local, socket->remote);

  return g_strconcat (known ? self->look->interface : "", known ? ", " : "", ends, NULL);
}

static void
add_network (Block *self)
{
  const PcdClientMigration *m = self->migration;

  for (guint i = 0; i < m->sockets->len; i++) {
    const PcdClientSocket *s = g_ptr_array_index (m->sockets, i);
    g_autofree char *heard = pcd_duration_to_text (s->heard_usec, FALSE);
    g_autofree char *path = describe_path (self, s);
    add_field (self, _ ("Network:"),
               s->armed ? _ ("%s, armed, heard %s ago, %u unacknowledged, %u retransmissions")
                        : _ ("%s, not armed, heard %s ago, %u unacknowledged, %u retransmissions"),
               path, heard, s->unacked, s->retransmits);
  }
  if (m->sockets->len > 0 || !pcd_show_is_phase (m, PCD_PHASE_PAUSED))
    return;
  if (m->lost)
    add_lost (self, m->lost);
  else
    add_field (self, _ ("Network:"),
               _ ("the connection that was lost is not known: postcopyd did not see it end"));
  if (*m->cause_detail)
    add_field (self, _ ("Evidence:"), "%s", m->cause_detail);
}

/* What stands in the way of a stop, where something waits. */
static char *
describe_stop (const Block *self)
{
  if (pcd_show_held_still_by (self->migration))
    return g_strdup_printf (_ ("it is held still by %s"), pcd_show_held_still_by (self->migration));
  if (!self->look)
    return g_strdup (_ ("'postcopyctl inspect' on this host says whether it can be stopped"));
  switch (self->look->kickable) {
  case PCD_ANSWER_YES:
    return g_strdup (_ ("it can be stopped"));
  case PCD_ANSWER_NO:
    return g_strdup_printf (_ ("it cannot be stopped now, only frozen: %s"),
                            self->look->obstacle ?: "");
  default:
    return g_strdup_printf (_ ("whether it can be stopped is not known: %s"),
                            self->look->obstacle ?: "");
  }
}

static void
add_guest (Block *self)
{
  const PcdClientMigration *m = self->migration;

  if (pcd_show_has_ended (m)) {
    if (pcd_show_held_still_by (m))
      add_field (self, _ ("Guest:"), _ ("it is held still by %s; nothing else lets it go on"),
                 pcd_show_held_still_by (m));
    return;
  }
  if (pcd_show_is_source (m) && !pcd_show_is_phase (m, PCD_PHASE_PRECOPY) &&
      !pcd_show_is_phase (m, PCD_PHASE_DEVICE)) {
    add_field (self, _ ("Guest:"), _ ("runs on the destination: never resume it here"));
    return;
  }
  if (pcd_show_is_source (m))
    return;
  if (!m->measured) {
    add_field (self, _ ("Guest:"), _ ("its threads were not measured"));
    return;
  }
  if (m->n_blocked_vcpus + m->n_blocked_others == 0) {
    g_autofree char *held = pcd_show_held_still_by (m) ? describe_stop (self) : NULL;
    g_autofree char *none =
        g_strdup_printf (ngettext ("none of %u vCPU waits for missing memory",
                                   "none of %u vCPUs waits for missing memory", m->n_vcpus),
                         m->n_vcpus);
    add_field (self, _ ("Guest:"), "%s%s%s", none, held ? "; " : "", held ?: "");
    return;
  }
  g_autofree char *vcpus = g_strdup_printf (
      ngettext ("%u of %u vCPU", "%u of %u vCPUs", m->n_vcpus), m->n_blocked_vcpus, m->n_vcpus);
  g_autofree char *others = g_strdup_printf (
      ngettext ("%u other thread of QEMU", "%u other threads of QEMU", m->n_blocked_others),
      m->n_blocked_others);
  g_autofree char *stop = describe_stop (self);
  if (m->n_blocked_others)
    /* TRANSLATORS: "1 of 4 vCPUs", "2 other threads of QEMU", and whether they can be stopped */
    add_field (self, _ ("Guest:"), _ ("%s and %s wait for missing memory; %s"), vcpus, others,
               stop);
  else
    /* TRANSLATORS: "1 of 4 vCPUs", and whether they can be stopped */
    add_field (self, _ ("Guest:"), _ ("%s wait for missing memory; %s"), vcpus, stop);
}

static void
add_memory (Block *self)
{
  const PcdClientMigration *m = self->migration;

  if (!m->asked)
    return;
  g_autofree char *known = m->progress.known ? pcd_progress_to_text (&m->progress) : NULL;
  if (known)
    add_field (self, _ ("Missing:"), "%s", known);
  else
    add_field (self, _ ("Missing:"), _ ("unknown: %s"), m->problem);
}

/* ---- what is done ---- */

static void
add_doing (Block *self)
{
  const PcdClientMigration *m = self->migration;
  g_autofree char *share = m->doing_total ? g_strdup_printf (_ (" (%" PRIu64 " of %" PRIu64 ")"),
                                                             m->doing_done, m->doing_total)
                                          : NULL;

  add_field (self, _ ("Does:"), "%s%s%s%s", m->doing, *m->doing_text ? ": " : "", m->doing_text,
             share ?: "");
}

static void
add_next (Block *self)
{
  const PcdClientMigration *m = self->migration;
  const gint64 left = m->next_time - self->now;

  if (!m->next_time) {
    add_field (self, _ ("Will:"), _ ("%s, once the destination's libvirt answers"), m->next_action);
    return;
  }
  g_autofree char *when = pcd_time_to_text (m->next_time);
  g_autofree char *in = left > 0 ? pcd_duration_to_text (left, FALSE) : NULL;
  if (in)
    /* TRANSLATORS: an action, a time, and how long that is from now */
    add_field (self, _ ("Will:"), _ ("%s, at %s (in %s)"), m->next_action, when, in);
  else
    add_field (self, _ ("Will:"), _ ("%s, at %s"), m->next_action, when);
}

static void
add_veto (Block *self, const PcdClientVeto *veto)
{
  g_autofree char *since = pcd_time_to_text ((gint64)veto->since);
  g_autofree char *until = pcd_time_to_text ((gint64)veto->until);

  /* TRANSLATORS: an action, who forbade it, a colon and a reason if there is one, two times */
  add_field (self, _ ("Vetoed:"), _ ("%s, by %s%s%s, since %s, asked again at %s"), veto->action,
             veto->by, *veto->reason ? ": " : "", veto->reason, since, until);
}

static void
add_deeds (Block *self)
{
  const PcdClientMigration *m = self->migration;

  if (*m->note)
    add_field (self, _ ("Note:"), "%s", m->note);
  if (*m->policy)
    add_field (self, _ ("Policy:"), "%s (%s)%s", m->policy, m->policy_source,
               m->held ? _ (", held: nothing is done by itself") : "");
  else if (m->held)
    add_field (self, _ ("Policy:"), _ ("held: nothing is done by itself"));
  /* That it was told is no help to who knows. */
  const gboolean only_told =
      g_str_equal (m->last_action, "notify") && g_str_equal (m->last_outcome, "done");
  if (*m->last_action && !only_told)
    add_field (self, _ ("Did:"), "%s: %s%s%s", m->last_action, m->last_outcome,
               *m->last_reason ? ": " : "", m->last_reason);
  for (guint i = 0; i < m->vetoes->len; i++)
    add_veto (self, g_ptr_array_index (m->vetoes, i));
  if (*m->doing)
    add_doing (self);
  if (*m->next_action)
    add_next (self);
  if (pcd_show_is_phase (m, PCD_PHASE_PAUSED) && !pcd_show_is_source (m))
    add_field (self, _ ("Waits:"),
               _ ("for the source, which is the one that recovers; here its connection only has to "
                  "get through"));
}

/* ---- what a person might do ---- */

static void
add_commands (Block *self)
{
  PcdShowAdvice advice[PCD_SHOW_MAX_ADVICE] = { 0 };
  const guint n = pcd_show_advise (self->migration, self->look, advice);
  guint width = 0;

  for (guint i = 0; i < n; i++)
    width = MAX (width, pcd_text_width (advice[i].command));
  for (guint i = 0; i < n; i++) {
    const gboolean fits = self->terminal->columns == 0 ||
                          INDENT + self->label_width + width + 2 + pcd_text_width (advice[i].why) <=
                              self->terminal->columns;
    add_label (self, i == 0 ? _ ("You can:") : "");
    g_autofree char *padded = pcd_text_pad (advice[i].command, fits ? width + 2 : 0);
    g_string_append (self->text, padded);
    if (fits)
      pcd_terminal_paint (self->terminal, self->text, PCD_COLOUR_FAINT, advice[i].why);
    g_string_append_c (self->text, '\n');
    g_free (advice[i].command);
  }
}

char *
pcd_show_block (const PcdClientState *state,
                const PcdClientMigration *migration,
                const PcdShowLook *look,
                const PcdTerminal *terminal,
                gint64 now)
{
  Block self = { state, migration, look, terminal, now, g_string_new (NULL), widest_label () };

  add_headline (&self);
  add_field (&self, _ ("UUID:"), "%s", migration->uuid);
  add_since (&self);
  add_network (&self);
  add_guest (&self);
  add_memory (&self);
  add_deeds (&self);
  add_commands (&self);
  g_string_append_c (self.text, '\n');
  return g_string_free (self.text, FALSE);
}
