/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A journal that is damaged, before it is opened and while it is written. */
#include "journal-fixture.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

static void
fill (Fixture *f, guint n_records)
{
  PcdRecord record = { .kind = PCD_RECORD_PHASE,
                       .uuid = (char *)UUID,
                       .time = T0,
                       .detail = (char *)"something to fill a page with" };

  open_journal (f);
  gint64 id = pcd_journal_begin_incident (f->journal, UUID, "a", PCD_ROLE_SOURCE, T0);
  for (guint i = 0; i < n_records; i++)
    pcd_journal_add_record (f->journal, id, &record);
  intend_well (f->journal, id, 1, NULL);
  close_journal (f);
}

static void
damage_pages (Fixture *f)
{
  scribble (f, 4096);
}

static void
damage_magic (Fixture *f)
{
  FILE *file = fopen (f->file, "r+");

  fputs ("SQLight", file);
  fclose (file);
}

static void
damage_truncate (Fixture *f)
{
  struct stat st;

  g_assert_cmpint (stat (f->file, &st), ==, 0);
  g_assert_cmpint (truncate (f->file, st.st_size / 2 + 100), ==, 0);
}

static void
damage_empty (Fixture *f)
{
  g_assert_cmpint (truncate (f->file, 0), ==, 0);
}
static void
damage_foreign (Fixture *f)
{
  run_sql (f, "PRAGMA application_id = 1");
}
static void
damage_table (Fixture *f)
{
  run_sql (f, "DROP TABLE flags");
}
typedef struct {
  const char *name;
  void (*damage) (Fixture *f);
  const char *suffix;
  const char *notice;
} Damage;

static const Damage damages[] = {
  { "random", damage_random, "damaged", "not a database" },
  { "magic", damage_magic, "damaged", "not a database" },
  { "pages", damage_pages, "damaged", "" },
  { "truncated", damage_truncate, "damaged", "" },
  { "empty", damage_empty, "damaged", "is empty" },
  { "foreign", damage_foreign, "damaged", "not a journal" },
  { "table", damage_table, "damaged", "flags" },
  { "newer", damage_newer, "version-7", "newer postcopyd" },
};

static char *
find_set_aside (Fixture *f, const char *suffix)
{
  g_autofree char *prefix = g_strconcat ("journal.sqlite.", suffix, "-2", NULL);
  g_autoptr (GDir) dir = g_dir_open (f->dir, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)))
    if (g_str_has_prefix (name, prefix) && !g_str_has_suffix (name, "-wal") &&
        !g_str_has_suffix (name, "-shm"))
      return g_build_filename (f->dir, name, NULL);
  return NULL;
}

static void
test_damage (Fixture *f, gconstpointer data)
{
  const Damage *damage = data;
  g_autofree char *before = NULL, *after = NULL, *wal = g_strconcat (f->file, "-wal", NULL);
  gsize n_before, n_after;

  fill (f, 500);
  damage->damage (f);
  g_assert_true (g_file_get_contents (f->file, &before, &n_before, NULL));
  g_assert_true (g_file_set_contents (wal, "a stray log", -1, NULL));

  open_journal (f);
  g_autofree char *aside = find_set_aside (f, damage->suffix);
  g_assert_nonnull (aside);
  g_assert_nonnull (f->notice);
  g_assert_nonnull (strstr (f->notice, damage->notice));
  g_assert_nonnull (strstr (f->notice, aside));
  g_assert_true (g_file_get_contents (aside, &after, &n_after, NULL));
  g_assert_cmpmem (before, n_before, after, n_after);
  g_autoptr (GPtrArray) open = pcd_journal_get_open (f->journal, NULL);
  g_assert_cmpuint (open->len, ==, 0);
  gint64 id = pcd_journal_begin_incident (f->journal, UUID, "b", PCD_ROLE_SOURCE, T0);
  g_assert_cmpint (id, ==, 1000001);
  intend_well (f->journal, id, 1, NULL);
  open_journal (f);
  g_assert_null (f->notice);
}

/* Warnings of the writer's thread, which are expected here. */
static GMutex warnings_lock;
static GString *warnings;

static GLogWriterOutput
take_warning (GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
  g_mutex_lock (&warnings_lock);
  for (gsize i = 0; i < n; i++)
    if (g_str_equal (fields[i].key, "MESSAGE") && level <= G_LOG_LEVEL_MESSAGE)
      g_string_append_printf (warnings, "%s\n", (const char *)fields[i].value);
  g_mutex_unlock (&warnings_lock);
  return G_LOG_WRITER_HANDLED;
}

static void
check_goes_on (Fixture *f, gint64 id)
{
  g_autoptr (GError) error = NULL;

  open_journal (f);
  g_assert_null (f->notice);
  g_autoptr (GPtrArray) open = pcd_journal_get_open (f->journal, &error);
  g_assert_cmpuint (open->len, ==, 1);
  PcdOpenIncident *incident = g_ptr_array_index (open, 0);
  g_assert_cmpint (incident->id, ==, id);
  g_assert_cmpuint (incident->unfinished->len, ==, 2);
  g_assert_cmpuint (g_array_index (incident->unfinished, guint64, 0), ==, 2);
  g_assert_cmpuint (g_array_index (incident->unfinished, guint64, 1), ==, 3);
  g_assert_true (incident->has_ladder);
  g_assert_cmpuint (incident->ladder.last_ticket, ==, 3);
  g_assert_cmpstr (g_hash_table_lookup (incident->flags, "frozen"), ==, "0");
}

/* An incident with a finished and an unfinished intent, then @harm, then another intent. */
static void
goes_on_after (Fixture *f, void (*harm) (Fixture *f), const char *warning)
{
  PcdLadder ladder = full_ladder ();

  fill (f, 500);
  open_journal (f);
  gint64 old = 1, id = pcd_journal_begin_incident (f->journal, UUID, "b", PCD_ROLE_SOURCE, T0);
  pcd_journal_end_incident (f->journal, old, "completed", T0);
  intend_well (f->journal, id, 1, &ladder);
  pcd_journal_result (f->journal, id, 1, "done", NULL, NULL, T0);
  pcd_journal_set_flag (f->journal, UUID, "frozen", "0");
  intend_well (f->journal, id, 2, &ladder);
  harm (f);
  ladder.last_ticket = 3;
  intend_well (f->journal, id, 3, &ladder);
  g_mutex_lock (&warnings_lock);
  g_assert_nonnull (strstr (warnings->str, warning));
  g_string_truncate (warnings, 0);
  g_mutex_unlock (&warnings_lock);
  check_goes_on (f, id);
}

/* Another connection that writes makes the journal's own read the file again. */
static void
harm_pages (Fixture *f)
{
  run_sql (f, "PRAGMA wal_checkpoint(TRUNCATE)");
  scribble (f, 4096);
  run_sql (f, "PRAGMA user_version = 1");
}

static void
harm_unlink (Fixture *f)
{
  static const char *const ends[] = { "", "-wal", "-shm" };

  for (guint i = 0; i < G_N_ELEMENTS (ends); i++) {
    g_autofree char *name = g_strconcat (f->file, ends[i], NULL);
    g_unlink (name);
  }
}

static void
test_damage_while_writing (Fixture *f, gconstpointer data)
{
  goes_on_after (f, harm_pages, "it was set aside as");
  g_autofree char *aside = find_set_aside (f, "damaged");
  g_assert_nonnull (aside);
}

static void
test_rule_5_taken_away (Fixture *f, gconstpointer data)
{
  goes_on_after (f, harm_unlink, "was taken away");
}

#define ADD(name, func) g_test_add ("/journal/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* What the journal warns of is looked at, not died of. */
  g_log_set_always_fatal (G_LOG_FATAL_MASK);
  warnings = g_string_new (NULL);
  g_log_set_writer_func (take_warning, NULL, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (damages); i++) {
    g_autofree char *path = g_strconcat ("/journal/damage/", damages[i].name, NULL);
    g_test_add (path, Fixture, &damages[i], set_up, test_damage, tear_down);
  }
  ADD ("damage/while-writing", test_damage_while_writing);
  ADD ("rule-5-taken-away", test_rule_5_taken_away);
  return g_test_run ();
}
