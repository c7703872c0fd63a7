/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stories about a ladder, line by line.
 * Must not know which there are. */
#pragma once

#include "ladder-world.h"

G_BEGIN_DECLS

typedef enum {
  END,
  PHASE,
  FLOW,
  CAUSE,
  PAUSED_AS, /* with that cause from the start */
  UNATTENDED,
  HOLD,
  DRY_RUN,
  ALLOW_DESTROY,
  KICKABLE,
  TRACEABLE,
  PEER,
  HUNG,
  UNTOUCHED,
  POLICY,    /* @text: a shipped one's name */
  STEPS,     /* @text: steps of an own one */
  BEGAN,     /* an operator's request */
  ENDED,     /* done */
  TAKES,     /* @a: action, @b: ms or -1 */
  ENDS_WITH, /* @a: action, @b: outcome */
  UNTIL,     /* only lets time pass */
} Op;

typedef struct {
  gint64 ms;
  Op op;
  gint a;
  gint b;
  const char *text;
} Line;

typedef struct {
  const char *name;
  PcdRole role;
  const char *policy;
  Line lines[24];
  const char *log;
} Story;

/* What @line says happens, now. */
void apply (World *world, const Line *line);

G_END_DECLS
