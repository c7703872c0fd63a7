/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looks as records: their words, and their pace. `incident report` reads these words. */
#include "engine/pcd-measured.h"

static gint64
pace (gint64 age)
{
  if (age < 60 * (gint64)G_USEC_PER_SEC)
    return G_USEC_PER_SEC;
  return (age < 600 * (gint64)G_USEC_PER_SEC ? 10 : 60) * (gint64)G_USEC_PER_SEC;
}

static void
add_sockets (const PcdMeasure *measure, GString *key, GString *detail)
{
  for (guint i = 0; i < measure->sockets->len; i++) {
    const PcdSocketView *view = g_ptr_array_index (measure->sockets, i);
    g_autofree char *numbers = g_strdup_printf ("%s -> %s: unacked %u, retransmits %u", view->local,
                                                view->remote, view->unacked, view->retransmits);

    g_string_append_printf (key, "%s;", numbers);
    g_string_append_printf (detail, "%s%s, heard %.1f s ago", detail->len ? "; " : "", numbers,
                            view->heard_usec / (double)G_USEC_PER_SEC);
  }
}

static void
add_threads (const PcdMeasure *measure, GString *key, GString *detail)
{
  for (guint i = 0; i < measure->blocked->len; i++) {
    const PcdBlockedView *view = g_ptr_array_index (measure->blocked, i);
    g_autofree char *thread = g_strdup_printf ("thread %d (vCPU %d) blocked: %s", view->tid,
                                               view->vcpu, pcd_fault_path_to_string (view->path));

    g_string_append_printf (key, "%s;", thread);
    g_string_append_printf (detail, "%s%s", detail->len ? "; " : "", thread);
    if (view->blocked_usec >= 0)
      g_string_append_printf (detail, " for %.1f s", view->blocked_usec / (double)G_USEC_PER_SEC);
  }
}

gboolean
pcd_measured_take (PcdMeasured *self,
                   gint64 incident,
                   gint64 now,
                   const PcdMeasure *measure,
                   char **ret_to,
                   char **ret_detail)
{
  g_autoptr (GString) key = g_string_new (NULL), detail = g_string_new (NULL);

  if (incident != self->incident) {
    pcd_measured_clear (self);
    self->incident = incident;
    self->began = now;
  }
  if (!incident || (self->key && now - self->last < pace (now - self->began)))
    return FALSE;
  add_sockets (measure, key, detail);
  add_threads (measure, key, detail);
  g_string_append_printf (key, "%u of %u", measure->n_blocked_vcpus, measure->n_vcpus);
  if (g_strcmp0 (self->key, key->str) == 0)
    return FALSE;
  g_free (self->key);
  self->key = g_string_free (g_steal_pointer (&key), FALSE);
  self->last = now;
  *ret_to = g_strdup_printf ("%u of %u vCPUs blocked", measure->n_blocked_vcpus, measure->n_vcpus);
  *ret_detail = detail->len ? g_strdup (detail->str) : NULL;
  return TRUE;
}

void
pcd_measured_clear (PcdMeasured *self)
{
  g_free (self->key);
  *self = (PcdMeasured){ 0 };
}
