/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of built-in sinks: one line each. */
#include "sinks/pcd-sink-type.h"

#include <gio/gio.h>
#include <string.h>

#include "sinks/exec/pcd-exec.h"
#ifdef PCD_WITH_WEBHOOK
#include "sinks/webhook/pcd-webhook.h"
#endif

static const PcdSinkType *const types[] = {
  &pcd_exec_sink_type,
#ifdef PCD_WITH_WEBHOOK
  &pcd_webhook_sink_type,
#endif
  NULL,
};

const PcdSinkType *
pcd_sink_type_find (const char *name)
{
  for (gsize i = 0; types[i]; i++)
    if (strcmp (types[i]->name, name) == 0)
      return types[i];
  return NULL;
}

char *
pcd_sink_type_list (void)
{
  GString *list = g_string_new (NULL);

  for (gsize i = 0; types[i]; i++)
    g_string_append_printf (list, "%s%s", i ? ", " : "", types[i]->name);
  return g_string_free (list, FALSE);
}

gboolean
pcd_sink_check_keys (GHashTable *keys, const char *const *known, GError **error)
{
  GHashTableIter iter;
  gpointer key;

  g_hash_table_iter_init (&iter, keys);
  while (g_hash_table_iter_next (&iter, &key, NULL)) {
    if (g_strv_contains (known, key))
      continue;
    g_autofree char *list = g_strjoinv (", ", (char **)known);
    g_autofree char *escaped = g_strescape (key, NULL);
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 "unknown key \"%.40s\", expected one of: %s", escaped, list);
    return FALSE;
  }
  return TRUE;
}
