/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A list of findings, and its JSON.
 * Must not know how anything is found out. */
#include "doctor/pcd-finding.h"

static void
finding_free (PcdFinding *finding)
{
  g_free (finding->about);
  g_free (finding->seen);
  g_free (finding->why);
  g_strfreev (finding->mend);
  g_free (finding);
}

GPtrArray *
pcd_findings_new (void)
{
  return g_ptr_array_new_with_free_func ((GDestroyNotify)finding_free);
}

void
pcd_findings_add (GPtrArray *findings,
                  const char *id,
                  PcdSeverity severity,
                  const char *about,
                  char *seen,
                  const char *why,
                  ...)
{
  g_autoptr (GStrvBuilder) mend = g_strv_builder_new ();
  PcdFinding *finding = g_new0 (PcdFinding, 1);
  const char *line;
  va_list args;

  va_start (args, why);
  while ((line = va_arg (args, const char *)))
    g_strv_builder_add (mend, line);
  va_end (args);
  finding->id = id;
  finding->severity = severity;
  finding->about = g_strdup (about);
  finding->seen = seen;
  finding->why = g_strdup (why);
  finding->mend = g_strv_builder_end (mend);
  g_ptr_array_add (findings, finding);
}

guint
pcd_findings_count (GPtrArray *findings, PcdSeverity severity)
{
  guint n = 0;

  for (guint i = 0; i < findings->len; i++)
    n += ((PcdFinding *)g_ptr_array_index (findings, i))->severity == severity;
  return n;
}

gboolean
pcd_findings_are_sound (GPtrArray *findings)
{
  return pcd_findings_count (findings, PCD_SEVERITY_WARNING) == 0 &&
         pcd_findings_count (findings, PCD_SEVERITY_ERROR) == 0;
}

const char *
pcd_severity_to_string (PcdSeverity severity)
{
  static const char *const words[PCD_N_SEVERITIES] = { "ok", "note", "warning", "error" };

  return (guint)severity < PCD_N_SEVERITIES ? words[severity] : "?";
}

static void
add_string (JsonBuilder *json, const char *name, const char *value)
{
  json_builder_set_member_name (json, name);
  if (value)
    json_builder_add_string_value (json, value);
  else
    json_builder_add_null_value (json);
}

static void
add_finding (JsonBuilder *json, const PcdFinding *finding)
{
  json_builder_begin_object (json);
  add_string (json, "id", finding->id);
  add_string (json, "severity", pcd_severity_to_string (finding->severity));
  add_string (json, "about", finding->about);
  add_string (json, "seen", finding->seen);
  add_string (json, "why", finding->why);
  json_builder_set_member_name (json, "mend");
  json_builder_begin_array (json);
  for (guint i = 0; finding->mend[i]; i++)
    json_builder_add_string_value (json, finding->mend[i]);
  json_builder_end_array (json);
  json_builder_end_object (json);
}

JsonNode *
pcd_findings_to_json (GPtrArray *findings, const char *host)
{
  g_autoptr (JsonBuilder) json = json_builder_new ();

  json_builder_begin_object (json);
  add_string (json, "version", PCD_VERSION);
  add_string (json, "host", host);
  json_builder_set_member_name (json, "sound");
  json_builder_add_boolean_value (json, pcd_findings_are_sound (findings));
  json_builder_set_member_name (json, "errors");
  json_builder_add_int_value (json, pcd_findings_count (findings, PCD_SEVERITY_ERROR));
  json_builder_set_member_name (json, "warnings");
  json_builder_add_int_value (json, pcd_findings_count (findings, PCD_SEVERITY_WARNING));
  json_builder_set_member_name (json, "findings");
  json_builder_begin_array (json);
  for (guint i = 0; i < findings->len; i++)
    add_finding (json, g_ptr_array_index (findings, i));
  json_builder_end_array (json);
  json_builder_end_object (json);
  return json_builder_get_root (json);
}
