/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Policies: JSON text -> checked steps. The tables of pcd-action say what is possible; what stands
 * in `with` is read by pcd-params. Pure: no file, no clock. */
#include "core/pcd-policy.h"

#include <glib/gi18n.h>
#include <string.h>

#include "core/pcd-duration.h"
#include "core/pcd-node.h"
#include "core/pcd-params.h"

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
  const PcdNode *name = pcd_node_require (root, "name", PCD_NODE_STRING, reader->file, error);
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
  if (schema && !pcd_node_expect (schema, PCD_NODE_STRING, reader->file, error))
    return FALSE;
  if (description && !pcd_node_expect (description, PCD_NODE_STRING, reader->file, error))
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

  if (!pcd_node_expect_members (node, known, reader->file, error))
    return FALSE;
  const PcdNode *enabled = pcd_node_get (node, "enabled");
  const PcdNode *timeout = pcd_node_get (node, "network-timeout");
  const PcdNode *backstop = pcd_node_get (node, "backstop");
  if (enabled && !pcd_node_expect (enabled, PCD_NODE_BOOLEAN, reader->file, error))
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

  if (!pcd_node_expect (node, PCD_NODE_STRING, reader->file, error))
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

  if (!pcd_node_expect (node, PCD_NODE_STRING, reader->file, error) ||
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
  const PcdNode *when = pcd_node_require (node, "when", PCD_NODE_STRING, reader->file, error);
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
  const PcdNode *action = pcd_node_require (node, "do", PCD_NODE_STRING, reader->file, error);
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
  return pcd_params_read (node, value, reader->file, &step->params, error);
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

  if (pcd_node_expect_members (node, known, reader->file, error) &&
      read_when (reader, node, &step, error) && read_do (reader, node, &step, error) &&
      check_reached (reader, node, &step, error)) {
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

  if (!pcd_node_expect_members (root, known, reader->file, error) ||
      !read_names (reader, root, error))
    return FALSE;
  const PcdNode *arm = pcd_node_get (root, "arm");
  if (arm && !read_arm (reader, arm, error))
    return FALSE;
  const PcdNode *steps = pcd_node_require (root, "steps", PCD_NODE_ARRAY, reader->file, error);
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
