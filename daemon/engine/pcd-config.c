/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads postcopyd.conf line by line, so that every error can name its line; GKeyFile forgets
 * lines and merges duplicates silently. */
#include "engine/pcd-config.h"

#include <glib/gi18n.h>
#include <string.h>

#include "engine/pcd-file.h"
#include "host/pcd-trusted-file.h"

#define T_MS  ((gint64)G_TIME_SPAN_MILLISECOND)
#define T_S   ((gint64)G_TIME_SPAN_SECOND)
#define T_MIN ((gint64)G_TIME_SPAN_MINUTE)
#define T_H   ((gint64)G_TIME_SPAN_HOUR)

/* Ours is some hundred bytes; what is larger is not a configuration. */
#define MAX_FILE_BYTES (64 * 1024)

/* A group that may be there several times, each with another name: `[peer NAME]`. */
#define PEER "peer"

/* Likewise, of whose keys we know only some. */
#define PLUGIN "plugin"
#define SINK   "sink"

typedef enum {
  KEY_DURATION,
  KEY_DURATION_OR_OFF,
  KEY_BOOLEAN,
  KEY_COUNT,     /* guint */
  KEY_URI,       /* of the peer that is being read, or of PcdConfig.peers */
  KEY_ADDRESSES, /* likewise */
  KEY_POLICY,    /* the last of PcdConfig.matches */
  KEY_MATCH,     /* one of PcdConfig.matches; several times */
  KEY_SINKS,     /* one of PcdConfig.sink_defaults */
  KEY_VETO,      /* of PcdConfig.veto */
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

#define URI_EXPECTED                                                                               \
  N_ ("a libvirt URI of QEMU on another host, such as qemu+tls://{address}/system")

/* docs/postcopyd.conf.rst tells the same to people. */
static const Key keys[] = {
  { "arm", "network-timeout", KEY_DURATION, G_STRUCT_OFFSET (PcdConfig, network_timeout_usec),
    500 * T_MS, 60 * T_S, N_ ("a duration such as 2s (500ms to 60s)") },
  { "arm", "backstop", KEY_DURATION_OR_OFF, G_STRUCT_OFFSET (PcdConfig, backstop_usec), 1 * T_S,
    1 * T_H, N_ ("a duration such as 15s (1s to 1h, and more than network-timeout), or off") },
  { "arm", "enabled", KEY_BOOLEAN, G_STRUCT_OFFSET (PcdConfig, arm), 0, 0, N_ ("yes or no") },
  { "watch", "sample-interval", KEY_DURATION, G_STRUCT_OFFSET (PcdConfig, sample_usec), 50 * T_MS,
    10 * T_S, N_ ("a duration such as 200ms (50ms to 10s, and at most half of network-timeout)") },
  { "watch", "keep-ended", KEY_DURATION, G_STRUCT_OFFSET (PcdConfig, keep_ended_usec), 0, 24 * T_H,
    N_ ("a duration such as 5min (0 to 24h)") },
  { "recover", "parallel", KEY_COUNT, G_STRUCT_OFFSET (PcdConfig, recover_parallel), 1, 64,
    N_ ("a number from 1 to 64") },
  { "recover", "libvirt-uri", KEY_URI, 0, 0, 0, URI_EXPECTED },
  { PEER, "addresses", KEY_ADDRESSES, 0, 0, 0,
    N_ ("numeric addresses, each once, such as 10.9.0.2 10.9.1.2") },
  { PEER, "libvirt-uri", KEY_URI, 0, 0, 0, URI_EXPECTED },
  { "policy", "default", KEY_POLICY, 0, 0, 0,
    N_ ("a policy's name (up to 32 lower case letters, digits and dashes, a letter first)") },
  { "policy", "match", KEY_MATCH, 0, 0, 0,
    N_ ("a pattern of domain names (* and ? stand for others) and a policy's name, such as web-* "
        "protect") },
  { "veto", "command", KEY_VETO, 0, 0, 0,
    N_ ("the absolute path of a program, or of a folder of them, such as /etc/postcopyd/veto.d") },
  { "veto", "actions", KEY_VETO, 0, 0, 0, N_ ("actions, each once, such as recover destroy") },
  { "veto", "timeout", KEY_VETO, 0, 0, 0, N_ ("a duration such as 5s (100ms to 1min)") },
  { "veto", "retry", KEY_VETO, 0, 0, 0, N_ ("a duration such as 5s (1s to 1h)") },
  { "veto", "default", KEY_VETO, 0, 0, 0, N_ ("allow or deny") },
  { "host", "allow-destroy", KEY_BOOLEAN, G_STRUCT_OFFSET (PcdConfig, allow_destroy), 0, 0,
    N_ ("yes or no") },
  { "sinks", "timeout", KEY_SINKS, 0, 0, 0, NULL },
  { "sinks", "queue-size", KEY_SINKS, 0, 0, 0, NULL },
  { "sinks", "queue-bytes", KEY_SINKS, 0, 0, 0, NULL },
};

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
  guint groups_seen[G_N_ELEMENTS (keys)]; /* line of the group, by its first key's index */
  guint keys_seen[G_N_ELEMENTS (keys)];   /* line of the key, 0 if not given */
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
parse_count (const Key *key, const char *text, guint *ret_count)
{
  guint64 count = 0;

  if (!g_ascii_string_to_unsigned (text, 10, (guint64)key->minimum, (guint64)key->maximum, &count,
                                   NULL))
    return FALSE;
  *ret_count = (guint)count;
  return TRUE;
}

static gboolean
parse_uri (const char *text, char **ret_uri)
{
  if (!pcd_peers_check_uri (text))
    return FALSE;
  g_free (*ret_uri);
  *ret_uri = g_strdup (text);
  return TRUE;
}

static gboolean
parse_policy (const char *text, PcdConfig *config)
{
  PcdPolicyMatch match = { g_strdup ("*"), g_strdup (text) };

  g_array_append_val (config->matches, match);
  config->has_default_policy = TRUE;
  return pcd_policy_name_is_good (text);
}

/* The last word is the policy: a domain's name may have spaces in it. */
static gboolean
parse_match (const char *text, PcdConfig *config)
{
  const char *last = text + strlen (text);
  guint at = config->matches->len - (config->has_default_policy ? 1 : 0);

  while (last > text && !g_ascii_isspace (last[-1]))
    last--;
  g_autofree char *pattern = g_strchomp (g_strndup (text, last - text));
  if (!pattern[0] || !pcd_policy_name_is_good (last))
    return FALSE;
  PcdPolicyMatch match = { g_steal_pointer (&pattern), g_strdup (last) };
  g_array_insert_val (config->matches, at, match);
  return TRUE;
}

static gboolean
parse_value (const Key *key, const char *text, PcdPeer *peer, PcdConfig *config)
{
  gpointer member = G_STRUCT_MEMBER_P (config, key->offset);
  gint64 usec = 0;

  if (key->type == KEY_URI)
    return parse_uri (text, peer ? &peer->libvirt_uri : &config->peers->libvirt_uri);
  if (key->type == KEY_ADDRESSES)
    return (peer->addresses = pcd_peers_parse_addresses (text)) != NULL;
  if (key->type == KEY_COUNT)
    return parse_count (key, text, member);
  if (key->type == KEY_POLICY)
    return parse_policy (text, config);
  if (key->type == KEY_MATCH)
    return parse_match (text, config);
  if (key->type == KEY_SINKS)
    return pcd_sink_common_parse (&config->sink_defaults, key->name, text);
  if (key->type == KEY_VETO)
    return pcd_veto_config_parse (config->veto, key->name, text);

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
    g_string_append_printf (list, "%s%s%s", list->len ? ", " : "",
                            group ? keys[i].name : keys[i].group,
                            !group && g_str_equal (keys[i].group, PEER) ? " NAME" : "");
  }
  if (!group)
    g_string_append (list, ", " PLUGIN " NAME, " SINK " NAME");
  return g_string_free (g_steal_pointer (&list), FALSE);
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
check_value (Reader *reader, const Key *key, GError **error)
{
  switch (key->type) {
  case KEY_ADDRESSES:
    return check_addresses (reader, error);
  case KEY_MATCH:
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
  reader->group = PEER;
  reader->peer = pcd_peers_add (reader->config.peers, name);
  reader->peer_line = reader->line;
  g_free (reader->section);
  reader->section = g_strdup_printf (PEER " %s", name);
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    if (g_str_equal (keys[i].group, PEER))
      reader->keys_seen[i] = 0;
  return TRUE;
}

static gboolean
read_plugin (Reader *reader, const char *name, GError **error)
{
  g_autofree char *problem = NULL;

  reader->plugin = pcd_plugin_configs_add (reader->config.plugins, name, reader->line, &problem);
  reader->group = PLUGIN;
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
  reader->group = SINK;
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
  gsize length = strlen (line);

  if (line[length - 1] != ']') {
    g_autofree char *quoted = quote (line, length);
    return refuse (reader, G_KEY_FILE_ERROR_PARSE, error, _ ("got %s, expected [group]"), quoted);
  }
  line[length - 1] = '\0';
  if (!finish_peer (reader, error))
    return FALSE;
  reader->plugin = NULL;
  if (g_str_has_prefix (line + 1, PLUGIN " "))
    return read_plugin (reader, line + 1 + strlen (PLUGIN), error);
  reader->sink = NULL;
  if (g_str_has_prefix (line + 1, SINK " "))
    return read_sink (reader, line + 1 + strlen (SINK), error);
  if (g_str_equal (line + 1, PEER) || g_str_has_prefix (line + 1, PEER " "))
    return read_peer (reader, line + 1 + strlen (PEER), error);
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++) {
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
  g_autofree char *quoted = quote (line + 1, length - 2), *known = list_known (NULL);
  return refuse (reader, G_KEY_FILE_ERROR_GROUP_NOT_FOUND, error,
                 _ ("unknown group %s, expected one of: %s"), quoted, known);
}

static gboolean
read_key (Reader *reader, char *line, GError **error)
{
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
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++) {
    if (!g_str_equal (keys[i].group, reader->group) || !g_str_equal (keys[i].name, name))
      continue;
    if (reader->keys_seen[i] && keys[i].type != KEY_MATCH)
      return refuse (reader, G_KEY_FILE_ERROR_PARSE, error,
                     _ ("[%s] %s: again, first seen in line %u, expected each key once"),
                     reader->section, keys[i].name, reader->keys_seen[i]);
    reader->keys_seen[i] = reader->line;
    if (parse_value (&keys[i], value, reader->peer, &reader->config))
      return check_value (reader, &keys[i], error);
    g_autofree char *quoted = quote (value, strlen (value));
    return refuse (reader, G_KEY_FILE_ERROR_INVALID_VALUE, error,
                   _ ("[%s] %s: got %s, expected %s"), reader->section, keys[i].name, quoted,
                   keys[i].expected ? _ (keys[i].expected)
                                    : pcd_sink_common_expected (keys[i].name));
  }
  g_autofree char *known = list_known (reader->group);
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
