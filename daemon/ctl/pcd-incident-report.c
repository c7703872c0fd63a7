/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Incidents from the journal or from files, and a report of them. */
#include "ctl/pcd-incident-report.h"

#include "ctl/pcd-busy.h"
#include "ctl/pcd-report.h"
#include "ctl/pcd-verb.h"
#include "engine/pcd-file.h"
#include "journal/pcd-journal.h"

#include <gio/gio.h>
#include <glib/gi18n.h>
#include <string.h>

#define MAX_FILE (64 * 1024 * 1024)

static JsonNode *
read_file (const char *path, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) own = NULL;

  if (!pcd_file_read (path, MAX_FILE, _ ("an incident"), text, &own) ||
      !json_parser_load_from_data (parser, text->str, (gssize)text->len, &own)) {
    /* What the parser says begins with the name that it gives to memory, and the place there. */
    const char *why = own->message;
    if (g_str_has_prefix (why, "<data>"))
      why += strlen ("<data>");
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                 _ ("%s%s; expected the number of an incident ('postcopyctl incident list' shows "
                    "them), or a file that 'postcopyctl incident show ID --json' wrote"),
                 own->domain == JSON_PARSER_ERROR ? path : "", why);
    return NULL;
  }
  return json_parser_steal_root (parser);
}

/* Of an array, as report --json writes it, the first. */
static JsonNode *
pick_first (JsonNode *root)
{
  JsonArray *array = root && JSON_NODE_HOLDS_ARRAY (root) ? json_node_get_array (root) : NULL;

  if (!array || json_array_get_length (array) == 0)
    return root;
  JsonNode *first = json_node_copy (json_array_get_element (array, 0));
  json_node_unref (root);
  return first;
}

static PcdReportSide *
load (const char *state_dir, const char *word, GError **error)
{
  g_autoptr (JsonNode) root = NULL;
  guint64 id;

  if (g_ascii_string_to_unsigned (word, 10, 1, G_MAXINT64, &id, NULL))
    root = pcd_journal_show (state_dir, (gint64)id, error);
  else
    root = pick_first (read_file (word, error));
  return root ? pcd_report_side_new (root, word, error) : NULL;
}

static int
fail (const GError *error)
{
  g_printerr ("%s: %s\n", g_get_prgname (), error->message);
  return g_error_matches (error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NOT_FOUND) ||
                 g_error_matches (error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NONE_YET)
             ? PCD_EXIT_NOT_FOUND
             : PCD_EXIT_FAILED;
}

static void
print_json (PcdReportSide *const *sides, guint n_sides)
{
  g_autoptr (JsonArray) array = json_array_new ();
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_ARRAY);

  for (guint i = 0; i < n_sides; i++)
    json_array_add_element (array, json_node_ref (sides[i]->root));
  json_node_set_array (root, array);
  g_autofree char *text = json_to_string (root, TRUE);
  g_print ("%s\n", text);
}

static int
write_html (const char *path, const PcdReportSide *const *sides, guint n_sides)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *page = pcd_report_html (sides, n_sides);

  if (g_str_equal (path, "-")) {
    g_print ("%s", page);
    return PCD_EXIT_DONE;
  }
  if (!g_file_set_contents (path, page, -1, &error))
    return fail (error);
  g_print (_ ("%s: a page that needs nothing else; open it in a browser\n"), path);
  return PCD_EXIT_DONE;
}

int
pcd_incident_report (const PcdIncidentReport *wanted)
{
  g_autoptr (GError) error = NULL;
  PcdBusy *busy =
      pcd_busy_begin (wanted->quiet ? PCD_BUSY_QUIET : 0, _ ("reading what happened"), NULL);
  g_autoptr (PcdReportSide) a = load (wanted->state_dir, wanted->incident, &error);
  g_autoptr (PcdReportSide) b = NULL;
  gboolean joined = FALSE;

  if (a && wanted->with)
    b = load (wanted->state_dir, wanted->with, &error);
  joined = b && pcd_report_join_check (a, b, &error);
  pcd_busy_end (busy);
  if (!a || (wanted->with && !joined))
    return fail (error);
  /* The source first: there it began. */
  const gboolean swap = b && g_str_equal (b->role, "source");
  PcdReportSide *sides[] = { swap ? b : a, swap ? a : b };
  const guint n_sides = b ? 2 : 1;
  const PcdReportSide *const views[] = { sides[0], sides[1] };
  if (wanted->html)
    return write_html (wanted->html, views, n_sides);
  if (wanted->json) {
    print_json (sides, n_sides);
    return PCD_EXIT_DONE;
  }
  g_autofree char *text = pcd_report_text (views, n_sides);
  g_print ("%s", text);
  return PCD_EXIT_DONE;
}
