/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tables of what policies may say. policies/policy.schema.json tells the same to editors and
 * docs/postcopyd-policy.5.rst to people. Pure. */
#include "core/pcd-action.h"

#include <glib/gi18n.h>
#include <string.h>

#define MS   ((double)G_TIME_SPAN_MILLISECOND)
#define S    ((double)G_TIME_SPAN_SECOND)
#define MIN_ ((double)G_TIME_SPAN_MINUTE)
#define HOUR ((double)G_TIME_SPAN_HOUR)

#define MS_I ((gint64)G_TIME_SPAN_MILLISECOND)
#define S_I  ((gint64)G_TIME_SPAN_SECOND)

#define SOURCE      (1u << PCD_ROLE_SOURCE)
#define DESTINATION (1u << PCD_ROLE_DESTINATION)
#define BOTH        (SOURCE | DESTINATION)

#define W(name) (1u << PCD_WHEN_##name)
#define ANY     ((1u << PCD_N_WHENS) - 1)

static const char *const when_words[PCD_N_WHENS] = {
  [PCD_WHEN_PRECOPY] = "precopy",       [PCD_WHEN_DEVICE] = "device",
  [PCD_WHEN_POSTCOPY] = "postcopy",     [PCD_WHEN_PAUSED] = "paused",
  [PCD_WHEN_RECOVERING] = "recovering", [PCD_WHEN_COMPLETED] = "completed",
  [PCD_WHEN_FAILED] = "failed",         [PCD_WHEN_GONE] = "gone",
  [PCD_WHEN_FLOWING] = "flowing",       [PCD_WHEN_SLOW] = "slow",
  [PCD_WHEN_STALLED] = "stalled",
};

static const struct {
  const char *word;
  guint roles;
} predicates[PCD_N_PREDICATES] = {
  [PCD_PREDICATE_NONE] = { "", BOTH },
  [PCD_PREDICATE_KICKABLE] = { "kickable", DESTINATION },
  [PCD_PREDICATE_TRACEABLE] = { "traceable", DESTINATION },
  [PCD_PREDICATE_BLOCKED] = { "blocked", DESTINATION },
  [PCD_PREDICATE_PEER_ANSWERS] = { "peer-answers", SOURCE },
};

static const char *const debug_modes[] = {
  "backtrace", "core", "stacks", "gdbserver", "guest", NULL
};
static const char *const destroy_orders[] = { "destination-first", "source-first", NULL };

/* Delays: short where waiting costs the guest, longer where each attempt costs the host. Rule 10:
 * in flow `slow` only notify is possible. Rule 3: resume is never possible on the source. */
static const PcdActionSpec specs[PCD_N_ACTIONS] = {
  [PCD_ACTION_NOTIFY] = {
    .name = "notify", .summary = "tell the sinks", .roles = BOTH, .whens = ANY,
    .retry = { 1 * S_I, 2, 60 * S_I, 3 },
  },
  /* While recovering, a slow peer and a dead one look alike only for seconds: see `after`. */
  [PCD_ACTION_FORCE_PAUSE] = {
    .name = "force-pause", .summary = "make QEMU give a dead connection up", .roles = BOTH,
    .repeatable = TRUE, .whens = W (STALLED) | W (RECOVERING), .ends_condition = TRUE,
    .retry = { 1 * S_I, 2, 30 * S_I, 0 },
  },
  [PCD_ACTION_RECOVER] = {
    .name = "recover", .summary = "reconnect and go on", .roles = BOTH,
    .hung_roles = DESTINATION, .repeatable = TRUE, .whens = W (PAUSED),
    .ends_condition = TRUE, .yields = TRUE, .retry = { 200 * MS_I, 2, 10 * S_I, 0 },
  },
  [PCD_ACTION_STOP] = {
    .name = "stop", .summary = "stop the guest's vCPUs by QMP", .roles = DESTINATION,
    .handles_guest = TRUE, .repeatable = TRUE, .whens = W (STALLED) | W (PAUSED), .retry = { 1 * S_I, 2, 30 * S_I, 0 },
  },
  [PCD_ACTION_FREEZE] = {
    .name = "freeze", .summary = "freeze the vCPU threads", .roles = DESTINATION,
    .handles_guest = TRUE, .repeatable = TRUE, .whens = W (STALLED) | W (PAUSED), .retry = { 500 * MS_I, 2, 30 * S_I, 0 },
  },
  [PCD_ACTION_SNAPSHOT] = {
    .name = "snapshot", .summary = "keep what this side has of memory and disks", .roles = BOTH,
    .handles_guest = TRUE, .whens = W (STALLED) | W (PAUSED), .once = TRUE, .retry = { 5 * S_I, 2, 60 * S_I, 3 },
    .params = {
      { "speed", PCD_PARAM_COUNT, 0, 1000000, 0, NULL, FALSE,
        N_ ("a whole number of MiB/s (0 to 1000000, 0 being without limit)") },
      { "directory", PCD_PARAM_PATH, 0, 0, 0, NULL, FALSE, PCD_PATH_EXPECTED },
    },
  },
  [PCD_ACTION_DEBUG] = {
    .name = "debug", .summary = "let a debugger in", .roles = DESTINATION,
    .handles_guest = TRUE, .whens = W (STALLED) | W (PAUSED), .once = TRUE, .retry = { 5 * S_I, 2, 60 * S_I, 3 },
    .params = {
      { "mode", PCD_PARAM_WORD, 0, 4, 0, debug_modes, FALSE,
        N_ ("one of: backtrace, core, stacks, gdbserver, guest") },
      { "limit", PCD_PARAM_DURATION, 1 * S, 10 * MIN_, 20 * S, NULL, FALSE,
        N_ ("a duration such as 20s (1s to 10min)") },
      { "session", PCD_PARAM_DURATION, 1 * S, 1 * HOUR, 10 * MIN_, NULL, FALSE,
        N_ ("a duration such as 10min (1s to 1h)") },
      { "idle", PCD_PARAM_DURATION, 1 * S, 1 * HOUR, 2 * MIN_, NULL, FALSE,
        N_ ("a duration such as 2min (1s to 1h)") },
    },
  },
  [PCD_ACTION_RESUME] = {
    .name = "resume", .summary = "undo our own stop or freeze", .roles = DESTINATION,
    .handles_guest = TRUE, .repeatable = TRUE, .undoes = TRUE,
    .whens = W (POSTCOPY) | W (FLOWING) | W (COMPLETED), .retry = { 500 * MS_I, 2, 10 * S_I, 0 },
  },
  [PCD_ACTION_DESTROY] = {
    .name = "destroy", .summary = "destroy this side of the pair", .roles = BOTH,
    .whens = W (PAUSED), .destructive = TRUE, .once = TRUE, .yields = TRUE,
    .retry = { 5 * S_I, 2, 60 * S_I, 0 },
    .params = {
      { "order", PCD_PARAM_WORD, 0, 1, 0, destroy_orders, TRUE,
        N_ ("destination-first or source-first") },
      { "without-proof", PCD_PARAM_BOOLEAN, 0, 1, 0, NULL, FALSE, N_ ("true or false") },
    },
  },
};

/* One per process, as a loaded module is: appended to, and a name once given never changes. */
static struct {
  gint n; /* atomic */
  gboolean usable[PCD_ACTION_MAX_LOADED];
  PcdActionSpec specs[PCD_ACTION_MAX_LOADED];
} loaded;

static const PcdParamSpec retry_specs[] = {
  { "first", PCD_PARAM_DURATION, 50 * MS, 10 * MIN_, 0, NULL, FALSE,
    N_ ("a duration such as 200ms (50ms to 10min)") },
  { "factor", PCD_PARAM_NUMBER, 1, 10, 0, NULL, FALSE, N_ ("a number from 1 to 10") },
  { "ceiling", PCD_PARAM_DURATION, 1 * S, 1 * HOUR, 0, NULL, FALSE,
    N_ ("a duration such as 10s (1s to 1h, and not less than first)") },
  { "attempts", PCD_PARAM_COUNT, 0, 1000, 0, NULL, FALSE,
    N_ ("a whole number from 0 to 1000, 0 being without end") },
  { NULL },
};

const char *
pcd_when_to_string (PcdWhen when)
{
  return when < PCD_N_WHENS ? when_words[when] : "?";
}

const char *
pcd_action_to_string (PcdActionKind action)
{
  return action < pcd_action_get_end () ? pcd_action_get_spec (action)->name : "?";
}

const char *
pcd_predicate_to_string (PcdPredicate predicate)
{
  return predicate < PCD_N_PREDICATES ? predicates[predicate].word : "?";
}

gboolean
pcd_when_from_string (const char *word, PcdWhen *ret_when)
{
  for (guint i = 0; i < PCD_N_WHENS; i++)
    if (g_str_equal (word, when_words[i])) {
      *ret_when = i;
      return TRUE;
    }
  return FALSE;
}

gboolean
pcd_action_from_string (const char *word, PcdActionKind *ret_action)
{
  for (guint i = 0; i < pcd_action_get_end (); i++)
    if (g_str_equal (word, pcd_action_get_spec (i)->name)) {
      *ret_action = i;
      return TRUE;
    }
  return FALSE;
}

gboolean
pcd_predicate_from_string (const char *word, PcdPredicate *ret_predicate)
{
  for (guint i = PCD_PREDICATE_NONE + 1; i < PCD_N_PREDICATES; i++)
    if (g_str_equal (word, predicates[i].word)) {
      *ret_predicate = i;
      return TRUE;
    }
  return FALSE;
}

guint
pcd_predicate_roles (PcdPredicate predicate)
{
  return predicate < PCD_N_PREDICATES ? predicates[predicate].roles : 0;
}

gboolean
pcd_when_holds (PcdWhen when, PcdPhase phase, PcdFlow flow)
{
  switch (when) {
  case PCD_WHEN_FLOWING:
    return phase == PCD_PHASE_POSTCOPY && flow == PCD_FLOW_FLOWING;
  case PCD_WHEN_SLOW:
    return phase == PCD_PHASE_POSTCOPY && flow == PCD_FLOW_SLOW;
  case PCD_WHEN_STALLED:
    return phase == PCD_PHASE_POSTCOPY && flow == PCD_FLOW_STALLED;
  default:
    return when < PCD_N_WHENS && phase == when - PCD_WHEN_PRECOPY + PCD_PHASE_PRECOPY;
  }
}

const PcdActionSpec *
pcd_action_get_spec (PcdActionKind action)
{
  g_assert (action < pcd_action_get_end ());
  return action < PCD_N_ACTIONS ? &specs[action] : &loaded.specs[action - PCD_N_ACTIONS];
}

guint
pcd_action_get_end (void)
{
  return PCD_N_ACTIONS + (guint)g_atomic_int_get (&loaded.n);
}

/* Rules 4 and 10 hold whatever the module does: what destroys needs an unbroken pause, and what
 * touches a guest has nothing to do where the migration is only slow. */
static guint
loaded_whens (const PcdActionSpec *spec)
{
  if (spec->destructive)
    return W (PAUSED);
  return spec->handles_guest ? ANY & ~W (SLOW) : ANY;
}

gboolean
pcd_action_declare (const PcdActionSpec *spec, PcdActionKind *ret_action)
{
  PcdActionKind action;
  PcdActionSpec *mine;

  if (!pcd_action_from_string (spec->name, &action)) {
    if (loaded.n == PCD_ACTION_MAX_LOADED)
      return FALSE;
    action = pcd_action_get_end ();
    loaded.specs[loaded.n].name = g_intern_string (spec->name);
    g_atomic_int_inc (&loaded.n);
  }
  g_assert (action >= PCD_N_ACTIONS);
  mine = &loaded.specs[action - PCD_N_ACTIONS];
  mine->summary = g_intern_string (spec->summary ? spec->summary : "");
  mine->roles = BOTH;
  mine->whens = loaded_whens (spec);
  mine->destructive = mine->once = mine->yields = spec->destructive;
  mine->handles_guest = spec->handles_guest;
  mine->repeatable = spec->repeatable;
  mine->any_params = TRUE;
  mine->own_params = spec->own_params;
  mine->retry = (PcdRetry){ 1 * S_I, 2, 60 * S_I, 3 };
  *ret_action = action;
  return TRUE;
}

void
pcd_action_set_usable (PcdActionKind action, gboolean usable)
{
  g_assert (action >= PCD_N_ACTIONS && action < pcd_action_get_end ());
  loaded.usable[action - PCD_N_ACTIONS] = usable;
}

gboolean
pcd_action_is_usable (PcdActionKind action)
{
  return action < PCD_N_ACTIONS ||
         (action < pcd_action_get_end () && loaded.usable[action - PCD_N_ACTIONS]);
}

gboolean
pcd_action_name_is_loaded (const char *name)
{
  gboolean dot = FALSE;

  for (const char *p = name; *p; p++) {
    if (*p == '.' && p > name && p[-1] != '.' && p[1])
      dot = TRUE;
    else if (!g_ascii_islower (*p) && (p == name || (!g_ascii_isdigit (*p) && *p != '-')))
      return FALSE;
  }
  return dot && strlen (name) <= 64;
}

const PcdParamSpec *
pcd_retry_get_specs (void)
{
  return retry_specs;
}

gboolean
pcd_path_is_good (const char *path)
{
  g_auto (GStrv) parts = g_strsplit (path, "/", -1);

  if (path[0] != '/' || strlen (path) > PCD_PATH_MAX)
    return FALSE;
  for (guint i = 1; parts[i]; i++)
    if (!*parts[i] || g_str_equal (parts[i], ".") || g_str_equal (parts[i], ".."))
      return FALSE;
  return TRUE;
}

PcdParams
pcd_params_init (PcdActionKind action)
{
  const PcdActionSpec *spec = pcd_action_get_spec (action);
  PcdParams params = { .retry = spec->retry };

  for (guint i = 0; spec->params[i].name; i++)
    params.values[i] = spec->params[i].initial;
  return params;
}

static guint
param_index (PcdActionKind action, const char *name)
{
  const PcdActionSpec *spec = pcd_action_get_spec (action);
  guint i = 0;

  while (spec->params[i].name && !g_str_equal (spec->params[i].name, name))
    i++;
  g_assert (spec->params[i].name);
  return i;
}

double
pcd_params_get (const PcdParams *params, PcdActionKind action, const char *name)
{
  return params->values[param_index (action, name)];
}

const char *
pcd_params_get_word (const PcdParams *params, PcdActionKind action, const char *name)
{
  guint i = param_index (action, name);
  const PcdParamSpec *spec = &pcd_action_get_spec (action)->params[i];

  g_assert (spec->type == PCD_PARAM_WORD);
  return spec->words[(guint)params->values[i]];
}
