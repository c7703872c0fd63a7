/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The value that a look at a QEMU results in.
 * Must not look itself. */
#include "engine/pcd-watch.h"

static void
socket_view_free (PcdSocketView *view)
{
  g_free (view->local);
  g_free (view->remote);
  g_free (view);
}

PcdMeasure *
pcd_measure_new (void)
{
  PcdMeasure *measure = g_new0 (PcdMeasure, 1);

  measure->sockets = g_ptr_array_new_with_free_func ((GDestroyNotify)socket_view_free);
  measure->blocked = g_ptr_array_new_with_free_func (g_free);
  return measure;
}

PcdMeasure *
pcd_measure_copy (const PcdMeasure *measure)
{
  PcdMeasure *copy = pcd_measure_new ();

  copy->pid = measure->pid;
  copy->n_vcpus = measure->n_vcpus;
  copy->n_blocked_vcpus = measure->n_blocked_vcpus;
  copy->n_blocked_others = measure->n_blocked_others;
  copy->kickable = measure->kickable;
  copy->traceable = measure->traceable;
  copy->lost = measure->lost ? pcd_lost_copy (measure->lost) : NULL;
  copy->evidence = g_strdup (measure->evidence);
  copy->note = g_strdup (measure->note);
  for (guint i = 0; i < measure->blocked->len; i++)
    g_ptr_array_add (copy->blocked,
                     g_memdup2 (g_ptr_array_index (measure->blocked, i), sizeof (PcdBlockedView)));
  for (guint i = 0; i < measure->sockets->len; i++) {
    const PcdSocketView *from = g_ptr_array_index (measure->sockets, i);
    PcdSocketView *to = g_memdup2 (from, sizeof *from);

    to->local = g_strdup (from->local);
    to->remote = g_strdup (from->remote);
    g_ptr_array_add (copy->sockets, to);
  }
  return copy;
}

void
pcd_measure_free (PcdMeasure *measure)
{
  g_ptr_array_unref (measure->sockets);
  g_ptr_array_unref (measure->blocked);
  pcd_lost_free (measure->lost);
  g_free (measure->evidence);
  g_free (measure->note);
  g_free (measure);
}
