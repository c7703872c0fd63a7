/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl snapshot verify, info, merge: finished bundles. Asks neither daemon nor libvirt.
 * What `snapshot DOMAIN` does is in pcd-verb-act.c. */
#include "ctl/pcd-verb-snapshot.h"

#include "core/pcd-json.h"
#include "core/pcd-record.h"
#include "ctl/pcd-busy.h"
#include "ctl/pcd-verbs.h"
#include "snapshot/pcd-merge.h"

#include <gio/gio.h>
#include "core/pcd-text.h"

#include <glib/gi18n.h>
#include <inttypes.h>

static PcdBusyFlags
flags_of (const PcdCtl *ctl)
{
  return ctl->quiet ? PCD_BUSY_QUIET : 0;
}

static int
fail (const GError *error)
{
  g_printerr ("%s: %s\n", g_get_prgname (), error->message);
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ? PCD_EXIT_USAGE
                                                                   : PCD_EXIT_FAILED;
}

static gboolean
on_read (guint64 done, guint64 total, gpointer data)
{
  pcd_busy_count (data, done, total);
  return TRUE;
}

static int
verify (const PcdCtl *ctl, const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) manifest = pcd_bundle_read_manifest (path, &error);
  g_autofree char *text = g_strdup_printf (_ ("reading %s"), path);
  PcdBusy *busy = manifest ? pcd_busy_begin (flags_of (ctl), text, NULL) : NULL;
  const gboolean good = manifest && pcd_bundle_verify (path, manifest, on_read, busy, &error);

  pcd_busy_end (busy);
  if (!good)
    return fail (error);
  g_print (_ ("%s: good\n"), path);
  return PCD_EXIT_DONE;
}

static const char *const labels[] = {
  N_ ("Domain:"), N_ ("UUID:"),       N_ ("Role:"),       N_ ("Host:"),
  N_ ("Taken:"),  N_ ("Phase:"),      N_ ("Connection:"), N_ ("Guest:"),
  N_ ("Note:"),   N_ ("Consistent:"), N_ ("Present:"),    N_ ("Missing:"),
  N_ ("Zero:"),   N_ ("Layout:"),     N_ ("Disks:"),      N_ ("Disk:"),
};

/* @label: one of the above */
static void
print_field (const char *label, const char *text)
{
  guint width = 12;

  for (guint i = 0; i < G_N_ELEMENTS (labels); i++)
    width = MAX (width, pcd_text_width (_ (labels[i])));
  g_autofree char *padded = pcd_text_pad (_ (label), width);
  g_print ("%s %s\n", padded, text);
}

static void
line (const char *label, JsonObject *object, const char *name)
{
  const char *text = pcd_json_get_string (object, name);
  g_autofree char *printable = text ? pcd_text_printable (text) : NULL;

  if (printable)
    print_field (label, printable);
}

static char *
pages (JsonObject *memory, const char *name)
{
  gint64 n = pcd_json_get_int (memory, name);

  return g_strdup_printf (
      ngettext ("%" PRId64 " page (%.1f MiB)", "%" PRId64 " pages (%.1f MiB)", (gulong)n), n,
      (double)n * PCD_GUEST_PAGE / (1024 * 1024));
}

/* A part, or why there is none. */
static void
show_disk (JsonObject *disk)
{
  const gint64 size = pcd_json_get_int (disk, "size");
  const char *device = pcd_json_get_string (disk, "device");
  const char *part = pcd_json_get_string (disk, "part");
  const char *reason = pcd_json_get_string (disk, "reason");
  g_autofree char *name = pcd_text_printable (device ? device : "?");
  g_autofree char *what = pcd_text_printable (part ? part : reason ? reason : "?");

  const double mib = (double)size / (1024 * 1024);
  /* TRANSLATORS: a disk's name, its size, and the file it is kept in or the reason why not */
  g_autofree char *text = part
                              ? g_strdup_printf (_ ("%s, %.1f MiB: %s"), name, mib, what)
                              : g_strdup_printf (_ ("%s, %.1f MiB: not kept, %s"), name, mib, what);
  print_field ("Disk:", text);
}

static void
show_disks (JsonObject *manifest)
{
  JsonArray *disks = pcd_json_get_array (manifest, "disks");

  line ("Disks:", manifest, "disks-note");
  for (guint i = 0; disks && i < json_array_get_length (disks); i++) {
    JsonNode *disk = json_array_get_element (disks, i);
    if (JSON_NODE_HOLDS_OBJECT (disk))
      show_disk (json_node_get_object (disk));
  }
}

static void
show (JsonObject *manifest)
{
  JsonObject *domain = pcd_json_get_object (manifest, "domain"),
             *memory = pcd_json_get_object (manifest, "memory");
  JsonObject *guest = pcd_json_get_object (manifest, "guest"),
             *migration = pcd_json_get_object (manifest, "migration");
  g_autofree char *present = pages (memory, "present"), *missing = pages (memory, "missing"),
                  *zero = pages (memory, "zero");
  gboolean consistent = pcd_json_get_boolean (guest, "consistent");

  line ("Domain:", domain, "name");
  line ("UUID:", domain, "uuid");
  line ("Role:", manifest, "role");
  line ("Host:", manifest, "host");
  line ("Taken:", manifest, "taken");
  line ("Phase:", migration, "phase");
  line ("Connection:", migration, "connection");
  line ("Guest:", guest, "held");
  line ("Note:", guest, "note");
  print_field ("Consistent:", consistent ? _ ("yes") : _ ("no"));
  print_field ("Present:", present);
  print_field ("Missing:", missing);
  print_field ("Zero:", zero);
  line ("Layout:", memory, "note");
  show_disks (manifest);
}

static int
info (const char *path, gboolean json)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) manifest = pcd_bundle_read_manifest (path, &error);

  if (!manifest)
    return fail (error);
  if (json) {
    g_autoptr (JsonNode) root = json_node_init_object (json_node_alloc (), manifest);
    g_autofree char *text = json_to_string (root, TRUE);
    g_print ("%s\n", text);
  } else {
    show (manifest);
  }
  return PCD_EXIT_DONE;
}

static gboolean
on_merged (const char *what, guint64 done, guint64 total, gpointer data)
{
  pcd_busy_tell (data, what);
  pcd_busy_count (data, done, total);
  return !pcd_busy_is_interrupted (data);
}

static int
merge (const PcdCtl *ctl,
       const PcdSnapshotWords *words,
       const char *source,
       const char *destination)
{
  g_autoptr (GError) error = NULL;
  PcdMergeCount count;

  if (!words->output) {
    g_printerr (_ ("%s: --output is missing, expected the core to write\n"), g_get_prgname ());
    return PCD_EXIT_USAGE;
  }
  PcdBusy *busy =
      pcd_busy_begin (flags_of (ctl) | PCD_BUSY_DEFER, _ ("reading"), _ ("nothing is kept"));
  const gboolean merged = pcd_merge (source, destination, words->output, words->mark_missing,
                                     on_merged, busy, &count, &error);
  if (merged)
    pcd_busy_end (busy);
  else
    pcd_busy_give_in (busy);
  if (!merged)
    return fail (error);
  /* TRANSLATORS: the number of pages is the sum of the others */
  g_print (_ ("%s: %" PRIu64 " pages: %" PRIu64 " of the destination, %" PRIu64
              " of the source, %" PRIu64 " never written, %" PRIu64 " missing\n"),
           words->output, count.destination + count.source + count.zero + count.missing,
           count.destination, count.source, count.zero, count.missing);
  if (!count.is_consistent)
    g_printerr (
        _ ("%s: the destination's guest was not held still: its memory is not of one moment\n"),
        g_get_prgname ());
  return PCD_EXIT_DONE;
}

const PcdSubverb pcd_snapshot_subverbs[] = {
  { "verify", "BUNDLE", N_ ("Read all of a snapshot, and compare with its checksums"), "quiet",
    "snapshot verify vm1-20261123T010203Z" },
  { "info", "BUNDLE", N_ ("Of what, when, and how much of it there is"), "json",
    "snapshot info vm1-20261123T010203Z" },
  { "merge", "SOURCE DESTINATION --output FILE",
    N_ ("One memory, for gdb, out of a snapshot of each side"), "output mark-missing quiet",
    "snapshot merge vm1-from-a vm1-from-b --output vm1.core" },
  { NULL },
};

gboolean
pcd_snapshot_is_word (int argc, char **argv)
{
  for (const PcdSubverb *s = pcd_snapshot_subverbs; argc > 1 && s->name; s++)
    if (g_str_equal (s->name, argv[1]))
      return TRUE;
  return FALSE;
}

int
pcd_snapshot_words (const PcdCtl *ctl, const PcdSnapshotWords *words, int argc, char **argv)
{
  if (argc == 3 && g_str_equal (argv[1], "verify"))
    return verify (ctl, argv[2]);
  if (argc == 3 && g_str_equal (argv[1], "info"))
    return info (argv[2], words->json);
  if (argc == 4 && g_str_equal (argv[1], "merge"))
    return merge (ctl, words, argv[2], argv[3]);
  g_printerr (_ ("%s: expected %s; see 'postcopyctl snapshot --help'\n"), g_get_prgname (),
              pcd_verb_snapshot.synopsis);
  return PCD_EXIT_USAGE;
}
