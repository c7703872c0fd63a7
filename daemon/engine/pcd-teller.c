/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The listeners of the engine and the last records, in a ring.
 * Decides nothing, not even what is worth telling. */
#include "engine/pcd-teller.h"

#define KEEP_RECORDS 1000

typedef struct {
  const PcdListener *listener;
  gpointer data;
} Follower;

struct _PcdTeller {
  GArray *followers;
  GQueue records;
  guint64 seq;
};

PcdTeller *
pcd_teller_new (void)
{
  PcdTeller *teller = g_new0 (PcdTeller, 1);

  teller->followers = g_array_new (FALSE, FALSE, sizeof (Follower));
  g_queue_init (&teller->records);
  return teller;
}

void
pcd_teller_free (PcdTeller *teller)
{
  g_array_unref (teller->followers);
  g_queue_clear_full (&teller->records, (GDestroyNotify)pcd_record_free);
  g_free (teller);
}

void
pcd_teller_add_listener (PcdTeller *teller, const PcdListener *listener, gpointer data)
{
  const Follower follower = { listener, data };

  g_array_append_val (teller->followers, follower);
}

PcdRecord *
pcd_teller_compose (
    PcdTeller *teller, PcdRecordKind kind, const char *from, const char *to, const char *detail)
{
  PcdRecord *record = g_new0 (PcdRecord, 1);

  record->seq = ++teller->seq;
  record->time = g_get_real_time ();
  record->monotonic = g_get_monotonic_time ();
  record->kind = kind;
  record->from = g_strdup (from);
  record->to = g_strdup (to);
  record->detail = g_strdup (detail);
  return record;
}

PcdRecord *
pcd_teller_compose_aside (PcdTeller *teller, PcdRecordKind kind, const char *to, const char *detail)
{
  const guint64 seq = teller->seq;
  PcdRecord *record = pcd_teller_compose (teller, kind, NULL, to, detail);

  teller->seq = seq;
  record->seq = MAX (seq, 1);
  return record;
}

void
pcd_teller_tell (PcdTeller *teller, PcdRecord *record)
{
  g_queue_push_tail (&teller->records, record);
  if (teller->records.length > KEEP_RECORDS)
    pcd_record_free (g_queue_pop_head (&teller->records));

  for (guint i = 0; i < teller->followers->len; i++) {
    Follower *follower = &g_array_index (teller->followers, Follower, i);

    if (follower->listener->record)
      follower->listener->record (record, follower->data);
  }
}

void
pcd_teller_changed (PcdTeller *teller, const PcdMigrationView *view)
{
  for (guint i = 0; i < teller->followers->len; i++) {
    Follower *follower = &g_array_index (teller->followers, Follower, i);

    if (follower->listener->changed)
      follower->listener->changed (view, follower->data);
  }
}

void
pcd_teller_removed (PcdTeller *teller, const char *uuid, PcdRole role)
{
  for (guint i = 0; i < teller->followers->len; i++) {
    Follower *follower = &g_array_index (teller->followers, Follower, i);

    if (follower->listener->removed)
      follower->listener->removed (uuid, role, follower->data);
  }
}

void
pcd_teller_connection (PcdTeller *teller, gboolean connected)
{
  for (guint i = 0; i < teller->followers->len; i++) {
    Follower *follower = &g_array_index (teller->followers, Follower, i);

    if (follower->listener->connection)
      follower->listener->connection (connected, follower->data);
  }
}

GPtrArray *
pcd_teller_get_records (PcdTeller *teller, guint64 after)
{
  GPtrArray *found = g_ptr_array_new ();

  for (GList *l = teller->records.head; l; l = l->next)
    if (((PcdRecord *)l->data)->seq > after)
      g_ptr_array_add (found, l->data);
  return found;
}
