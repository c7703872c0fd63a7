/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The section [veto] of postcopyd.conf.
 * Runs nothing. */
#pragma once

#include "core/pcd-action.h"

G_BEGIN_DECLS

/**
 * PcdVetoConfig: never changes once it was read.
 * @command: (nullable): `command`: a program, or a folder of them; %NULL: nobody is asked
 * @actions: `actions`: bits by #PcdActionKind; all but notify without the key
 * @timeout_usec: `timeout`: for one hook to answer; default 5 s, 100 ms to 1 min
 * @retry_usec: `retry`: after a deny, and after a delay without a time; default 5 s, 1 s to 1 h
 * @deny_unanswered: `default = deny`: what holds when a hook does not answer
 */
typedef struct {
  char *command;
  guint actions;
  gint64 timeout_usec;
  gint64 retry_usec;
  gboolean deny_unanswered;
} PcdVetoConfig;

PcdVetoConfig *pcd_veto_config_new (void);
PcdVetoConfig *pcd_veto_config_ref (PcdVetoConfig *config);
void pcd_veto_config_unref (PcdVetoConfig *config);

/* @key: of the section, known; %FALSE if @text is not what it takes */
gboolean pcd_veto_config_parse (PcdVetoConfig *config, const char *key, const char *text);

/* Whether a hook is to be asked before @action. */
gboolean pcd_veto_config_covers (const PcdVetoConfig *config, PcdActionKind action);

/**
 * pcd_veto_config_list_hooks:
 *
 * Which programs there are to ask, in the order of their names. In a folder, names that begin with
 * a dot or end with ~, .bak, .dpkg-* or .rpm* are left out. Touches the disk.
 *
 * Returns: (transfer full) (element-type utf8): maybe empty; %NULL with @error set if the folder
 *   cannot be read or @config's command is not there
 */
GPtrArray *pcd_veto_config_list_hooks (const PcdVetoConfig *config, GError **error);

/**
 * pcd_veto_config_check:
 *
 * Whether every hook could be run: for --check-config and the start.
 *
 * Returns: %FALSE if not; @error names the first that cannot and says why
 */
gboolean pcd_veto_config_check (const PcdVetoConfig *config, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdVetoConfig, pcd_veto_config_unref)

G_END_DECLS
