/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Policies: JSON text -> checked steps. The tables of pcd-action say what is possible.
 * Pure: no file, no clock. */
#include "core/pcd-policy.h"

#include <glib/gi18n.h>
#include <math.h>
#include <string.h>

#include "core/pcd-duration.h"
#include "core/pcd-node.h"

#define MS   ((gint64)G_TIME_SPAN_MILLISECOND)
#define S    ((gint64)G_TIME_SPAN_SECOND)
#define MIN_ ((gint64)G_TIME_SPAN_MINUTE)
#define HOUR ((gint64)G_TIME_SPAN_HOUR)

#define MAX_NAME        32
#define MAX_DESCRIPTION 400

/* An ended migration is soon forgotten; a step that waits longer would never come. */
#define MAX_AFTER_END (1 * MIN_)

#define ENDED (1u << PCD_WHEN_COMPLETED | 1u << PCD_WHEN_FAILED | 1u << PCD_WHEN_GONE)

typedef struct {
  const char *file;
  PcdPolicy *policy;
} Reader;

/* What an enumeration knows of its words, so that one function can list them. */
typedef const char *(*WordFunc) (guint value);

static void
policy_clear (gpointer data)
{
  PcdPolicy *policy = data;

  g_free (policy->name);
  g_free (policy->description);
  g_free (policy->origin);
  for (guint i = 0; i < policy->n_steps; i++)
    g_clear_pointer (&policy->steps[i].params.own, g_variant_unref);
}

PcdPolicy *
pcd_policy_ref (PcdPolicy *policy)
{
  return g_atomic_rc_box_acquire (policy);
}

void
pcd_policy_unref (PcdPolicy *policy)
{
  if (policy)
    g_atomic_rc_box_release_full (policy, policy_clear);
}

/* "a, b, c" of those values below @n whose bit is in @mask. */
static char *
list_words (WordFunc to_word, guint from, guint n, guint mask)
{
  g_autoptr (GString) list = g_string_new (NULL);

  for (guint i = from; i < n; i++)
    if (mask & 1u << i)
      g_string_append_printf (list, "%s%s", list->len ? ", " : "", to_word (i));
  return g_string_free (g_steal_pointer (&list), FALSE);
}

static const char *
when_word (guint value)
{
  return pcd_when_to_string (value);
}

/* One that policies may name. */
static gboolean
read_action (const Reader *reader, const PcdNode *node, guint *ret_action, GError **error)
{
  g_autoptr (GString) list = g_string_new (NULL);
  PcdActionKind action;

  if (pcd_action_from_string (node->string, &action) && pcd_action_is_usable (action)) {
    *ret_action = action;
    return TRUE;
  }
  for (guint i = 0; i < pcd_action_get_end (); i++)
    if (pcd_action_is_usable (i))
      g_string_append_printf (list, "%s%s", list->len ? ", " : "", pcd_action_to_string (i));
  g_autofree char *quoted = pcd_node_quote (node->string);
  if (pcd_action_name_is_loaded (node->string))
    return pcd_node_refuse (node, reader->file, error,
                            _ ("unknown action %s, of which postcopyd.conf has no [plugin] group, "
                               "expected one of: %s"),
                            quoted, list->str);
  return pcd_node_refuse (node, reader->file, error, _ ("unknown action %s, expected one of: %s"),
                          quoted, list->str);
}

static const char *
predicate_word (guint value)
{
  return pcd_predicate_to_string (value);
}

static gboolean
expect_kind (const Reader *reader, const PcdNode *node, PcdNodeKind kind, GError **error)
{
  return node->kind == kind ||
         pcd_node_refuse (node, reader->file, error, _ ("got %s, expected %s"),
                          pcd_node_kind_to_string (node->kind), pcd_node_kind_to_string (kind));
}

/* @node is an object that has no other members than @known. */
static gboolean
expect_members (const Reader *reader, const PcdNode *node, const char *const *known, GError **error)
{
  if (!expect_kind (reader, node, PCD_NODE_OBJECT, error))
    return FALSE;
  for (guint i = 0; i < node->children->len; i++) {
    const PcdNode *child = g_ptr_array_index (node->children, i);
    if (g_strv_contains (known, child->name))
      continue;
    g_autofree char *list = g_strjoinv (", ", (char **)known);
    return pcd_node_refuse (child, reader->file, error, _ ("unknown key, expected one of: %s"),
                            list);
  }
  return TRUE;
}

/* The member @name, which must be there and be of that kind. */
static const PcdNode *
require (
    const Reader *reader, const PcdNode *node, const char *name, PcdNodeKind kind, GError **error)
{
  const PcdNode *child = pcd_node_get (node, name);

  if (!child) {
    pcd_node_refuse (node, reader->file, error, _ ("\"%s\" is missing, expected %s"), name,
                     pcd_node_kind_to_string (kind));
    return NULL;
  }
  return expect_kind (reader, child, kind, error) ? child : NULL;
}

static gboolean
read_duration (const Reader *reader,
               const PcdNode *node,
               gint64 minimum,
               gint64 maximum,
               gint64 *ret_usec,
               GError **error)
{
  g_autofree char *from = pcd_duration_to_string (minimum);
  g_autofree char *to = pcd_duration_to_string (maximum);
  gint64 usec = 0;

  if (node->kind != PCD_NODE_STRING)
    return pcd_node_refuse (
        node, reader->file, error,
        _ ("got %s, expected a duration as a string, such as \"2s\" (%s to %s)"),
        pcd_node_kind_to_string (node->kind), from, to);
  if (!pcd_duration_parse (node->string, &usec, NULL) || usec < minimum || usec > maximum) {
    g_autofree char *quoted = pcd_node_quote (node->string);
    return pcd_node_refuse (node, reader->file, error,
                            _ ("got %s, expected a duration such as 2s (%s to %s)"), quoted, from,
                            to);
  }
  *ret_usec = usec;
  return TRUE;
}

gboolean
pcd_policy_name_is_good (const char *name)
{
  if (!g_ascii_islower (name[0]) || strlen (name) > MAX_NAME)
    return FALSE;
  for (const char *p = name; *p; p++)
    if (!g_ascii_islower (*p) && !g_ascii_isdigit (*p) && *p != '-')
      return FALSE;
  return TRUE;
}

static gboolean
read_names (Reader *reader, const PcdNode *root, GError **error)
{
  const PcdNode *name = require (reader, root, "name", PCD_NODE_STRING, error);
  const PcdNode *description = pcd_node_get (root, "description");
  const PcdNode *schema = pcd_node_get (root, "$schema");

  if (!name)
    return FALSE;
  if (!pcd_policy_name_is_good (name->string)) {
    g_autofree char *quoted = pcd_node_quote (name->string);
    return pcd_node_refuse (name, reader->file, error, _ ("got %s, expected %s"), quoted,
                            _ (PCD_POLICY_NAME_EXPECTED));
  }
  reader->policy->name = g_strdup (name->string);
  if (schema && !expect_kind (reader, schema, PCD_NODE_STRING, error))
    return FALSE;
  if (description && !expect_kind (reader, description, PCD_NODE_STRING, error))
    return FALSE;
  if (description && g_utf8_strlen (description->string, -1) > MAX_DESCRIPTION)
    return pcd_node_refuse (
        description, reader->file, error,
        _ ("got more than %d characters, expected a description of a line or two"),
        MAX_DESCRIPTION);
  reader->policy->description = g_strdup (description ? description->string : "");
  return TRUE;
}

static gboolean
read_backstop (Reader *reader, const PcdNode *node, GError **error)
{
  PcdPolicyArm *arm = &reader->policy->arm;

  if (node->kind == PCD_NODE_STRING && g_str_equal (node->string, "off")) {
    arm->backstop_usec = 0;
    return TRUE;
  }
  if (!read_duration (reader, node, 1 * S, 1 * HOUR, &arm->backstop_usec, error))
    return FALSE;
  if (arm->backstop_usec <= arm->network_timeout_usec)
    return pcd_node_refuse (node, reader->file, error,
                            _ ("got \"%s\", expected more than network-timeout, or off"),
                            node->string);
  return TRUE;
}

static gboolean
read_arm (Reader *reader, const PcdNode *node, GError **error)
{
  static const char *const known[] = { "enabled", "network-timeout", "backstop", NULL };
  PcdPolicyArm *arm = &reader->policy->arm;

  if (!expect_members (reader, node, known, error))
    return FALSE;
  const PcdNode *enabled = pcd_node_get (node, "enabled");
  const PcdNode *timeout = pcd_node_get (node, "network-timeout");
  const PcdNode *backstop = pcd_node_get (node, "backstop");
  if (enabled && !expect_kind (reader, enabled, PCD_NODE_BOOLEAN, error))
    return FALSE;
  if (enabled)
    arm->enabled = enabled->boolean;
  if (enabled && !enabled->boolean && (timeout || backstop))
    return pcd_node_refuse (timeout ?: backstop, reader->file, error,
                            _ ("no effect, as $.arm.enabled is false, expected one or the other"));
  /* The bounds are those of postcopyd.conf. */
  if (timeout &&
      !read_duration (reader, timeout, 500 * MS, 60 * S, &arm->network_timeout_usec, error))
    return FALSE;
  return !backstop || read_backstop (reader, backstop, error);
}

static gboolean
read_word (const Reader *reader,
           const PcdNode *node,
           WordFunc to_word,
           guint from,
           guint n,
           guint *ret_value,
           GError **error)
{
  for (guint i = from; i < n; i++)
    if (g_str_equal (node->string, to_word (i))) {
      *ret_value = i;
      return TRUE;
    }
  g_autofree char *quoted = pcd_node_quote (node->string);
  g_autofree char *list = list_words (to_word, from, n, ~0u);
  return pcd_node_refuse (node, reader->file, error,
                          to_word == predicate_word
                              ? _ ("unknown predicate %s, expected one of: %s")
                              : _ ("unknown phase or flow %s, expected one of: %s"),
                          quoted, list);
}

static gboolean
refuse_param (const Reader *reader, const PcdNode *node, const PcdParamSpec *spec, GError **error)
{
  g_autofree char *got = NULL;

  if (node->kind == PCD_NODE_STRING)
    got = pcd_node_quote (node->string);
  else if (node->kind == PCD_NODE_NUMBER)
    got = g_strdup_printf ("%g", node->number);
  return pcd_node_refuse (node, reader->file, error, _ ("got %s, expected %s"),
                          got ?: pcd_node_kind_to_string (node->kind), _ (spec->expected));
}

/* The value of @node if it is of the parameter's type, else NAN. */
static double
param_value (const PcdNode *node, const PcdParamSpec *spec)
{
  gint64 usec = 0;

  switch (spec->type) {
  case PCD_PARAM_DURATION:
    return node->kind == PCD_NODE_STRING && pcd_duration_parse (node->string, &usec, NULL)
               ? (double)usec
               : NAN;
  case PCD_PARAM_NUMBER:
    return node->kind == PCD_NODE_NUMBER ? node->number : NAN;
  case PCD_PARAM_COUNT:
    return node->kind == PCD_NODE_NUMBER && floor (node->number) == node->number ? node->number
                                                                                 : NAN;
  case PCD_PARAM_BOOLEAN:
    return node->kind == PCD_NODE_BOOLEAN ? node->boolean : NAN;
  case PCD_PARAM_WORD:
    for (guint i = 0; node->kind == PCD_NODE_STRING && spec->words[i]; i++)
      if (g_str_equal (spec->words[i], node->string))
        return i;
    return NAN;
  default:
    return NAN;
  }
}

static gboolean
read_param (const Reader *reader,
            const PcdNode *node,
            const PcdParamSpec *spec,
            double *ret_value,
            GError **error)
{
  double value = param_value (node, spec);

  /* Written so that NAN, too, is refused. */
  if (!(value >= spec->minimum && value <= spec->maximum))
    return refuse_param (reader, node, spec, error);
  *ret_value = value;
  return TRUE;
}

static gboolean
read_path (const Reader *reader,
           const PcdNode *node,
           const PcdParamSpec *spec,
           PcdParams *params,
           GError **error)
{
  if (node->kind != PCD_NODE_STRING || !pcd_path_is_good (node->string))
    return refuse_param (reader, node, spec, error);
  g_assert (!params->own); /* no action has two */
  params->own = g_variant_ref_sink (g_variant_new_parsed ("{%s: %s}", spec->name, node->string));
  return TRUE;
}

/* The common ones first, then the action's own. */
static const PcdParamSpec *
nth_param (PcdActionKind action, guint n, guint *ret_own)
{
  const PcdParamSpec *retry = pcd_retry_get_specs ();

  for (; retry->name; retry++, n--)
    if (n == 0) {
      *ret_own = G_MAXUINT;
      return retry;
    }
  *ret_own = n;
  return &pcd_action_get_spec (action)->params[n];
}

static const char **
list_params (PcdActionKind action)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  guint own = 0;

  for (guint i = 0; nth_param (action, i, &own)->name; i++)
    g_ptr_array_add (names, (gpointer)nth_param (action, i, &own)->name);
  g_ptr_array_add (names, NULL);
  return (const char **)g_ptr_array_free (g_steal_pointer (&names), FALSE);
}

static char *
own_text (const PcdNode *node)
{
  switch (node->kind) {
  case PCD_NODE_STRING:
    return g_strdup (node->string);
  case PCD_NODE_BOOLEAN:
    return g_strdup (node->boolean ? "true" : "false");
  case PCD_NODE_NUMBER:
    return g_strdup_printf ("%.15g", node->number);
  default:
    return NULL;
  }
}

/* What only the action of a loaded module knows: as it is written. */
static gboolean
read_own (const Reader *reader,
          const PcdNode *with,
          const PcdActionSpec *spec,
          const char *const *common,
          PcdParams *params,
          GError **error)
{
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a{ss}"));

  if (!expect_kind (reader, with, PCD_NODE_OBJECT, error))
    return FALSE;
  for (guint i = 0; i < with->children->len; i++) {
    const PcdNode *child = g_ptr_array_index (with->children, i);
    g_autofree char *text = own_text (child);

    if (g_strv_contains (common, child->name))
      continue;
    if (spec->own_params && !g_strv_contains (spec->own_params, child->name)) {
      g_autofree char *list = g_strjoinv (", ", (char **)common);
      g_autofree char *own = g_strjoinv (", ", (char **)spec->own_params);
      return pcd_node_refuse (child, reader->file, error,
                              _ ("unknown key, expected one of: %s%s%s"), list, own[0] ? ", " : "",
                              own);
    }
    if (!text)
      return pcd_node_refuse (child, reader->file, error,
                              _ ("got %s, expected a string, a number, true or false"),
                              pcd_node_kind_to_string (child->kind));
    g_variant_builder_add (&builder, "{ss}", child->name, text);
  }
  params->own = g_variant_ref_sink (g_variant_builder_end (&builder));
  return TRUE;
}

static double *
param_slot (double retry[4], PcdParams *params, guint i, guint own)
{
  return own == G_MAXUINT ? &retry[i] : &params->values[own];
}

/* @with may be %NULL: then only the defaults hold, and nothing may be required. */
static gboolean
read_with (const Reader *reader,
           const PcdNode *step,
           const PcdNode *with,
           PcdActionKind action,
           PcdParams *params,
           GError **error)
{
  PcdRetry *r = &params->retry;
  double retry[4] = { (double)r->first_usec, r->factor, (double)r->ceiling_usec, r->attempts };
  g_autofree const char **known = list_params (action);
  guint own = 0;

  const PcdActionSpec *action_spec = pcd_action_get_spec (action);

  if (with && !(action_spec->any_params ? read_own (reader, with, action_spec, known, params, error)
                                        : expect_members (reader, with, known, error)))
    return FALSE;
  for (guint i = 0; nth_param (action, i, &own)->name; i++) {
    const PcdParamSpec *spec = nth_param (action, i, &own);
    const PcdNode *node = with ? pcd_node_get (with, spec->name) : NULL;
    if (node && !(spec->type == PCD_PARAM_PATH
                      ? read_path (reader, node, spec, params, error)
                      : read_param (reader, node, spec, param_slot (retry, params, i, own), error)))
      return FALSE;
    if (!node && spec->required)
      return pcd_node_refuse (with ?: step, reader->file, error,
                              _ ("%s must be told its \"%s\" in \"with\", expected %s"),
                              pcd_action_to_string (action), spec->name, _ (spec->expected));
  }
  *r = (PcdRetry){ (gint64)retry[0], retry[1], (gint64)retry[2], (guint)retry[3] };
  if (r->ceiling_usec >= r->first_usec)
    return TRUE;
  /* Who raises only `first` means at least that for `ceiling`. */
  if (!pcd_node_get (with, "ceiling")) {
    r->ceiling_usec = r->first_usec;
    return TRUE;
  }
  return refuse_param (reader, pcd_node_get (with, "ceiling"), &pcd_retry_get_specs ()[2], error);
}

/* Some action of the step is possible in its condition; what never is would only look like
 * protection. */
static gboolean
check_possible (
    const Reader *reader, const PcdNode *node, PcdActionKind action, PcdWhen when, GError **error)
{
  const PcdActionSpec *spec = pcd_action_get_spec (action);

  if (spec->whens & 1u << when)
    return TRUE;
  g_autofree char *list = list_words (when_word, 0, PCD_N_WHENS, spec->whens);
  return pcd_node_refuse (node, reader->file, error,
                          when == PCD_WHEN_SLOW
                              ? _ ("%s is never done when %s (a slow migration is not a dead one), "
                                   "expected it when: %s")
                              : _ ("%s is never done when %s, expected it when: %s"),
                          spec->name, pcd_when_to_string (when), list);
}

static gboolean
read_else (const Reader *reader, const PcdNode *node, PcdStep *step, GError **error)
{
  guint action = 0;

  if (!expect_kind (reader, node, PCD_NODE_STRING, error))
    return FALSE;
  if (step->predicate == PCD_PREDICATE_NONE)
    return pcd_node_refuse (node, reader->file, error,
                            _ ("\"else\" without \"if\", expected both"));
  if (!read_action (reader, node, &action, error))
    return FALSE;
  if (action == step->action)
    return pcd_node_refuse (node, reader->file, error,
                            _ ("the same as \"do\", expected another action, or no \"if\""));
  if (pcd_action_get_spec (action)->destructive)
    return pcd_node_refuse (node, reader->file, error,
                            _ ("%s in \"else\", expected it in \"do\", in so many words"),
                            pcd_action_to_string (action));
  step->has_else = TRUE;
  step->else_action = action;
  step->else_params = pcd_params_init (action);
  return check_possible (reader, node, action, step->when, error);
}

static gboolean
read_if (const Reader *reader, const PcdNode *node, PcdStep *step, GError **error)
{
  guint predicate = 0;

  if (!expect_kind (reader, node, PCD_NODE_STRING, error) ||
      !read_word (reader, node, predicate_word, PCD_PREDICATE_NONE + 1, PCD_N_PREDICATES,
                  &predicate, error))
    return FALSE;
  step->predicate = predicate;
  const PcdActionSpec *spec = pcd_action_get_spec (step->action);
  if (pcd_predicate_roles (predicate) & spec->roles & ~spec->hung_roles)
    return TRUE;
  return pcd_node_refuse (node, reader->file, error,
                          _ ("can never be true where %s is done: %s is known on the %s only"),
                          pcd_action_to_string (step->action), pcd_predicate_to_string (predicate),
                          pcd_predicate_roles (predicate) == 1u << PCD_ROLE_SOURCE ? "source"
                                                                                   : "destination");
}

static gboolean
read_when (const Reader *reader, const PcdNode *node, PcdStep *step, GError **error)
{
  const PcdNode *when = require (reader, node, "when", PCD_NODE_STRING, error);
  const PcdNode *after = pcd_node_get (node, "after");
  const PcdNode *settle = pcd_node_get (node, "settle");
  guint value = 0;

  if (!when || !read_word (reader, when, when_word, 0, PCD_N_WHENS, &value, error))
    return FALSE;
  step->when = value;
  gint64 maximum = ENDED & 1u << value ? MAX_AFTER_END : 24 * HOUR;
  if (after && !read_duration (reader, after, 0, maximum, &step->after_usec, error))
    return FALSE;
  return !settle || read_duration (reader, settle, 0, 10 * MIN_, &step->settle_usec, error);
}

static gboolean
read_do (const Reader *reader, const PcdNode *node, PcdStep *step, GError **error)
{
  const PcdNode *action = require (reader, node, "do", PCD_NODE_STRING, error);
  const PcdNode *predicate = pcd_node_get (node, "if"), *other = pcd_node_get (node, "else");
  guint value = 0;

  if (!action || !read_action (reader, action, &value, error))
    return FALSE;
  step->action = value;
  step->params = pcd_params_init (value);
  if (!check_possible (reader, action, value, step->when, error))
    return FALSE;
  if (predicate && !read_if (reader, predicate, step, error))
    return FALSE;
  if (other && !read_else (reader, other, step, error))
    return FALSE;
  return read_with (reader, node, pcd_node_get (node, "with"), value, &step->params, error);
}

/* A step that says what an earlier one says is never reached. */
static gboolean
check_reached (const Reader *reader, const PcdNode *node, const PcdStep *step, GError **error)
{
  const PcdPolicy *policy = reader->policy;

  for (guint i = 0; i < policy->n_steps; i++) {
    const PcdStep *other = &policy->steps[i];
    if (other->when == step->when && other->after_usec == step->after_usec &&
        other->action == step->action && other->predicate == step->predicate)
      return pcd_node_refuse (node, reader->file, error,
                              _ ("never reached: $.steps[%u] does the same at the same time"), i);
    gboolean shadowed = other->action == step->action && other->when == step->when &&
                        other->predicate == PCD_PREDICATE_NONE &&
                        other->after_usec <= step->after_usec;
    if (shadowed && pcd_action_get_spec (step->action)->ends_condition &&
        other->params.retry.attempts == 0)
      return pcd_node_refuse (
          node, reader->file, error,
          _ ("never reached: $.steps[%u] does the same, earlier and without end"), i);
  }
  return TRUE;
}

static gboolean
read_step (Reader *reader, const PcdNode *node, GError **error)
{
  static const char *const known[] = {
    "when", "after", "if", "do", "else", "with", "settle", NULL
  };
  PcdPolicy *policy = reader->policy;
  PcdStep step = { .when = PCD_N_WHENS };

  if (expect_members (reader, node, known, error) && read_when (reader, node, &step, error) &&
      read_do (reader, node, &step, error) && check_reached (reader, node, &step, error)) {
    policy->destructive |= pcd_action_get_spec (step.action)->destructive;
    policy->steps[policy->n_steps++] = step;
    return TRUE;
  }
  g_clear_pointer (&step.params.own, g_variant_unref);
  return FALSE;
}

static gboolean
read_policy (Reader *reader, const PcdNode *root, GError **error)
{
  static const char *const known[] = { "name", "description", "arm", "steps", "$schema", NULL };

  if (!expect_members (reader, root, known, error) || !read_names (reader, root, error))
    return FALSE;
  const PcdNode *arm = pcd_node_get (root, "arm");
  if (arm && !read_arm (reader, arm, error))
    return FALSE;
  const PcdNode *steps = require (reader, root, "steps", PCD_NODE_ARRAY, error);
  if (!steps)
    return FALSE;
  if (steps->children->len > PCD_POLICY_MAX_STEPS)
    return pcd_node_refuse (steps, reader->file, error, _ ("got %u steps, expected at most %d"),
                            steps->children->len, PCD_POLICY_MAX_STEPS);
  for (guint i = 0; i < steps->children->len; i++)
    if (!read_step (reader, g_ptr_array_index (steps->children, i), error))
      return FALSE;
  return TRUE;
}

PcdPolicy *
pcd_policy_parse (const char *text, gsize length, const char *origin, GError **error)
{
  g_autoptr (PcdNode) root = pcd_node_parse (text, length, origin, error);
  g_autoptr (PcdPolicy) policy = NULL;

  if (!root)
    return NULL;
  policy = g_atomic_rc_box_new0 (PcdPolicy);
  policy->origin = g_strdup (origin);
  policy->arm = (PcdPolicyArm){ -1, -1, -1 };
  Reader reader = { origin, policy };
  return read_policy (&reader, root, error) ? g_steal_pointer (&policy) : NULL;
}

/* In the policies' own words, as they are typed; not translated for that. */
char *
pcd_step_to_string (const PcdStep *step)
{
  g_autoptr (GString) text = g_string_new ("when ");
  g_autofree char *after = pcd_duration_to_string (step->after_usec);

  g_string_append (text, pcd_when_to_string (step->when));
  if (step->after_usec)
    g_string_append_printf (text, " for %s", after);
  g_string_append_printf (text, ": %s", pcd_action_to_string (step->action));
  if (step->predicate != PCD_PREDICATE_NONE)
    g_string_append_printf (text, " if %s", pcd_predicate_to_string (step->predicate));
  if (step->has_else)
    g_string_append_printf (text, ", else %s", pcd_action_to_string (step->else_action));
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static char *
param_text (const PcdParamSpec *spec, double value)
{
  switch (spec->type) {
  case PCD_PARAM_DURATION:
    return pcd_duration_to_string ((gint64)value);
  case PCD_PARAM_WORD:
    return g_strdup (spec->words[(guint)value]);
  case PCD_PARAM_BOOLEAN:
    return g_strdup (value != 0 ? "true" : "false");
  case PCD_PARAM_NUMBER:
  case PCD_PARAM_COUNT:
  default:
    return g_strdup_printf ("%g", value);
  }
}

void
pcd_params_foreach (const PcdParams *params, PcdActionKind action, PcdParamFunc func, gpointer data)
{
  const PcdRetry *r = &params->retry;
  const double retry[] = { (double)r->first_usec, r->factor, (double)r->ceiling_usec, r->attempts };
  guint own = 0;

  for (guint i = 0; nth_param (action, i, &own)->name; i++) {
    const PcdParamSpec *spec = nth_param (action, i, &own);

    if (spec->type == PCD_PARAM_PATH)
      continue;
    double value = own == G_MAXUINT ? retry[i] : params->values[own];
    g_autofree char *text = param_text (spec, value);
    func (spec->name, spec->type, value, text, data);
  }
  for (gsize i = 0; params->own && i < g_variant_n_children (params->own); i++) {
    const char *name, *text;

    g_variant_get_child (params->own, i, "{&s&s}", &name, &text);
    func (name, PCD_PARAM_TEXT, 0, text, data);
  }
}

static void
append_param (const char *name, PcdParamType type, double value, const char *text, gpointer data)
{
  GString *list = data;
  const gboolean for_ever = g_str_equal (name, "attempts") && value == 0;

  g_string_append_printf (list, "%s%s %s", list->len ? ", " : "", name,
                          for_ever ? _ ("without end") : text);
}

char *
pcd_params_to_string (const PcdParams *params, PcdActionKind action)
{
  g_autoptr (GString) text = g_string_new (NULL);

  pcd_params_foreach (params, action, append_param, text);
  return g_string_free (g_steal_pointer (&text), FALSE);
}
