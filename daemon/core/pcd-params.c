/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What may stand in `with`: the parameters that every action takes, those of its own, and those
 * that only a loaded module's action knows. Pure: no file, no clock. */
#include "core/pcd-params.h"

#include <glib/gi18n.h>
#include <math.h>

#include "core/pcd-duration.h"

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

/* ---- read ---- */

static gboolean
refuse_param (const char *file, const PcdNode *node, const PcdParamSpec *spec, GError **error)
{
  g_autofree char *got = NULL;

  if (node->kind == PCD_NODE_STRING)
    got = pcd_node_quote (node->string);
  else if (node->kind == PCD_NODE_NUMBER)
    got = g_strdup_printf ("%g", node->number);
  return pcd_node_refuse (node, file, error, _ ("got %s, expected %s"),
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
read_param (const char *file,
            const PcdNode *node,
            const PcdParamSpec *spec,
            double *ret_value,
            GError **error)
{
  double value = param_value (node, spec);

  /* Written so that NAN, too, is refused. */
  if (!(value >= spec->minimum && value <= spec->maximum))
    return refuse_param (file, node, spec, error);
  *ret_value = value;
  return TRUE;
}

static gboolean
read_path (const char *file,
           const PcdNode *node,
           const PcdParamSpec *spec,
           PcdParams *params,
           GError **error)
{
  if (node->kind != PCD_NODE_STRING || !pcd_path_is_good (node->string))
    return refuse_param (file, node, spec, error);
  g_assert (!params->own); /* no action has two */
  params->own = g_variant_ref_sink (g_variant_new_parsed ("{%s: %s}", spec->name, node->string));
  return TRUE;
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
read_own (const char *file,
          const PcdNode *with,
          const PcdActionSpec *spec,
          const char *const *common,
          PcdParams *params,
          GError **error)
{
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a{ss}"));

  if (!pcd_node_expect (with, PCD_NODE_OBJECT, file, error))
    return FALSE;
  for (guint i = 0; i < with->children->len; i++) {
    const PcdNode *child = g_ptr_array_index (with->children, i);
    g_autofree char *text = own_text (child);

    if (g_strv_contains (common, child->name))
      continue;
    if (spec->own_params && !g_strv_contains (spec->own_params, child->name)) {
      g_autofree char *list = g_strjoinv (", ", (char **)common);
      g_autofree char *own = g_strjoinv (", ", (char **)spec->own_params);
      return pcd_node_refuse (child, file, error, _ ("unknown key, expected one of: %s%s%s"), list,
                              own[0] ? ", " : "", own);
    }
    if (!text)
      return pcd_node_refuse (child, file, error,
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

gboolean
pcd_params_read (
    const PcdNode *step, PcdActionKind action, const char *file, PcdParams *params, GError **error)
{
  const PcdNode *with = pcd_node_get (step, "with");
  PcdRetry *r = &params->retry;
  double retry[4] = { (double)r->first_usec, r->factor, (double)r->ceiling_usec, r->attempts };
  g_autofree const char **known = list_params (action);
  guint own = 0;

  const PcdActionSpec *action_spec = pcd_action_get_spec (action);

  if (with && !(action_spec->any_params ? read_own (file, with, action_spec, known, params, error)
                                        : pcd_node_expect_members (with, known, file, error)))
    return FALSE;
  for (guint i = 0; nth_param (action, i, &own)->name; i++) {
    const PcdParamSpec *spec = nth_param (action, i, &own);
    const PcdNode *node = with ? pcd_node_get (with, spec->name) : NULL;
    if (node && !(spec->type == PCD_PARAM_PATH
                      ? read_path (file, node, spec, params, error)
                      : read_param (file, node, spec, param_slot (retry, params, i, own), error)))
      return FALSE;
    if (!node && spec->required)
      return pcd_node_refuse (with ?: step, file, error,
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
  return refuse_param (file, pcd_node_get (with, "ceiling"), &pcd_retry_get_specs ()[2], error);
}

/* ---- told ---- */

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

/* What a 0 means that is no number of anything; %NULL of other values. */
static const char *
word_for (const char *name, PcdParamType type, double value)
{
  if (type != PCD_PARAM_COUNT || value != 0)
    return NULL;
  return g_str_equal (name, "attempts") ? _ ("without end")
         : g_str_equal (name, "speed")  ? _ ("without limit")
                                        : NULL;
}

static void
append_param (const char *name, PcdParamType type, double value, const char *text, gpointer data)
{
  GString *list = data;

  g_string_append_printf (list, "%s%s %s", list->len ? ", " : "", name,
                          word_for (name, type, value) ?: text);
}

char *
pcd_params_to_string (const PcdParams *params, PcdActionKind action)
{
  g_autoptr (GString) text = g_string_new (NULL);

  pcd_params_foreach (params, action, append_param, text);
  return g_string_free (g_steal_pointer (&text), FALSE);
}
