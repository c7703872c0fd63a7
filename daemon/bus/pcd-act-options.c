/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* a{sv} -> checked values; a duration is a string, as in a policy. */
#include "bus/pcd-act-options.h"

#include "bus/pcd-bus-error.h"
#include "core/pcd-duration.h"
#include "core/pcd-node.h"

#include <gio/gio.h>
#include <math.h>
#include <string.h>

#define N_RETRY 4

/* A day: whoever waits longer does not wait. */
#define MAX_TIMEOUT_USEC (24 * (guint64)G_TIME_SPAN_HOUR)

static char *
describe (GVariant *value)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    return pcd_node_quote (g_variant_get_string (value, NULL));
  g_autofree char *text = g_variant_print (value, FALSE);
  return g_utf8_substring (text, 0, MIN (g_utf8_strlen (text, -1), 40));
}

static gboolean
refuse (const char *name, GVariant *value, const char *expected, GError **error)
{
  g_autofree char *got = describe (value);

  g_set_error (error, PCD_BUS_ERROR, PCD_BUS_ERROR_BAD_ARGUMENT, "%s: got %s, expected %s", name,
               got, expected);
  return FALSE;
}

static double
number_of (GVariant *value)
{
  switch (g_variant_classify (value)) {
  case G_VARIANT_CLASS_DOUBLE:
    return g_variant_get_double (value);
  case G_VARIANT_CLASS_INT32:
    return g_variant_get_int32 (value);
  case G_VARIANT_CLASS_UINT32:
    return g_variant_get_uint32 (value);
  case G_VARIANT_CLASS_INT64:
    return (double)g_variant_get_int64 (value);
  case G_VARIANT_CLASS_UINT64:
    return (double)g_variant_get_uint64 (value);
  default:
    return NAN;
  }
}

/* NAN if @value is not of the parameter's type. */
static double
param_value (GVariant *value, const PcdParamSpec *spec)
{
  gboolean is_string = g_variant_is_of_type (value, G_VARIANT_TYPE_STRING);
  const char *text = is_string ? g_variant_get_string (value, NULL) : "";
  double number = number_of (value);
  gint64 usec = 0;

  switch (spec->type) {
  case PCD_PARAM_DURATION:
    return is_string && pcd_duration_parse (text, &usec, NULL) ? (double)usec : NAN;
  case PCD_PARAM_NUMBER:
    return number;
  case PCD_PARAM_COUNT:
    return floor (number) == number ? number : NAN;
  case PCD_PARAM_BOOLEAN:
    return g_variant_is_of_type (value, G_VARIANT_TYPE_BOOLEAN) ? g_variant_get_boolean (value)
                                                                : NAN;
  case PCD_PARAM_WORD:
    for (guint i = 0; is_string && spec->words[i]; i++)
      if (g_str_equal (spec->words[i], text))
        return i;
    return NAN;
  default:
    return NAN;
  }
}

/* Takes the parameter out of @dict; one that is not there keeps its value. */
static gboolean
take_param (GVariantDict *dict, const PcdParamSpec *spec, double *value, GError **error)
{
  g_autoptr (GVariant) given = g_variant_dict_lookup_value (dict, spec->name, NULL);

  if (!given)
    return TRUE;
  double number = param_value (given, spec);
  if (!(number >= spec->minimum && number <= spec->maximum))
    return refuse (spec->name, given, spec->expected, error);
  *value = number;
  g_variant_dict_remove (dict, spec->name);
  return TRUE;
}

static gboolean
take_retry (GVariantDict *dict, PcdRetry *retry, GError **error)
{
  const PcdParamSpec *specs = pcd_retry_get_specs ();
  double values[N_RETRY] = { (double)retry->first_usec, retry->factor, (double)retry->ceiling_usec,
                             retry->attempts };
  g_autoptr (GVariant) ceiling = g_variant_dict_lookup_value (dict, "ceiling", NULL);

  for (guint i = 0; i < N_RETRY; i++)
    if (!take_param (dict, &specs[i], &values[i], error))
      return FALSE;
  *retry = (PcdRetry){ (gint64)values[0], values[1], (gint64)values[2], (guint)values[3] };
  if (retry->ceiling_usec < retry->first_usec && ceiling)
    return refuse ("ceiling", ceiling, specs[2].expected, error);
  retry->ceiling_usec = MAX (retry->ceiling_usec, retry->first_usec);
  return TRUE;
}

static gboolean
take_params (GVariantDict *dict, PcdActionKind action, PcdParams *params, GError **error)
{
  const PcdParamSpec *spec = pcd_action_get_spec (action)->params;

  if (!take_retry (dict, &params->retry, error))
    return FALSE;
  for (guint i = 0; spec[i].name; i++) {
    if (spec[i].required && !g_variant_dict_contains (dict, spec[i].name)) {
      g_set_error (error, PCD_BUS_ERROR, PCD_BUS_ERROR_BAD_ARGUMENT,
                   "%s must be told its \"%s\", expected %s", pcd_action_to_string (action),
                   spec[i].name, spec[i].expected);
      return FALSE;
    }
    if (spec[i].type != PCD_PARAM_PATH && !take_param (dict, &spec[i], &params->values[i], error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
take_boolean (GVariantDict *dict, const char *name, gboolean *value, GError **error)
{
  g_autoptr (GVariant) given = g_variant_dict_lookup_value (dict, name, NULL);

  if (!given)
    return TRUE;
  if (!g_variant_is_of_type (given, G_VARIANT_TYPE_BOOLEAN))
    return refuse (name, given, "true or false", error);
  *value = g_variant_get_boolean (given);
  g_variant_dict_remove (dict, name);
  return TRUE;
}

/* One address, a network, or libvirt's URI of the peer: how each is used is the engine's. */
static gboolean
is_address (const char *text)
{
  g_autoptr (GInetAddressMask) mask = g_inet_address_mask_new_from_string (text, NULL);

  return mask || (g_str_has_prefix (text, "qemu") && strstr (text, "://") &&
                  g_uri_is_valid (text, G_URI_FLAGS_NON_DNS, NULL));
}

static gboolean
take_address (GVariantDict *dict, PcdActionKind action, char **address, GError **error)
{
  g_autoptr (GVariant) given = g_variant_dict_lookup_value (dict, "address", NULL);

  if (!given || action != PCD_ACTION_RECOVER)
    return TRUE;
  if (!g_variant_is_of_type (given, G_VARIANT_TYPE_STRING) ||
      !is_address (g_variant_get_string (given, NULL)))
    return refuse ("address", given,
                   "an IP address, a network such as 10.0.2.0/24, or a libvirt URI of QEMU", error);
  *address = g_variant_dup_string (given, NULL);
  g_variant_dict_remove (dict, "address");
  return TRUE;
}

/* Whether snapshots may be kept there is found out when one is. */
static gboolean
take_directory (GVariantDict *dict, PcdActionKind action, char **directory, GError **error)
{
  g_autoptr (GVariant) given = g_variant_dict_lookup_value (dict, "directory", NULL);

  if (!given || action != PCD_ACTION_SNAPSHOT)
    return TRUE;
  if (!g_variant_is_of_type (given, G_VARIANT_TYPE_STRING) ||
      !pcd_path_is_good (g_variant_get_string (given, NULL)))
    return refuse ("directory", given, PCD_PATH_EXPECTED, error);
  *directory = g_variant_dup_string (given, NULL);
  g_variant_dict_remove (dict, "directory");
  return TRUE;
}

static gboolean
take_timeout (GVariantDict *dict, gint64 *usec, GError **error)
{
  g_autoptr (GVariant) given = g_variant_dict_lookup_value (dict, "timeout", NULL);

  if (!given)
    return TRUE;
  if (!g_variant_is_of_type (given, G_VARIANT_TYPE_UINT64) || g_variant_get_uint64 (given) == 0 ||
      g_variant_get_uint64 (given) > MAX_TIMEOUT_USEC)
    return refuse ("timeout", given, "microseconds, from 1 to those of a day", error);
  *usec = (gint64)g_variant_get_uint64 (given);
  g_variant_dict_remove (dict, "timeout");
  return TRUE;
}

/* Everything known was taken out. */
static gboolean
expect_empty (GVariantDict *dict, PcdActionKind action, GError **error)
{
  g_autoptr (GVariant) rest = g_variant_ref_sink (g_variant_dict_end (dict));
  const char *name = NULL;

  if (g_variant_n_children (rest) == 0)
    return TRUE;
  g_variant_get_child (rest, 0, "{&sv}", &name, NULL);
  g_autofree char *quoted = pcd_node_quote (name);
  g_autoptr (GString) known = g_string_new ("force, dry-run, timeout");
  if (action == PCD_ACTION_RECOVER)
    g_string_append (known, ", address");
  for (const PcdParamSpec *spec = pcd_retry_get_specs (); spec->name; spec++)
    g_string_append_printf (known, ", %s", spec->name);
  for (const PcdParamSpec *spec = pcd_action_get_spec (action)->params; spec->name; spec++)
    g_string_append_printf (known, ", %s", spec->name);
  g_set_error (error, PCD_BUS_ERROR, PCD_BUS_ERROR_BAD_ARGUMENT,
               "unknown option %s of %s, expected one of: %s", quoted,
               pcd_action_to_string (action), known->str);
  return FALSE;
}

gboolean
pcd_act_options_parse (PcdActionKind action,
                       GVariant *options,
                       PcdActOptions *ret_options,
                       GError **error)
{
  g_auto (GVariantDict) dict = G_VARIANT_DICT_INIT (options);
  g_auto (PcdActOptions) parsed = { .params = pcd_params_init (action) };

  if (!take_boolean (&dict, "force", &parsed.force, error) ||
      !take_boolean (&dict, "dry-run", &parsed.dry_run, error) ||
      !take_timeout (&dict, &parsed.timeout_usec, error) ||
      !take_address (&dict, action, &parsed.address, error) ||
      !take_directory (&dict, action, &parsed.address, error) ||
      !take_params (&dict, action, &parsed.params, error) || !expect_empty (&dict, action, error))
    return FALSE;
  *ret_options = parsed;
  parsed.address = NULL;
  return TRUE;
}

void
pcd_act_options_clear (PcdActOptions *options)
{
  g_clear_pointer (&options->address, g_free);
}
