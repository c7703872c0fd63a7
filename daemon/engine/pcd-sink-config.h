/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sections [sinks] and [sink NAME] of postcopyd.conf.
 * Must not know which kinds of sinks there are, nor what their own keys mean. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdSinkCommon: what every sink has; 0 for what was not said.
 * @timeout_usec: `timeout`: of one delivery; 100 ms to 10 min
 * @max_notes: `queue-size`: most events that wait for it; 1 to 1000000
 * @max_bytes: `queue-bytes`: most bytes of them; 4 KiB to 1 GiB
 */
typedef struct {
  gint64 timeout_usec;
  gint64 max_notes;
  gint64 max_bytes;
} PcdSinkCommon;

/* What holds where nothing was said: 10 s, 10000 events, 16 MiB. */
extern const PcdSinkCommon pcd_sink_common_default;

/**
 * PcdSinkConfig: refcounted; never changes once the file was read.
 * @name: of the section
 * @type: (nullable): `type`: "exec"; %NULL if it was not said
 * @enabled: `enabled`
 * @keys: (element-type utf8 utf8): its own keys; values may be secrets
 * @place: "FILE:LINE: [sink NAME]", for messages
 * @seen: (nullable): names of keys that were read
 */
typedef struct {
  char *name;
  char *type;
  gboolean enabled;
  PcdSinkCommon common;
  GHashTable *keys;
  char *place;
  GHashTable *seen;
} PcdSinkConfig;

/**
 * pcd_sink_configs_add:
 * @sinks: (element-type PcdSinkConfig)
 * @problem: (out): one clause
 *
 * Returns: (transfer none) (nullable): the new section, %NULL if there may be none of that name
 */
PcdSinkConfig *pcd_sink_configs_add (
    GPtrArray *sinks, const char *name, const char *path, guint line, char **problem);

/* While the file is read. @problem: as above; does not have the value of a key of the sink's own */
gboolean
pcd_sink_config_set (PcdSinkConfig *config, const char *key, const char *value, char **problem);

PcdSinkConfig *pcd_sink_config_new (const char *name, const char *type, char *place);
PcdSinkConfig *pcd_sink_config_ref (PcdSinkConfig *config);
void pcd_sink_config_unref (PcdSinkConfig *config);

/* Whether a sink of the one is to go on as it is with the other; their places do not matter. */
gboolean pcd_sink_config_equal (const PcdSinkConfig *a, const PcdSinkConfig *b);

/* A new configuration, with @common where @config does not say. */
PcdSinkConfig *pcd_sink_config_complete (const PcdSinkConfig *config, const PcdSinkCommon *common);

/**
 * pcd_sink_common_parse:
 *
 * Returns: %FALSE if @text is not that; @key must be one of pcd_sink_common_expected ()
 */
gboolean pcd_sink_common_parse (PcdSinkCommon *common, const char *key, const char *text);

/* Returns: (nullable): what @key takes; %NULL if it is not common to all sinks */
const char *pcd_sink_common_expected (const char *key);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdSinkConfig, pcd_sink_config_unref)

G_END_DECLS
