/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyd.conf: parsed and checked as a whole, or refused as a whole.
 * Knows no policy, only names, and no domain. */
#pragma once

#include "core/pcd-duration.h"
#include "core/pcd-policy-set.h"
#include "engine/pcd-config-plugin.h"
#include "engine/pcd-peers.h"
#include "engine/pcd-sink-config.h"
#include "engine/pcd-veto-config.h"

G_BEGIN_DECLS

/**
 * PcdConfig:
 * @network_timeout_usec: `[arm] network-timeout`: silence after which a connection with something
 *   outstanding is dead; default 2 s, 500 ms to 60 s
 * @backstop_usec: `[arm] backstop`: TCP_USER_TIMEOUT, for when the daemon is not there; default
 *   15 s, more than @network_timeout_usec, up to 1 h; 0 is "off"
 * @arm: `[arm] enabled`: false leaves QEMU's sockets alone (watching only); default true
 * @sample_usec: `[watch] sample-interval`: default 200 ms, 50 ms to 10 s, and at most half of
 *   @network_timeout_usec, as silence cannot be timed more finely than it is sampled
 * @keep_ended_usec: `[watch] keep-ended`: how long an ended migration stays listed; default 5 min,
 *   0 to 24 h
 * @recover_parallel: `[recover] parallel`: recoveries at a time; default 2, 1 to 64
 * @peers: `[recover] libvirt-uri` and every `[peer NAME]`; a reference
 * @matches: (element-type PcdPolicyMatch): `[policy] match` in the file's order, then `[policy]
 *   default` as a match of "*"; a reference, never changes, owns the strings. As
 *   pcd_policy_set_select () wants it: see pcd_config_matches (). Whether there are such policies
 *   is not known here
 * @has_default_policy: the last of @matches is `[policy] default`
 * @plugins: (element-type PcdPluginConfig): every `[plugin NAME]`; a reference, never changes
 * @sink_defaults: `[sinks]`
 * @sinks: (element-type PcdSinkConfig): every `[sink NAME]`; a reference, never changes. What their
 *   own keys may be is not known here: see pcd_sinks_check ()
 * @veto: `[veto]`; a reference
 * @allow_destroy: `[host] allow-destroy`: policies that destroy may be used; default false
 */
typedef struct {
  gint64 network_timeout_usec;
  gint64 backstop_usec;
  gboolean arm;
  gint64 sample_usec;
  gint64 keep_ended_usec;
  guint recover_parallel;
  PcdPeers *peers;
  GArray *matches;
  gboolean has_default_policy;
  GPtrArray *plugins;
  PcdSinkCommon sink_defaults;
  GPtrArray *sinks;
  PcdVetoConfig *veto;
  gboolean allow_destroy;
} PcdConfig;

/**
 * pcd_config_default:
 *
 * What holds when there is no file.
 *
 * Returns: release with pcd_config_clear ()
 */
PcdConfig pcd_config_default (void);

/* Returns: with a reference of its own: release with pcd_config_clear () */
PcdConfig pcd_config_copy (const PcdConfig *config);

/* Does nothing to a struct of zeroes. */
void pcd_config_clear (PcdConfig *config);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PcdConfig, pcd_config_clear)

/**
 * pcd_config_matches:
 * @ret_n: (out): how many
 *
 * Returns: (transfer none) (nullable) (array length=ret_n): lives as long as @config
 */
const PcdPolicyMatch *pcd_config_matches (const PcdConfig *config, guint *ret_n);

/**
 * pcd_config_load:
 * @path: a file of `[group]`, `key = value`, `# comment` lines
 * @ret_config: (out): written only on success, over whatever it held; release with
 *   pcd_config_clear ()
 *
 * Unknown groups and keys, duplicates, bad values and values out of range are errors; the message
 * has the file, line, group and key, and what was expected. A missing file is
 * %G_FILE_ERROR_NOENT: whether that matters is the caller's to say.
 */
gboolean pcd_config_load (const char *path, PcdConfig *ret_config, GError **error);

/**
 * pcd_config_check_policies:
 * @path: the file that @config is from, for the message
 *
 * Returns: %FALSE if `[policy]` names a policy that @policies does not have, or that this host does
 *   not allow; @error says file, section, key, and which there are
 */
gboolean pcd_config_check_policies (const PcdConfig *config,
                                    PcdPolicySet *policies,
                                    const char *path,
                                    GError **error);

G_END_DECLS
