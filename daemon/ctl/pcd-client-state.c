/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Variants to structs, and back to nothing. */
#include "ctl/pcd-client-state.h"

#include <string.h>

static void
socket_free (gpointer data)
{
  PcdClientSocket *s = data;

  g_free (s->local);
  g_free (s->remote);
  g_free (s);
}

static void
lost_free (PcdClientLost *lost)
{
  if (!lost)
    return;
  g_free (lost->local);
  g_free (lost->remote);
  g_free (lost->interface);
  g_free (lost);
}

static void
migration_free (gpointer data)
{
  PcdClientMigration *migration = data;

  g_free (migration->path);
  g_free (migration->uuid);
  g_free (migration->name);
  g_free (migration->role);
  g_free (migration->phase);
  g_free (migration->flow);
  g_free (migration->cause);
  g_free (migration->cause_detail);
  lost_free (migration->lost);
  g_free (migration->qemu_status);
  g_free (migration->note);
  g_free (migration->policy);
  g_free (migration->policy_source);
  g_free (migration->doing);
  g_free (migration->doing_text);
  g_free (migration->problem);
  g_free (migration->last_action);
  g_free (migration->last_outcome);
  g_free (migration->last_reason);
  g_free (migration->next_action);
  g_ptr_array_unref (migration->sockets);
  g_ptr_array_unref (migration->vetoes);
  g_free (migration);
}

void
pcd_client_state_free (PcdClientState *state)
{
  if (!state)
    return;
  g_free (state->version);
  g_free (state->libvirt_uri);
  g_free (state->connection_reason);
  g_ptr_array_unref (state->migrations);
  g_free (state);
}

/* An older daemon may not have a property: empty then, not a crash. */
static char *
get_string (GVariantDict *dict, const char *name)
{
  char *value = NULL;

  return g_variant_dict_lookup (dict, name, "s", &value) ? value : g_strdup ("");
}

static gboolean
get_boolean (GVariantDict *dict, const char *name)
{
  gboolean value = FALSE;

  g_variant_dict_lookup (dict, name, "b", &value);
  return value;
}

static guint
get_uint (GVariantDict *dict, const char *name)
{
  guint value = 0;

  g_variant_dict_lookup (dict, name, "u", &value);
  return value;
}

static gint64
get_time (GVariantDict *dict, const char *name)
{
  guint64 value = 0;

  g_variant_dict_lookup (dict, name, "t", &value);
  return (gint64)value;
}

static GPtrArray *
get_sockets (GVariantDict *dict)
{
  GPtrArray *sockets = g_ptr_array_new_with_free_func (socket_free);
  g_autoptr (GVariant) array =
      g_variant_dict_lookup_value (dict, "Sockets", G_VARIANT_TYPE ("a(ssbxuu)"));

  for (gsize i = 0; array && i < g_variant_n_children (array); i++) {
    PcdClientSocket *s = g_new0 (PcdClientSocket, 1);
    g_variant_get_child (array, i, "(ssbxuu)", &s->local, &s->remote, &s->armed, &s->heard_usec,
                         &s->unacked, &s->retransmits);
    g_ptr_array_add (sockets, s);
  }
  return sockets;
}

/* (nullable) */
static PcdClientLost *
get_lost (GVariantDict *dict)
{
  g_autoptr (GVariant) array =
      g_variant_dict_lookup_value (dict, "LostConnection", G_VARIANT_TYPE ("a(sssttuu)"));

  if (!array || g_variant_n_children (array) == 0)
    return NULL;
  PcdClientLost *lost = g_new0 (PcdClientLost, 1);
  g_variant_get_child (array, 0, "(sssttuu)", &lost->local, &lost->remote, &lost->interface,
                       &lost->heard, &lost->acked, &lost->unacked, &lost->retransmits);
  return lost;
}

static void
veto_free (gpointer data)
{
  PcdClientVeto *veto = data;

  g_free (veto->action);
  g_free (veto->by);
  g_free (veto->reason);
  g_free (veto);
}

static GPtrArray *
get_vetoes (GVariantDict *dict)
{
  GPtrArray *vetoes = g_ptr_array_new_with_free_func (veto_free);
  g_autoptr (GVariant) array =
      g_variant_dict_lookup_value (dict, "Vetoes", G_VARIANT_TYPE ("a(ssstt)"));

  for (gsize i = 0; array && i < g_variant_n_children (array); i++) {
    PcdClientVeto *veto = g_new0 (PcdClientVeto, 1);
    g_variant_get_child (array, i, "(ssstt)", &veto->action, &veto->by, &veto->reason, &veto->since,
                         &veto->until);
    g_ptr_array_add (vetoes, veto);
  }
  return vetoes;
}

static PcdClientMigration *
parse_migration (const char *path, GVariant *properties)
{
  g_auto (GVariantDict) dict = G_VARIANT_DICT_INIT (properties);
  PcdClientMigration *migration = g_new0 (PcdClientMigration, 1);

  migration->path = g_strdup (path);
  migration->uuid = get_string (&dict, "Uuid");
  migration->name = get_string (&dict, "Name");
  migration->role = get_string (&dict, "Role");
  migration->phase = get_string (&dict, "Phase");
  migration->phase_time = get_time (&dict, "PhaseTime");
  migration->flow = get_string (&dict, "Flow");
  migration->cause = get_string (&dict, "Cause");
  migration->cause_detail = get_string (&dict, "CauseDetail");
  migration->lost = get_lost (&dict);
  migration->unattended = get_boolean (&dict, "Unattended");
  migration->qemu_status = get_string (&dict, "QemuStatus");
  g_variant_dict_lookup (&dict, "Pid", "i", &migration->pid);
  migration->measured = get_boolean (&dict, "Measured");
  migration->n_vcpus = get_uint (&dict, "Vcpus");
  migration->n_blocked_vcpus = get_uint (&dict, "BlockedVcpus");
  migration->n_blocked_others = get_uint (&dict, "BlockedOthers");
  migration->sockets = get_sockets (&dict);
  migration->note = get_string (&dict, "Note");
  migration->policy = get_string (&dict, "Policy");
  migration->policy_source = get_string (&dict, "PolicySource");
  migration->held = get_boolean (&dict, "Held");
  migration->vetoes = get_vetoes (&dict);
  migration->incident = get_time (&dict, "Incident");
  migration->doing = get_string (&dict, "Doing");
  migration->doing_text = get_string (&dict, "DoingText");
  g_variant_dict_lookup (&dict, "DoingDone", "t", &migration->doing_done);
  g_variant_dict_lookup (&dict, "DoingTotal", "t", &migration->doing_total);
  migration->last_action = get_string (&dict, "LastAction");
  migration->last_outcome = get_string (&dict, "LastOutcome");
  migration->last_reason = get_string (&dict, "LastReason");
  migration->next_action = get_string (&dict, "NextAction");
  migration->next_time = get_time (&dict, "NextTime");
  return migration;
}

static gint
compare_migrations (gconstpointer a, gconstpointer b)
{
  const PcdClientMigration *x = *(gpointer const *)a, *y = *(gpointer const *)b;
  int by_name = strcmp (x->name, y->name);

  return by_name ? by_name : strcmp (x->role, y->role);
}

static GPtrArray *
parse_migrations (GVariant *objects)
{
  GPtrArray *migrations = g_ptr_array_new_with_free_func (migration_free);
  g_autoptr (GVariantIter) iter = NULL;
  GVariant *interfaces = NULL;
  const char *path = NULL;

  g_variant_get (objects, "(a{oa{sa{sv}}})", &iter);
  while (g_variant_iter_loop (iter, "{&o@a{sa{sv}}}", &path, &interfaces)) {
    g_autoptr (GVariant) properties =
        g_variant_lookup_value (interfaces, "org.postcopyd.Migration1", G_VARIANT_TYPE_VARDICT);
    if (properties)
      g_ptr_array_add (migrations, parse_migration (path, properties));
  }
  g_ptr_array_sort (migrations, compare_migrations);
  return migrations;
}

PcdClientState *
pcd_client_state_parse (GVariant *manager, GVariant *objects)
{
  g_autoptr (GVariant) properties = g_variant_get_child_value (manager, 0);
  g_auto (GVariantDict) dict = G_VARIANT_DICT_INIT (properties);
  PcdClientState *state = g_new0 (PcdClientState, 1);

  state->version = get_string (&dict, "Version");
  state->libvirt_uri = get_string (&dict, "LibvirtUri");
  state->connected = get_boolean (&dict, "Connected");
  state->connection_since = get_time (&dict, "ConnectionSince");
  state->connection_reason = get_string (&dict, "ConnectionReason");
  state->migrations = parse_migrations (objects);
  return state;
}

PcdProgress
pcd_client_progress_parse (GVariant *reply, char **ret_problem)
{
  g_autoptr (GVariant) answer = g_variant_get_child_value (reply, 0);
  g_auto (GVariantDict) dict = G_VARIANT_DICT_INIT (answer);
  PcdProgress progress = { .rate = -1, .left_usec = -1 };
  guint64 rate, left;

  progress.known = g_variant_dict_lookup (&dict, "remaining", "t", &progress.remaining);
  if (!progress.known) {
    *ret_problem = get_string (&dict, "reason");
    return progress;
  }
  *ret_problem = NULL;
  progress.page_size = get_uint (&dict, "page-size");
  g_variant_dict_lookup (&dict, "total", "t", &progress.total);
  progress.time = get_time (&dict, "time");
  if (g_variant_dict_lookup (&dict, "rate", "t", &rate))
    progress.rate = (gint64)MIN (rate, (guint64)G_MAXINT64);
  if (g_variant_dict_lookup (&dict, "left", "t", &left))
    progress.left_usec = (gint64)MIN (left, (guint64)G_MAXINT64);
  return progress;
}
