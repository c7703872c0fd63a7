/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words and times for a terminal. */
#include "ctl/pcd-json-text.h"

#include "core/pcd-json.h"
#include "core/pcd-record.h"

char *
pcd_json_text (JsonObject *object, const char *name)
{
  return pcd_text_printable (pcd_json_get_string (object, name) ?: "-");
}

char *
pcd_json_time_text (JsonObject *object, const char *name)
{
  const gint64 time = pcd_time_from_rfc3339 (pcd_json_get_string (object, name));

  return time < 0 ? g_strdup ("-") : pcd_time_to_text (time);
}
