/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of keys, and what text is good for each. Reads no file and knows no line. */
#include "engine/pcd-config-key.h"

#include <glib/gi18n.h>
#include <string.h>

#define T_MS ((gint64)G_TIME_SPAN_MILLISECOND)
#define T_S  ((gint64)G_TIME_SPAN_SECOND)
#define T_H  ((gint64)G_TIME_SPAN_HOUR)

#define URI_EXPECTED                                                                               \
  N_ ("a libvirt URI of QEMU on another host, such as qemu+tls://{address}/system")

/* docs/postcopyd.conf.rst tells the same to people. */
static const PcdConfigKey keys[] = {
  { "arm", "network-timeout", PCD_KEY_DURATION, G_STRUCT_OFFSET (PcdConfig, network_timeout_usec),
    500 * T_MS, 60 * T_S, N_ ("a duration such as 2s (500ms to 60s)") },
  { "arm", "backstop", PCD_KEY_DURATION_OR_OFF, G_STRUCT_OFFSET (PcdConfig, backstop_usec), 1 * T_S,
    1 * T_H, N_ ("a duration such as 15s (1s to 1h, and more than network-timeout), or off") },
  { "arm", "enabled", PCD_KEY_BOOLEAN, G_STRUCT_OFFSET (PcdConfig, arm), 0, 0, N_ ("yes or no") },
  { "watch", "sample-interval", PCD_KEY_DURATION, G_STRUCT_OFFSET (PcdConfig, sample_usec),
    50 * T_MS, 10 * T_S,
    N_ ("a duration such as 200ms (50ms to 10s, and at most half of network-timeout)") },
  { "watch", "keep-ended", PCD_KEY_DURATION, G_STRUCT_OFFSET (PcdConfig, keep_ended_usec), 0,
    24 * T_H, N_ ("a duration such as 5min (0 to 24h)") },
  { "recover", "parallel", PCD_KEY_COUNT, G_STRUCT_OFFSET (PcdConfig, recover_parallel), 1, 64,
    N_ ("a number from 1 to 64") },
  { "recover", "libvirt-uri", PCD_KEY_URI, 0, 0, 0, URI_EXPECTED },
  { PCD_CONFIG_PEER, "addresses", PCD_KEY_ADDRESSES, 0, 0, 0,
    N_ ("numeric addresses, each once, such as 10.9.0.2 10.9.1.2") },
  { PCD_CONFIG_PEER, "libvirt-uri", PCD_KEY_URI, 0, 0, 0, URI_EXPECTED },
  { "policy", "default", PCD_KEY_POLICY, 0, 0, 0,
    N_ ("a policy's name (up to 32 lower case letters, digits and dashes, a letter first)") },
  { "policy", "match", PCD_KEY_MATCH, 0, 0, 0,
    N_ ("a pattern of domain names (* and ? stand for others) and a policy's name, such as web-* "
        "protect") },
  { "veto", "command", PCD_KEY_VETO, 0, 0, 0,
    N_ ("the absolute path of a program, or of a folder of them, such as /etc/postcopyd/veto.d") },
  { "veto", "actions", PCD_KEY_VETO, 0, 0, 0, N_ ("actions, each once, such as recover destroy") },
  { "veto", "timeout", PCD_KEY_VETO, 0, 0, 0, N_ ("a duration such as 5s (100ms to 1min)") },
  { "veto", "retry", PCD_KEY_VETO, 0, 0, 0, N_ ("a duration such as 5s (1s to 1h)") },
  { "veto", "default", PCD_KEY_VETO, 0, 0, 0, N_ ("allow or deny") },
  { "host", "allow-destroy", PCD_KEY_BOOLEAN, G_STRUCT_OFFSET (PcdConfig, allow_destroy), 0, 0,
    N_ ("yes or no") },
  { "sinks", "timeout", PCD_KEY_SINKS, 0, 0, 0, NULL },
  { "sinks", "queue-size", PCD_KEY_SINKS, 0, 0, 0, NULL },
  { "sinks", "queue-bytes", PCD_KEY_SINKS, 0, 0, 0, NULL },
  { NULL },
};
G_STATIC_ASSERT (G_N_ELEMENTS (keys) <= PCD_CONFIG_MAX_KEYS);

const PcdConfigKey *
pcd_config_get_keys (void)
{
  return keys;
}

const char *
pcd_config_key_expected (const PcdConfigKey *key)
{
  return key->expected ? _ (key->expected) : pcd_sink_common_expected (key->name);
}

char *
pcd_config_list_keys (const char *group)
{
  g_autoptr (GString) list = g_string_new (NULL);

  for (guint i = 0; keys[i].group; i++) {
    gboolean same_group = i > 0 && g_str_equal (keys[i].group, keys[i - 1].group);
    if (group ? !g_str_equal (keys[i].group, group) : same_group)
      continue;
    g_string_append_printf (list, "%s%s%s", list->len ? ", " : "",
                            group ? keys[i].name : keys[i].group,
                            !group && g_str_equal (keys[i].group, PCD_CONFIG_PEER) ? " NAME" : "");
  }
  if (!group)
    g_string_append (list, ", " PCD_CONFIG_PLUGIN " NAME, " PCD_CONFIG_SINK " NAME");
  return g_string_free (g_steal_pointer (&list), FALSE);
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
parse_count (const PcdConfigKey *key, const char *text, guint *ret_count)
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

gboolean
pcd_config_key_parse (const PcdConfigKey *key, const char *text, PcdPeer *peer, PcdConfig *config)
{
  gpointer member = G_STRUCT_MEMBER_P (config, key->offset);
  gint64 usec = 0;

  if (key->type == PCD_KEY_URI)
    return parse_uri (text, peer ? &peer->libvirt_uri : &config->peers->libvirt_uri);
  if (key->type == PCD_KEY_ADDRESSES)
    return (peer->addresses = pcd_peers_parse_addresses (text)) != NULL;
  if (key->type == PCD_KEY_COUNT)
    return parse_count (key, text, member);
  if (key->type == PCD_KEY_POLICY)
    return parse_policy (text, config);
  if (key->type == PCD_KEY_MATCH)
    return parse_match (text, config);
  if (key->type == PCD_KEY_SINKS)
    return pcd_sink_common_parse (&config->sink_defaults, key->name, text);
  if (key->type == PCD_KEY_VETO)
    return pcd_veto_config_parse (config->veto, key->name, text);

  if (key->type == PCD_KEY_BOOLEAN)
    return parse_boolean (text, member);
  if (key->type == PCD_KEY_DURATION_OR_OFF && g_str_equal (text, "off")) {
    *(gint64 *)member = 0;
    return TRUE;
  }
  if (!pcd_duration_parse (text, &usec, NULL))
    return FALSE;
  gboolean off = key->type == PCD_KEY_DURATION_OR_OFF && usec == 0;
  if (!off && (usec < key->minimum || usec > key->maximum))
    return FALSE;
  *(gint64 *)member = usec;
  return TRUE;
}
