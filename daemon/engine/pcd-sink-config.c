/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values of [sinks] and [sink NAME]. */
#include "engine/pcd-sink-config.h"

#include "core/pcd-duration.h"

#include <glib/gi18n.h>
#include <string.h>

#define MIN_TIMEOUT (100 * (gint64)G_TIME_SPAN_MILLISECOND)
#define MAX_TIMEOUT (10 * (gint64)G_TIME_SPAN_MINUTE)
#define KIB         ((gint64)1024)

const PcdSinkCommon pcd_sink_common_default = {
  .timeout_usec = 10 * (gint64)G_TIME_SPAN_SECOND,
  .max_notes = 10000,
  .max_bytes = 16 * KIB * KIB,
};

static const struct {
  const char *key;
  const char *expected;
} known[] = {
  { "timeout", N_ ("a duration such as 10s (100ms to 10min)") },
  { "queue-size", N_ ("a number of events from 1 to 1000000") },
  { "queue-bytes", N_ ("a size such as 16M (4K to 1G)") },
};

const char *
pcd_sink_common_expected (const char *key)
{
  for (gsize i = 0; i < G_N_ELEMENTS (known); i++)
    if (g_str_equal (known[i].key, key))
      return _ (known[i].expected);
  return NULL;
}

static gboolean
parse_size (const char *text, gint64 *ret_bytes)
{
  static const char units[] = "KMG";
  gsize length = strlen (text);
  const char *unit = length ? strchr (units, text[length - 1]) : NULL;
  g_autofree char *digits = g_strndup (text, unit ? length - 1 : length);
  guint64 number = 0;

  if (!g_ascii_string_to_unsigned (digits, 10, 0, (guint64)(KIB * KIB * KIB), &number, NULL))
    return FALSE;
  gint64 bytes = (gint64)number;
  for (const char *u = units; unit && u <= unit && bytes <= KIB * KIB * KIB; u++)
    bytes *= KIB;
  if (bytes < 4 * KIB || bytes > KIB * KIB * KIB)
    return FALSE;
  *ret_bytes = bytes;
  return TRUE;
}

gboolean
pcd_sink_common_parse (PcdSinkCommon *common, const char *key, const char *text)
{
  gint64 usec = 0;
  guint64 count = 0;

  if (g_str_equal (key, "queue-bytes"))
    return parse_size (text, &common->max_bytes);
  if (g_str_equal (key, "queue-size")) {
    if (!g_ascii_string_to_unsigned (text, 10, 1, 1000000, &count, NULL))
      return FALSE;
    common->max_notes = (gint64)count;
    return TRUE;
  }
  if (!pcd_duration_parse (text, &usec, NULL) || usec < MIN_TIMEOUT || usec > MAX_TIMEOUT)
    return FALSE;
  common->timeout_usec = usec;
  return TRUE;
}

/* It is part of ids. */
static gboolean
is_good_name (const char *name)
{
  gsize length = strlen (name);

  return length > 0 && length <= 64 && g_ascii_isalnum (name[0]) &&
         strspn (name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
             length;
}

PcdSinkConfig *
pcd_sink_config_new (const char *name, const char *type, char *place)
{
  PcdSinkConfig *self = g_atomic_rc_box_new0 (PcdSinkConfig);

  self->name = g_strdup (name);
  self->type = g_strdup (type);
  self->enabled = TRUE;
  self->keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->place = place;
  return self;
}

PcdSinkConfig *
pcd_sink_config_ref (PcdSinkConfig *self)
{
  return g_atomic_rc_box_acquire (self);
}

/* ---- reading ---- */

static char *
quote (const char *text)
{
  g_autofree char *safe = g_strescape (text, NULL);

  return g_strdup_printf ("\"%.60s\"", safe);
}

PcdSinkConfig *
pcd_sink_configs_add (
    GPtrArray *sinks, const char *name, const char *path, guint line, char **problem)
{
  g_autofree char *word = g_strstrip (g_strdup (name)), *quoted = quote (word);

  for (guint i = 0; i < sinks->len; i++) {
    if (!g_str_equal (((PcdSinkConfig *)g_ptr_array_index (sinks, i))->name, word))
      continue;
    *problem = g_strdup_printf (_ ("group [sink %s] again, expected each group once"), word);
    return NULL;
  }
  if (!is_good_name (word)) {
    *problem = g_strdup_printf (_ ("sink name %s, expected a word of up to 64 letters, digits, and "
                                   "_ . -, such as [sink cluster]"),
                                quoted);
    return NULL;
  }
  PcdSinkConfig *self =
      pcd_sink_config_new (word, NULL, g_strdup_printf ("%s:%u: [sink %s]", path, line, word));
  self->seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_ptr_array_add (sinks, self);
  return self;
}

static gboolean
parse_enabled (PcdSinkConfig *self, const char *value)
{
  static const char *const yes[] = { "yes", "true", "on", "1", NULL };
  static const char *const no[] = { "no", "false", "off", "0", NULL };

  self->enabled = g_strv_contains (yes, value);
  return self->enabled || g_strv_contains (no, value);
}

gboolean
pcd_sink_config_set (PcdSinkConfig *self, const char *key, const char *value, char **problem)
{
  const char *expected = pcd_sink_common_expected (key);
  g_autofree char *quoted_key = quote (key), *quoted = quote (value);
  gboolean good = TRUE;

  if (!g_hash_table_add (self->seen, g_strdup (key))) {
    *problem = g_strdup_printf (_ ("%s: again, expected each key once"), quoted_key);
    return FALSE;
  }
  if (expected) {
    good = pcd_sink_common_parse (&self->common, key, value);
  } else if (g_str_equal (key, "enabled")) {
    expected = _ ("yes or no");
    good = parse_enabled (self, value);
  } else if (g_str_equal (key, "type")) {
    self->type = g_strdup (value);
  } else {
    g_hash_table_insert (self->keys, g_strdup (key), g_strdup (value));
  }
  if (!good)
    *problem = g_strdup_printf (_ ("%s: got %s, expected %s"), key, quoted, expected);
  return good;
}

/* ---- values ---- */

static void
clear (gpointer data)
{
  PcdSinkConfig *self = data;

  g_free (self->name);
  g_free (self->type);
  g_hash_table_unref (self->keys);
  g_clear_pointer (&self->seen, g_hash_table_unref);
  g_free (self->place);
}

void
pcd_sink_config_unref (PcdSinkConfig *self)
{
  g_atomic_rc_box_release_full (self, clear);
}

static gboolean
keys_equal (GHashTable *a, GHashTable *b)
{
  GHashTableIter iter;
  gpointer key, value;

  if (g_hash_table_size (a) != g_hash_table_size (b))
    return FALSE;
  g_hash_table_iter_init (&iter, a);
  while (g_hash_table_iter_next (&iter, &key, &value))
    if (g_strcmp0 (g_hash_table_lookup (b, key), value) != 0)
      return FALSE;
  return TRUE;
}

gboolean
pcd_sink_config_equal (const PcdSinkConfig *a, const PcdSinkConfig *b)
{
  return g_str_equal (a->name, b->name) && g_strcmp0 (a->type, b->type) == 0 &&
         a->enabled == b->enabled && a->common.timeout_usec == b->common.timeout_usec &&
         a->common.max_notes == b->common.max_notes && a->common.max_bytes == b->common.max_bytes &&
         keys_equal (a->keys, b->keys);
}

PcdSinkConfig *
pcd_sink_config_complete (const PcdSinkConfig *config, const PcdSinkCommon *common)
{
  const PcdSinkCommon *own = &config->common, *last = &pcd_sink_common_default;
  PcdSinkConfig *self = pcd_sink_config_new (config->name, config->type, g_strdup (config->place));

  self->enabled = config->enabled;
  g_hash_table_unref (self->keys);
  self->keys = g_hash_table_ref (config->keys);
  self->common = (PcdSinkCommon){
    .timeout_usec = own->timeout_usec ?: common->timeout_usec ?: last->timeout_usec,
    .max_notes = own->max_notes ?: common->max_notes ?: last->max_notes,
    .max_bytes = own->max_bytes ?: common->max_bytes ?: last->max_bytes,
  };
  return self;
}
