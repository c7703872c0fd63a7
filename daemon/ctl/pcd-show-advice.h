/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a person might do about a migration, as commands to be typed.
 * Must not know how they are shown. */
#pragma once

#include "ctl/pcd-show-block.h"

G_BEGIN_DECLS

#define PCD_SHOW_MAX_ADVICE 4

/**
 * PcdShowAdvice:
 * @command: (transfer full): in one line, quoted as a shell wants it
 * @why: what it is good for, in the user's language
 */
typedef struct {
  char *command;
  const char *why;
} PcdShowAdvice;

/**
 * pcd_show_advise:
 * @look: (nullable): what was seen of QEMU on this host
 * @advice: (out caller-allocates): the one that helps most first
 *
 * Returns: how many there are
 */
guint pcd_show_advise (const PcdClientMigration *migration,
                       const PcdShowLook *look,
                       PcdShowAdvice advice[PCD_SHOW_MAX_ADVICE]);

G_END_DECLS
