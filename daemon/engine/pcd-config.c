/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads postcopyd.conf line by line, so that every error can name its line; GKeyFile forgets
 * lines and merges duplicates silently. */
#include "engine/pcd-config.h"

#include <glib/gi18n.h>
#include <string.h>

#include "engine/pcd-config-key.h"
#include "engine/pcd-file.h"
#include "host/pcd-trusted-file.h"

#define T_MS  ((gint64)G_TIME_SPAN_MILLISECOND)
#define T_S   ((gint64)G_TIME_SPAN_SECOND)
#define T_MIN ((gint64)G_TIME_SPAN_MINUTE)

/* Ours is some hundred bytes; what is larger is not a configuration. */
#define MAX_FILE_BYTES (64 * 1024)

typedef struct {
  const char *path;
  guint line;
  const char *group;
  char *section;           /* as it is in the file: "arm", "peer b" */
  PcdPeer *peer;           /* in a [peer NAME] */
  PcdPluginConfig *plugin; /* in a [plugin NAME] */
  PcdSinkConfig *sink;     /* in a [sink NAME] */
  guint peer_line;
  PcdConfig config;
  guint groups_seen[PCD_CONFIG_MAX_KEYS]; /* line of the group, by its first key's index */
  guint keys_seen[PCD_CONFIG_MAX_KEYS];   /* line of the key, 0 if not given */
} Reader;

static void
match_clear (gpointer data)
{
  PcdPolicyMatch *match = data;

  g_free ((char *)match->pattern);
  g_free ((char *)match->policy);
}

static GArray *
matches_new (void)
{
  GArray *matches = g_array_new (FALSE, FALSE, sizeof (PcdPolicyMatch));

  g_array_set_clear_func (matches, match_clear);
  return matches;
}

PcdConfig
pcd_config_default (void)
{
  return (PcdConfig){
    .network_timeout_usec = 2 * T_S,
    .backstop_usec = 15 * T_S,
    .arm = TRUE,
    .sample_usec = 200 * T_MS,
    .keep_ended_usec = 5 * T_MIN,
    .recover_parallel = 2,
    .peers = pcd_peers_new (),
    .matches = matches_new (),
    .plugins = pcd_plugin_configs_new (),
    .sinks = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_sink_config_unref),
    .veto = pcd_veto_config_new (),
  };
}

PcdConfig
pcd_config_copy (const PcdConfig *config)
{
  PcdConfig copy = *config;

  if (copy.peers)
    pcd_peers_ref (copy.peers);
  if (copy.matches)
    g_array_ref (copy.matches);
  if (copy.plugins)
    g_ptr_array_ref (copy.plugins);
  if (copy.sinks)
    g_ptr_array_ref (copy.sinks);
  if (copy.veto)
    pcd_veto_config_ref (copy.veto);
  return copy;
}

void
pcd_config_clear (PcdConfig *config)
{
  g_clear_pointer (&config->peers, pcd_peers_unref);
  g_clear_pointer (&config->matches, g_array_unref);
  g_clear_pointer (&config->plugins, g_ptr_array_unref);
  g_clear_pointer (&config->sinks, g_ptr_array_unref);
  g_clear_pointer (&config->veto, pcd_veto_config_unref);
}

const PcdPolicyMatch *
pcd_config_matches (const PcdConfig *config, guint *ret_n)
{
  *ret_n = config->matches ? config->matches->len : 0;
  return *ret_n ? &g_array_index (config->matches, PcdPolicyMatch, 0) : NULL;
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

/* An address that two peers have would leave the way to both unknown. */
static gboolean
check_addresses (Reader *reader, GError **error)
{
  for (guint i = 0; reader->peer->addresses[i]; i++) {
    const PcdPeer *owner = pcd_peers_find (reader->config.peers, reader->peer->addresses[i]);

    if (owner != reader->peer)
      return refuse (reader, G_KEY_FILE_ERROR_INVALID_VALUE, error,
                     _ ("[%s] addresses: %s is [peer %s]'s already, expected each address once"),
                     reader->section, reader->peer->addresses[i], owner->name);
  }
  return TRUE;
}

/* The same pattern twice: the second would never be asked. */
static gboolean
check_match (Reader *reader, GError **error)
{
  guint n = reader->config.matches->len - (reader->config.has_default_policy ? 1 : 0);
  const PcdPolicyMatch *matches = pcd_config_matches (&reader->config, &(guint){ 0 });

  for (guint i = 0; i + 1 < n; i++) {
    if (!g_str_equal (matches[i].pattern, matches[n - 1].pattern))
      continue;
    g_autofree char *quoted = quote (matches[i].pattern, strlen (matches[i].pattern));
    return refuse (reader, G_KEY_FILE_ERROR_INVALID_VALUE, error,
                   _ ("[policy] match: %s has policy %s already, expected each pattern once"),
                   quoted, matches[i].policy);
  }
  return TRUE;
}

/* What cannot be said of a value alone. */
static gboolean
check_value (Reader *reader, const PcdConfigKey *key, GError **error)
{
  switch (key->type) {
  case PCD_KEY_ADDRESSES:
    return check_addresses (reader, error);
  case PCD_KEY_MATCH:
    return check_match (reader, error);
  default:
    return TRUE;
  }
}

/* What a [peer NAME] must have, at its end. */
static gboolean
finish_peer (Reader *reader, GError **error)
{
  PcdPeer *peer = g_steal_pointer (&reader->peer);

  if (!peer || peer->addresses)
    return TRUE;
  reader->line = reader->peer_line;
  return refuse (reader, G_KEY_FILE_ERROR_KEY_NOT_FOUND, error,
                 _ ("[%s]: no addresses, expected a line such as addresses = 10.9.0.2 10.9.1.2"),
                 reader->section);
}

static gboolean
read_peer (Reader *reader, char *name, GError **error)
{
  const PcdConfigKey *keys = pcd_config_get_keys ();

  g_strstrip (name);
  for (guint i = 0; i < reader->config.peers->peers->len; i++) {
    const PcdPeer *peer = g_ptr_array_index (reader->config.peers->peers, i);

    if (g_str_equal (peer->name, name))
      return refuse (reader, G_KEY_FILE_ERROR_PARSE, error,
                     _ ("group [peer %s] again, expected each group once"), name);
  }
  if (!name[0] || strpbrk (name, " \t[]\"") || strlen (name) > 64) {
    g_autofree char *quoted = quote (name, strlen (name));
    return refuse (
        reader, G_KEY_FILE_ERROR_PARSE, error,
        _ ("peer name %s, expected a word of up to 64 characters, such as [peer host-b]"), quoted);
  }
  reader->group = PCD_CONFIG_PEER;
  reader->peer = pcd_peers_add (reader->config.peers, name);
  reader->peer_line = reader->line;
  g_free (reader->section);
  reader->section = g_strdup_printf (PCD_CONFIG_PEER " %s", name);
  for (guint i = 0; keys[i].group; i++)
    if (g_str_equal (keys[i].group, PCD_CONFIG_PEER))
      reader->keys_seen[i] = 0;
  return TRUE;
}

static gboolean
read_plugin (Reader *reader, const char *name, GError **error)
{
  g_autofree char *problem = NULL;

  reader->plugin = pcd_plugin_configs_add (reader->config.plugins, name, reader->line, &problem);
  reader->group = PCD_CONFIG_PLUGIN;
  return reader->plugin || refuse (reader, G_KEY_FILE_ERROR_PARSE, error, "%s", problem);
}

static gboolean
read_plugin_key (const Reader *reader, const char *key, const char *value, GError **error)
{
  g_autofree char *problem = NULL;

  return pcd_plugin_config_set (reader->plugin, key, value, &problem) ||
         refuse (reader, G_KEY_FILE_ERROR_INVALID_VALUE, error, _ ("[plugin %s] %s"),
                 reader->plugin->name, problem);
}

static gboolean
read_sink (Reader *reader, const char *name, GError **error)
{
  g_autofree char *problem = NULL;

  reader->sink =
      pcd_sink_configs_add (reader->config.sinks, name, reader->path, reader->line, &problem);
  reader->group = PCD_CONFIG_SINK;
  return reader->sink || refuse (reader, G_KEY_FILE_ERROR_PARSE, error, "%s", problem);
}

static gboolean
read_sink_key (const Reader *reader, const char *key, const char *value, GError **error)
{
  g_autofree char *problem = NULL;

  return pcd_sink_config_set (reader->sink, key, value, &problem) ||
         refuse (reader, G_KEY_FILE_ERROR_INVALID_VALUE, error, _ ("[sink %s] %s"),
                 reader->sink->name, problem);
}

static gboolean
read_group (Reader *reader, char *line, GError **error)
{
  const PcdConfigKey *keys = pcd_config_get_keys ();
  gsize length = strlen (line);

  if (line[length - 1] != ']') {
    g_autofree char *quoted = quote (line, length);
    return refuse (reader, G_KEY_FILE_ERROR_PARSE, error, _ ("got %s, expected [group]"), quoted);
  }
  line[length - 1] = '\0';
  if (!finish_peer (reader, error))
    return FALSE;
  reader->plugin = NULL;
  if (g_str_has_prefix (line + 1, PCD_CONFIG_PLUGIN " "))
    return read_plugin (reader, line + 1 + strlen (PCD_CONFIG_PLUGIN), error);
  reader->sink = NULL;
  if (g_str_has_prefix (line + 1, PCD_CONFIG_SINK " "))
    return read_sink (reader, line + 1 + strlen (PCD_CONFIG_SINK), error);
  if (g_str_equal (line + 1, PCD_CONFIG_PEER) || g_str_has_prefix (line + 1, PCD_CONFIG_PEER " "))
    return read_peer (reader, line + 1 + strlen (PCD_CONFIG_PEER), error);
  for (guint i = 0; keys[i].group; i++) {
    if (!g_str_equal (keys[i].group, line + 1))
      continue;
    if (reader->groups_seen[i])
      return refuse (reader, G_KEY_FILE_ERROR_PARSE, error,
                     _ ("group [%s] again, first seen in line %u, expected each group once"),
                     keys[i].group, reader->groups_seen[i]);
    reader->groups_seen[i] = reader->line;
    reader->group = keys[i].group;
    g_free (reader->section);
    reader->section = g_strdup (keys[i].group);
    return TRUE;
  }
  g_autofree char *quoted = quote (line + 1, length - 2), *known = pcd_config_list_keys (NULL);
  return refuse (reader, G_KEY_FILE_ERROR_GROUP_NOT_FOUND, error,
                 _ ("unknown group %s, expected one of: %s"), quoted, known);
}

static gboolean
read_key (Reader *reader, char *line, GError **error)
{
  const PcdConfigKey *keys = pcd_config_get_keys ();
  char *equals = strchr (line, '=');

  if (!equals || equals == line) {
    g_autofree char *quoted = quote (line, strlen (line));
    return refuse (reader, G_KEY_FILE_ERROR_PARSE, error, _ ("got %s, expected key = value"),
                   quoted);
  }
  *equals = '\0';
  const char *name = g_strchomp (line), *value = g_strchug (equals + 1);
  g_autofree char *quoted_name = quote (name, strlen (name));
  if (!reader->group)
    return refuse (reader, G_KEY_FILE_ERROR_PARSE, error,
                   _ ("key %s before any group, expected a line such as [arm] above it"),
                   quoted_name);
  if (reader->plugin)
    return read_plugin_key (reader, name, value, error);
  if (reader->sink)
    return read_sink_key (reader, name, value, error);
  for (guint i = 0; keys[i].group; i++) {
    if (!g_str_equal (keys[i].group, reader->group) || !g_str_equal (keys[i].name, name))
      continue;
    if (reader->keys_seen[i] && keys[i].type != PCD_KEY_MATCH)
      return refuse (reader, G_KEY_FILE_ERROR_PARSE, error,
                     _ ("[%s] %s: again, first seen in line %u, expected each key once"),
                     reader->section, keys[i].name, reader->keys_seen[i]);
    reader->keys_seen[i] = reader->line;
    if (pcd_config_key_parse (&keys[i], value, reader->peer, &reader->config))
      return check_value (reader, &keys[i], error);
    g_autofree char *quoted = quote (value, strlen (value));
    return refuse (reader, G_KEY_FILE_ERROR_INVALID_VALUE, error,
                   _ ("[%s] %s: got %s, expected %s"), reader->section, keys[i].name, quoted,
                   pcd_config_key_expected (&keys[i]));
  }
  g_autofree char *known = pcd_config_list_keys (reader->group);
  return refuse (reader, G_KEY_FILE_ERROR_KEY_NOT_FOUND, error,
                 _ ("[%s]: unknown key %s, expected one of: %s"), reader->section, quoted_name,
                 known);
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
  const PcdConfigKey *keys = pcd_config_get_keys ();

  for (guint i = 0; keys[i].group; i++)
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
    return refuse (reader, G_KEY_FILE_ERROR_INVALID_VALUE, error,
                   _ ("[arm] backstop: got %g s%s, expected more than network-timeout, which is %g "
                      "s%s, or off"),
                   config->backstop_usec / 1e6, backstop ? "" : _ (" (the default)"),
                   config->network_timeout_usec / 1e6, timeout ? "" : _ (" (the default)"));
  }
  if (config->sample_usec > config->network_timeout_usec / 2) {
    reader->line = MAX (timeout, sample);
    return refuse (reader, G_KEY_FILE_ERROR_INVALID_VALUE, error,
                   _ ("[watch] sample-interval: got %g s%s, expected at most half of "
                      "network-timeout, which is %g s%s"),
                   config->sample_usec / 1e6, sample ? "" : _ (" (the default)"),
                   config->network_timeout_usec / 1e6, timeout ? "" : _ (" (the default)"));
  }
  return TRUE;
}

static gboolean
read_text (Reader *reader, const GString *text, GError **error)
{
  for (gsize start = 0; start < text->len;) {
    const char *line = text->str + start;
    const char *end = memchr (line, '\n', text->len - start);
    gsize length = end ? (gsize)(end - line) : text->len - start;

    reader->line++;
    if (!g_utf8_validate_len (line, length, NULL))
      return refuse (reader, G_KEY_FILE_ERROR_PARSE, error,
                     _ ("not UTF-8 text, expected [group], key = value, or # comment"));
    g_autofree char *copy = g_strndup (line, length);
    if (!read_line (reader, copy, error))
      return FALSE;
    start += length + 1;
  }
  return finish_peer (reader, error) && check_together (reader, error);
}

gboolean
pcd_config_load (const char *path, PcdConfig *ret_config, GError **error)
{
  g_auto (PcdConfig) config = pcd_config_default ();
  Reader reader = { .path = path, .config = config };
  g_autoptr (GString) text = g_string_new (NULL);

  gboolean ok = pcd_trusted_config_check (path, error) &&
                pcd_file_read (path, MAX_FILE_BYTES, _ ("a configuration file"), text, error) &&
                read_text (&reader, text, error);
  g_free (reader.section);
  if (ok)
    *ret_config = pcd_config_copy (&reader.config);
  return ok;
}
