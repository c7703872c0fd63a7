/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads postcopyd.conf line by line, so that every error can name its line; GKeyFile forgets
 * lines and merges duplicates silently. */
#include "engine/pcd-config.h"

#include <string.h>

#include "engine/pcd-file.h"

#define T_MS  ((gint64)G_TIME_SPAN_MILLISECOND)
#define T_S   ((gint64)G_TIME_SPAN_SECOND)
#define T_MIN ((gint64)G_TIME_SPAN_MINUTE)
#define T_H   ((gint64)G_TIME_SPAN_HOUR)

/* Ours is some hundred bytes; what is larger is not a configuration. */
#define MAX_FILE_BYTES (64 * 1024)

typedef enum {
  KEY_DURATION,
  KEY_DURATION_OR_OFF,
  KEY_BOOLEAN,
} KeyType;

typedef struct {
  const char *group;
  const char *name;
  KeyType type;
  gsize offset;
  gint64 minimum;
  gint64 maximum;
  const char *expected;
} Key;

/* docs/postcopyd.conf.rst tells the same to people. */
static const Key keys[] = {
  { "arm", "network-timeout", KEY_DURATION, G_STRUCT_OFFSET (PcdConfig, network_timeout_usec),
    500 * T_MS, 60 * T_S, "a duration such as 2s (500ms to 60s)" },
  { "arm", "backstop", KEY_DURATION_OR_OFF, G_STRUCT_OFFSET (PcdConfig, backstop_usec), 1 * T_S,
    1 * T_H, "a duration such as 15s (1s to 1h, and more than network-timeout), or off" },
  { "arm", "enabled", KEY_BOOLEAN, G_STRUCT_OFFSET (PcdConfig, arm), 0, 0, "yes or no" },
  { "watch", "sample-interval", KEY_DURATION, G_STRUCT_OFFSET (PcdConfig, sample_usec), 50 * T_MS,
    10 * T_S, "a duration such as 200ms (50ms to 10s, and at most half of network-timeout)" },
  { "watch", "keep-ended", KEY_DURATION, G_STRUCT_OFFSET (PcdConfig, keep_ended_usec), 0, 24 * T_H,
    "a duration such as 5min (0 to 24h)" },
};

typedef struct {
  const char *path;
  guint line;
  const char *group;
  PcdConfig config;
  guint groups_seen[G_N_ELEMENTS (keys)]; /* line of the group, by its first key's index */
  guint keys_seen[G_N_ELEMENTS (keys)];   /* line of the key, 0 if not given */
} Reader;

PcdConfig
pcd_config_default (void)
{
  return (PcdConfig){
    .network_timeout_usec = 2 * T_S,
    .backstop_usec = 15 * T_S,
    .arm = TRUE,
    .sample_usec = 200 * T_MS,
    .keep_ended_usec = 5 * T_MIN,
  };
}

/* What a user typed, fit for one line of a terminal. */
static char *
quote (const char *text, gsize length)
{
  g_autofree char *part = g_strndup (text, MIN (length, 40));
  g_autofree char *safe = g_strescape (part, NULL);

  return g_strdup_printf ("\"%s%s\"", safe, length > 40 ? "..." : "");
}

static gboolean
parse_boolean (const char *text, gboolean *ret_value)
{
  static const char *const yes[] = { "yes", "true", "on", "1", NULL };
  static const char *const no[] = { "no", "false", "off", "0", NULL };

  if (!g_strv_contains (yes, text) && !g_strv_contains (no, text))
    return FALSE;
  *ret_value = g_strv_contains (yes, text);
  return TRUE;
}

static gboolean
parse_value (const Key *key, const char *text, PcdConfig *config)
{
  gpointer member = G_STRUCT_MEMBER_P (config, key->offset);
  gint64 usec = 0;

  if (key->type == KEY_BOOLEAN)
    return parse_boolean (text, member);
  if (key->type == KEY_DURATION_OR_OFF && g_str_equal (text, "off")) {
    *(gint64 *)member = 0;
    return TRUE;
  }
  if (!pcd_duration_parse (text, &usec, NULL))
    return FALSE;
  gboolean off = key->type == KEY_DURATION_OR_OFF && usec == 0;
  if (!off && (usec < key->minimum || usec > key->maximum))
    return FALSE;
  *(gint64 *)member = usec;
  return TRUE;
}

static gboolean
refuse (const Reader *reader, GKeyFileError code, GError **error, const char *format, ...)
    G_GNUC_PRINTF (4, 5);

/* Always %FALSE, so that a caller may return it. */
static gboolean
refuse (const Reader *reader, GKeyFileError code, GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, G_KEY_FILE_ERROR, code, "%s:%u: %s", reader->path, reader->line, text);
  return FALSE;
}

/* "arm, watch" or, within a group, "network-timeout, backstop, enabled". */
static char *
list_known (const char *group)
{
  g_autoptr (GString) list = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (keys); i++) {
    gboolean same_group = i > 0 && g_str_equal (keys[i].group, keys[i - 1].group);
    if (group ? !g_str_equal (keys[i].group, group) : same_group)
      continue;
    g_string_append_printf (list, "%s%s", list->len ? ", " : "",
                            group ? keys[i].name : keys[i].group);
  }
  return g_string_free (g_steal_pointer (&list), FALSE);
}

static gboolean
read_group (Reader *reader, char *line, GError **error)
{
  gsize length = strlen (line);

  if (line[length - 1] != ']') {
    g_autofree char *quoted = quote (line, length);
    return refuse (reader, G_KEY_FILE_ERROR_PARSE, error, "got %s, expected [group]", quoted);
  }
  line[length - 1] = '\0';
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++) {
    if (!g_str_equal (keys[i].group, line + 1))
      continue;
    if (reader->groups_seen[i])
      return refuse (reader, G_KEY_FILE_ERROR_PARSE, error,
                     "group [%s] again, first seen in line %u, expected each group once",
                     keys[i].group, reader->groups_seen[i]);
    reader->groups_seen[i] = reader->line;
    reader->group = keys[i].group;
    return TRUE;
  }
  g_autofree char *quoted = quote (line + 1, length - 2), *known = list_known (NULL);
  return refuse (reader, G_KEY_FILE_ERROR_GROUP_NOT_FOUND, error,
                 "unknown group %s, expected one of: %s", quoted, known);
}

static gboolean
read_key (Reader *reader, char *line, GError **error)
{
  char *equals = strchr (line, '=');

  if (!equals || equals == line) {
    g_autofree char *quoted = quote (line, strlen (line));
    return refuse (reader, G_KEY_FILE_ERROR_PARSE, error, "got %s, expected key = value", quoted);
  }
  *equals = '\0';
  const char *name = g_strchomp (line), *value = g_strchug (equals + 1);
  g_autofree char *quoted_name = quote (name, strlen (name));
  if (!reader->group)
    return refuse (reader, G_KEY_FILE_ERROR_PARSE, error,
                   "key %s before any group, expected a line such as [arm] above it", quoted_name);
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++) {
    if (!g_str_equal (keys[i].group, reader->group) || !g_str_equal (keys[i].name, name))
      continue;
    if (reader->keys_seen[i])
      return refuse (reader, G_KEY_FILE_ERROR_PARSE, error,
                     "[%s] %s: again, first seen in line %u, expected each key once", keys[i].group,
                     keys[i].name, reader->keys_seen[i]);
    reader->keys_seen[i] = reader->line;
    if (parse_value (&keys[i], value, &reader->config))
      return TRUE;
    g_autofree char *quoted = quote (value, strlen (value));
    return refuse (reader, G_KEY_FILE_ERROR_INVALID_VALUE, error, "[%s] %s: got %s, expected %s",
                   keys[i].group, keys[i].name, quoted, keys[i].expected);
  }
  g_autofree char *known = list_known (reader->group);
  return refuse (reader, G_KEY_FILE_ERROR_KEY_NOT_FOUND, error,
                 "[%s]: unknown key %s, expected one of: %s", reader->group, quoted_name, known);
}

static gboolean
read_line (Reader *reader, char *line, GError **error)
{
  g_strstrip (line);
  if (line[0] == '\0' || line[0] == '#' || line[0] == ';')
    return TRUE;
  return line[0] == '[' ? read_group (reader, line, error) : read_key (reader, line, error);
}

static guint
line_of (const Reader *reader, gsize offset)
{
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    if (keys[i].offset == offset)
      return reader->keys_seen[i];
  return 0;
}

/* Both values are good alone; the later of the two lines is where the mistake was made. */
static gboolean
check_together (Reader *reader, GError **error)
{
  const PcdConfig *config = &reader->config;
  guint timeout = line_of (reader, G_STRUCT_OFFSET (PcdConfig, network_timeout_usec));
  guint backstop = line_of (reader, G_STRUCT_OFFSET (PcdConfig, backstop_usec));
  guint sample = line_of (reader, G_STRUCT_OFFSET (PcdConfig, sample_usec));

  if (config->backstop_usec != 0 && config->backstop_usec <= config->network_timeout_usec) {
    reader->line = MAX (timeout, backstop);
    return refuse (
        reader, G_KEY_FILE_ERROR_INVALID_VALUE, error,
        "[arm] backstop: got %g s%s, expected more than network-timeout, which is %g s%s,"
        " or off",
        config->backstop_usec / 1e6, backstop ? "" : " (the default)",
        config->network_timeout_usec / 1e6, timeout ? "" : " (the default)");
  }
  if (config->sample_usec > config->network_timeout_usec / 2) {
    reader->line = MAX (timeout, sample);
    return refuse (reader, G_KEY_FILE_ERROR_INVALID_VALUE, error,
                   "[watch] sample-interval: got %g s%s, expected at most half of network-timeout, "
                   "which is %g s%s",
                   config->sample_usec / 1e6, sample ? "" : " (the default)",
                   config->network_timeout_usec / 1e6, timeout ? "" : " (the default)");
  }
  return TRUE;
}

gboolean
pcd_config_load (const char *path, PcdConfig *ret_config, GError **error)
{
  Reader reader = { .path = path, .config = pcd_config_default () };
  g_autoptr (GString) text = g_string_new (NULL);

  if (!pcd_file_read (path, MAX_FILE_BYTES, "a configuration file", text, error))
    return FALSE;
  for (gsize start = 0; start < text->len;) {
    const char *line = text->str + start;
    const char *end = memchr (line, '\n', text->len - start);
    gsize length = end ? (gsize)(end - line) : text->len - start;

    reader.line++;
    if (!g_utf8_validate_len (line, length, NULL))
      return refuse (&reader, G_KEY_FILE_ERROR_PARSE, error,
                     "not UTF-8 text, expected [group], key = value, or # comment");
    g_autofree char *copy = g_strndup (line, length);
    if (!read_line (&reader, copy, error))
      return FALSE;
    start += length + 1;
  }
  if (!check_together (&reader, error))
    return FALSE;
  *ret_config = reader.config;
  return TRUE;
}
