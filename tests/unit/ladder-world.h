/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A ladder in a world with a clock of its own, whose log a test compares.
 * Must not know what is tested. */
#pragma once

#include "core/pcd-ladder.h"
#include "engine/pcd-policy-load.h"

G_BEGIN_DECLS

#define MS G_GINT64_CONSTANT (1000)
#define S  (1000 * MS)

/* No story begins at the beginning of time. */
#define EPOCH (1000 * S)

typedef struct {
  guint64 ticket;
  PcdActionKind action;
  gint64 ends;
  PcdOutcome outcome;
} Running;

typedef struct {
  gint64 takes; /* -1: until it is cancelled */
  PcdOutcome outcome;
} Behaviour;

typedef struct _World World;

struct _World {
  PcdPolicySet *set;
  PcdPolicy *policy;
  PcdLadder ladder;
  PcdLadderInput input;
  PcdState state;
  gint64 now;
  gint64 wakeup;
  GArray *running;
  Behaviour behaviour[PCD_N_ACTIONS];
  GString *log;
  void (*check) (World *world, const PcdLadderEffect *effect);
  gpointer data;
};

World *world_new (PcdRole role);
void world_free (World *world);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (World, world_free)

/* (nullable): what runs by that ticket. */
Running *find_running (World *world, guint64 ticket);

/* An event now; what the ladder wants done is begun and logged. */
void feed (World *world, PcdLadderEvent event);

/* Time passes; what ends and what falls due meanwhile is fed. */
void advance (World *world, gint64 until);

/* Neither is fed until the next event. */
void set_phase (World *world, PcdPhase phase);
/* @policy: (transfer full): fed at once */
void set_policy (World *world, PcdPolicy *policy);

/* (transfer full): a shipped policy by its name, or one of the steps that @text is. */
PcdPolicy *get_policy (World *world, const char *text);

/* How often @log has @what. */
guint count (const char *log, const char *what);

G_END_DECLS
