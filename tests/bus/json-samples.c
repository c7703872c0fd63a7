/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes a journal and a bundle by what writes the real ones, for test_schema.py: an incident that
 * has ended and one that lasts, and a snapshot of this process.
 *
 * json-samples DIRECTORY; prints the bundle's path. */
#include "core/pcd-record.h"
#include "journal/pcd-journal.h"
#include "snapshot/pcd-memory-part.h"
#include "snapshot/pcd-snapshot.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORD(text) ((char *)text)
#define UUID       WORD ("11111111-2222-3333-4444-555555555555")
#define SIZE       (64 * 4096)

static void
on_intent (const GError *error, gpointer data)
{
  g_assert_no_error (error);
  g_main_loop_quit (data);
}

static void
act (PcdJournal *journal, gint64 incident, guint64 ticket, const char *outcome, const char *reason)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);

  pcd_journal_intent (journal, incident, ticket, "recover", "policy recover", NULL,
                      g_get_real_time (), on_intent, loop);
  g_main_loop_run (loop);
  if (outcome)
    pcd_journal_result (journal, incident, ticket, outcome, reason, NULL, g_get_real_time ());
}

static void
write_journal (const char *directory)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *notice = NULL;
  PcdJournal *journal = pcd_journal_open (directory, &notice, &error);

  g_assert_no_error (error);
  for (guint i = 0; i < 2; i++) {
    const gint64 id =
        pcd_journal_begin_incident (journal, UUID, "g", PCD_ROLE_SOURCE, g_get_real_time ());
    PcdRecord record = { .seq = 7,
                         .time = g_get_real_time (),
                         .monotonic = g_get_monotonic_time (),
                         .kind = PCD_RECORD_PHASE,
                         .uuid = UUID,
                         .domain = WORD ("g"),
                         .role = PCD_ROLE_SOURCE,
                         .from = WORD ("postcopy"),
                         .to = WORD ("paused"),
                         .detail = WORD ("the script says so") };
    pcd_journal_add_record (journal, id, &record);
    act (journal, id, 1, "failed", "nobody answers");
    act (journal, id, 2, "done", NULL);
    act (journal, id, 3, NULL, NULL);
    if (i == 0)
      pcd_journal_end_incident (journal, id, "completed", g_get_real_time ());
  }
  pcd_journal_close (journal);
}

static gboolean
go_on (guint64 done, guint64 total, gpointer data)
{
  return TRUE;
}

static char *
write_bundle (const char *directory)
{
  guint8 *memory =
      mmap (NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) node = json_from_string (
      "{\"blocks\":[{\"name\":\"pc.ram\",\"size\":262144,\"has-missing\":true}],"
      "\"ranges\":[{\"address\":65536,\"size\":262144,\"block\":0,\"offset\":0}]}",
      NULL);
  PcdRamLayout *layout = pcd_ram_layout_from_json (json_node_get_object (node), NULL);
  g_autoptr (PcdGuestMemory) guest = pcd_guest_memory_open (getpid (), &error);
  g_autoptr (PcdBundle) bundle = pcd_bundle_new (directory, "g", 0, &error);
  PcdSnapshot snapshot = { .uuid = UUID,
                           .name = "g",
                           .role = "source",
                           .phase = "paused",
                           .cause = "network",
                           .connection = "10.0.0.1:1 10.0.0.2:2",
                           .layout = layout,
                           .held = "frozen",
                           .disks_note = "none" };
  char *path = NULL;

  g_assert_no_error (error);
  g_array_index (layout->blocks, PcdRamBlock, 0).address = (guint64)(gsize)memory;
  pcd_memory_part_write (bundle, guest, layout, go_on, NULL, &snapshot.count, &error);
  g_assert_no_error (error);
  pcd_snapshot_commit (bundle, &snapshot, &path, &error);
  g_assert_no_error (error);
  pcd_ram_layout_free (layout);
  munmap (memory, SIZE);
  return path;
}

int
main (int argc, char **argv)
{
  write_journal (argv[1]);
  g_autofree char *bundle = write_bundle (argv[1]);
  printf ("%s\n", bundle);
  return 0;
}
