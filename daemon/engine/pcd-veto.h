/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One question to the veto hooks, from its asking to their say.
 * Knows no ladder: what comes of the say is the asker's. */
#pragma once

#include "engine/pcd-veto-answer.h"
#include "engine/pcd-veto-config.h"

G_BEGIN_DECLS

typedef struct _PcdVeto PcdVeto;

/**
 * PcdVetoQuestion: everything is copied.
 * @vetoed_time: since when a veto on this action stands, microseconds since the epoch; 0 for none
 */
typedef struct {
  const char *domain;
  const char *uuid;
  PcdActionKind action;
  const char *role;
  const char *policy;
  const char *phase;
  const char *cause;
  gint64 incident;
  gint64 vetoed_time;
} PcdVetoQuestion;

/**
 * PcdVetoSay: borrowed: valid during the call.
 * @verdict: of the first hook that did not allow it; else %PCD_VETO_ALLOW
 * @again_usec: of a veto: to be asked again after this long
 * @author: (nullable): path of the hook whose verdict it is, or "[veto] default" where a hook did
 *   not answer; %NULL if no hook said anything
 * @reason: (nullable): why
 * @problem: (nullable): which hook did not answer, and why; whatever the verdict is
 */
typedef struct {
  PcdVetoVerdict verdict;
  gint64 again_usec;
  const char *author;
  const char *reason;
  const char *problem;
} PcdVetoSay;

/* On the main thread, never from inside pcd_veto_ask (), at most once: not after
 * pcd_veto_drop (). The question is freed after it. */
typedef void (*PcdVetoCallback) (const PcdVetoSay *say, gpointer data);

/**
 * pcd_veto_ask:
 * @config: (transfer none): has a command
 *
 * Asks the hooks one after the other, in a thread of its own: `HOOK DOMAIN ACTION ROLE POLICY` and
 * one JSON object on standard input; no shell, an environment of PATH and LC_ALL, a session of its
 * own that is killed at the time-out. A hook that is not root's alone, and one that crashes or
 * writes nonsense, has not answered.
 */
PcdVeto *pcd_veto_ask (PcdVetoConfig *config,
                       const PcdVetoQuestion *question,
                       PcdVetoCallback callback,
                       gpointer data);

/* (transfer full): nobody wants to know any more; what runs is killed. */
void pcd_veto_drop (PcdVeto *veto);

G_END_DECLS
