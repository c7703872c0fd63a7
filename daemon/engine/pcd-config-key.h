/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What may stand in postcopyd.conf: groups, keys and their values, one at a time.
 * Must not know of files and lines, nor whether a key was there already. */
#pragma once

#include "engine/pcd-config.h"

G_BEGIN_DECLS

/* A group that may be there several times, each with another name: `[peer NAME]`. */
#define PCD_CONFIG_PEER "peer"

/* Likewise, of whose keys we know only some: they are not in the table. */
#define PCD_CONFIG_PLUGIN "plugin"
#define PCD_CONFIG_SINK   "sink"

/* For who notes something of each key. */
#define PCD_CONFIG_MAX_KEYS 32

typedef enum {
  PCD_KEY_DURATION,
  PCD_KEY_DURATION_OR_OFF,
  PCD_KEY_BOOLEAN,
  PCD_KEY_COUNT,     /* guint */
  PCD_KEY_URI,       /* of the peer that is being read, or of PcdConfig.peers */
  PCD_KEY_ADDRESSES, /* likewise */
  PCD_KEY_POLICY,    /* the last of PcdConfig.matches */
  PCD_KEY_MATCH,     /* one of PcdConfig.matches; several times */
  PCD_KEY_SINKS,     /* one of PcdConfig.sink_defaults */
  PCD_KEY_VETO,      /* of PcdConfig.veto */
} PcdConfigKeyType;

/**
 * PcdConfigKey: one row of the table.
 * @group: those of one group stand together
 * @offset: of the member of #PcdConfig, for the types that are not said to be elsewhere
 * @minimum: smallest good value, inclusive, of durations (microseconds) and counts
 * @maximum: largest, inclusive
 * @expected: (nullable): see pcd_config_key_expected ()
 */
typedef struct {
  const char *group;
  const char *name;
  PcdConfigKeyType type;
  gsize offset;
  gint64 minimum;
  gint64 maximum;
  const char *expected;
} PcdConfigKey;

/* Static; ends with a row whose @group is %NULL. */
const PcdConfigKey *pcd_config_get_keys (void);

/* What a value of @key may be, for messages; static. */
const char *pcd_config_key_expected (const PcdConfigKey *key);

/**
 * pcd_config_list_keys:
 * @group: (nullable): %NULL for the groups
 *
 * Returns: (transfer full): for messages: "arm, watch" or, within a group, "network-timeout,
 *   backstop, enabled"
 */
char *pcd_config_list_keys (const char *group);

/**
 * pcd_config_key_parse:
 * @peer: (nullable): the one whose group @key is in
 * @config: takes the value
 *
 * Returns: %FALSE if @text is not what was expected
 */
gboolean
pcd_config_key_parse (const PcdConfigKey *key, const char *text, PcdPeer *peer, PcdConfig *config);

G_END_DECLS
