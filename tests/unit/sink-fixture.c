/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The runner reports from threads of its own: what they log is kept, and waited for. */
#include "sink-fixture.h"

#include <glib/gstdio.h>
#include <string.h>

/* ---- what is logged ---- */

static GMutex log_lock;
static GPtrArray *logged, *expected;

static GLogWriterOutput
keep_message (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer data)
{
  if (level & (G_LOG_LEVEL_DEBUG | G_LOG_LEVEL_INFO))
    return G_LOG_WRITER_HANDLED;
  for (gsize i = 0; i < n_fields; i++) {
    if (strcmp (fields[i].key, "MESSAGE") != 0)
      continue;
    g_mutex_lock (&log_lock);
    g_ptr_array_add (logged, g_strdup (fields[i].value));
    g_mutex_unlock (&log_lock);
  }
  return G_LOG_WRITER_HANDLED;
}

void
watch_log (void)
{
  logged = g_ptr_array_new_with_free_func (g_free);
  expected = g_ptr_array_new_with_free_func (g_free);
  g_log_set_always_fatal (G_LOG_FATAL_MASK);
  g_log_set_writer_func (keep_message, NULL, NULL);
}

void
expect (const char *pattern)
{
  g_ptr_array_add (expected, g_strdup (pattern));
}

static gboolean
take_message (const char *pattern)
{
  for (guint i = 0; i < logged->len; i++) {
    if (!g_pattern_match_simple (pattern, g_ptr_array_index (logged, i)))
      continue;
    g_ptr_array_remove_index (logged, i);
    return TRUE;
  }
  return FALSE;
}

void
assert_expected (void)
{
  for (guint i = 0; i < expected->len; i++) {
    const char *pattern = g_ptr_array_index (expected, i);
    gboolean found = FALSE;
    for (guint n = 0; n < 10000 && !found; n++) {
      g_mutex_lock (&log_lock);
      found = take_message (pattern);
      g_mutex_unlock (&log_lock);
      if (!found)
        g_usleep (1000);
    }
    if (!found)
      g_error ("not logged: %s", pattern);
  }
  g_mutex_lock (&log_lock);
  if (logged->len > 0)
    g_error ("logged: %s", (char *)g_ptr_array_index (logged, 0));
  g_mutex_unlock (&log_lock);
}

/* ---- a queue and its runner ---- */

static void
poke (gpointer data)
{
  Fixture *f = data;

  if (f->runner)
    pcd_sink_runner_poke (f->runner);
}

void
start_journal (Fixture *f, gint64 max_notes)
{
  g_autoptr (GError) error = NULL;
  GPtrArray *limits = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_note_limits_free);

  f->journal = pcd_journal_open (f->dir, NULL, &error);
  g_assert_no_error (error);
  g_ptr_array_add (limits, pcd_note_limits_new ("r", max_notes, 16 << 20));
  pcd_journal_set_sinks (f->journal, limits);
}

PcdSinkConfig *
sink_config (gint64 timeout_usec)
{
  PcdSinkConfig *config = pcd_sink_config_new ("r", "receiver", g_strdup ("test"));

  config->common = pcd_sink_common_default;
  config->common.timeout_usec = timeout_usec;
  return config;
}

void
start_runner (Fixture *f, const PcdSinkType *type, PcdSinkConfig *config)
{
  PcdSinkRunner *runner = pcd_sink_runner_new (config, type, NULL, f->journal, &f->timing, NULL);

  pcd_sink_config_unref (config);
  pcd_journal_watch_notes (f->journal, NULL, NULL);
  f->runner = runner;
  pcd_journal_watch_notes (f->journal, poke, f);
  pcd_sink_runner_poke (runner);
}

void
stop (Fixture *f)
{
  pcd_journal_watch_notes (f->journal, NULL, NULL);
  if (f->runner) {
    pcd_sink_runner_stop (f->runner);
    g_assert_true (pcd_sink_runner_wait (f->runner, g_get_monotonic_time () + PATIENCE));
    g_clear_pointer (&f->runner, pcd_sink_runner_unref);
  }
  g_clear_pointer (&f->journal, pcd_journal_close);
}

void
set_up (Fixture *f, gconstpointer data)
{
  g_ptr_array_set_size (logged, 0);
  g_ptr_array_set_size (expected, 0);
  f->dir = g_dir_make_tmp ("pcd-sinks-XXXXXX", NULL);
  f->timing = (PcdSinkTiming){ .first_usec = 1000, .longest_usec = 20000, .grace_usec = 1000 };
}

static void
remove_all (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *child = g_build_filename (path, name, NULL);
    if (g_unlink (child) < 0)
      remove_all (child);
  }
  g_rmdir (path);
}

void
tear_down (Fixture *f, gconstpointer data)
{
  if (f->journal)
    stop (f);
  remove_all (f->dir);
  g_free (f->dir);
}

void
add (Fixture *f, guint from, guint to)
{
  for (guint i = from; i <= to; i++) {
    g_autofree char *json =
        g_strdup_printf ("{\"kind\":\"phase\",\"domain\":\"vm%u\",\"to\":\"x\"}", i);
    pcd_journal_add_note (f->journal, "u/source", "phase", i, json);
  }
}

PcdSinkStatus *
wait_for_status (Fixture *f, const char *state, gint64 delivered, gint64 waiting)
{
  const gint64 until = g_get_monotonic_time () + PATIENCE;

  while (TRUE) {
    g_autoptr (PcdSinkStatus) status = pcd_sink_runner_get_status (f->runner);
    if (g_str_equal (status->state, state) && status->delivered == delivered &&
        status->waiting == waiting)
      return g_steal_pointer (&status);
    if (g_get_monotonic_time () > until)
      g_error ("%s, delivered %" G_GINT64_FORMAT ", waiting %" G_GINT64_FORMAT, status->state,
               status->delivered, status->waiting);
    g_usleep (2000);
  }
}
