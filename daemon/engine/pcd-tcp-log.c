/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One ring per connection, under a lock: the watch's thread adds, an action's thread reads. */
#include "engine/pcd-tcp-log.h"

#include "core/pcd-net-ring.h"
#include "core/pcd-record.h"

typedef struct {
  char *ends;
  char *why_ended; /* NULL while it lives */
  PcdNetRing *ring;
} Track;

struct _PcdTcpLog {
  gatomicrefcount refs;
  GMutex lock;
  GPtrArray *tracks; /* (element-type Track): the oldest first */
};

static void
track_free (Track *track)
{
  g_free (track->ends);
  g_free (track->why_ended);
  pcd_net_ring_free (track->ring);
  g_free (track);
}

PcdTcpLog *
pcd_tcp_log_new (void)
{
  PcdTcpLog *log = g_new0 (PcdTcpLog, 1);

  g_atomic_ref_count_init (&log->refs);
  g_mutex_init (&log->lock);
  log->tracks = g_ptr_array_new_with_free_func ((GDestroyNotify)track_free);
  return log;
}

PcdTcpLog *
pcd_tcp_log_ref (PcdTcpLog *log)
{
  g_atomic_ref_count_inc (&log->refs);
  return log;
}

void
pcd_tcp_log_unref (PcdTcpLog *log)
{
  if (!g_atomic_ref_count_dec (&log->refs))
    return;
  g_ptr_array_unref (log->tracks);
  g_mutex_clear (&log->lock);
  g_free (log);
}

static Track *
find_alive (PcdTcpLog *log, const char *ends)
{
  for (guint i = 0; i < log->tracks->len; i++) {
    Track *track = g_ptr_array_index (log->tracks, i);

    if (!track->why_ended && g_str_equal (track->ends, ends))
      return track;
  }
  return NULL;
}

static Track *
add_track (PcdTcpLog *log, const char *ends)
{
  Track *track = g_new0 (Track, 1);

  track->ends = g_strdup (ends);
  track->ring = pcd_net_ring_new ();
  if (log->tracks->len == PCD_TCP_LOG_N_CONNECTIONS)
    g_ptr_array_remove_index (log->tracks, 0);
  g_ptr_array_add (log->tracks, track);
  return track;
}

void
pcd_tcp_log_add (PcdTcpLog *log, const char *ends, const PcdNetSample *sample)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&log->lock);
  Track *track = find_alive (log, ends);

  pcd_net_ring_add ((track ? track : add_track (log, ends))->ring, sample);
}

void
pcd_tcp_log_end (PcdTcpLog *log, const char *ends, const char *why)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&log->lock);
  Track *track = find_alive (log, ends);

  if (track)
    track->why_ended = g_strdup (why);
}

static void
add_text (GString *text, const Track *track)
{
  g_string_append_printf (text, "# %s: %s%s\n", track->ends, track->why_ended ? "ended: " : "open",
                          track->why_ended ? track->why_ended : "");
  for (guint i = 0; i < pcd_net_ring_count (track->ring); i++) {
    g_autofree char *line = pcd_net_sample_to_string (pcd_net_ring_get (track->ring, i));

    g_string_append_printf (text, "%s\n", line);
  }
}

char *
pcd_tcp_log_to_text (PcdTcpLog *log)
{
  g_autofree char *time = pcd_time_to_rfc3339 (g_get_real_time ());
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&log->lock);

  if (log->tracks->len == 0)
    return NULL;
  g_string_printf (text, "# %s\n# %s is now=%" G_GINT64_FORMAT "\n", pcd_net_sample_columns (),
                   time, g_get_monotonic_time ());
  for (guint i = 0; i < log->tracks->len; i++)
    add_text (text, g_ptr_array_index (log->tracks, i));
  return g_string_free (g_steal_pointer (&text), FALSE);
}
