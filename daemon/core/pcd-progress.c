/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Samples to rate and estimate; and both to words. */
#include "core/pcd-progress.h"

#include "core/pcd-json.h"
#include "core/pcd-text.h"

#include <gio/gio.h>
#include <glib/gi18n.h>
#include <inttypes.h>
#include <json-glib/json-glib.h>
#include <string.h>

/* Two looks closer to each other than this say more about QEMU's batches than about the network. */
#define SPAN_MIN_USEC (G_USEC_PER_SEC / 2)

static guint64
get_count (JsonObject *object, const char *name)
{
  return (guint64)MAX (pcd_json_get_int (object, name), 0);
}

static gboolean
fail (GError **error, int code, const char *what)
{
  g_set_error_literal (error, G_IO_ERROR, code, what);
  return FALSE;
}

gboolean
pcd_progress_parse (const char *json, gint64 now, PcdProgressSample *ret_sample, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonNode *root = json && json_parser_load_from_data (parser, json, -1, NULL)
                       ? json_parser_get_root (parser)
                       : NULL;
  JsonObject *reply = root && JSON_NODE_HOLDS_OBJECT (root)
                          ? pcd_json_get_object (json_node_get_object (root), "return")
                          : NULL;
  JsonObject *ram = pcd_json_get_object (reply, "ram");

  if (!reply)
    return fail (error, G_IO_ERROR_INVALID_DATA, _ ("QEMU's answer to query-migrate is none"));
  if (!ram)
    return fail (error, G_IO_ERROR_NOT_FOUND, _ ("QEMU has no figures of this migration"));
  const char *status = json_object_get_string_member_with_default (reply, "status", "");
  JsonNode *mbps = json_object_get_member (ram, "mbps");
  *ret_sample = (PcdProgressSample){
    .now = now,
    .flows = strcmp (status, "postcopy-active") == 0 || strcmp (status, "active") == 0,
    .remaining = get_count (ram, "remaining"),
    .total = get_count (ram, "total"),
    .page_size = (guint)get_count (ram, "page-size"),
    .bytes_per_s = mbps && JSON_NODE_HOLDS_VALUE (mbps)
                       ? (guint64)CLAMP (json_node_get_double (mbps) * 1e6 / 8, 0, 1e15)
                       : 0,
  };
  return TRUE;
}

static gboolean
goes_on (const PcdProgressSample *last, const PcdProgressSample *sample)
{
  return sample->flows == last->flows && sample->remaining <= last->remaining &&
         sample->now > last->now;
}

static void
forget_first (PcdProgressTrack *track)
{
  track->n--;
  memmove (track->samples, track->samples + 1, track->n * sizeof track->samples[0]);
}

void
pcd_progress_add (PcdProgressTrack *track, const PcdProgressSample *sample)
{
  if (track->n > 0 && !goes_on (&track->samples[track->n - 1], sample))
    track->n = 0;
  while (track->n == PCD_PROGRESS_SAMPLES ||
         (track->n > 0 && sample->now - track->samples[0].now > PCD_PROGRESS_WINDOW_USEC))
    forget_first (track);
  track->samples[track->n++] = *sample;
}

static gint64
rate_of (const PcdProgressTrack *track)
{
  const PcdProgressSample *first = &track->samples[0], *last = &track->samples[track->n - 1];
  const gint64 span = last->now - first->now;

  if (!last->flows)
    return 0;
  if (span >= SPAN_MIN_USEC)
    return (gint64)((double)(first->remaining - last->remaining) * G_USEC_PER_SEC / (double)span);
  return last->bytes_per_s ? (gint64)last->bytes_per_s : -1;
}

PcdProgress
pcd_progress_get (const PcdProgressTrack *track)
{
  PcdProgress progress = { .rate = -1, .left_usec = -1 };

  if (track->n == 0)
    return progress;
  const PcdProgressSample *last = &track->samples[track->n - 1];
  progress.known = TRUE;
  progress.remaining = last->remaining;
  progress.total = last->total;
  progress.page_size = last->page_size;
  progress.rate = rate_of (track);
  if (last->remaining == 0)
    progress.left_usec = 0;
  else if (progress.rate > 0)
    progress.left_usec =
        (gint64)CLAMP ((double)last->remaining * G_USEC_PER_SEC / (double)progress.rate, 0, 1e17);
  return progress;
}

guint64
pcd_progress_pages (const PcdProgress *progress)
{
  if (progress->page_size == 0)
    return 0;
  return progress->remaining / progress->page_size +
         (progress->remaining % progress->page_size ? 1 : 0);
}

guint
pcd_progress_permille (const PcdProgress *progress)
{
  const guint64 remaining = MIN (progress->remaining, progress->total);

  if (progress->total == 0)
    return 0;
  return (guint)((double)(progress->total - remaining) * 1000 / (double)progress->total);
}

char *
pcd_progress_bytes_to_text (guint64 bytes)
{
  static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
  double value = (double)bytes / 1024;
  guint unit = 0;

  if (bytes < 1024)
    return g_strdup_printf ("%u B", (guint)bytes);
  while (value >= 1024 && unit + 1 < G_N_ELEMENTS (units)) {
    value /= 1024;
    unit++;
  }
  return g_strdup_printf ("%.1f %s", value, units[unit]);
}

char *
pcd_progress_left_to_text (gint64 usec)
{
  const gint64 seconds = usec / G_USEC_PER_SEC + (usec % G_USEC_PER_SEC ? 1 : 0);

  if (seconds < 60)
    return g_strdup_printf (_ ("%d s"), (int)seconds);
  if (seconds < 3600)
    return g_strdup_printf (_ ("%d min %d s"), (int)(seconds / 60), (int)(seconds % 60));
  if (seconds < 100 * 3600)
    return g_strdup_printf (_ ("%d h %d min"), (int)(seconds / 3600), (int)(seconds / 60 % 60));
  return g_strdup (_ ("days"));
}

char *
pcd_progress_to_text (const PcdProgress *progress)
{
  g_autofree char *remaining = pcd_progress_bytes_to_text (progress->remaining);
  g_autofree char *total = pcd_progress_bytes_to_text (progress->total);
  g_autofree char *rate = pcd_progress_bytes_to_text ((guint64)MAX (progress->rate, 0));
  g_autofree char *left = pcd_progress_left_to_text (MAX (progress->left_usec, 0));
  const guint64 pages = pcd_progress_pages (progress);
  g_autoptr (GString) text = g_string_new (NULL);

  /* TRANSLATORS: an amount of memory, pages, the whole; what follows is appended: a rate, a time */
  g_string_append_printf (text,
                          ngettext ("%s (%" PRIu64 " page) left of %s",
                                    "%s (%" PRIu64 " pages) left of %s", (gulong)pages),
                          remaining, pages, total);
  if (progress->remaining == 0)
    return g_string_free (g_steal_pointer (&text), FALSE);
  if (progress->rate == 0)
    g_string_append (text, _ (", nothing flows"));
  else if (progress->rate > 0)
    g_string_append_printf (text, _ (", %s/s"), rate);
  if (progress->left_usec >= 0 && progress->rate != 0)
    g_string_append_printf (text, _ (", about %s"), left);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

char *
pcd_progress_bar (const PcdProgress *progress, guint width)
{
  const guint inner = MAX (width, 3) - 2;
  const guint full = inner * pcd_progress_permille (progress) / 1000;
  char *bar = g_malloc (inner + 3);

  bar[0] = '[';
  memset (bar + 1, '#', full);
  memset (bar + 1 + full, '-', inner - full);
  strcpy (bar + 1 + inner, "]");
  return bar;
}

#define BAR_MIN 12
#define BAR_MAX 42

char *
pcd_progress_line (const char *head, const PcdProgress *progress, guint columns)
{
  g_autofree char *text = pcd_progress_to_text (progress);
  const guint used = pcd_text_width (head) + 2 + pcd_text_width (text);
  const glong room = (glong)columns - 1 - (glong)used - 1;
  g_autofree char *bar =
      room >= BAR_MIN ? pcd_progress_bar (progress, (guint)MIN (room, BAR_MAX)) : NULL;
  g_autofree char *line = g_strconcat (head, ": ", bar ?: "", bar ? " " : "", text, NULL);

  return pcd_text_cut (line, MAX (columns, 1) - 1);
}
