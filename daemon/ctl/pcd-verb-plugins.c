/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl plugins: what the configuration names, and what is wrong with it. Needs no daemon,
 * and runs none of their code. */
#include <glib/gi18n.h>
#include <json-glib/json-glib.h>

#include "core/pcd-json.h"
#include "ctl/pcd-plugin-names.h"
#include "ctl/pcd-table.h"
#include "ctl/pcd-verbs.h"

static const struct {
  guint flag;
  const char *word;
} flags[] = {
  { POSTCOPYD_DESTROYS, "destroys" },
  { POSTCOPYD_HANDLES_GUEST, "handles-guest" },
  { POSTCOPYD_REPEATABLE, "repeatable" },
};

static void
add_view (JsonBuilder *builder, const PcdPluginView *view)
{
  json_builder_begin_object (builder);
  pcd_json_add_string (builder, "name", view->name);
  pcd_json_add_string (builder, "path", view->path);
  if (view->kind)
    pcd_json_add_string (builder, "kind", view->kind);
  if (view->abi_major) {
    g_autofree char *abi = g_strdup_printf ("%u.%u", view->abi_major, view->abi_minor);
    pcd_json_add_string (builder, "abi", abi);
  }
  json_builder_set_member_name (builder, "flags");
  json_builder_begin_array (builder);
  for (guint i = 0; i < G_N_ELEMENTS (flags); i++)
    if (view->flags & flags[i].flag)
      json_builder_add_string_value (builder, flags[i].word);
  json_builder_end_array (builder);
  pcd_json_add_int (builder, "deaths", view->deaths);
  if (view->problem)
    pcd_json_add_string (builder, "problem", view->problem);
  json_builder_end_object (builder);
}

static void
show_json (GPtrArray *views)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_array (builder);
  for (guint i = 0; i < views->len; i++)
    add_view (builder, views->pdata[i]);
  json_builder_end_array (builder);
  g_autoptr (JsonNode) root = json_builder_get_root (builder);
  g_autofree char *text = json_to_string (root, TRUE);
  g_print ("%s\n", text);
}

static void
show_text (GPtrArray *views)
{
  static const PcdTableColumn columns[] = {
    { N_ ("Name"), 24, 1 },
    { N_ ("Kind"), 7, 1 },
    { N_ ("State"), 28, 1 },
    { NULL },
  };
  g_autoptr (PcdTable) table = pcd_table_new (columns);

  for (guint i = 0; i < views->len; i++) {
    const PcdPluginView *view = views->pdata[i];
    const char *const cells[] = { view->name, view->kind ?: "-", view->problem ?: _ ("good"),
                                  NULL };
    pcd_table_add (table, g_strdupv ((GStrv)cells));
  }
  g_autofree char *text = pcd_table_to_text (table, '-', NULL);
  g_print ("%s", text);
}

static int
run (const PcdCtl *ctl, int argc, char **argv)
{
  g_autofree char *config = NULL;
  gboolean json = FALSE;
  int result = PCD_EXIT_DONE;
  g_autoptr (GError) error = NULL;
  const GOptionEntry entries[] = {
    { "config", 0, 0, G_OPTION_ARG_FILENAME, &config, N_ ("The daemon's configuration"), "FILE" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_ ("Print JSON"), NULL },
    { NULL },
  };

  int parsed = pcd_verb_parse_alone (&pcd_verb_plugins, entries, &argc, &argv);
  if (parsed >= 0)
    return parsed;
  g_autoptr (GPtrArray) views = pcd_plugin_names (config, &error);
  if (!views) {
    g_printerr ("postcopyctl plugins: %s\n", error->message);
    return PCD_EXIT_USAGE;
  }
  if (json)
    show_json (views);
  else
    show_text (views);
  for (guint i = 0; i < views->len; i++)
    if (((const PcdPluginView *)views->pdata[i])->problem)
      result = PCD_EXIT_FAILED;
  return result;
}

const PcdVerb pcd_verb_plugins = {
  .name = "plugins",
  .synopsis = "[--config FILE] [--json]",
  .summary = N_ ("Plugins that postcopyd.conf names, and what is wrong"),
  .run = run,
  .is_local = TRUE,
};
